//! A connection to a server.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// Refused, unreachable, unknown name …
    Failed(io::Error),
    /// Not within this time.
    TimedOut(Duration),
}

/// Connects to `host` and `port` within `patience`. A name's addresses are tried one after the other.
///
/// # Errors
/// No connection, or not in time.
///
/// Cancel safe: dropped, the attempt is given up.
pub async fn connect(host: &str, port: u16, patience: Duration) -> Result<TcpStream, ConnectError> {
    let tcp = timeout(patience, TcpStream::connect((host, port)))
        .await
        .map_err(|_| ConnectError::TimedOut(patience))?
        .map_err(ConnectError::Failed)?;
    // A message must not wait for the one before it to be acknowledged.
    tcp.set_nodelay(true).map_err(ConnectError::Failed)?;
    Ok(tcp)
}
