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

/// An order to end the tunnels of a server.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Whose tunnels.
    pub account: Arc<Account>,
    /// The cause that the tunnels end with.
    pub why: Why,
    /// Until then the ends are spread.
    pub end: Instant,
    /// Cancelled, those that were not told yet live on.
    pub called_off: CancellationToken,
}

impl Drain {
    /// Ends those tunnels that are in `registry`. It is over when its time is and the server has none, anywhere, or when
    /// it is called off.
    ///
    /// Cancel safe: dropped, those that were not told yet live on.
    pub(super) async fn run(self, registry: Rc<Registry>) {
        let telling = async {
            let mut rota = Rota::until(self.end);
            while self.account.live() > 0 || !rota.is_over() {
                let pause = rota.next(registry.untold(&self.account), |entry| {
                    entry.tell(Cause::Drain(self.why));
                });
                sleep(pause).await;
            }
        };
        tokio::select! {
            () = telling => {}
            () = self.called_off.cancelled() => {}
        }
    }
}

/// Whose turn it is.
struct Rota {
    end: Instant,
    last: Instant,
    /// Turns that are due; a broken one waits until it is whole.
    due: f64,
    /// What the waiting ones had moved a tick ago.
    moved: HashMap<TunnelId, Progress>,
}

impl Rota {
    fn until(end: Instant) -> Self {
        // Many gateways may be told to drain at once: not all begin with the first tunnel at once.
        Rota { end, last: Instant::now(), due: fastrand::f64(), moved: HashMap::new() }
    }

    /// Whether every tunnel has had its turn that was there in time.
    fn is_over(&self) -> bool {
        self.last >= self.end
    }

    /// Calls `tell` for those of `waiting` whose turn it is, and says when to look again.
    fn next(&mut self, waiting: Vec<Rc<Entry>>, tell: impl FnMut(&Entry)) -> Duration {
        let (left, now) = (self.end.saturating_duration_since(self.last), Instant::now());
        let passed = now - self.last;
        let count = waiting.len();
        let turns = if passed >= left {
            count
        } else {
            self.due += count as f64 * passed.div_duration_f64(left);
            let turns = (self.due as usize).min(count);
            self.due -= turns as f64;
            turns
        };
        self.last = now;
        let mut waiting = self.idle_first(waiting);
        let still = waiting.split_off(turns);
        waiting.iter().map(Rc::as_ref).for_each(tell);
        self.moved = still.iter().map(|entry| (entry.id, entry.progress.get())).collect();
        let each =
            self.end.saturating_duration_since(now) / u32::try_from(still.len()).unwrap_or(u32::MAX).max(1);
        each.clamp(TICK.0, TICK.1)
    }

    /// Who has moved nothing of late loses least.
    fn idle_first(&self, mut waiting: Vec<Rc<Entry>>) -> Vec<Rc<Entry>> {
        waiting.sort_by_key(|entry| self.moved.get(&entry.id) != Some(&entry.progress.get()));
        waiting
    }
}
