//! Pools of servers: choose one, connect to it, agree on a WebSocket or exchange a request.

pub mod answer;
pub mod asker;
pub mod choice;
pub mod connect;
pub mod dialler;
pub mod exchange;
pub mod handshake;
pub mod headers;
pub mod health;
pub mod matcher;
pub mod names;
pub mod origin;
pub mod pool;
pub mod reuse;
pub mod server;
pub mod tls;
pub mod websocket;
mod attempts;
mod balance;
mod budget;
mod hash;

pub use asker::Asker;
pub use choice::Choice;
pub use dialler::Dialler;
pub use handshake::{Agreed, Answer};
pub use matcher::Matcher;
pub use pool::Pool;
pub use reuse::Connections;
pub use server::Server;
use server::Standing;
