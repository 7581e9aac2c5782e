//! How many tunnels servers have.

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
pub enum Counts {
    /// Side by side, in the order of the servers: so it is until a pool is changed.
    Row(Arc<[AtomicU32]>),
    /// Of several rows.
    Scattered(Box<[Count]>),
}

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
        now(self.here())
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
        match self {
            Counts::Row(row) => now(&row[place]),
            Counts::Scattered(counts) => counts[place].now(),
        }
    }
}

impl FromIterator<Count> for Counts {
    fn from_iter<I: IntoIterator<Item = Count>>(counts: I) -> Self {
        let counts: Box<[Count]> = counts.into_iter().collect();
        let Some(first) = counts.first() else { return Counts::Scattered(counts) };
        let is_row = counts.len() == first.row.len()
            && counts
                .iter()
                .enumerate()
                .all(|(at, count)| count.place == at && Arc::ptr_eq(&count.row, &first.row));
        if is_row { Counts::Row(first.row.clone()) } else { Counts::Scattered(counts) }
    }
}

fn now(count: &AtomicU32) -> u32 {
    count.load(Ordering::Relaxed)
}
