//! How many connections a listener may have at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A seat for each connection of a listener; a tunnel keeps its client's.
pub struct Seats {
    free: Arc<Semaphore>,
    /// How many there are to be.
    limit: AtomicUsize,
    /// Seats that are taken away as soon as they are given back.
    surplus: AtomicUsize,
}

/// One seat, given back when dropped.
pub struct Taken {
    seats: Arc<Seats>,
    /// None, if it was taken anyway.
    permit: Option<OwnedSemaphorePermit>,
}

impl Seats {
    /// So many.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Seats {
            free: Arc::new(Semaphore::new(limit)),
            limit: AtomicUsize::new(limit),
            surplus: AtomicUsize::new(0),
        })
    }

    /// Sets how many there are, from one thread at a time. Connections that have a seat keep it.
    pub fn resize(&self, limit: usize) {
        let before = self.limit.swap(limit, Ordering::Relaxed);
        if let Some(fewer) = before.checked_sub(limit) {
            let taken_away = self.free.forget_permits(fewer);
            self.surplus.fetch_add(fewer - taken_away, Ordering::Relaxed);
            return;
        }
        let more = limit - before;
        let spared = (0..more).take_while(|_| self.is_surplus()).count();
        self.free.add_permits(more - spared);
    }

    /// A seat, as soon as there is one.
    ///
    /// Cancel safe.
    pub async fn take(self: &Arc<Self>) -> Taken {
        // The semaphore is never closed.
        Taken { permit: self.free.clone().acquire_owned().await.ok(), seats: self.clone() }
    }

    /// A seat, even if none is left: then the next that is given back is taken away.
    pub fn take_anyway(self: &Arc<Self>) -> Taken {
        let permit = self.free.clone().try_acquire_owned().ok();
        if permit.is_none() {
            self.surplus.fetch_add(1, Ordering::Relaxed);
        }
        Taken { permit, seats: self.clone() }
    }

    /// Whether there was one seat too many, which there is no more.
    fn is_surplus(&self) -> bool {
        let one_less = |surplus: usize| surplus.checked_sub(1);
        self.surplus.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        match (self.permit.take(), self.seats.is_surplus()) {
            (Some(permit), true) => permit.forget(),
            // It was taken anyway, and the seat too many was another's.
            (None, false) => self.seats.free.add_permits(1),
            (Some(_), false) | (None, true) => {}
        }
    }
}

impl fmt::Debug for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seats").field("free", &self.free.available_permits()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Takes seats until there is none.
    fn take_all(seats: &Arc<Seats>) -> Vec<Taken> {
        let take = || match pin!(seats.take()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => Some(taken),
            Poll::Pending => None,
        };
        std::iter::from_fn(take).collect()
    }

    #[test]
    fn there_are_as_many_as_the_last_word_says() {
        let seats = Seats::new(5);
        let mut taken = take_all(&seats);
        assert_eq!(taken.len(), 5);
        seats.resize(2);
        taken.truncate(2);
        assert_eq!(take_all(&seats).len(), 0);
        seats.resize(3);
        assert_eq!(take_all(&seats).len(), 1);
        drop(taken);
        assert_eq!(take_all(&seats).len(), 3);
    }

    #[test]
    fn what_was_not_yet_taken_away_need_not_be_given() {
        let seats = Seats::new(4);
        let mut taken = take_all(&seats);
        seats.resize(1);
        seats.resize(3);
        taken.pop();
        assert_eq!(take_all(&seats).len(), 0);
        taken.clear();
        assert_eq!(take_all(&seats).len(), 3);
    }

    #[test]
    fn a_seat_taken_anyway_is_one_of_those_that_there_are() {
        let seats = Seats::new(2);
        let taken = take_all(&seats);
        let anyway = [seats.take_anyway(), seats.take_anyway()];
        drop(taken);
        assert_eq!(take_all(&seats).len(), 0);
        drop(anyway);
        assert_eq!(take_all(&seats).len(), 2);
    }

    #[test]
    fn a_seat_taken_anyway_may_be_the_last_that_is_given_back() {
        let seats = Seats::new(2);
        let mut taken = take_all(&seats);
        let anyway = seats.take_anyway();
        taken.pop();
        drop(anyway);
        assert_eq!(take_all(&seats).len(), 1);
        taken.pop();
        assert_eq!(take_all(&seats).len(), 2);
    }
}
