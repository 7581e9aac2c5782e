//! Accepting connections, and sharing them among the workers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::serving::Front;
use super::worker::Workers;
use crate::lifecycle::Lifecycle;

/// How long to leave connections waiting in the kernel's queue when there are no descriptors or memory left.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until it is time to stop. While all seats are taken, connections wait in the kernel's queue.
pub(super) async fn accept(
    listener: std::net::TcpListener,
    front: &Arc<Front>,
    workers: &Workers,
    lifecycle: &Lifecycle,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(server = front.name, %error, "cannot accept connections"),
    };
    let accepting = async {
        // The semaphore is never closed.
        while let Ok(permit) = front.seats.clone().acquire_owned().await {
            match listener.accept().await.and_then(|(tcp, peer)| Ok((hand_over(tcp)?, peer))) {
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

/// Takes the socket out of this worker's runtime, so that any worker can have it.
fn hand_over(tcp: TcpStream) -> io::Result<std::net::TcpStream> {
    // A message must not wait for the one before it to be acknowledged.
    tcp.set_nodelay(true)?;
    tcp.into_std()
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
