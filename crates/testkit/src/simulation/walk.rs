//! What a stream of frames amounts to, found by hand and independently of `ws`.

use crate::frame::op;

/// What a stream of frames amounts to.
#[derive(Default, Debug)]
pub(super) struct Walk {
    /// Bytes that may be passed on.
    pub(super) settled: usize,
    /// Where frames begin and end, up to there.
    pub(super) borders: Vec<usize>,
    pub(super) at_border: bool,
    pub(super) messages: u64,
    pub(super) payload: u64,
    pub(super) close: Option<u16>,
    /// Opcode 3, the one rule that scripts break.
    pub(super) broken: bool,
}

impl Walk {
    /// Walks to the first Close, broken rule or unfinished frame.
    pub(super) fn over(bytes: &[u8]) -> Walk {
        let mut walk = Walk { borders: vec![0], at_border: true, ..Walk::default() };
        while walk.take_frame(&bytes[walk.settled..]) {}
        walk
    }

    /// Bytes that may be passed on, without a Close frame.
    pub(super) fn says(&self) -> usize {
        let closes = usize::from(self.close.is_some());
        self.borders.iter().rev().nth(closes).filter(|_| closes > 0).copied().unwrap_or(self.settled)
    }

    /// Takes what may be passed on of the frame that `rest` begins with; whether another may follow.
    fn take_frame(&mut self, rest: &[u8]) -> bool {
        let [first, second, ..] = *rest else { return false };
        let (opcode, masked) = (first & 0x0f, second & 0x80 != 0);
        let long = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let head = 2 + long + if masked { 4 } else { 0 };
        self.broken |= opcode == 3;
        if self.broken || rest.len() < head {
            return false;
        }
        let len = match long {
            0 => usize::from(second & 0x7f),
            _ => rest[2..2 + long].iter().fold(0, |len, byte| len << 8 | usize::from(*byte)),
        };
        let here = (rest.len() - head).min(len);
        let (control, whole) = (opcode & 8 != 0, here == len);
        if control && !whole {
            return false;
        }
        self.settled += head + here;
        self.at_border = whole;
        if !control {
            self.payload += here as u64;
            self.messages += u64::from(first & 0x80 != 0 && whole);
        }
        if whole {
            self.borders.push(self.settled);
        }
        if opcode == op::CLOSE {
            let key = if masked { &rest[2..6] } else { &[0; 4] };
            self.close = Some(u16::from_be_bytes([rest[head] ^ key[0], rest[head + 1] ^ key[1]]));
        }
        whole && self.close.is_none()
    }
}
