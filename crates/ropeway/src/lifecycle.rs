//! What runs, and how it is told to stop and waited for.

use std::sync::mpsc::Sender;
use std::time::Duration;
use std::{fmt, io};

use tokio::runtime::LocalRuntime;
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

/// Does a thread's work on its runtime, and first tells whether there is one.
pub fn run_on(
    runtime: io::Result<LocalRuntime>,
    begun: &Sender<io::Result<()>>,
    work: impl Future<Output = ()>,
) {
    // Who waits for that may have given up.
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(begun.send(Err(error))),
    };
    let _ = begun.send(Ok(()));
    runtime.block_on(work);
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}
