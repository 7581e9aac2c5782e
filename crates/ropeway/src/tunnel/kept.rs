//! What a direction of a tunnel keeps.

/// Bytes read and not passed on: first what the receiver is owed, then the tail, which cannot be judged before
/// more has come. Empty, and without memory of its own, while nothing is in the way.
pub(super) struct Kept {
    bytes: Box<[u8]>,
    /// `bytes[paid..settled]` is owed; `bytes[settled..]` is the tail.
    paid: u32,
    settled: u32,
}

impl Kept {
    pub(super) fn early(bytes: &[u8]) -> Self {
        Kept { bytes: bytes.into(), paid: 0, settled: 0 }
    }

    /// `bytes`, of which the first `owed` are owed.
    pub(super) fn with_owed(bytes: &[u8], owed: usize) -> Self {
        Kept { bytes: bytes.into(), paid: 0, settled: owed as u32 }
    }

    /// What is owed, and behind it the tail.
    pub(super) fn unpaid(&self) -> &[u8] {
        &self.bytes[self.paid as usize..]
    }

    pub(super) fn owed(&self) -> &[u8] {
        &self.bytes[self.paid as usize..self.settled as usize]
    }

    pub(super) fn tail(&self) -> &[u8] {
        &self.bytes[self.settled as usize..]
    }

    pub(super) fn paid(&mut self, written: usize) {
        self.paid += written as u32;
        if self.paid == self.settled {
            (self.bytes, self.paid, self.settled) = (self.tail().into(), 0, 0);
        }
    }

    /// The receiver is lost: it is owed nothing.
    pub(super) fn forgive(&mut self) {
        self.paid = self.settled;
    }

    /// Adds `frame` to what is owed, in front of the tail.
    pub(super) fn owe(&mut self, frame: &[u8]) {
        let bytes = [self.owed(), frame, self.tail()].concat();
        let settled = self.owed().len() + frame.len();
        (self.bytes, self.paid, self.settled) = (bytes.into(), 0, settled as u32);
    }

    /// All bytes that are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Copies the tail to the beginning of `scratch`. It stays kept until `keep` replaces it.
    pub(super) fn recall(&self, scratch: &mut [u8]) -> usize {
        let tail = self.tail();
        scratch[..tail.len()].copy_from_slice(tail);
        tail.len()
    }

    /// Replaces all: `owed` of `bytes` are owed, the rest is the tail.
    pub(super) fn keep(&mut self, bytes: &[u8], owed: usize) {
        if !(bytes.is_empty() && self.bytes.is_empty()) {
            self.bytes = bytes.into();
        }
        (self.paid, self.settled) = (0, owed as u32);
    }

    pub(super) fn forget_tail(&mut self) {
        if !self.tail().is_empty() {
            self.bytes = self.owed().into();
            (self.paid, self.settled) = (0, self.bytes.len() as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paid_takes_no_memory() {
        let mut kept = Kept::early(&[]);
        kept.keep(&[7; 60_000], 59_990);
        kept.paid(59_000);
        assert_eq!((kept.owed().len(), kept.tail().len()), (990, 10));
        kept.paid(990);
        assert_eq!((kept.owed().len(), kept.tail().len(), kept.bytes.len()), (0, 10, 10));
    }
}
