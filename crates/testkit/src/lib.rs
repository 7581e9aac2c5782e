//! Raw peers and a gateway in process, for the tests of Ropeway.
//!
//! Peers here are plain blocking sockets that send exactly the bytes they are told and show exactly the bytes they
//! get; whoever wants a WebSocket that behaves uses a real one. Everything that waits gives up after [`PATIENCE`].
//!
//! [`simulation`] needs no sockets: there the tunnel's future is by itself. [`fuzz`] is what fuzzers call.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a fault of the test's own surroundings ends the test")]

pub mod fuzz;
pub mod side;
pub mod simulation;

mod backend;
mod bridge;
mod certificates;
mod frame;
mod gateway;
pub mod h2;
mod name_server;
mod initiator;
mod terminator;
pub mod hostile;
mod peer;
mod records;
mod unreachable;
mod usage;

use std::thread;
use std::time::{Duration, Instant};

pub use backend::{Backend, Serving};
pub use certificates::{Authority, Identity};
pub use frame::{Frame, close, frame, masked, op};
pub use gateway::{TestGateway, free_port};
pub use initiator::{Demand, Initiator, Met};
pub use name_server::{NameServer, Says};
pub use peer::{End, Peer, UPGRADE};
pub use records::{Record, opened, record, records, verdicts};
/// Tunnels whose every message is numbered and checked.
pub use soak;
pub use terminator::{Hello, Manner, Terminator};
pub use unreachable::{BlackHole, Refusing};
pub use usage::Usage;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives a value.
///
/// # Panics
/// It does not within [`PATIENCE`].
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not happen");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// How many file descriptors this process has open.
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
