//! Spinning: a worker that keeps looking for events for a while before it sleeps has no wake-up to wait for.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::task::yield_now;

use crate::telemetry::log;

thread_local! {
    /// Counts what happens on this thread.
    static EVENTS: Cell<u64> = const { Cell::new(0) };
    /// Who is told that this thread has slept.
    static SLEEPER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Something happened on this thread.
#[inline]
pub(super) fn note() {
    EVENTS.set(EVENTS.get().wrapping_add(1));
}

/// This thread has slept. To be called by its runtime.
pub(super) fn woken() {
    if let Some(sleeper) = SLEEPER.take() {
        sleeper.wake();
    }
}

/// Keeps this thread from sleeping until nothing has happened for `patience`; then it sleeps until the next event.
///
/// Cancel safe.
pub(super) async fn spin(patience: Duration) {
    loop {
        slept().await;
        let (mut events, mut since) = (EVENTS.get(), Instant::now());
        while since.elapsed() < patience {
            yield_now().await;
            if EVENTS.get() == events {
                log::flush();
            } else {
                (events, since) = (EVENTS.get(), Instant::now());
            }
        }
    }
}

/// Resolves after the next sleep.
async fn slept() {
    let mut asked = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut asked, true) && SLEEPER.with_borrow(Option::is_none) {
            return Poll::Ready(());
        }
        SLEEPER.set(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}
