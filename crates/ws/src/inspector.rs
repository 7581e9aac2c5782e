//! One direction of a WebSocket: bytes in, a judgement out.

mod saved;

use crate::close::parse_close;
use crate::header::{CONTROL_PAYLOAD_MAX, Lead, RSV1};
use crate::mask::{apply_mask, rotate};
use crate::opcode::{CloseCode, OpCode};
use crate::utf8::Utf8;
use crate::violation::Violation;

pub use self::saved::{RestoreError, Saved};

/// Who sends the bytes of a direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Every frame must be masked (RFC 6455 5.1).
    Client,
    /// No frame may be masked (RFC 6455 5.1).
    Server,
}

/// What one direction has to keep to.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Who sends the bytes.
    pub sender: Role,
    /// permessage-deflate was negotiated: RSV1 may stand on the first frame of a data message (RFC 7692 6).
    pub deflate: bool,
    /// The most payload bytes, as they stand on the wire, of one message over all its fragments;
    /// `u64::MAX` is no limit.
    pub max_message: u64,
    /// Uncompressed text messages must be UTF-8 (RFC 6455 8.1).
    pub validate_utf8: bool,
}

/// Judges one direction of a WebSocket. Holds no bytes and never allocates; see the [crate]'s page for the
/// order of calls.
#[derive(Clone, Debug)]
pub struct Inspector {
    rules: Rules,
    messages: u64,
    /// Payload bytes of the data frame in progress that have not settled.
    frame_left: u64,
    /// The payload bytes that the frame headers of the message in progress declared.
    message_size: u64,
    /// Not beside `messages`: both are copied in every turn, and one load of what two stores have just written is slow.
    payload_bytes: u64,
    /// The text of the message in progress, if it is one that must be UTF-8.
    text: Option<Utf8>,
    /// The frame's masking key as it meets the next payload byte; zeros for an unmasked frame.
    key: [u8; 4],
    /// The data frame in progress ends its message.
    fin: bool,
    in_message: bool,
    broken: Option<Violation>,
}

const _: () = assert!(core::mem::size_of::<Inspector>() <= 96, "one lives in each direction of each tunnel");

impl Inspector {
    /// An inspector for a direction of which nothing has come yet.
    pub const fn new(rules: Rules) -> Inspector {
        Inspector {
            rules,
            frame_left: 0,
            message_size: 0,
            messages: 0,
            payload_bytes: 0,
            text: None,
            key: [0; 4],
            fin: false,
            in_message: false,
            broken: None,
        }
    }

    /// Judges `bytes`, which begin exactly where the last call's settled bytes (and the control frame that it
    /// may have reported) ended.
    ///
    /// One call walks over as many data frames as `bytes` holds.
    /// Frames behind a Close are judged like any others: it is the caller who stops forwarding.
    pub fn advance(&mut self, bytes: &[u8]) -> Step {
        let mut rest = bytes;
        let outcome = self.walk(&mut rest).unwrap_or_else(|violation| {
            self.broken = Some(violation);
            Outcome::Violation(violation)
        });
        Step { settled: bytes.len() - rest.len(), outcome }
    }

    /// Who sends the bytes.
    pub const fn sender(&self) -> Role {
        self.rules.sender
    }

    /// Changes the size limit from the next frame header on; the message in progress is held to it as a whole.
    pub const fn set_max_message(&mut self, max: u64) {
        self.rules.max_message = max;
    }

    /// Changes whether text must be UTF-8, from the next message on.
    pub const fn set_validate_utf8(&mut self, validate: bool) {
        self.rules.validate_utf8 = validate;
    }

    /// Payload bytes of the data frame in progress still to come; 0 at a frame border.
    pub const fn frame_remaining(&self) -> u64 {
        self.frame_left
    }

    /// What has settled ends with a whole frame: a frame of the caller's own may go here.
    pub const fn at_frame_border(&self) -> bool {
        self.frame_left == 0
    }

    /// Inside a data frame, or between the fragments of a message.
    pub const fn in_message(&self) -> bool {
        self.in_message
    }

    /// The rule that the peer broke.
    pub const fn violation(&self) -> Option<Violation> {
        self.broken
    }

    /// Data messages that have settled to their last byte.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Payload bytes of data frames that have settled.
    pub const fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Has both counts go on from these figures: for who judges further what is not forwarded any more.
    pub const fn count_from(&mut self, messages: u64, payload_bytes: u64) {
        self.messages = messages;
        self.payload_bytes = payload_bytes;
    }

