//! A connection to a server.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::names::Names;
use crate::net::Stream;
use crate::net::listener::keep_alive;
use crate::net::stream::Boxed;
use crate::net::tls::TlsStream;
use crate::spec::types::Host;

/// How long an address has to itself before the next one is tried beside it (RFC 8305 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// More addresses of one name are not tried.
const MOST_ADDRESSES: usize = 16;

/// Where a server is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Where it is.
    pub host: Host,
    /// Without meaning for a Unix socket.
    pub port: u16,
    /// Who knows the addresses of names.
    pub names: Names,
    /// `None` for a server that is spoken to in the clear.
    pub tls: Option<Tls>,
}

/// How TLS is spoken with a server.
#[derive(Clone)]
pub struct Tls {
    /// With everything but the name.
    pub config: Arc<ClientConfig>,
    /// Who the server must prove to be.
    pub name: ServerName<'static>,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// Refused, unreachable, unknown name …
    Failed(io::Error),
    /// Connected, and TLS failed: why, in words for a log.
    Tls(String),
    /// Not in time.
    TimedOut,
}

/// Connects to `to` within `patience`, TLS included. Of a name's addresses the first that connects wins (Happy Eyeballs,
/// RFC 8305).
///
/// # Errors
/// No connection, or not in time.
///
/// Cancel safe: dropped, all attempts are given up.
pub async fn connect(to: &Destination, patience: Duration) -> Result<Stream, ConnectError> {
    timeout(patience, open(to)).await.unwrap_or(Err(ConnectError::TimedOut))
}

async fn open(to: &Destination) -> Result<Stream, ConnectError> {
    let tcp = match &to.host {
        Host::Unix(path) => {
            return unix(path).await.map_err(ConnectError::Failed);
        }
        Host::Ip(ip) => dial((*ip, to.port).into()).await,
        // Boxed, as is TLS: the task of each connection has room for its largest part.
        Host::Name(name) => Box::pin(dial_name(to, name)).await,
    };
    let tcp = tcp.map_err(ConnectError::Failed)?;
    match &to.tls {
        None => Ok(Stream::Tcp(tcp)),
        Some(tls) => Box::pin(secure(tls, tcp)).await,
    }
}

/// An `@` stands for the NUL with which a name begins that is in no directory (unix(7)).
async fn unix(path: &str) -> io::Result<Stream> {
    let unix = match path.strip_prefix('@') {
        Some(name) => UnixStream::connect(format!("\0{name}")).await?,
        None => UnixStream::connect(path).await?,
    };
    Ok(Boxed::Unix(unix).into())
}

async fn dial_name(to: &Destination, name: &str) -> io::Result<TcpStream> {
    let addresses = to.names.addresses(name).await?;
    race(interleaved(&addresses).into_iter().take(MOST_ADDRESSES).map(|ip| (ip, to.port).into())).await
}

/// Families take turns (RFC 8305 4), as the first of them may not work at all here.
fn interleaved(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let (mut these, mut others): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|ip: &IpAddr| ip.is_ipv4() == first.is_ipv4());
    these.reverse();
    others.reverse();
    let mut mixed = Vec::with_capacity(addresses.len());
    while !(these.is_empty() && others.is_empty()) {
        mixed.extend(these.pop());
        mixed.extend(others.pop());
    }
    mixed
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// Tries each address when the one before it has failed or has had its head start.
async fn race(mut addresses: impl ExactSizeIterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut first_error = None;
    loop {
        match addresses.next() {
            Some(address) => attempts.push(Box::pin(dial(address))),
            None if attempts.is_empty() => {
                let nowhere = || io::Error::other("the name has no address");
                return Err(first_error.unwrap_or_else(nowhere));
            }
            None => {}
        }
        let first = poll_fn(|cx| poll_first(&mut attempts, cx));
        let ended = match addresses.len() {
            0 => Ok(first.await),
            _ => timeout(HEAD_START, first).await,
        };
        match ended {
            Ok(Ok(tcp)) => return Ok(tcp),
            // What the others say may be about us: that there is no IPv6 here, for one.
            Ok(Err(error)) => drop(first_error.get_or_insert(error)),
            Err(_) => {}
        }
    }
}

/// The outcome of an attempt that has one, which then is none any more.
fn poll_first(attempts: &mut Vec<Attempt>, cx: &mut task::Context<'_>) -> Poll<io::Result<TcpStream>> {
    for at in 0..attempts.len() {
        if let Poll::Ready(ended) = attempts[at].as_mut().poll(cx) {
            drop(attempts.swap_remove(at));
            return Poll::Ready(ended);
        }
    }
    Poll::Pending
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    // A message must not wait for the one before it to be acknowledged.
    socket.set_tcp_nodelay(true)?;
    keep_alive(&SockRef::from(&socket))?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => return Err(error),
        _ => {}
    }
    // A server on this machine has answered by now: the runtime need not look for it.
    let is_connected = socket.peer_addr().is_ok();
    let tcp = TcpStream::from_std(socket.into())?;
    if !is_connected {
        tcp.writable().await?;
        if let Some(error) = tcp.take_error()? {
            return Err(error);
        }
    }
    Ok(tcp)
}

async fn secure(tls: &Tls, tcp: TcpStream) -> Result<Stream, ConnectError> {
    let secured = TlsStream::connect(&tls.config, tls.name.clone(), tcp).await;
    let secured = secured.map_err(|error| ConnectError::Tls(error.to_string()))?;
    Ok(Boxed::Tls(Box::new(secured)).into())
}

impl Destination {
    /// The same server at another port.
    pub fn at_port(&self, port: u16) -> Self {
        Destination { port, ..self.clone() }
    }
}

/// Without the settings, which hold a private key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::interleaved;

    #[test]
    fn families_take_turns_and_the_first_begins() {
        for (addresses, expected) in [
            ("", ""),
            ("1.1.1.1", "1.1.1.1"),
            ("::1 ::2 1.1.1.1 ::3 2.2.2.2", "::1 1.1.1.1 ::2 2.2.2.2 ::3"),
            ("1.1.1.1 ::1 ::2", "1.1.1.1 ::1 ::2"),
            ("1.1.1.1 2.2.2.2 3.3.3.3 ::1", "1.1.1.1 ::1 2.2.2.2 3.3.3.3"),
        ] {
            let read: Vec<_> = addresses.split_whitespace().map(|ip| ip.parse().unwrap()).collect();
            let mixed: Vec<_> = interleaved(&read).iter().map(ToString::to_string).collect();
            assert_eq!(mixed.join(" "), expected);
        }
    }
}
