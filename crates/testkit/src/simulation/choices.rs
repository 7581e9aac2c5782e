//! Where a simulation's decisions come from.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use fastrand::Rng;

/// Decisions that bytes make, and a generator that these bytes seed once they have run out.
///
/// So a fuzzer decides what it likes, and eight bytes are a whole run. Clones go on with the same bytes.
#[derive(Clone)]
pub struct Choices(Rc<RefCell<Source>>);

struct Source {
    bytes: VecDeque<u8>,
    behind: Rng,
}

impl Choices {
    /// Decides by `data`.
    pub fn new(data: &[u8]) -> Self {
        let seed = data.iter().fold(data.len() as u64, |seed, byte| {
            seed.rotate_left(8).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(*byte)
        });
        let bytes = data.iter().copied().collect();
        Choices(Rc::new(RefCell::new(Source { bytes, behind: Rng::with_seed(seed) })))
    }

    /// Any byte.
    pub fn byte(&self) -> u8 {
        let source = &mut *self.0.borrow_mut();
        source.bytes.pop_front().unwrap_or_else(|| source.behind.u8(..))
    }

    /// A number below `end`, which is not 0.
    pub fn below(&self, end: usize) -> usize {
        let any =
            if end <= 256 { usize::from(self.byte()) } else { u32::from_be_bytes(self.bytes()) as usize };
        any % end
    }

    /// True once in so many times.
    pub fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `all`.
    pub fn pick<T: Copy>(&self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// So many bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }
}
