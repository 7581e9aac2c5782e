//! What a frame is (RFC 6455 5.2, 11.8) and why a connection ends (RFC 6455 7.4).

use core::fmt;

/// The opcode of a frame; the reserved ones are a [`Violation`](crate::Violation) instead.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum OpCode {
    /// A further fragment of the message in progress.
    Continuation = 0x0,
    /// The first frame of a text message.
    Text = 0x1,
    /// The first frame of a binary message.
    Binary = 0x2,
    /// The sender's last frame.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping, or nothing at all (RFC 6455 5.5.3).
    Pong = 0xA,
}

impl OpCode {
    /// Close, ping or pong: may stand between the fragments of a message, is never fragmented itself.
    pub const fn is_control(self) -> bool {
        self.bits() & 0x8 != 0 // RFC 6455 5.5
    }

    /// Reads the low four bits of a frame's first byte; `None` for the reserved values.
    pub(crate) const fn from_bits(bits: u8) -> Option<OpCode> {
        Some(match bits {
            0x0 => OpCode::Continuation,
            0x1 => OpCode::Text,
            0x2 => OpCode::Binary,
            0x8 => OpCode::Close,
            0x9 => OpCode::Ping,
            0xA => OpCode::Pong,
            _ => return None,
        })
    }

    /// The low four bits of a frame's first byte.
    pub(crate) const fn bits(self) -> u8 {
        self as u8
    }
}

/// A status code that may go on the wire: 1000-1003, 1007-1014, 3000-4999.
///
/// 1004, 1005, 1006 and 1015 stand for ends without a Close frame (RFC 6455 7.4.1); the other numbers
/// below 3000 are not assigned.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: a server goes down or a browser left the page.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003: a kind of data that the receiver cannot take.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1007: data that do not fit the message's type, as text that is not UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// 1008: a rule of the receiver's own.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1009: a message too big to process.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1010: the client wanted an extension that the server did not negotiate.
    pub const EXTENSION_MISSING: CloseCode = CloseCode(1010);
    /// 1011: a condition that the server did not expect.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// 1013: too busy now, try again later.
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// 1014: a gateway got no valid answer from its backend.
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);

    /// The code if it may go on the wire, else `None`.
    pub const fn new(code: u16) -> Option<CloseCode> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode(code)),
            _ => None,
        }
    }

    /// The number that stands on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
