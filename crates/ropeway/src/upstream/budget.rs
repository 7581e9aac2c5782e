//! How many retries a pool may make, so that a struggling pool is not hit harder.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Retries are counted against the handshakes of the same stretch of time.
const WINDOW: Duration = Duration::from_secs(1);
/// A fifth of the handshakes …
const SHARE: u32 = 5;
/// … and this many in any case.
const AT_LEAST: u32 = 10;

/// Retries as a share of handshakes.
#[derive(Debug)]
pub(super) struct RetryBudget {
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    handshakes: u32,
    retries: u32,
}

impl RetryBudget {
    pub(super) fn new() -> Self {
        RetryBudget { window: Mutex::new(Window { began: Instant::now(), handshakes: 0, retries: 0 }) }
    }

    /// Takes note of a handshake's first try.
    pub(super) fn count(&self) {
        self.with(Instant::now(), |window| window.handshakes = window.handshakes.saturating_add(1));
    }

    /// Takes one retry, if one is left.
    pub(super) fn take(&self) -> bool {
        self.with(Instant::now(), Window::take)
    }

    fn with<T>(&self, now: Instant, act: impl FnOnce(&mut Window) -> T) -> T {
        // A panic elsewhere leaves plain numbers behind: they still count.
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(window.began) >= WINDOW {
            *window = Window { began: now, handshakes: 0, retries: 0 };
        }
        act(&mut window)
    }
}

impl Window {
    fn take(&mut self) -> bool {
        let left = self.retries < (self.handshakes / SHARE).max(AT_LEAST);
        self.retries += u32::from(left);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_handshakes_and_ten_in_any_case() {
        for (handshakes, expected) in [(0, 10), (50, 10), (100, 20), (1000, 200)] {
            let mut window = Window { began: Instant::now(), handshakes, retries: 0 };
            let taken = (0..10_000).filter(|_| window.take()).count();
            assert_eq!(taken, expected, "after {handshakes} handshakes");
        }
    }

    #[test]
    fn a_new_window_begins_with_a_full_budget() {
        let budget = RetryBudget::new();
        let now = Instant::now();
        while budget.with(now, Window::take) {}
        assert!(!budget.with(now, Window::take));
        assert!(budget.with(now + WINDOW, Window::take));
    }
}
