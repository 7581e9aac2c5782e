//! Listening sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::socket_acceptconn;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that wait to be accepted; the kernel cuts it to its own bound.
pub(super) const BACKLOG: i32 = 4096;

/// Listens on `address`. The IPv6 wildcard takes IPv4 connections too, and stands for the IPv4 wildcard where the
/// system has no IPv6.
///
/// # Errors
/// The address is taken, not of this machine, or not allowed to us.
pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    match listen_on(address) {
        Err(error) if address.ip().is_unspecified() && is_unsupported(&error) => {
            listen_on(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        result => result,
    }
}

/// Looks whether what somebody else has opened is a socket that listens, and has it not block: it may be anything.
///
/// # Errors
/// It does not listen.
pub fn adopt(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    if !socket_acceptconn(&descriptor)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    SockRef::from(&descriptor).set_nonblocking(true)?;
    Ok(descriptor)
}

/// Has the kernel ask after a connection that is silent: a client that lost its network says nothing, and would hold
/// its place for ever. A lost one is noticed after a minute and a half.
///
/// # Errors
/// The socket is none of TCP.
pub fn keep_alive(socket: &SockRef<'_>) -> io::Result<()> {
    let (idle, interval) = (Duration::from_secs(60), Duration::from_secs(10));
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(3))
}

fn is_unsupported(error: &io::Error) -> bool {
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}

fn listen_on(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Accepted connections inherit both. A message must not wait for the one before it to be acknowledged.
    keep_alive(&SockRef::from(&socket))?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
