//! What `ropeway-ws` promises, tried from outside.

extern crate ropeway_ws as ws;

mod cases;
mod extensions;
mod frames;
mod handshake;
mod limits;
mod outgoing;
mod random;
mod saved;
mod table;
mod text;
mod transcript;
