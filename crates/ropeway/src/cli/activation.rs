//! Listening sockets that a service manager has opened for this process: `LISTEN_FDS`.

use std::env;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::process;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::supervisor::handover::Listener;

/// The first descriptor that a service manager hands over.
const FIRST: RawFd = 3;

/// More than anybody hands over.
const MOST: RawFd = 1000;

/// What was handed over, called after what it is for: a socket named `admin` is for administration, others for the
/// `HTTPServer` with that address. To be called once, before other descriptors are opened by number.
pub(super) fn listeners() -> Vec<Listener> {
    let variable = |name| env::var(name).unwrap_or_default();
    if variable("LISTEN_PID").parse() != Ok(process::id()) {
        return Vec::new();
    }
    let count = variable("LISTEN_FDS").parse().unwrap_or(0).clamp(0, MOST);
    let names = variable("LISTEN_FDNAMES");
    let mut names = names.split(':');
    let named = |descriptor| {
        let kind = if names.next() == Some("admin") { "admin" } else { "http" };
        take(descriptor).map(|socket| called(kind, socket))
    };
    (FIRST..FIRST + count).filter_map(named).collect()
}

fn called(kind: &str, socket: OwnedFd) -> Listener {
    let socket = TcpListener::from(socket);
    let address = socket.local_addr().map(|address| address.to_string()).unwrap_or_default();
    (format!("{kind} {address}"), socket.into())
}

/// The descriptor with this number, if there is one. Programs that we start must not get it.
#[allow(unsafe_code, reason = "a number is all that a service manager gives")]
fn take(descriptor: RawFd) -> Option<OwnedFd> {
    // SAFETY: LISTEN_PID says that the descriptors are for this process, and nobody here has opened or owns one of
    // these numbers: the service manager has placed them there before the program began.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    match fcntl_setfd(&owned, FdFlags::CLOEXEC) {
        Ok(()) => Some(owned),
        Err(_) => {
            // Nobody is there: it is not ours to close.
            std::mem::forget(owned);
            None
        }
    }
}
