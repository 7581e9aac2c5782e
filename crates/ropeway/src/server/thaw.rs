//! Tunnels that come from another process.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::connection::run_tunnel;
use super::serving::Front;
use super::worker::{Job, Local, Seat, Workers};
use crate::net::Stream;
use crate::telemetry::Metrics;
use crate::tunnel::Tunnel;
use crate::tunnel::frozen::Thawing;

/// A tunnel from another process on its way to its worker.
pub struct Returning {
    thawing: Thawing,
    /// The client's and the server's.
    sockets: [OwnedFd; 2],
    metrics: Arc<Metrics>,
    seat: Seat,
}

impl Workers {
    /// Spreads tunnels of another process over the workers, where they hold still until `Registries::resume`. Each takes a
    /// seat of its listener, the one of `fronts` whose name its route begins with, even where there is none left.
    ///
    /// # Errors
    /// A socket is no stream, or cannot be waited for. Others may have been taken in: let go of them by
    /// `Registries::release`.
    pub async fn thaw(
        &self,
        tunnels: Vec<(Thawing, [OwnedFd; 2])>,
        fronts: &[Arc<Front>],
        metrics: &Arc<Metrics>,
    ) -> io::Result<()> {
        let mut shares: Vec<_> = self.all.iter().map(|worker| (worker, Vec::new())).collect();
        for (thawing, sockets) in tunnels {
            let idlest = shares.iter_mut().min_by_key(|(worker, _)| worker.load.load(Ordering::Relaxed));
            let Some((worker, share)) = idlest else { break };
            worker.load.fetch_add(1, Ordering::Relaxed);
            let server = thawing.route().split('/').next().unwrap_or_default();
            let front = fronts.iter().find(|front| front.serving.load().name == server);
            let seat =
                Seat { _taken: front.map(|front| front.seats.take_anyway()), load: worker.load.clone() };
            share.push(Returning { thawing, sockets, metrics: metrics.clone(), seat });
        }
        let mut answers = Vec::new();
        for (worker, share) in shares {
            let (reply, answer) = oneshot::channel();
            worker.give(Job::Thaw(share, reply));
            answers.push(answer);
        }
        for answer in answers {
            answer.await.map_err(|_| io::Error::other("a worker has stopped"))??;
        }
        Ok(())
    }
}

/// Takes tunnels in; the first that cannot be stops it.
pub(super) fn thaw(tunnels: Vec<Returning>, local: &Local) -> io::Result<()> {
    for Returning { thawing, sockets: [client, server], metrics, seat } in tunnels {
        let streams = [Stream::adopt(client)?, Stream::adopt(server)?];
        run_tunnel(Tunnel::thaw(thawing, streams, &local.registry), metrics, seat, local);
    }
    Ok(())
}
