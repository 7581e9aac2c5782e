//! RFC 6455 and RFC 7692 without I/O: judges the bytes of a WebSocket, never owns them.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))] // every byte comes from a peer

extern crate alloc;

pub mod extensions;
pub mod handshake;

mod inspector;
mod close;
mod utf8;
mod mask;
mod header;
mod violation;
mod opcode;
mod grammar;

pub use close::{CloseFrame, ClosePayload, ControlFrame, control_frame, parse_close};
pub use header::{CONTROL_PAYLOAD_MAX, Header, RSV1};
pub use inspector::{Control, Inspector, Outcome, Role, Rules, Step};
pub use mask::apply_mask;
pub use opcode::{CloseCode, OpCode};
pub use utf8::Utf8;
pub use violation::Violation;
