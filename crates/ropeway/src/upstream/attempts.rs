//! Which servers are tried for a request, one after the other.

use super::{Asker, Pool, Server};
use crate::fault::Fault;
use crate::tunnel::Claim;

/// The servers of a pool in the order in which a request may try them.
pub(super) struct Attempts<'a> {
    pool: &'a Pool,
    asker: Asker<'a>,
    passed_over: Vec<usize>,
    tried: u32,
    /// Whether the last try was a strain on the pool, so that the next is paid from its budget.
    pub(super) costs: bool,
    /// Why no server was tried.
    pub(super) fault: Fault,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(pool: &'a Pool, asker: Asker<'a>) -> Self {
        pool.budget.count();
        pool.look_who_is_usable();
        Attempts { pool, asker, passed_over: Vec::new(), tried: 0, costs: false, fault: Fault::NoServer }
    }

    /// The place of the last server that was tried.
    pub(super) fn place(&self) -> usize {
        self.passed_over.last().copied().unwrap_or_default()
    }

    /// The next server, and a place in its count. Counted before it is judged, so that many who come at once are not
    /// let in by one place.
    pub(super) fn next(&mut self) -> Option<(&'a Server, Claim)> {
        while let Some(place) = self.pool.balancer.choose(self.asker, &self.passed_over) {
            self.passed_over.push(place);
            let server = &self.pool.servers[place];
            let claim = server.claim();
            let pool_is_full = self.pool.is_over_capacity();
            if pool_is_full || server.is_over_capacity() {
                if self.fault == Fault::NoServer {
                    self.fault = Fault::NoCapacity;
                }
                if pool_is_full {
                    return None;
                }
                continue;
            }
            if self.tried > self.pool.max_retries || self.costs && !self.pool.budget.take() {
                return None;
            }
            self.tried += 1;
            return Some((server, claim));
        }
        if self.fault == Fault::NoServer && self.pool.has_drained() {
            self.fault = Fault::Drained;
        }
        None
    }
}
