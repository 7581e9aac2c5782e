//! Sockets: listening, the byte streams of a tunnel's legs, and who the peer is.

pub mod address;
pub mod begun;
pub mod body;
pub mod forwarded;
pub mod h2_meter;
pub mod head;
pub mod headers;
pub mod limits;
pub mod linger;
pub mod listener;
pub mod paced;
pub mod path;
pub mod patient;
pub mod proxy_protocol;
pub mod reply;
pub mod stream;
pub mod tls;
pub mod unix;
pub mod unread;

pub use stream::Stream;
