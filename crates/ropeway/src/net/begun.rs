//! An exchange that hyper goes on with.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;

/// A connection on which the first bytes were exchanged already, for one who does not know that.
#[derive(Debug)]
pub struct Begun {
    stream: Stream,
    /// Was read, and is to be read again.
    read: Bytes,
    written: Written,
}

/// How much of what is to be written was written already.
#[derive(Debug)]
enum Written {
    Nothing,
    /// All of it; who writes it again has not done so yet, and who waits for an answer is to be woken then.
    All(Option<Waker>),
    AllTwice,
}

impl Begun {
    /// `read` came from the peer and is not answered yet.
    pub fn reading(stream: Stream, read: Bytes) -> Self {
        Begun { stream, read, written: Written::Nothing }
    }

    /// All that is to be sent was sent, and `read` is what the peer said to it so far.
    pub fn written(stream: Stream, read: Bytes) -> Self {
        Begun { stream, read, written: Written::All(None) }
    }

    /// The connection, and what was read of it behind `taken`.
    pub fn into_parts(self, taken: Bytes) -> (Stream, Bytes) {
        if self.read.is_empty() {
            return (self.stream, taken);
        }
        let mut early = BytesMut::from(taken);
        early.extend_from_slice(&self.read);
        (self.stream, early.freeze())
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Written::All(waiting) = &mut self.written {
            // An answer before its question would be refused.
            *waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.read.is_empty() {
            return AsyncRead::poll_read(Pin::new(&mut self.stream), cx, room);
        }
        let length = self.read.len().min(room.remaining());
        room.put_slice(&self.read[..length]);
        self.read.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Written::Nothing = self.written {
            return AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, bytes);
        }
        if let Written::All(Some(waiting)) = std::mem::replace(&mut self.written, Written::AllTwice) {
            waiting.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.stream), cx)
    }
}
