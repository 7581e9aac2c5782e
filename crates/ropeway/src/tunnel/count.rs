//! How many tunnels servers have.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A server's count. It goes on while pools change around it.
#[derive(Clone, Debug)]
pub struct Count {
    /// Counts that were made together stand side by side in memory: whoever compares the servers of a large pool reads
    /// all of them for each handshake.
    row: Arc<[AtomicU32]>,
    place: usize,
}

/// The counts of the servers of a pool.
#[derive(Clone, Debug)]
pub struct Counts(Box<[Count]>);

impl Count {
    /// So many, all at zero.
    pub fn row(length: usize) -> impl Iterator<Item = Count> {
        let row: Arc<[AtomicU32]> = (0..length).map(|_| AtomicU32::new(0)).collect();
        (0..length).map(move |place| Count { row: row.clone(), place })
    }

    /// One by itself.
    pub fn single() -> Self {
        Count { row: Arc::new([AtomicU32::new(0)]), place: 0 }
    }

    /// How many there are now.
    pub fn now(&self) -> u32 {
        self.here().load(Ordering::Relaxed)
    }

    pub(super) fn add(&self) {
        self.here().fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self) {
        self.here().fetch_sub(1, Ordering::Relaxed);
    }

    fn here(&self) -> &AtomicU32 {
        &self.row[self.place]
    }
}

impl Counts {
    /// The one at `place`, as it is now.
    ///
    /// # Panics
    /// There is none.
    pub fn now_at(&self, place: usize) -> u32 {
        self.0[place].now()
    }

    /// Those at `places`, as they are now.
    ///
    /// # Panics
    /// There are not so many.
    pub fn now(&self, places: Range<usize>) -> impl ExactSizeIterator<Item = u32> {
        self.0[places].iter().map(Count::now)
    }
}

impl FromIterator<Count> for Counts {
    fn from_iter<I: IntoIterator<Item = Count>>(counts: I) -> Self {
        Counts(counts.into_iter().collect())
    }
}
