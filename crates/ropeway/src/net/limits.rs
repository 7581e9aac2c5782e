//! File descriptors: two for each tunnel.

use std::io;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The kernel keeps 8 bytes for each slot that is prepared; some containers allow 10^9 descriptors.
const MOST_PREPARED: u64 = 1 << 20;

/// Descriptors that are kept for everything but connections: listeners, administration, logs, the lookup of names, and
/// clients that are told that there is no room for them.
const RESERVED: u64 = 100;

/// A worker's own, for its timers and wake-ups.
const RESERVED_PER_WORKER: u64 = 4;

/// For how many connections there are descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Connections of clients, each with one to a server.
    pub connections: usize,
    /// Connections of clients that are told so when there is no room for more of the others.
    pub refusals: usize,
}

impl Room {
    /// What `open_files` descriptors leave to connections, where `workers` threads carry them.
    pub fn new(open_files: u64, workers: usize) -> Self {
        let reserved = RESERVED + RESERVED_PER_WORKER * workers as u64;
        // With very few descriptors, some are still better than none.
        let reserved = reserved.min(open_files / 2);
        let count = |descriptors| usize::try_from(descriptors).unwrap_or(usize::MAX);
        Room { connections: count((open_files - reserved) / 2), refusals: count(reserved / 4) }
    }
}

/// The limit of open files that is in force.
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the limit of open files as far as the system lets us, and says what it is.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

/// Grows the process's table of descriptors to `open_files` at once. To be called before the first thread
/// starts: the kernel grows a table that threads share only after all of them have passed a quiet point, which
/// holds up accepting for tens of milliseconds each time.
pub fn prepare_descriptors(open_files: u64) {
    let last = open_files.min(MOST_PREPARED).saturating_sub(1);
    // Without it everything works, only less smoothly.
    let _ = i32::try_from(last).map(|last| fcntl_dupfd_cloexec(io::stderr(), last));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_connections_and_refusals() {
        let room = |open_files, workers| Room::new(open_files, workers);
        assert_eq!(room(20_000, 2), Room { connections: 9_946, refusals: 27 });
        assert_eq!(room(1024, 64), Room { connections: 334, refusals: 89 });
        assert_eq!(room(100, 1), Room { connections: 25, refusals: 12 });
        assert_eq!(room(0, 1), Room { connections: 0, refusals: 0 });
        assert!(room(u64::MAX, 1).connections > 1 << 40);
    }
}
