//! Bodies of requests that are answered before all of them has come.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The most that is thrown away of a body.
const MAX_WASTE: usize = 256 * 1024;

/// A body as it comes from a client. What is not read of it goes to its [`Unread`], if it has one.
#[derive(Debug)]
pub struct ClientBody {
    /// Always there, but while it is dropped.
    incoming: Option<Incoming>,
    unread: Option<oneshot::Sender<Incoming>>,
}

/// Waits for what is not read of a body.
///
/// A stream of HTTP/2 whose body is dropped is reset, with `NO_ERROR` (RFC 9113 8.1). There are clients that take this
/// for a failure if it comes with the answer, and those that have sent little should not have to care.
#[derive(Debug, Default)]
pub struct Unread(Option<oneshot::Receiver<Incoming>>);

impl ClientBody {
    /// A body, and who gets what is not read of it.
    pub fn with_unread(incoming: Incoming) -> (Self, Unread) {
        let (unread, rest) = oneshot::channel();
        (ClientBody { incoming: Some(incoming), unread: Some(unread) }, Unread(Some(rest)))
    }
}

impl From<Incoming> for ClientBody {
    fn from(incoming: Incoming) -> Self {
        ClientBody { incoming: Some(incoming), unread: None }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let (Some(incoming), Some(unread)) = (self.incoming.take(), self.unread.take())
            && !incoming.is_end_stream()
        {
            // Where nobody waits any more, it is dropped.
            let _ = unread.send(incoming);
        }
    }
}

impl Unread {
    /// Reads and throws away what nobody has read, for `patience` and 256 KiB at most.
    ///
    /// Cancel safe: dropped, it reads no more.
    pub async fn throw_away(self, patience: Duration) {
        let reading = async {
            let mut incoming = self.0?.await.ok()?;
            let mut left = MAX_WASTE;
            while let Ok(frame) = incoming.frame().await? {
                left = left.checked_sub(frame.data_ref().map_or(0, Bytes::len))?;
            }
            Some(())
        };
        // In time or not, it ends now.
        let _ = timeout(patience, reading).await;
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
