//! TLS on a connection: what stands between its bytes and a [`Stream`](super::Stream).

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are sealed at once, at most.
const SEALED: usize = 32 * 1024;

/// Bytes taken off the socket at once: two records (RFC 8446 5.2), where rustls alone reads a quarter of one.
const CHUNK: usize = 32 * 1024;

/// The one implementation of cryptography, for both sides.
pub static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// A connection that speaks TLS. What it says was written is with the kernel, never in a buffer of TLS.
pub struct TlsStream {
    tls: tokio_rustls::TlsStream<ReadAhead>,
    /// Bytes that were sealed, of which some did not leave yet.
    sealed: usize,
}

/// A TCP connection that is read in large pieces, however little is asked for.
#[derive(Debug)]
pub struct ReadAhead {
    tcp: TcpStream,
    /// Read, and not asked for yet. An idle connection has none.
    ahead: Bytes,
}

/// These authorities, to hold certificates against.
///
/// # Errors
/// One of them is not the certificate of an authority.
pub fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    authorities.iter().try_for_each(|authority| roots.add(authority.clone()))?;
    Ok(roots)
}

impl TlsStream {
    /// Of a connection on which the TLS handshake is done.
    pub fn new(tls: tokio_rustls::TlsStream<ReadAhead>) -> Self {
        TlsStream { tls, sealed: 0 }
    }

    /// Reads into `room`.
    ///
    /// # Errors
    /// The connection is lost, which it is too if it ends without a `close_notify` (RFC 8446 6.1).
    pub fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, room)
    }

    /// Writes some of `bytes` and says how many. After `Pending` the next call must begin with the same bytes: they may
    /// be sealed already, and wait for room.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.sealed == 0 {
            let some = &bytes[..bytes.len().min(SEALED)];
            self.sealed = ready!(Pin::new(&mut self.tls).poll_write(cx, some))?;
        }
        ready!(Pin::new(&mut self.tls).poll_flush(cx))?;
        let written = self.sealed.min(bytes.len());
        self.sealed -= written;
        Poll::Ready(Ok(written))
    }

    /// Sends what is sealed and a `close_notify`, and ends the stream; reading goes on.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

impl ReadAhead {
    /// On `tcp`.
    pub fn new(tcp: TcpStream) -> Self {
        ReadAhead { tcp, ahead: Bytes::new() }
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return SCRATCH.with_borrow_mut(|scratch| {
                let mut chunk = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut chunk))?;
                let (now, later) = chunk.filled().split_at(chunk.filled().len().min(room.remaining()));
                room.put_slice(now);
                if !later.is_empty() {
                    self.ahead = Bytes::copy_from_slice(later);
                }
                Poll::Ready(Ok(()))
            });
        }
        let length = self.ahead.len().min(room.remaining());
        room.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        if self.ahead.is_empty() {
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadAhead {
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
