//! Pools of servers: choose one, connect to it, agree on a WebSocket.

pub mod asker;
pub mod connect;
pub mod dialler;
pub mod handshake;
pub mod headers;
pub mod health;
pub mod matcher;
pub mod names;
pub mod origin;
pub mod pool;
pub mod server;
pub mod tls;
mod balance;
mod budget;
mod hash;

pub use asker::Asker;
pub use dialler::Dialler;
pub use handshake::{Agreed, Answer};
pub use matcher::Matcher;
pub use pool::Pool;
pub use server::Server;
use server::Standing;
