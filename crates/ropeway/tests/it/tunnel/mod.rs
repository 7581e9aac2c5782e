//! Tunnels: what passes, what does not, and how they end.

mod backpressure;
mod child;
mod ends;
mod late;
mod memory;
mod metrics;
mod scripted;
mod simulation;
mod sizes;
mod text;
mod transparency;
mod violations;

use ropeway::tunnel::Side;
use testkit::Peer;
use testkit::side::{close, mask, part, whole};

/// Both ends of a tunnel as sender and receiver of what `by` sends.
fn by_role<'a>(by: Side, client: &'a mut Peer, server: &'a mut Peer) -> (&'a mut Peer, &'a mut Peer) {
    match by {
        Side::Client => (client, server),
        Side::Server => (server, client),
    }
}
