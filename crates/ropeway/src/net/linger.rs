//! Closing a connection without losing what was written last.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Ends the stream, and reads and throws away what the peer still sends until it ends its own, for `patience` at most:
/// closing a socket with unread bytes would take the last answer away from the peer before it could read it.
///
/// Cancel safe: dropped, the connection is closed at once.
pub async fn linger(mut tcp: TcpStream, patience: Duration) {
    if tcp.shutdown().await.is_err() {
        return;
    }
    let mut waste = vec![0; 4096];
    let drain = async { while tcp.read(&mut waste).await.is_ok_and(|read| read > 0) {} };
    // In time or not, the connection is closed now.
    let _ = timeout(patience, drain).await;
}
