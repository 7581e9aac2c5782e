//! A connection to a server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::net::listener::keep_alive;
use crate::spec::types::Host;

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
pub async fn connect(host: &Host, port: u16, patience: Duration) -> Result<TcpStream, ConnectError> {
    let deadline = Instant::now() + patience;
    let name = match host {
        Host::Ip(ip) => return dial((*ip, port).into(), deadline).await,
        Host::Name(name) => name,
    };
    let found =
        timeout_at(deadline, lookup_host((&**name, port))).await.map_err(|_| ConnectError::TimedOut)?;
    let addresses: Vec<_> = found.map_err(ConnectError::Failed)?.collect();
    let mut last = ConnectError::Failed(io::Error::other("the name has no address"));
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match dial(*address, Instant::now() + share).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn dial(address: SocketAddr, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let dialled =
        timeout_at(deadline, TcpStream::connect(address)).await.map_err(|_| ConnectError::TimedOut)?;
    dialled.and_then(tune).map_err(ConnectError::Failed)
}

fn tune(tcp: TcpStream) -> io::Result<TcpStream> {
    // A message must not wait for the one before it to be acknowledged.
    tcp.set_nodelay(true)?;
    keep_alive(&SockRef::from(&tcp))?;
    Ok(tcp)
}
