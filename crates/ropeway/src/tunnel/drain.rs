//! Ending many tunnels in good order: not all at once, so that their clients do not come back all at once.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::farewell::{Cause, Why};
use super::registry::{Entry, Progress, Registry};
use super::{Account, TunnelId};

/// How often it is decided whose turn it is: at least every so often, and at most.
const TICK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// How often at least while there is none to be told.
const NOBODY: Duration = Duration::from_secs(1);

/// An order to end tunnels.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Which ones.
    pub whose: Whose,
    /// The cause that they end with.
    pub why: Why,
    /// When they end.
    pub pace: Pace,
    /// Cancelled, those that were not told yet live on.
    pub called_off: CancellationToken,
}

/// Which tunnels are to end, those included that begin meanwhile.
#[derive(Clone, Debug)]
pub enum Whose {
    /// Every one.
    All,
    /// Those of a server, as its pool keeps them.
    Server(Arc<Account>),
    /// Those of every server of this name in the pool with this identity.
    Named {
        /// The pool.
        pool: String,
        /// The server's address within the pool.
        server: String,
    },
    /// Those of the pool with this identity.
    Pool(String),
    /// Those that came by this route.
    Route(String),
    /// Those that came by a route of this `HTTPServer`.
    Listener(String),
}

/// How fast tunnels end.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Until then their ends are spread evenly.
    pub end: Instant,
    /// Ends in a second, at most; so it may take longer.
    pub max_rate: f64,
    /// Whoever is left then ends at once.
    pub deadline: Instant,
}

impl Drain {
    /// Ends those tunnels that are in `registry`. It is over when it is called off; that of a [`Whose::Server`] also when
    /// its time is.
    ///
    /// Cancel safe: dropped, those that were not told yet live on.
    pub(super) async fn run(self, registry: Rc<Registry>) {
        let telling = async {
            let mut rota = Rota::at(self.pace);
            loop {
                let pause = rota.next(registry.untold(&self.whose), |entry| {
                    entry.tell(Cause::Drain(self.why));
                });
                // A tunnel of its that begins later finds out by itself: `Account::left`.
                if rota.is_over() && matches!(self.whose, Whose::Server(_)) {
                    break;
                }
                sleep(pause).await;
            }
        };
        tokio::select! {
            () = telling => {}
            () = self.called_off.cancelled() => {}
        }
    }
}

impl Pace {
    /// Evenly until then.
    pub fn until(end: Instant) -> Self {
        Pace { end, max_rate: f64::INFINITY, deadline: end }
    }
}

/// Whose turn it is.
struct Rota {
    pace: Pace,
    last: Instant,
    /// Turns that are due; a broken one waits until it is whole.
    due: f64,
    /// What the waiting ones had moved a tick ago.
    moved: HashMap<TunnelId, Progress>,
}

impl Rota {
    fn at(pace: Pace) -> Self {
        // Many gateways may be told to drain at once: not all begin with the first tunnel at once.
        Rota { pace, last: Instant::now(), due: fastrand::f64(), moved: HashMap::new() }
    }

    /// Whether every tunnel has had its turn that was there in time.
    fn is_over(&self) -> bool {
        self.last >= self.pace.deadline
    }

    /// Calls `tell` for those of `waiting` whose turn it is, and says when to look again.
    fn next(&mut self, waiting: Vec<Rc<Entry>>, tell: impl FnMut(&Entry)) -> Duration {
        let turns = self.turns(waiting.len(), Instant::now());
        let mut waiting = self.idle_first(waiting);
        let still = waiting.split_off(turns);
        waiting.iter().map(Rc::as_ref).for_each(tell);
        self.moved = still.iter().map(|entry| (entry.id, entry.progress.get())).collect();
        let left = self.pace.end.saturating_duration_since(self.last);
        if still.is_empty() {
            // Only for those that are yet to begin.
            return left.clamp(TICK.1, NOBODY);
        }
        let each = left / u32::try_from(still.len()).unwrap_or(u32::MAX);
        each.clamp(TICK.0, TICK.1)
    }

    /// How many of `count` that wait have their turn, as it is `now`.
    fn turns(&mut self, count: usize, now: Instant) -> usize {
        let (left, passed) = (self.pace.end.saturating_duration_since(self.last), now - self.last);
        self.last = now;
        if now >= self.pace.deadline {
            return count;
        }
        let share = if passed < left { passed.div_duration_f64(left) } else { 1.0 };
        let most = self.pace.max_rate * passed.as_secs_f64();
        self.due += (count as f64 * share).min(most);
        let turns = (self.due as usize).min(count);
        self.due -= turns as f64;
        turns
    }

    /// Who has moved nothing of late loses least.
    fn idle_first(&self, mut waiting: Vec<Rc<Entry>>) -> Vec<Rc<Entry>> {
        waiting.sort_by_key(|entry| self.moved.get(&entry.id) != Some(&entry.progress.get()));
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of a thousand tunnels have had their turn, at the end of each second.
    fn ends(window: u64, max_rate: f64, deadline: u64) -> Vec<usize> {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let pace = Pace { end: at(1000 * window), max_rate, deadline: at(1000 * deadline) };
        let mut rota = Rota { last: start, due: 0.0, ..Rota::at(pace) };
        let mut left = 1000;
        let mut second = |number: u64| {
            for tick in 1..=50 {
                left -= rota.turns(left, at(1000 * number + 20 * tick));
            }
            1000 - left
        };
        (0..deadline).map(&mut second).collect()
    }

    #[test]
    fn ends_are_spread_over_the_window() {
        for (second, count) in ends(10, f64::INFINITY, 10).into_iter().enumerate() {
            let expected = 100 * (second + 1);
            assert!(count.abs_diff(expected) <= 5, "{count} and not {expected} after second {second}");
        }
    }

    #[test]
    fn a_rate_stretches_the_window_up_to_the_deadline() {
        let expected = [50, 100, 150, 200, 250, 1000];
        let counts = ends(2, 50.0, 6);
        assert!(
            counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) <= 2),
            "{counts:?}"
        );
    }
}
