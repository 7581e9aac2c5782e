//! Checks of one server, again and again.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::check::Check;
use super::{Condition, Thresholds};
use crate::lifecycle::Lifecycle;
use crate::spec::health_check::HealthCheck as Spec;
use crate::tunnel::registry::Registries;
use crate::upstream::pool::Pool;
use crate::upstream::server::Server;

/// The first check of a server comes within this time, so that those of many do not come at once.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// As many checks may be under way at once, over all pools: those of servers that do not answer hold a descriptor each.
const AT_ONCE: usize = 64;

/// The watches over all pools, on the thread where they check.
pub struct Watches {
    lifecycle: Lifecycle,
    registries: Registries,
    at_once: Rc<Semaphore>,
    watched: Vec<Watched>,
}

/// A pool, and what ends the watches over it.
struct Watched {
    pool: Arc<Pool>,
    over: CancellationToken,
}

impl Watches {
    /// None yet. They check as long as `lifecycle` does not stop.
    pub fn new(lifecycle: &Lifecycle, registries: Registries) -> Self {
        Watches {
            registries,
            lifecycle: lifecycle.clone(),
            at_once: Rc::new(Semaphore::new(AT_ONCE)),
            watched: Vec::new(),
        }
    }

    /// Watches over `pools` from now on and over no other; where that was so already nothing changes.
    pub fn set(&mut self, pools: &[Arc<Pool>]) {
        let has = |watched: &Watched| pools.iter().any(|pool| Arc::ptr_eq(pool, &watched.pool));
        for gone in self.watched.extract_if(.., |watched| !has(watched)) {
            gone.over.cancel();
        }
        for pool in pools {
            if !self.watched.iter().any(|watched| Arc::ptr_eq(pool, &watched.pool)) {
                self.begin(pool);
            }
        }
    }

    fn begin(&mut self, pool: &Arc<Pool>) {
        let over = CancellationToken::new();
        for watch in pool.watches() {
            let (task, at_once, over) = (self.lifecycle.clone(), self.at_once.clone(), over.clone());
            let registries = self.registries.clone();
            self.lifecycle.spawn(async move {
                tokio::select! {
                    () = watch.run(&at_once, &registries) => {}
                    () = over.cancelled() => {}
                    () = task.stopping() => {}
                }
            });
        }
        self.watched.push(Watched { pool: pool.clone(), over });
    }
}

/// Watches over one server of a pool.
#[derive(Debug)]
pub struct Watch {
    pool: Arc<Pool>,
    place: usize,
    check: Check,
    thresholds: Thresholds,
    interval: Duration,
}

impl Watch {
    /// Over `server`, which is the one at `place` in `pool`.
    pub fn new(pool: Arc<Pool>, place: usize, server: &Server, spec: &Spec) -> Self {
        let (check, thresholds) = (Check::new(spec, server), Thresholds::new(spec));
        Watch { pool, place, check, thresholds, interval: spec.interval() }
    }

    /// Checks until it is dropped, each time with a permit of `at_once`.
    ///
    /// Cancel safe: dropped, the check under way is given up.
    async fn run(self, at_once: &Semaphore, registries: &Registries) {
        sleep(FIRST_WITHIN.min(self.interval).mul_f64(fastrand::f64())).await;
        loop {
            // Never closed.
            let Ok(permit) = at_once.acquire().await else { return };
            let began = Instant::now();
            let result = self.check.run().await;
            drop(permit);
            let latency = result.as_ref().map_or_else(|failure| failure.latency, |latency| Some(*latency));
            let Some(server) = self.pool.server(self.place) else { return };
            if let Some(condition) =
                server.health().note(result.map_err(|failure| failure.reason), self.thresholds)
            {
                log(server, condition, latency);
                self.pool.heed(server, condition, registries);
            }
            // Not in step with other servers, nor with other gateways.
            sleep_until(began + self.interval.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        }
    }
}

/// `latency` is of the answer that decided.
fn log(server: &Server, condition: Condition, latency: Option<Duration>) {
    let known = server.health().known();
    let (pool, name, state) = (server.pool(), server.name(), condition.label());
    let latency_ms = latency.map(|latency| latency.as_secs_f64() * 1e3);
    match known.reason {
        None => {
            tracing::info!(target: "ropeway::health", pool, server = name, state, latency_ms, "server is well");
        }
        Some(reason) => {
            tracing::warn!(target: "ropeway::health", pool, server = name, state, latency_ms, reason, "server is not well");
        }
    }
}
