//! How many tunnels servers have.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The counts of the servers of a pool, side by side in memory: whoever compares the servers of a large pool reads all
/// of them for each handshake.
#[derive(Clone, Debug)]
pub struct Counts(Arc<[AtomicU32]>);

/// One of them.
#[derive(Clone, Debug)]
pub struct Count {
    all: Counts,
    /// Which, within `all`.
    place: usize,
}

impl Counts {
    /// So many, all at zero.
    pub fn new(length: usize) -> Self {
        Counts((0..length).map(|_| AtomicU32::new(0)).collect())
    }

    /// The one at `place`.
    ///
    /// # Panics
    /// There is none.
    pub fn at(&self, place: usize) -> Count {
        assert!(place < self.0.len(), "there are {} counts", self.0.len());
        Count { all: self.clone(), place }
    }

    /// The one at `place`, as it is now.
    ///
    /// # Panics
    /// There is none.
    pub fn now_at(&self, place: usize) -> u32 {
        self.0[place].load(Ordering::Relaxed)
    }

    /// Those at `places`, as they are now.
    ///
    /// # Panics
    /// There are not so many.
    pub fn now(&self, places: Range<usize>) -> impl ExactSizeIterator<Item = u32> {
        self.0[places].iter().map(|count| count.load(Ordering::Relaxed))
    }
}

impl Count {
    /// How many there are now.
    pub fn now(&self) -> u32 {
        self.all.now_at(self.place)
    }

    pub(super) fn add(&self) {
        self.here().fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self) {
        self.here().fetch_sub(1, Ordering::Relaxed);
    }

    fn here(&self) -> &AtomicU32 {
        &self.all.0[self.place]
    }
}
