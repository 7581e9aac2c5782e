//! A connection as bytes, whatever it runs over.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::tls::TlsStream;

/// What the kernel takes beyond what it can send; it tells of room when half of it is left.
const MAX_UNSENT: u32 = 128 * 1024;

/// A byte stream to a client or a server.
///
/// An enum and not a generic parameter: a tunnel's code exists once, and plain TCP, which is nearly every leg,
/// is called without indirection.
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// Anything else. Boxed together: each further kind here would cost every tunnel room for a tag.
    Boxed(Box<Boxed>),
}

/// What is not plain TCP.
pub enum Boxed {
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP. Boxed, as it is large.
    Tls(Box<TlsStream>),
    /// Anything that moves bytes; for tests.
    Other(Box<dyn Duplex>),
}

/// What [`Boxed::Other`] can hold.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

const _: () = assert!(size_of::<Stream>() == size_of::<TcpStream>(), "no room for a tag");

impl Stream {
    /// One that runs over `other`; for tests.
    pub fn other(other: impl Duplex + 'static) -> Self {
        Boxed::Other(Box::new(other)).into()
    }

    /// The connection over a socket that another process has given away, whatever it was set to.
    ///
    /// # Errors
    /// It is no stream of TCP or of a Unix socket, or the runtime cannot wait for it.
    pub fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let socket = socket2::Socket::from(socket);
        let address = socket.local_addr()?;
        if socket.r#type()? != socket2::Type::STREAM
            || !(address.is_unix() || address.is_ipv4() || address.is_ipv6())
        {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        socket.set_nonblocking(true)?;
        if address.is_unix() {
            return Ok(Boxed::Unix(UnixStream::from_std(socket.into())?).into());
        }
        Ok(Stream::Tcp(TcpStream::from_std(socket.into())?))
    }

    /// Whether all of the connection's state is with the kernel, so that [`Stream::duplicate`] is a whole copy.
    pub fn can_move(&self) -> bool {
        match self {
            Stream::Tcp(_) => true,
            Stream::Boxed(boxed) => matches!(**boxed, Boxed::Unix(_)),
        }
    }

