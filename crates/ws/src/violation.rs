//! Every rule that a peer can break.

use core::fmt;

use crate::opcode::CloseCode;

/// A rule that a peer broke. `Display` gives a reason that fits a Close frame (at most 123 bytes).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Violation {
    /// A Close payload of one byte: there is no room for the code (RFC 6455 5.5.1).
    ClosePayloadTooShort,
    /// A Close code that may not go on the wire (RFC 6455 7.4).
    CloseCodeInvalid {
        /// The code the peer sent.
        code: u16,
    },
    /// A Close reason that is not UTF-8 (RFC 6455 5.5.1).
    CloseReasonNotUtf8,
    /// A continuation frame outside a message (RFC 6455 5.4).
    ContinuationUnexpected,
    /// A control frame without FIN (RFC 6455 5.5).
    ControlFragmented,
    /// A control frame of more than 125 payload bytes (RFC 6455 5.5).
    ControlTooLong,
    /// A length that a shorter form could have held (RFC 6455 5.2).
    LengthNotMinimal,
    /// A 64-bit length with its highest bit set (RFC 6455 5.2).
    LengthTooLarge,
    /// A masked frame from a server (RFC 6455 5.1).
    MaskForbidden,
    /// An unmasked frame from a client (RFC 6455 5.1).
    MaskMissing,
    /// A new text or binary frame inside a fragmented message (RFC 6455 5.4).
    MessageInterrupted,
    /// A message over the receiver's limit (RFC 6455 10.4).
    MessageTooBig {
        /// The most payload bytes a message may have on the wire.
        limit: u64,
        /// What the frame headers of this message add up to so far; there may be more to come.
        size: u64,
    },
    /// A reserved bit that no negotiated extension gives a meaning (RFC 6455 5.2, RFC 7692 6).
    ReservedBits,
    /// An opcode that is not assigned (RFC 6455 5.2).
    ReservedOpcode,
    /// A text message that is not UTF-8 or ends inside a character (RFC 6455 8.1).
    TextNotUtf8,
}

