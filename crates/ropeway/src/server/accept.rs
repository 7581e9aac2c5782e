//! Accepting connections, and sharing them among the workers.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::time::sleep;

use super::serving::Front;
use super::worker::Workers;
use crate::lifecycle::Lifecycle;

/// How long to leave connections waiting in the kernel's queue when there are no descriptors or memory left.
const PAUSE: Duration = Duration::from_millis(100);

/// tokio's own listener would register every connection with this worker, before another one gets it. The type of
/// streams watches any socket, and leaves it to us what to do with it.
type Readiness = tokio::net::TcpStream;

/// Accepts until it is time to stop. While all seats are taken, connections wait in the kernel's queue.
pub(super) async fn accept(
    listener: std::net::TcpListener,
    front: &Arc<Front>,
    workers: &Workers,
    lifecycle: &Lifecycle,
) {
    let readiness = listener.try_clone().and_then(|copy| Readiness::from_std(OwnedFd::from(copy).into()));
    let readiness = match readiness {
        Ok(readiness) => readiness,
        Err(error) => return tracing::error!(server = front.name, %error, "cannot accept connections"),
    };
    let accepting = async {
        // The semaphore is never closed.
        while let Ok(permit) = front.seats.clone().acquire_owned().await {
            match readiness.async_io(Interest::READABLE, || accept_one(&listener)).await {
                Ok((tcp, peer)) => workers.give(tcp, peer, front, permit),
                Err(error) => after(&error, &front.name).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = lifecycle.stopping() => {}
    }
}

fn accept_one(listener: &std::net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (tcp, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((tcp.into(), peer.ok_or(io::ErrorKind::Unsupported)?))
}

/// A client that left while it waited is no reason to pause; what else can be wrong with accepting is a lack
/// of something, and trying again at once would only spin.
async fn after(error: &io::Error, name: &str) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput | NotConnected) {
        return;
    }
    tracing::warn!(server = name, %error, "cannot accept connections for now");
    sleep(PAUSE).await;
}
