//! What stands between a socket and rustls when bytes come in.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A record's type, its version, and its length (RFC 8446 5.1).
const HEADER: usize = 5;

/// The largest record without its header (RFC 5246 6.2.3; RFC 8446 5.2 allows less).
const LARGEST: usize = (1 << 14) + 2048;

/// Bytes taken off the socket at once: a record that lacks its last byte, and most of another, where rustls alone reads
/// a quarter of one.
const CHUNK: usize = 32 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// A TCP connection that is read in large pieces and handed on record by record: what reads from it never holds a part
/// of a record, so that whatever was not read yet stands here.
#[derive(Debug)]
pub(super) struct RecordReader {
    tcp: TcpStream,
    /// Taken off the socket, and not asked for yet. An idle connection has none.
    ahead: Bytes,
    /// Bytes of `ahead` that are the rest of a whole record.
    whole: usize,
}

impl RecordReader {
    /// On `tcp`.
    pub(super) fn new(tcp: TcpStream) -> Self {
        RecordReader { tcp, ahead: Bytes::new(), whole: 0 }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// The connection, and what was taken off it and nobody has read: it begins with a record's header, unless a record
    /// was read in part only, which gives `None`.
    pub(super) fn into_parts(self) -> Option<(TcpStream, Bytes)> {
        (self.whole == 0).then_some((self.tcp, self.ahead))
    }

    fn poll_more(&mut self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let (before, space) = scratch.split_at_mut(self.ahead.len());
            let mut chunk = ReadBuf::new(space);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut chunk))?;
            let is_end = chunk.filled().is_empty();
            before.copy_from_slice(&self.ahead);
            let filled = before.len() + chunk.filled().len();
            let taken = &scratch[..filled];
            // What is cut off is handed on: rustls shall judge it.
            let whole = if is_end { filled } else { record(taken).unwrap_or(0) };
            let now = whole.min(room.remaining());
            room.put_slice(&taken[..now]);
            self.whole = whole - now;
            self.ahead = Bytes::copy_from_slice(&taken[now..]);
            Poll::Ready(Ok(()))
        })
    }

    fn hand_on(&mut self, room: &mut ReadBuf<'_>) {
        let length = self.whole.min(room.remaining());
        room.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        self.whole -= length;
        if self.ahead.is_empty() {
            // What was in it is held in memory no longer.
            self.ahead = Bytes::new();
        }
    }
}

/// The length of the record that `bytes` begin with, if all of it is there. What cannot be a record counts as one: rustls
/// refuses it, and nobody waits for its end.
fn record(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER>()?;
    let [kind, major, _, high, low] = *header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !(20..=24).contains(&kind) || major != 3 || length > LARGEST {
        return Some(bytes.len());
    }
    (bytes.len() >= HEADER + length).then_some(HEADER + length)
}

impl AsyncRead for RecordReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        loop {
            if self.whole == 0 {
                self.whole = record(&self.ahead).unwrap_or(0);
            }
            if self.whole > 0 {
                self.hand_on(room);
                return Poll::Ready(Ok(()));
            }
            let unread = self.ahead.len();
            ready!(self.poll_more(cx, room))?;
            let is_end = self.ahead.len() == unread;
            if room.filled().len() > before || is_end {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for RecordReader {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_whole_or_waited_for_and_what_is_none_is_judged_at_once() {
        for (bytes, expected, name) in [
            (&[][..], None, "nothing"),
            (&[23, 3, 3, 0], None, "a part of a header"),
            (&[23, 3, 3, 0, 0], Some(5), "an empty record"),
            (&[23, 3, 3, 0, 2, 7], None, "all but a byte"),
            (&[22, 3, 1, 0, 2, 7, 7], Some(7), "all"),
            (&[22, 3, 1, 0, 2, 7, 7, 22, 3], Some(7), "more"),
            (&[23, 3, 3, 0x48, 1, 7], Some(6), "too long for a record"),
            (&[23, 3, 3, 0x48, 0, 7], None, "as long as a record may be"),
            (&[25, 3, 3, 0, 9], Some(5), "an unknown type"),
            (b"GET / HTTP/1.1", Some(14), "no TLS"),
        ] {
            assert_eq!(record(bytes), expected, "{name}");
        }
    }
}