    /// Takes what settles off the front of `rest` until more bytes are needed or a control frame comes.
    fn walk(&mut self, rest: &mut &[u8]) -> Result<Outcome, Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        if self.frame_left > 0 {
            self.continue_frame(rest)?;
        }
        while self.frame_left == 0 {
            if !self.rules.validate_utf8 {
                self.take_short_messages(rest);
            }
            let Some((&lead, after)) = rest.split_first_chunk() else { break };
            let lead = Lead::decode(lead)?;
            self.judge_lead(lead)?;
            let Some((len, after)) = lead.read_len(after)? else { break };
            let Some((key, after)) = lead.read_key(after) else { break };
            if lead.opcode.is_control() {
                let control = Control::read(lead, key, rest)?;
                return Ok(control.map_or(Outcome::More, Outcome::Control));
            }
            *rest = self.begin_frame(lead, len, key, after)?;
        }
        Ok(Outcome::More)
    }

    /// Settles the whole messages of one short frame that `rest` begins with: most messages are such, and many come
    /// at once. Leaves off where there is anything else to judge; texts are not.
    #[inline]
    fn take_short_messages(&mut self, rest: &mut &[u8]) {
        if self.in_message {
            return;
        }
        let (mask_bit, header_len) = match self.rules.sender {
            Role::Client => (0x80, 6),
            Role::Server => (0, 2),
        };
        while let [lead, second, ..] = **rest {
            let is_plain = match lead {
                FIN_TEXT | FIN_BINARY => true,
                FIN_TEXT_COMPRESSED | FIN_BINARY_COMPRESSED => self.rules.deflate,
                _ => false,
            };
            let len = second ^ mask_bit; // above 125 with the wrong mask bit, too
            if !is_plain || len > 125 || u64::from(len) > self.rules.max_message {
                return;
            }
            let Some(behind) = rest.get(header_len + usize::from(len)..) else { return };
            *rest = behind;
            self.messages += 1;
            self.payload_bytes += u64::from(len);
        }
    }

    /// Settles payload of the frame that an earlier call began.
    #[inline]
    fn continue_frame(&mut self, rest: &mut &[u8]) -> Result<(), Violation> {
        let (payload, _) = split_at_most(rest, self.frame_left);
        let judged = self.judge_text(payload, self.frame_left);
        let valid = judged.err().unwrap_or(payload.len());
        let (valid, behind) = split_at_most(rest, valid as u64);
        self.settle(valid.len());
        *rest = behind;
        judged.map_err(|_| Violation::TextNotUtf8)
    }

    /// The rules that the first two bytes of a frame can break.
    #[inline]
    fn judge_lead(&self, lead: Lead) -> Result<(), Violation> {
        let begins_message = matches!(lead.opcode, OpCode::Text | OpCode::Binary);
        let allowed = if self.rules.deflate && begins_message { RSV1 } else { 0 };
        if lead.rsv & !allowed != 0 {
            return Err(Violation::ReservedBits);
        }
        match (self.rules.sender, lead.masked) {
            (Role::Client, false) => return Err(Violation::MaskMissing),
            (Role::Server, true) => return Err(Violation::MaskForbidden),
            _ => {}
        }
        match (self.in_message, lead.opcode) {
            (false, OpCode::Continuation) => Err(Violation::ContinuationUnexpected),
            (true, OpCode::Text | OpCode::Binary) => Err(Violation::MessageInterrupted),
            _ => Ok(()),
        }
    }

    /// Settles a data frame's header and what `after` holds of its payload; returns the bytes behind.
    ///
    /// On an error nothing of the frame has settled.
    #[inline]
    fn begin_frame<'b>(
        &mut self,
        lead: Lead,
        len: u64,
        key: [u8; 4],
        after: &'b [u8],
    ) -> Result<&'b [u8], Violation> {
        let size = self.message_size.saturating_add(len);
        if size > self.rules.max_message {
            return Err(Violation::MessageTooBig { limit: self.rules.max_message, size });
        }
        if lead.opcode != OpCode::Continuation {
            let is_text = lead.opcode == OpCode::Text && lead.rsv & RSV1 == 0;
            self.text = (self.rules.validate_utf8 && is_text).then(Utf8::new);
        }
        self.key = key;
        self.fin = lead.fin;
        let (payload, behind) = split_at_most(after, len);
        self.judge_text(payload, len).map_err(|_| Violation::TextNotUtf8)?;

        self.in_message = true;
        self.message_size = size;
        self.frame_left = len;
        self.settle(payload.len());
        Ok(behind)
    }

    /// Counts `len` payload bytes of the data frame in progress as settled.
    #[inline]
    fn settle(&mut self, len: usize) {
        self.frame_left -= len as u64;
        self.payload_bytes += len as u64;
        if self.frame_left > 0 {
            self.key = rotate(self.key, len as u64);
        } else if self.fin {
            self.in_message = false;
            self.message_size = 0;
            self.messages += 1;
        }
    }

    /// Judges `payload`, which comes next of `frame_left` bytes of the frame, if its message is a text to judge.
    ///
    /// # Errors
    /// The index in `payload` of the first byte that no valid text could have there.
    #[inline]
    fn judge_text(&mut self, payload: &[u8], frame_left: u64) -> Result<(), usize> {
        let Some(text) = &mut self.text else { return Ok(()) };
        let ends = self.fin && payload.len() as u64 == frame_left;
        judge_masked_text(text, payload, self.key, ends)
    }
}

