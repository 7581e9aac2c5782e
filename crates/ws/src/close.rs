//! Close payloads (RFC 6455 5.5.1), and the short frames that a gateway sends of its own.

use core::str;

use crate::header::{CONTROL_PAYLOAD_MAX, Header};
use crate::inspector::{Inspector, Outcome, Role, Rules};
use crate::mask::apply_mask;
use crate::opcode::{CloseCode, OpCode};
use crate::violation::Violation;

/// What a Close frame says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClosePayload<'a> {
    /// Absent in an empty payload; stands for 1005, which never goes on the wire.
    pub code: Option<CloseCode>,
    /// At most 123 bytes.
    pub reason: &'a str,
}

/// Reads an unmasked Close payload.
///
/// # Errors
/// [`Violation::ClosePayloadTooShort`], [`Violation::CloseCodeInvalid`], [`Violation::CloseReasonNotUtf8`].
pub fn parse_close(payload: &[u8]) -> Result<ClosePayload<'_>, Violation> {
    let Some((&code, reason)) = payload.split_first_chunk() else {
        let nothing = ClosePayload { code: None, reason: "" };
        return if payload.is_empty() { Ok(nothing) } else { Err(Violation::ClosePayloadTooShort) };
    };
    let code = u16::from_be_bytes(code);
    let code = CloseCode::new(code).ok_or(Violation::CloseCodeInvalid { code })?;
    let reason = str::from_utf8(reason).map_err(|_| Violation::CloseReasonNotUtf8)?;
    Ok(ClosePayload { code: Some(code), reason })
}

/// A whole Close frame on the stack, at most 131 bytes.
#[derive(Clone, Copy, Debug)]
pub struct CloseFrame(ControlFrame);

impl CloseFrame {
    /// The longest reason in bytes (RFC 6455 5.5: 125 bytes of payload, two of them the code).
    pub const REASON_MAX: usize = CONTROL_PAYLOAD_MAX - 2;

    /// Builds the frame; `reason` is cut at a character border to [`CloseFrame::REASON_MAX`] bytes.
    ///
    /// `mask` is a fresh unpredictable key towards a server, `None` towards a client (RFC 6455 5.1, 5.3).
    pub fn new(code: CloseCode, reason: &str, mask: Option<[u8; 4]>) -> CloseFrame {
        let (reason, _) = reason.split_at(reason.floor_char_boundary(Self::REASON_MAX));
        let mut payload = [0; CONTROL_PAYLOAD_MAX];
        let bytes = code.get().to_be_bytes().into_iter().chain(reason.bytes());
        payload.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        let (payload, _) = payload.split_at(2 + reason.len());
        CloseFrame(control_frame(OpCode::Close, payload, mask))
    }

    /// Builds a Close frame without a code, which answers one without a code.
    pub fn empty(mask: Option<[u8; 4]>) -> CloseFrame {
        CloseFrame(control_frame(OpCode::Close, &[], mask))
    }

    /// The frame that these bytes of `sender` are; `None` if they are anything else than one whole, valid Close.
    pub fn from_wire(bytes: &[u8], sender: Role) -> Option<CloseFrame> {
        let rules = Rules { sender, deflate: false, max_message: 0, validate_utf8: false };
        match Inspector::new(rules).advance(bytes).outcome {
            Outcome::Control(close) if close.opcode == OpCode::Close && close.wire_len == bytes.len() => {
                let mut frame = ControlFrame { bytes: [0; ControlFrame::MAX], len: bytes.len() as u8 };
                frame.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                Some(CloseFrame(frame))
            }
            _ => None,
        }
    }

    /// The frame as it goes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A whole frame of at most 125 payload bytes on the stack.
#[derive(Clone, Copy, Debug)]
pub struct ControlFrame {
    bytes: [u8; ControlFrame::MAX],
    len: u8,
}

impl ControlFrame {
    /// The longest control frame in bytes: header, masking key, payload.
    pub const MAX: usize = 2 + 4 + CONTROL_PAYLOAD_MAX;

    /// The frame as it goes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

/// Builds a whole frame, as a ping or a pong. What `payload` has beyond 125 bytes is left out.
///
/// `mask` is a fresh unpredictable key towards a server, `None` towards a client (RFC 6455 5.1, 5.3).
pub fn control_frame(opcode: OpCode, payload: &[u8], mask: Option<[u8; 4]>) -> ControlFrame {
    let payload = payload.get(..CONTROL_PAYLOAD_MAX).unwrap_or(payload);
    let mut head = [0; Header::MAX];
    let header = Header { fin: true, rsv: 0, opcode, mask, len: payload.len() as u64 };
    let head_len = header.encode(&mut head);

    let mut bytes = [0; ControlFrame::MAX];
    let (head_to, payload_to) = bytes.split_at_mut(head_len);
    head_to.iter_mut().zip(head).for_each(|(to, from)| *to = from);
    payload_to.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
    if let Some((masked, _)) = payload_to.split_at_mut_checked(payload.len()) {
        apply_mask(masked, mask.unwrap_or_default(), 0);
    }
    ControlFrame { bytes, len: (head_len + payload.len()) as u8 }
}
