//! Tunnels: what passes, what does not, and how they end.

mod backpressure;
mod child;
mod ends;
mod late;
mod memory;
mod metrics;
mod scripted;
mod simulation;
mod sizes;
mod text;
mod transparency;
mod violations;

use ropeway::tunnel::Side;
use testkit::{Peer, frame, op};

/// What `side` sends is masked, or not, as its role demands.
fn mask(side: Side) -> Option<[u8; 4]> {
    match side {
        Side::Client => Some([0x37, 0xfa, 0x21, 0x3d]),
        Side::Server => None,
    }
}

/// A whole message in one frame of `side`.
fn whole(side: Side, opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | opcode, mask(side), payload)
}

/// A frame of `side` that does not end its message.
fn part(side: Side, opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(opcode, mask(side), payload)
}

/// A Close frame of `side`.
fn close(side: Side, code: u16, reason: &str) -> Vec<u8> {
    whole(side, op::CLOSE, &testkit::close(code, reason))
}

/// Both ends of a tunnel as sender and receiver of what `by` sends.
fn by_role<'a>(by: Side, client: &'a mut Peer, server: &'a mut Peer) -> (&'a mut Peer, &'a mut Peer) {
    match by {
        Side::Client => (client, server),
        Side::Server => (server, client),
    }
}
