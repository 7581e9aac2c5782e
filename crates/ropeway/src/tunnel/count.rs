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
pub struct Counts {
    /// By the servers' places in the pool.
    each: Vec<Count>,
    /// The places in the order in which their counts lie in memory.
    order: Vec<usize>,
    /// The same order, in pieces that lie side by side: one, until the pool is changed.
    runs: Vec<Run>,
}

/// Counts that lie side by side.
#[derive(Clone, Debug)]
struct Run {
    row: Arc<[AtomicU32]>,
    /// Which of the row they are.
    part: Range<usize>,
    /// Which of all they are, in their order.
    at: Range<usize>,
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
        self.each[place].now()
    }

    /// All of them together.
    pub fn sum(&self) -> u64 {
        let rows = self.runs.iter().map(|run| &run.row[run.part.clone()]);
        rows.map(|row| row.iter().map(|count| u64::from(now(count))).sum::<u64>()).sum()
    }

    /// Those at these places together.
    ///
    /// # Panics
    /// One of them does not exist.
    pub fn sum_of(&self, places: &[usize]) -> u64 {
        places.iter().map(|place| u64::from(self.now_at(*place))).sum()
    }

    /// All of them, each with its place. They come in pieces that lie side by side; the first `skip` of
    /// them come last.
    pub fn pieces(&self, skip: usize) -> impl Iterator<Item = (&[AtomicU32], &[usize])> {
        let count = self.order.len();
        let part = move |wanted: Range<usize>| {
            self.runs.iter().filter_map(move |run| {
                let at = run.at.start.max(wanted.start)..run.at.end.min(wanted.end);
                let begin = run.part.start + (at.start - run.at.start);
                (!at.is_empty()).then(|| (&run.row[begin..begin + at.len()], &self.order[at]))
            })
        };
        part(skip..count).chain(part(0..skip))
    }
}

impl FromIterator<Count> for Counts {
    fn from_iter<I: IntoIterator<Item = Count>>(counts: I) -> Self {
        let each: Vec<Count> = counts.into_iter().collect();
        let mut order: Vec<_> = (0..each.len()).collect();
        order.sort_by_key(|place| (each[*place].row.as_ptr().addr(), each[*place].place));
        let mut runs: Vec<Run> = Vec::new();
        for (at, Count { row, place }) in order.iter().map(|place| &each[*place]).enumerate() {
            match runs.last_mut() {
                Some(run) if Arc::ptr_eq(&run.row, row) && run.part.end == *place => {
                    (run.part.end, run.at.end) = (place + 1, at + 1);
                }
                _ => runs.push(Run { row: row.clone(), part: *place..place + 1, at: at..at + 1 }),
            }
        }
        Counts { each, order, runs }
    }
}

fn now(count: &AtomicU32) -> u32 {
    count.load(Ordering::Relaxed)
}
