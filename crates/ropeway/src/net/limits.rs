//! File descriptors: two for each tunnel.

use std::io;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The kernel keeps 8 bytes for each slot that is prepared; some containers allow 10^9 descriptors.
const MOST_PREPARED: u64 = 1 << 20;

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
