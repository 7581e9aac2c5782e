//! A message that knows who sent it, where it stands in the row, and what it must look like.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | number of the tunnel |
//! | 4..8 | its place in the row of its direction, from 0 |
//! | 8 | direction |
//! | 9..16 | microseconds from the start of the soak to its sending |
//! | 16..24 | checksum of all other bytes |
//! | from 24 | filling |

use std::sync::OnceLock;
use std::time::Duration;

/// The shortest message.
pub(crate) const SHORTEST: usize = 32;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the backend.
    Up = 1,
    Down = 2,
}

/// What a message says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) tunnel: u32,
    pub(crate) way: Way,
    pub(crate) number: u32,
    pub(crate) sent_at: Duration,
}

/// A message of `len` bytes, at least [`SHORTEST`].
pub(crate) fn write(label: &Label, len: usize) -> Vec<u8> {
    let len = len.max(SHORTEST);
    let mut message = Vec::with_capacity(len);
    message.extend(label.tunnel.to_be_bytes());
    message.extend(label.number.to_be_bytes());
    let micros = label.sent_at.as_micros() as u64 & 0x00ff_ffff_ffff_ffff;
    message.extend(((label.way as u64) << 56 | micros).to_be_bytes());
    message.extend([0; 8]);
    let filling = filling();
    let mut at = label.number as usize * 7 % PERIOD;
    while message.len() < len {
        let count = (len - message.len()).min(PERIOD - at);
        message.extend_from_slice(&filling[at..at + count]);
        at = 0;
    }
    let sum = checksum(&message);
    message[SUM].copy_from_slice(&sum.to_be_bytes());
    message
}

/// What a message says of itself, if no byte of it was changed.
pub(crate) fn read(message: &mut [u8]) -> Option<Label> {
    let said = u64::from_be_bytes(message.get(SUM)?.try_into().ok()?);
    message.get_mut(SUM)?.fill(0);
    if checksum(message) != said {
        return None;
    }
    let word = u64::from_be_bytes(message.get(8..16)?.try_into().ok()?);
    Some(Label {
        tunnel: u32::from_be_bytes(message.get(..4)?.try_into().ok()?),
        number: u32::from_be_bytes(message.get(4..8)?.try_into().ok()?),
        way: if word >> 56 == Way::Up as u64 { Way::Up } else { Way::Down },
        sent_at: Duration::from_micros(word & 0x00ff_ffff_ffff_ffff),
    })
}

/// Depends on every byte, on its place and on the length.
fn checksum(bytes: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
}

/// Bytes without a short period, so that a piece that was moved does not look right.
fn filling() -> &'static [u8; PERIOD] {
    static FILLING: OnceLock<Box<[u8; PERIOD]>> = OnceLock::new();
    FILLING.get_or_init(|| {
        let mut bytes = Box::new([0; PERIOD]);
        fastrand::Rng::with_seed(1).fill(&mut bytes[..]);
        bytes
    })
}

const SUM: std::ops::Range<usize> = 16..24;
const PERIOD: usize = 65_521;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_seen() {
        let label = Label { tunnel: 7, way: Way::Down, number: 3, sent_at: Duration::from_micros(77) };
        for len in [SHORTEST, 33, 200] {
            let message = write(&label, len);
            assert_eq!(message.len(), len);
            assert_eq!(read(&mut message.clone()), Some(label));
            for at in 0..len {
                let mut wrong = message.clone();
                wrong[at] ^= 0x40;
                assert_eq!(read(&mut wrong), None, "byte {at} of {len}");
            }
            assert_eq!(read(&mut message[..len - 1].to_vec()), None, "a shorter one");
        }
        assert_eq!(read(&mut [0; 20]), None);
    }
}