    /// The same connection under a second descriptor.
    ///
    /// # Errors
    /// There is no descriptor left, or the stream [cannot](Stream::can_move).
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        match self {
            Stream::Tcp(tcp) => tcp.as_fd().try_clone_to_owned(),
            Stream::Boxed(boxed) => match &**boxed {
                Boxed::Unix(unix) => unix.as_fd().try_clone_to_owned(),
                Boxed::Tls(_) | Boxed::Other(_) => Err(io::ErrorKind::Unsupported.into()),
            },
        }
    }

    /// Has the kernel say soon that there is room for more, where a peer reads slowly: on TCP it waits by itself until a
    /// third of its buffer is free, which may be more than a megabyte.
    ///
    /// # Errors
    /// The kernel does not know the option.
    pub fn tell_soon_of_room(&self) -> io::Result<()> {
        let tcp = match self {
            Stream::Tcp(tcp) => tcp,
            Stream::Boxed(boxed) => match &**boxed {
                Boxed::Tls(tls) => tls.tcp(),
                Boxed::Unix(_) | Boxed::Other(_) => return Ok(()),
            },
        };
        SockRef::from(tcp).set_tcp_notsent_lowat(MAX_UNSENT)
    }

    /// Reads what has come already into the rest of the capacity of `bytes`: the runtime has not looked at a new
    /// connection yet, and would have its task wait. `None` where nothing has come, or that cannot be known at once.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn read_at_once(&self, bytes: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let Stream::Tcp(tcp) = self else { return Ok(None) };
        Ok(at_once(recv(tcp, spare_capacity(bytes), RecvFlags::empty()))?.map(|(read, _)| read))
    }

    /// Writes what the kernel takes at once and says how much that was: the same for a new connection's first bytes.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn write_at_once(&self, bytes: &[u8]) -> io::Result<usize> {
        let Stream::Tcp(tcp) = self else { return Ok(0) };
        Ok(at_once(send(tcp, bytes, SendFlags::NOSIGNAL))?.unwrap_or_default())
    }

    /// Waits until the runtime knows whether a new connection can be written to: for whoever writes in an attempt, and
    /// not when it is told to.
    pub async fn looked_at(&self) {
        if let Stream::Tcp(tcp) = self {
            // What is wrong with the connection comes out when it is used.
            let _ = tcp.writable().await;
        }
    }

    /// Reads into `room`; 0 bytes mean the peer will send no more.
    ///
    /// # Errors
    /// The connection is lost. TLS that ends without a `close_notify` is lost, too (RFC 8446 6.1).
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(room);
        ready!(match self {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_read(cx, &mut buffer),
            Stream::Boxed(boxed) => boxed.poll_read(cx, &mut buffer),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Whether this may be dropped before its peer has ended its side, when all was said both ways. What comes then is
    /// answered by a reset: TLS says goodbye, and on a Unix socket it is enough that something was not read.
    pub fn can_be_left(&self) -> bool {
        matches!(self, Stream::Tcp(_))
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
            Stream::Boxed(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
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

    /// Writes some of `bytes`, which must not be empty, and says how many are on their way: nothing has to be flushed.
    /// After `Pending` the next call must begin with the same bytes, as TLS may have sealed some of them.
    ///
    /// # Errors
    /// The connection is lost; a peer that takes 0 bytes counts as lost too.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(match self {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Boxed(boxed) => boxed.poll_write(cx, bytes),
        })?;
        Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) })
    }

    /// As [`Stream::poll_write`], for the last bytes before the [shutdown](Stream::poll_shutdown): on plain TCP they may
    /// wait for it, and go in one segment with it.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn poll_write_last(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Stream::Tcp(tcp) = self else { return self.poll_write(cx, bytes) };
        loop {
            ready!(tcp.poll_write_ready(cx))?;
            let write = || Ok(send(&*tcp, bytes, SendFlags::NOSIGNAL | SendFlags::MORE)?);
            match tcp.try_io(Interest::WRITABLE, write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Sends what is buffered and tells the peer that nothing more will come; reading goes on.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Boxed(boxed) => boxed.poll_shutdown(cx),
        }
    }
}

/// `None` for what would have to wait.
fn at_once<T>(result: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Boxed {
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Boxed::Unix(unix) => Pin::new(unix).poll_read(cx, room),
            Boxed::Tls(tls) => tls.poll_read(cx, room),
            Boxed::Other(other) => Pin::new(other).poll_read(cx, room),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Boxed::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
            Boxed::Tls(tls) => tls.poll_write(cx, bytes),
            Boxed::Other(other) => Pin::new(other).poll_write(cx, bytes),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Boxed::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Boxed::Tls(tls) => tls.poll_shutdown(cx),
            Boxed::Other(other) => Pin::new(other).poll_shutdown(cx),
        }
    }
}

/// For whoever speaks HTTP on it; [`Stream::poll_write`] says what is asked of a writer.
impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_read(cx, room),
            Stream::Boxed(boxed) => boxed.poll_read(cx, room),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Stream::poll_write(&mut self, cx, bytes)
    }

    /// What was written is on its way already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_shutdown(&mut self, cx)
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Stream::Tcp(tcp)
    }
}

impl From<Boxed> for Stream {
    fn from(boxed: Boxed) -> Self {
        Stream::Boxed(Box::new(boxed))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stream::Tcp(tcp) => tcp.fmt(f),
            Stream::Boxed(boxed) => boxed.fmt(f),
        }
    }
}

impl fmt::Debug for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Boxed::Unix(unix) => unix.fmt(f),
            Boxed::Tls(_) => f.write_str("Tls"),
            Boxed::Other(_) => f.write_str("Other"),
        }
    }
}
