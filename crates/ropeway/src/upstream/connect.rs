//! A connection to a server.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

use crate::net::listener::keep_alive;

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// Refused, unreachable, unknown name …
    Failed(io::Error),
    /// Not in time.
    TimedOut,
}

/// Connects to `host` and `port` within `patience`. A name's addresses are tried one after the other, each with its
/// share of the time that is left.
///
/// # Errors
/// No connection, or not in time.
///
/// Cancel safe: dropped, the attempt is given up.
pub async fn connect(host: &str, port: u16, patience: Duration) -> Result<TcpStream, ConnectError> {
    let deadline = Instant::now() + patience;
    let found = timeout_at(deadline, lookup_host((host, port))).await.map_err(|_| ConnectError::TimedOut)?;
    let addresses: Vec<_> = found.map_err(ConnectError::Failed)?.collect();
    let mut last = ConnectError::Failed(io::Error::other("the name has no address"));
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return tune(tcp).map_err(ConnectError::Failed),
            Ok(Err(error)) => last = ConnectError::Failed(error),
            Err(_) => last = ConnectError::TimedOut,
        }
    }
    Err(last)
}

fn tune(tcp: TcpStream) -> io::Result<TcpStream> {
    // A message must not wait for the one before it to be acknowledged.
    tcp.set_nodelay(true)?;
    keep_alive(&SockRef::from(&tcp))?;
    Ok(tcp)
}