/// How far the bytes of one [`Inspector::advance`] may be forwarded, and what stands behind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Step {
    /// So many bytes from the front may be forwarded.
    pub settled: usize,
    /// What stands behind them.
    pub outcome: Outcome,
}

/// What stands behind the settled bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// At most 130 bytes, the incomplete beginning of a frame header or of a control frame: present them
    /// again in front of what follows.
    More,
    /// One whole, valid control frame of [`Control::wire_len`] bytes. Forward or swallow it; the next call
    /// begins behind it.
    Control(Control),
    /// The peer broke a rule; nothing from here on may be forwarded. What stands here is the frame that broke
    /// it or, where text went wrong inside a frame that settled in part, the first impossible byte.
    /// Later calls give the same again with nothing settled.
    Violation(Violation),
}

/// A whole control frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Control {
    /// Close, ping or pong.
    pub opcode: OpCode,
    /// Bytes of the whole frame, at most 131.
    pub wire_len: usize,
    /// What a Close says; `None` also where it says nothing.
    pub close_code: Option<CloseCode>,
    /// Zeros in an unmasked frame.
    key: [u8; 4],
    header_len: u8,
    payload_len: u8,
}

impl Control {
    /// The frame's payload, unmasked into `out`. `frame` are the frame's bytes and may have more behind them.
    pub fn payload<'b>(&self, frame: &[u8], out: &'b mut [u8; CONTROL_PAYLOAD_MAX]) -> &'b [u8] {
        let payload = frame.iter().skip(usize::from(self.header_len));
        let (out, _) = out.split_at_mut(usize::from(self.payload_len));
        out.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
        apply_mask(out, self.key, 0);
        out
    }

    /// Reads the control frame that `bytes` begins with; `None` asks for more bytes.
    #[inline(never)] // or every message pays for the scratch
    fn read(lead: Lead, key: [u8; 4], bytes: &[u8]) -> Result<Option<Control>, Violation> {
        let header_len = if lead.masked { 6 } else { 2 };
        let payload_len = lead.len7; // at most 125: `Lead::decode` saw to it
        let wire_len = usize::from(header_len + payload_len);
        if bytes.len() < wire_len {
            return Ok(None);
        }
        let mut control =
            Control { opcode: lead.opcode, wire_len, close_code: None, key, header_len, payload_len };
        if lead.opcode == OpCode::Close {
            let mut clear = [0; CONTROL_PAYLOAD_MAX];
            control.close_code = parse_close(control.payload(bytes, &mut clear))?.code;
        }
        Ok(Some(control))
    }
}

/// Unmasks and judges in a scratch on the stack: what is forwarded stays as it came.
#[inline(never)] // or every message pays for the scratch
fn judge_masked_text(text: &mut Utf8, payload: &[u8], key: [u8; 4], ends: bool) -> Result<(), usize> {
    let mut scratch = [0; SCRATCH];
    let mut judged = 0;
    for piece in payload.chunks(SCRATCH) {
        let (clear, _) = scratch.split_at_mut(piece.len());
        clear.copy_from_slice(piece);
        apply_mask(clear, key, judged as u64);
        text.push(clear).map_err(|at| judged + at)?;
        judged += piece.len();
    }
    if ends && !text.is_complete() {
        return Err(judged.saturating_sub(1)); // a text may have this byte, but not as its last
    }
    Ok(())
}

/// Splits off at most `len` bytes from the front.
#[inline]
fn split_at_most(bytes: &[u8], len: u64) -> (&[u8], &[u8]) {
    usize::try_from(len).ok().and_then(|len| bytes.split_at_checked(len)).unwrap_or((bytes, &[]))
}

/// First bytes of frames that are messages by themselves; compressed ones have RSV1 (RFC 7692 6).
const FIN_TEXT: u8 = 0x81;
const FIN_BINARY: u8 = 0x82;
const FIN_TEXT_COMPRESSED: u8 = 0xC1;
const FIN_BINARY_COMPRESSED: u8 = 0xC2;

/// Bytes of text that are unmasked at a time.
const SCRATCH: usize = 256;
