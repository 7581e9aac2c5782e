//! Frames as one side of a tunnel sends them.

use ropeway::tunnel::Side;

use crate::frame::{self, frame, op};

/// What `side` sends is masked, or not, as its role demands.
pub fn mask(side: Side) -> Option<[u8; 4]> {
    match side {
        Side::Client => Some([0x37, 0xfa, 0x21, 0x3d]),
        Side::Server => None,
    }
}

/// A whole message in one frame of `side`.
pub fn whole(side: Side, opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | opcode, mask(side), payload)
}

/// A frame of `side` that does not end its message.
pub fn part(side: Side, opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(opcode, mask(side), payload)
}

/// A Close frame of `side`.
pub fn close(side: Side, code: u16, reason: &str) -> Vec<u8> {
    whole(side, op::CLOSE, &frame::close(code, reason))
}