impl Violation {
    /// The stable name of the rule, for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Violation::ClosePayloadTooShort => "close_payload_too_short",
            Violation::CloseCodeInvalid { .. } => "close_code_invalid",
            Violation::CloseReasonNotUtf8 => "close_reason_not_utf8",
            Violation::ContinuationUnexpected => "continuation_unexpected",
            Violation::ControlFragmented => "control_fragmented",
            Violation::ControlTooLong => "control_too_long",
            Violation::LengthNotMinimal => "length_not_minimal",
            Violation::LengthTooLarge => "length_too_large",
            Violation::MaskForbidden => "mask_forbidden",
            Violation::MaskMissing => "mask_missing",
            Violation::MessageInterrupted => "message_interrupted",
            Violation::MessageTooBig { .. } => "message_too_big",
            Violation::ReservedBits => "reserved_bits",
            Violation::ReservedOpcode => "reserved_opcode",
            Violation::TextNotUtf8 => "text_not_utf8",
        }
    }

    /// The code to close the offender with (RFC 6455 7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Violation::MessageTooBig { .. } => CloseCode::TOO_BIG,
            Violation::CloseReasonNotUtf8 | Violation::TextNotUtf8 => CloseCode::INVALID_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// How many bytes [`Violation::to_bytes`] gives.
    pub const BYTES: usize = 1 + 2 * 8;

    /// The violation for another process: the number of its rule, and its two figures.
    pub fn to_bytes(self) -> [u8; Violation::BYTES] {
        let (number, figures) = match self {
            Violation::ClosePayloadTooShort => (0, [0; 2]),
            Violation::CloseCodeInvalid { code } => (1, [code.into(), 0]),
            Violation::CloseReasonNotUtf8 => (2, [0; 2]),
            Violation::ContinuationUnexpected => (3, [0; 2]),
            Violation::ControlFragmented => (4, [0; 2]),
            Violation::ControlTooLong => (5, [0; 2]),
            Violation::LengthNotMinimal => (6, [0; 2]),
            Violation::LengthTooLarge => (7, [0; 2]),
            Violation::MaskForbidden => (8, [0; 2]),
            Violation::MaskMissing => (9, [0; 2]),
            Violation::MessageInterrupted => (10, [0; 2]),
            Violation::MessageTooBig { limit, size } => (11, [limit, size]),
            Violation::ReservedBits => (12, [0; 2]),
            Violation::ReservedOpcode => (13, [0; 2]),
            Violation::TextNotUtf8 => (14, [0; 2]),
        };
        let mut bytes = [number; Violation::BYTES];
        let figures = figures.into_iter().flat_map(u64::to_be_bytes);
        bytes.iter_mut().skip(1).zip(figures).for_each(|(to, from)| *to = from);
        bytes
    }

    /// The violation that was these bytes; `None` if none was.
    pub fn from_bytes(bytes: [u8; Violation::BYTES]) -> Option<Violation> {
        let (&[number], figures) = bytes.split_first_chunk()?;
        let (&limit, size) = figures.split_first_chunk()?;
        let (limit, size) = (u64::from_be_bytes(limit), u64::from_be_bytes(*size.first_chunk()?));
        let violation = match number {
            0 => Violation::ClosePayloadTooShort,
            1 => Violation::CloseCodeInvalid { code: limit as u16 },
            2 => Violation::CloseReasonNotUtf8,
            3 => Violation::ContinuationUnexpected,
            4 => Violation::ControlFragmented,
            5 => Violation::ControlTooLong,
            6 => Violation::LengthNotMinimal,
            7 => Violation::LengthTooLarge,
            8 => Violation::MaskForbidden,
            9 => Violation::MaskMissing,
            10 => Violation::MessageInterrupted,
            11 => Violation::MessageTooBig { limit, size },
            12 => Violation::ReservedBits,
            13 => Violation::ReservedOpcode,
            14 => Violation::TextNotUtf8,
            _ => return None,
        };
        (violation.to_bytes() == bytes).then_some(violation)
    }

    /// Where the rule stands, as `RFC 6455 5.2`.
    pub const fn section(self) -> &'static str {
        match self {
            Violation::MaskForbidden | Violation::MaskMissing => "RFC 6455 5.1",
            Violation::LengthNotMinimal
            | Violation::LengthTooLarge
            | Violation::ReservedBits
            | Violation::ReservedOpcode => "RFC 6455 5.2",
            Violation::ContinuationUnexpected | Violation::MessageInterrupted => "RFC 6455 5.4",
            Violation::ControlFragmented | Violation::ControlTooLong => "RFC 6455 5.5",
            Violation::ClosePayloadTooShort | Violation::CloseReasonNotUtf8 => "RFC 6455 5.5.1",
            Violation::CloseCodeInvalid { .. } => "RFC 6455 7.4",
            Violation::TextNotUtf8 => "RFC 6455 8.1",
            Violation::MessageTooBig { .. } => "RFC 6455 10.4",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Violation::CloseCodeInvalid { code } => {
                return write!(f, "close code {code} may not go on the wire");
            }
            Violation::MessageTooBig { limit, size } => {
                return write!(f, "message of at least {size} bytes is over the limit of {limit}");
            }
            Violation::ClosePayloadTooShort => "close payload of one byte has no room for a code",
            Violation::CloseReasonNotUtf8 => "close reason is not utf-8",
            Violation::ContinuationUnexpected => "continuation frame outside a message",
            Violation::ControlFragmented => "control frame is fragmented",
            Violation::ControlTooLong => "control frame has more than 125 bytes of payload",
            Violation::LengthNotMinimal => "length is not in its shortest form",
            Violation::LengthTooLarge => "length has its highest bit set",
            Violation::MaskForbidden => "frame from a server is masked",
            Violation::MaskMissing => "frame from a client is not masked",
            Violation::MessageInterrupted => "new message begins inside a fragmented one",
            Violation::ReservedBits => "reserved bit is set without an extension that uses it",
            Violation::ReservedOpcode => "opcode is reserved",
            Violation::TextNotUtf8 => "text message is not utf-8",
        })
    }
}

impl core::error::Error for Violation {}
