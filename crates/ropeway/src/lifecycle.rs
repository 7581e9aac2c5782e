//! What runs, and how it is told to stop and waited for.

use std::fmt;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::WaitForCancellationFuture;
use tokio_util::task::TaskTracker;

/// The tasks of one worker. Everything that runs is started here, so that nothing is forgotten at the end.
#[derive(Clone)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A task that is dropped when this is dropped.
#[derive(Debug)]
pub struct Held(JoinHandle<()>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lifecycle {
    /// A group of its own that stops when `stop` is cancelled.
    pub fn new(stop: &CancellationToken) -> Self {
        Lifecycle { stop: stop.child_token(), tasks: TaskTracker::new() }
    }

    /// Runs `task` on this thread.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.tasks.spawn_local(task);
    }

    /// The same, for as long as what is returned lives.
    pub fn hold(&self, task: impl Future<Output = ()> + 'static) -> Held {
        Held(self.tasks.spawn_local(task))
    }

    /// Resolves when it is time to stop.
    ///
    /// Cancel safe.
    pub fn stopping(&self) -> WaitForCancellationFuture<'_> {
        self.stop.cancelled()
    }

    /// Whether it is time to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until every task has ended, for `patience` at most, and says how many have not.
    ///
    /// Cancel safe.
    pub async fn ended(&self, patience: Duration) -> usize {
        self.tasks.close();
        // Timed out or not, what counts is what is left.
        let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
        self.tasks.len()
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}
