//! Pools of servers: choose one, connect to it, agree on a WebSocket.

pub mod connect;
pub mod handshake;
pub mod headers;
pub mod origin;
pub mod pool;
mod balance;
mod budget;

pub use handshake::{Agreed, Answer};
pub use pool::{Pool, Server};
