//! Checks of one server, again and again.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::check::Check;
use super::{Condition, Thresholds};
use crate::lifecycle::Lifecycle;
use crate::spec::health_check::HealthCheck as Spec;
use crate::spec::types::ServerUrl;
use crate::upstream::pool::Pool;
use crate::upstream::server::Server;

/// The first check of a server comes within this time, so that those of many do not come at once.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// As many checks may be under way at once, over all pools: those of servers that do not answer hold a descriptor each.
const AT_ONCE: usize = 64;

/// Has all of `watches` check from now on until it is time to stop.
pub fn start(watches: Vec<Watch>, lifecycle: &Lifecycle) {
    let at_once = Rc::new(Semaphore::new(AT_ONCE));
    for watch in watches {
        let (task, at_once) = (lifecycle.clone(), at_once.clone());
        lifecycle.spawn(async move {
            tokio::select! {
                () = watch.run(&at_once) => {}
                () = task.stopping() => {}
            }
        });
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
    /// Over the server at `place` in `pool`, which is at `url`.
    pub fn new(pool: Arc<Pool>, place: usize, url: &ServerUrl, spec: &Spec) -> Self {
        let (check, thresholds) = (Check::new(spec, url), Thresholds::new(spec));
        Watch { pool, place, check, thresholds, interval: spec.interval() }
    }

    /// The server's pool, and its place there.
    pub fn subject(&self) -> (Arc<Pool>, usize) {
        (self.pool.clone(), self.place)
    }

    /// Checks until it is dropped, each time with a permit of `at_once`.
    ///
    /// Cancel safe: dropped, the check under way is given up.
    async fn run(self, at_once: &Semaphore) {
        sleep(FIRST_WITHIN.min(self.interval).mul_f64(fastrand::f64())).await;
        loop {
            // Never closed.
            let Ok(permit) = at_once.acquire().await else { return };
            let result = self.check.run().await;
            drop(permit);
            let Some(server) = self.pool.server(self.place) else { return };
            if let Some(condition) = server.health().note(result, self.thresholds) {
                self.pool.choose_among_usable();
                log(server, condition);
            }
            // Not in step with other servers, nor with other gateways.
            sleep(self.interval.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        }
    }
}

fn log(server: &Server, condition: Condition) {
    let known = server.health().known();
    let (pool, name, state) = (server.pool(), server.name(), condition.label());
    let latency_ms = known.latency.map(|latency| latency.as_secs_f64() * 1e3);
    match known.reason {
        None => {
            tracing::info!(target: "ropeway::health", pool, server = name, state, latency_ms, "server is well");
        }
        Some(reason) => {
            tracing::warn!(target: "ropeway::health", pool, server = name, state, reason, "server is not well");
        }
    }
}
