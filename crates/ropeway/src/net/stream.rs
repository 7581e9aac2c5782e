//! One leg of a tunnel as bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A byte stream to a client or a server.
///
/// An enum and not a generic parameter: a tunnel's code exists once, and plain TCP, which is nearly every leg,
/// is called without indirection.
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// Anything else that moves bytes.
    Other(Box<dyn Duplex>),
}

/// What [`Stream::Other`] can hold.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl Stream {
    /// Reads into `room`; 0 bytes mean the peer will send no more.
    ///
    /// # Errors
    /// The connection is lost.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(room);
        ready!(match self {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_read(cx, &mut buffer),
            Stream::Other(other) => Pin::new(other).poll_read(cx, &mut buffer),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Whether [`Stream::poll_look`] works here.
    pub fn can_look(&self) -> bool {
        matches!(self, Stream::Tcp(_))
    }

    /// As [`Stream::poll_read`], but what was seen stays with the stream until [`Stream::take_seen`].
    ///
    /// # Errors
    /// The connection is lost, or the stream [cannot](Stream::can_look).
    pub fn poll_look(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(tcp) => tcp.poll_peek(cx, &mut ReadBuf::new(room)),
            Stream::Other(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Takes bytes that were seen off the stream, as many as `seen` has. The kernel does not copy them again; what
    /// `seen` holds afterwards is not to be relied on.
    ///
    /// # Errors
    /// The connection is lost, or the stream [cannot](Stream::can_look).
    pub fn take_seen(&mut self, seen: &mut [u8]) -> io::Result<()> {
        let Stream::Tcp(tcp) = self else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut taken = 0;
        while taken < seen.len() {
            // On TCP the flag discards what is read (tcp(7)).
            match recv(&*tcp, &mut seen[taken..], RecvFlags::TRUNC) {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, count)) => taken += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes some of `bytes`, which must not be empty, and says how many.
    ///
    /// # Errors
    /// The connection is lost; a peer that takes 0 bytes counts as lost too.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(match self {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Other(other) => Pin::new(other).poll_write(cx, bytes),
        })?;
        Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) })
    }

    /// Sends what is buffered and tells the peer that nothing more will come; reading goes on.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Other(other) => Pin::new(other).poll_shutdown(cx),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Stream::Tcp(tcp)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stream::Tcp(tcp) => tcp.fmt(f),
            Stream::Other(_) => f.write_str("Other"),
        }
    }
}
