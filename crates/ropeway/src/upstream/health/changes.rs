//! The clock of a pool, and the sign that other servers can be used than before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What all generations of a pool look at to see that a server has come into use, or is out of use.
#[derive(Debug)]
pub struct Changes {
    began: Instant,
    count: AtomicU64,
}

impl Default for Changes {
    /// None yet; the clock begins.
    fn default() -> Self {
        Changes::begun(Instant::now())
    }
}

impl Changes {
    /// With a clock that began then.
    pub(super) fn begun(began: Instant) -> Self {
        Changes { began, count: AtomicU64::new(0) }
    }

    /// How many there were: whoever finds another number than before sees what has changed, too.
    pub(in crate::upstream) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn note(&self) {
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Milliseconds since the pool began; never 0.
    pub(in crate::upstream) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// The same for another moment.
    pub(super) fn at(&self, moment: Instant) -> u64 {
        millis(moment.saturating_duration_since(self.began)).max(1)
    }
}

/// In milliseconds, or as many as there can be.
pub(in crate::upstream) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
