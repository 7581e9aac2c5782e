//! What an inspector knows, as bytes with which another process goes on.
//!
//! ```text
//! version                     1   VERSION
//! flags                       1   CLIENT ...
//! limit, messages, payload    8 each
//! within a message: its size, what is left of its frame    8 each
//!                   key, UTF-8 bytes held back             4 each (the first of the latter is how many)
//! broken: the violation      17
//! ```
//!
//! Numbers are in network order. What cannot matter any more is not saved: the key of a frame that has ended, say.

use core::fmt;

use super::{Inspector, Role, Rules};
use crate::utf8::Utf8;
use crate::violation::Violation;

/// The form that is written. A change of what stands in it is another version.
const VERSION: u8 = 1;

const CLIENT: u8 = 1;
const DEFLATE: u8 = 2;
const VALIDATE: u8 = 4;
const IN_MESSAGE: u8 = 8;
const TEXT: u8 = 16;
const FIN: u8 = 32;
const BROKEN: u8 = 64;

/// No tunnel has counted further; what is added later does not overflow.
const COUNT_MAX: u64 = 1 << 62;

/// The longest frame (RFC 6455 5.2).
const FRAME_MAX: u64 = u64::MAX >> 1;

/// What an [`Inspector`] knows, as bytes on the stack.
#[derive(Clone, Copy, Debug)]
pub struct Saved {
    bytes: [u8; Saved::MAX],
    len: u8,
}

/// Why bytes are no saved inspector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RestoreError {
    /// They have another form, of this version.
    Version(u8),
    /// They contradict themselves, end early or go on behind the end.
    Malformed,
}

impl Saved {
    /// The longest, in bytes.
    pub const MAX: usize = 2 + 3 * 8 + 2 * 8 + 2 * 4 + Violation::BYTES;

    /// What [`Inspector::restore`] takes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    fn put(&mut self, bytes: &[u8]) {
        let room = self.bytes.iter_mut().skip(usize::from(self.len));
        room.zip(bytes).for_each(|(to, from)| *to = *from);
        self.len += bytes.len() as u8; // `MAX` is the sum of all that is put
    }
}

impl Inspector {
    /// What this inspector knows between two calls of [`Inspector::advance`]. Bytes that were presented and have not
    /// settled are the caller's to keep.
    pub fn save(&self) -> Saved {
        let mut saved = Saved { bytes: [0; Saved::MAX], len: 0 };
        saved.put(&[VERSION, self.flags()]);
        for number in [self.rules.max_message, self.messages, self.payload_bytes] {
            saved.put(&number.to_be_bytes());
        }
        if self.in_message {
            saved.put(&self.message_size.to_be_bytes());
            saved.put(&self.frame_left.to_be_bytes());
            saved.put(&if self.frame_left > 0 { self.key } else { [0; 4] });
            saved.put(&held_back(self.text.as_ref()));
        }
        if let Some(violation) = self.broken {
            saved.put(&violation.to_bytes());
        }
        saved
    }

    fn flags(&self) -> u8 {
        let flags = [
            (CLIENT, self.rules.sender == Role::Client),
            (DEFLATE, self.rules.deflate),
            (VALIDATE, self.rules.validate_utf8),
            (IN_MESSAGE, self.in_message),
            (TEXT, self.in_message && self.text.is_some()),
            (FIN, self.frame_left > 0 && self.fin),
            (BROKEN, self.broken.is_some()),
        ];
        flags.into_iter().filter(|(_, is_set)| *is_set).fold(0, |all, (flag, _)| all | flag)
    }

    /// An inspector that goes on where the saved one was. Bytes from anywhere can be given: what is restored never
    /// panics.
    ///
    /// # Errors
    /// They are none that [`Inspector::save`] gives.
    pub fn restore(bytes: &[u8]) -> Result<Inspector, RestoreError> {
        match bytes.first() {
            Some(&VERSION) => read(bytes).ok_or(RestoreError::Malformed),
            Some(&version) => Err(RestoreError::Version(version)),
            None => Err(RestoreError::Malformed),
        }
    }
}

fn read(bytes: &[u8]) -> Option<Inspector> {
    let rest = &mut &*bytes;
    let [_, flags] = take(rest)?;
    let has = |flag| flags & flag != 0;
    let sender = if has(CLIENT) { Role::Client } else { Role::Server };
    let max_message = number(rest)?;
    let rules = Rules { sender, deflate: has(DEFLATE), max_message, validate_utf8: has(VALIDATE) };
    let mut inspector = Inspector::new(rules);
    (inspector.messages, inspector.payload_bytes) = (number(rest)?, number(rest)?);
    (inspector.in_message, inspector.fin) = (has(IN_MESSAGE), has(FIN));
    if has(IN_MESSAGE) {
        (inspector.message_size, inspector.frame_left) = (number(rest)?, number(rest)?);
        inspector.key = take(rest)?;
        let text = text(take(rest)?)?;
        inspector.text = has(TEXT).then_some(text);
    }
    if has(BROKEN) {
        inspector.broken = Some(Violation::from_bytes(take(rest)?)?);
    }
    // The bytes must be the very ones that would be saved: no unknown flag, no key without a frame, nothing behind.
    let is_one = inspector.save().as_bytes() == bytes
        && inspector.messages <= COUNT_MAX
        && inspector.payload_bytes <= COUNT_MAX
        && inspector.frame_left <= inspector.message_size.min(FRAME_MAX);
    is_one.then_some(inspector)
}

/// How many bytes of a character have come without its end, and these.
fn held_back(text: Option<&Utf8>) -> [u8; 4] {
    let begun = text.map(Utf8::begun).unwrap_or_default();
    let mut bytes = [begun.len() as u8, 0, 0, 0];
    bytes.iter_mut().skip(1).zip(begun).for_each(|(to, from)| *to = *from);
    bytes
}

fn text([len, begun @ ..]: [u8; 4]) -> Option<Utf8> {
    Utf8::resumed(begun.get(..usize::from(len))?)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_be_bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Version(version) => {
                write!(f, "inspector is saved in form {version}, not {VERSION}")
            }
            RestoreError::Malformed => f.write_str("saved inspector contradicts itself"),
        }
    }
}

impl core::error::Error for RestoreError {}
