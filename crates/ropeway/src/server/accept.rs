//! Accepting connections, and sharing them among the workers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::time::{Instant, sleep};

use super::serving::Front;
use super::worker::Workers;

/// How long to leave connections waiting in the kernel's queue when there are no descriptors or memory left.
const PAUSE: Duration = Duration::from_millis(100);

/// A flood of connections is not to become a flood of log lines.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// tokio's own listener would register every connection with this worker, before another one gets it. The type of
/// streams watches any socket, and leaves it to us what to do with it.
type Readiness = tokio::net::TcpStream;

/// Accepts from when the workers are open until it is time to stop. A Unix socket that listens comes as a `TcpListener`,
/// too: what is done with it here is the same. While all seats are taken, connections wait in the kernel's queue; those
/// for which there are no descriptors are refused.
pub(super) async fn accept(listener: Arc<std::net::TcpListener>, front: &Arc<Front>, workers: &Workers) {
    let readiness = listener.try_clone().and_then(|copy| Readiness::from_std(OwnedFd::from(copy).into()));
    let readiness = match readiness {
        Ok(readiness) => readiness,
        Err(error) => {
            return tracing::error!(server = front.serving.load().name, %error, "cannot accept connections");
        }
    };
    let mut warnings = Warnings { front, last: None };
    let accepting = async {
        workers.open.cancelled().await;
        loop {
            let seat = front.seats.take().await;
            match readiness.async_io(Interest::READABLE, || accept_one(&listener)).await {
                Ok((socket, peer)) => {
                    if !workers.give(socket, peer, front, seat) {
                        warnings.warn("refusing connections: no file descriptors are left for more");
                    }
                }
                Err(error) if client_left(&error) => {}
                // A lack of something: trying again at once would only spin.
                Err(error) => {
                    warnings.warn(&format!("cannot accept connections for now: {error}"));
                    sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = front.handed_over.cancelled() => {}
        () = accepting => {}
    }
}

/// A connection, and whose it is; peers on Unix sockets have no address.
fn accept_one(listener: &std::net::TcpListener) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let (socket, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    Ok((socket, peer.and_then(|peer| SocketAddr::try_from(peer).ok())))
}

/// Whether accepting failed only because the client did not wait.
fn client_left(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput | NotConnected)
}

/// What the log hears of a listener.
struct Warnings<'a> {
    front: &'a Front,
    last: Option<Instant>,
}

impl Warnings<'_> {
    /// Logs `message`, unless there was a warning a short while ago.
    fn warn(&mut self, message: &str) {
        if self.last.is_none_or(|last| last.elapsed() >= BETWEEN_WARNINGS) {
            self.last = Some(Instant::now());
            tracing::warn!(server = self.front.serving.load().name, "{message}");
        }
    }
}
