//! Listeners, routing, and one request's life.

pub mod accept;
pub mod connection;
mod http2;
mod reception;
pub mod request;
pub mod router;
pub mod seats;
pub mod serving;
pub mod tls;
pub mod worker;
mod spin;
mod thaw;
