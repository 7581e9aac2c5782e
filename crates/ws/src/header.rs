//! The 2 to 14 bytes in front of a frame's payload (RFC 6455 5.2).
//!
//! ```text
//!  bit 7   6-4   3-0          bit 7   6-0
//! +-----+------+--------+    +------+-------+  +----------------+  +-------------+
//! | FIN | RSV  | opcode |    | MASK | len 7 |  | len 16 or 64   |  | masking key |
//! +-----+------+--------+    +------+-------+  +----------------+  +-------------+
//!        byte 0                   byte 1        if len 7 = 126, 127    if MASK
//! ```

use crate::opcode::OpCode;
use crate::violation::Violation;

/// The reserved bit that permessage-deflate uses (RFC 7692 6), as it stands in [`Header::rsv`].
pub const RSV1: u8 = 0b100;

/// A control frame's payload is at most this long (RFC 6455 5.5).
pub const CONTROL_PAYLOAD_MAX: usize = 125;

/// The header of one frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// This is the last (or only) frame of its message.
    pub fin: bool,
    /// The three reserved bits; RSV1 is 4, RSV3 is 1.
    pub rsv: u8,
    /// What the frame is.
    pub opcode: OpCode,
    /// The masking key, if the frame is masked.
    pub mask: Option<[u8; 4]>,
    /// Payload bytes that follow the header; below 2^63.
    pub len: u64,
}

impl Header {
    /// The longest header in bytes.
    pub const MAX: usize = 14;

    /// Reads the header that `bytes` begins with, and its length in bytes; `None` asks for more bytes.
    ///
    /// # Errors
    /// What a header can break by itself: the opcode, a control frame's FIN and length, the form of the
    /// length. The rules that need a role or a history are the [`Inspector`](crate::Inspector)'s.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
        let Some((&lead, after)) = bytes.split_first_chunk() else { return Ok(None) };
        let lead = Lead::decode(lead)?;
        let Some((len, after)) = lead.read_len(after)? else { return Ok(None) };
        let Some((key, payload)) = lead.read_key(after) else { return Ok(None) };
        let mask = lead.masked.then_some(key);
        let header = Header { fin: lead.fin, rsv: lead.rsv, opcode: lead.opcode, mask, len };
        Ok(Some((header, bytes.len() - payload.len())))
    }

    /// Writes the header with its length in the shortest form; returns how many bytes of `out` it takes.
    ///
    /// Bits of `rsv` above the third and the highest bit of `len` are left out.
    pub fn encode(&self, out: &mut [u8; Header::MAX]) -> usize {
        let len = self.len & !HIGHEST_BIT;
        let len7 = match len {
            0..=125 => len as u8,
            126..=0xFFFF => LEN_16,
            _ => LEN_64,
        };
        let mut writer = Writer { out, at: 0 };
        writer.put(&[
            u8::from(self.fin) << 7 | (self.rsv & 0b111) << 4 | self.opcode.bits(),
            u8::from(self.mask.is_some()) << 7 | len7,
        ]);
        match len7 {
            LEN_16 => writer.put(&(len as u16).to_be_bytes()),
            LEN_64 => writer.put(&len.to_be_bytes()),
            _ => {}
        }
        if let Some(key) = self.mask {
            writer.put(&key);
        }
        writer.at
    }
}

/// The first two bytes: all that can be judged before the length is known.
#[derive(Clone, Copy)]
pub(crate) struct Lead {
    pub(crate) fin: bool,
    pub(crate) rsv: u8,
    pub(crate) opcode: OpCode,
    pub(crate) masked: bool,
    /// The length itself, up to 125, or which longer form follows.
    pub(crate) len7: u8,
}

impl Lead {
    #[inline]
    pub(crate) fn decode([first, second]: [u8; 2]) -> Result<Lead, Violation> {
        let opcode = OpCode::from_bits(first & 0x0F).ok_or(Violation::ReservedOpcode)?;
        let lead = Lead {
            fin: first & 0x80 != 0,
            rsv: first >> 4 & 0b111,
            opcode,
            masked: second & 0x80 != 0,
            len7: second & 0x7F,
        };
        if opcode.is_control() {
            if !lead.fin {
                return Err(Violation::ControlFragmented);
            }
            if usize::from(lead.len7) > CONTROL_PAYLOAD_MAX {
                return Err(Violation::ControlTooLong);
            }
        }
        Ok(lead)
    }

    /// The payload length, which `after` may begin with, and the bytes behind it.
    #[inline]
    pub(crate) fn read_len(self, after: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
        let (len, rest, least) = match self.len7 {
            LEN_16 => match after.split_first_chunk() {
                Some((&len, rest)) => (u64::from(u16::from_be_bytes(len)), rest, 126),
                None => return Ok(None),
            },
            LEN_64 => match after.split_first_chunk() {
                Some((&len, rest)) => (u64::from_be_bytes(len), rest, 0x1_0000),
                None => return Ok(None),
            },
            short => return Ok(Some((u64::from(short), after))),
        };
        if len & HIGHEST_BIT != 0 {
            return Err(Violation::LengthTooLarge);
        }
        if len < least {
            return Err(Violation::LengthNotMinimal);
        }
        Ok(Some((len, rest)))
    }

    /// The masking key and the bytes behind it. An unmasked frame has the key of zeros, which changes nothing.
    #[inline]
    pub(crate) fn read_key(self, after: &[u8]) -> Option<([u8; 4], &[u8])> {
        if self.masked {
            after.split_first_chunk().map(|(&key, rest)| (key, rest))
        } else {
            Some(([0; 4], after))
        }
    }
}

/// Fills a buffer from its front.
struct Writer<'a> {
    out: &'a mut [u8; Header::MAX],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        for (to, from) in self.out.iter_mut().skip(self.at).zip(bytes) {
            *to = *from;
        }
        self.at += bytes.len();
    }
}

const LEN_16: u8 = 126;
const LEN_64: u8 = 127;
const HIGHEST_BIT: u64 = 1 << 63;
