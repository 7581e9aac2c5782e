//! RFC 6455 and RFC 7692 without I/O: judges the bytes of a WebSocket, never owns them.
//!
//! # One direction
//!
//! An [`Inspector`] walks over the bytes that one side of a WebSocket sends after the handshake. It says how many
//! of them are *settled* (judged, and free to be forwarded as they came) and what stands behind them:
//!
//! | what | settles |
//! |---|---|
//! | header of a data frame | when it is whole and breaks no rule |
//! | payload of a data frame | as it comes: it is never held, copied or unmasked |
//! | control frame | when it is whole: it is reported, and the caller forwards or swallows it |
//! | frame that breaks a rule | never, nor anything behind it |
//!
//! So at most 130 bytes are ever left over, and a frame of the caller's own can go wherever
//! [`Inspector::at_frame_border`] holds. The rules are judged as early as the bytes allow: what the first two
//! bytes break is found with the second, a message over the limit with the last byte of the header that says so,
//! text that is not UTF-8 with the first byte that cannot be. How the input is cut does not change a judgement.
//! One thing does depend on it: of a text frame that goes wrong, the part that came in earlier calls has settled.
//! Where the frame's header comes in the same call as the wrong byte, nothing of the frame settles.
//!
//! # The order of calls
//!
//! ```
//! use ropeway_ws::{Inspector, OpCode, Outcome, Role, Rules};
//!
//! // What a server sent: the text "hi", a ping, and the first byte of something.
//! let bytes = [0x81, 2, b'h', b'i', 0x89, 0, 0x82];
//!
//! let rules = Rules { sender: Role::Server, deflate: false, max_message: 1024, validate_utf8: true };
//! let mut inspector = Inspector::new(rules);
//! let mut rest = &bytes[..];
//! let mut forwarded = Vec::new();
//! loop {
//!     let step = inspector.advance(rest);
//!     let (settled, behind) = rest.split_at(step.settled);
//!     forwarded.extend_from_slice(settled);
//!     rest = behind;
//!     match step.outcome {
//!         Outcome::More => break, // read on; `rest` comes again, in front of what is read
//!         Outcome::Control(control) => {
//!             assert_eq!(control.opcode, OpCode::Ping);
//!             rest = &rest[control.wire_len..]; // swallowed
//!         }
//!         Outcome::Violation(violation) => panic!("{violation}: close with {}", violation.close_code()),
//!     }
//! }
//! assert_eq!(forwarded, [0x81, 2, b'h', b'i']);
//! assert_eq!(rest, [0x82]);
//! assert_eq!(inspector.messages(), 1);
//! ```
//!
//! A Close is the sender's last frame: having met it, the caller stops forwarding. To go on calling is safe.
//!
//! # From one process to another
//!
//! [`Inspector::save`] gives what an inspector knows as a few bytes, [`Inspector::restore`] goes on from there and
//! trusts none of them.
//!
//! # The handshake
//!
//! [`handshake`] checks a client's request and a backend's answer to it, [`extensions`] reads what both say about
//! compression. Both work on header values; [`CloseFrame`] and [`control_frame`] build what a gateway has to say
//! itself. Nothing here knows of sockets, time or random numbers: masking keys are the caller's.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))] // every byte comes from a peer

extern crate alloc;

pub mod extensions;
pub mod handshake;

mod close;
mod grammar;
mod header;
mod inspector;
mod mask;
mod opcode;
mod utf8;
mod violation;

pub use close::{CloseFrame, ClosePayload, ControlFrame, control_frame, parse_close};
pub use header::{CONTROL_PAYLOAD_MAX, Header, RSV1};
pub use inspector::{Control, Inspector, Outcome, RestoreError, Role, Rules, Saved, Step};
pub use mask::apply_mask;
pub use opcode::{CloseCode, OpCode};
pub use utf8::Utf8;
pub use violation::Violation;
