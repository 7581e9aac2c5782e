//! Closing a connection without losing what was written last.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::time::timeout;

use super::Stream;

/// The most that is thrown away.
const MAX_WASTE: u64 = 16 * 1024 * 1024;

/// Ends the stream, and reads and throws away what the peer still sends until it ends its own, for `patience` and
/// 16 MiB at most: closing a socket with unread bytes would take the last answer away from the peer before it could
/// read it.
///
/// Cancel safe: dropped, the connection is closed at once.
pub async fn linger(mut stream: Stream, patience: Duration) {
    let closing = async {
        stream.shutdown().await?;
        copy(&mut stream.take(MAX_WASTE), &mut sink()).await
    };
    // In time or not, the connection is closed now.
    let _ = timeout(patience, closing).await;
}
