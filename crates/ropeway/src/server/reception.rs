//! From a socket to a connection on which HTTP is spoken: who is at the other end, and TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::serving::{Front, Serving};
use super::tls::{Secured, Tls};
use super::worker::Local;
use crate::net::Stream;
use crate::net::forwarded::Peer;
use crate::net::proxy_protocol;
use crate::net::stream::Boxed;

/// How long a proxy may take to say whose connection it passes on.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);

/// Whoever can connect to a Unix socket is on this machine.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Meets the client at the other end of `socket`, which `address` is as far as the kernel knows; one without an address is on a
/// Unix socket.
///
/// # Errors
/// The connection is lost, or must not go on.
///
/// Cancel safe: dropped, the connection is closed.
pub(super) async fn receive(
    socket: OwnedFd,
    address: Option<SocketAddr>,
    front: &Front,
    local: &Local,
) -> io::Result<(Secured, Peer)> {
    let Some(address) = address else { return Box::pin(receive_here(socket, front)).await };
    let tcp = TcpStream::from_std(socket.into())?;
    let serving = front.serving.load_full();
    if serving.spec.proxy_protocol.is_none() && serving.tls.is_none() {
        let plain = Secured { stream: Stream::Tcp(tcp), certificate: None, http2: false };
        return Ok((plain, Peer::new(address)));
    }
    // Boxed: only few listeners come here, and for a moment.
    let (mut secured, address) = tokio::select! {
        met = Box::pin(meet(tcp, address, &serving, front, local)) => met?,
        () = front.closed.cancelled() => return Err(io::ErrorKind::Interrupted.into()),
    };
    let mut peer = Peer::new(address);
    (peer.secure, peer.certificate) = (serving.tls.is_some(), secured.certificate.take());
    Ok((secured, peer))
}

async fn meet(
    mut tcp: TcpStream,
    address: SocketAddr,
    serving: &Serving,
    front: &Front,
    local: &Local,
) -> io::Result<(Secured, SocketAddr)> {
    let address = address_of(&mut tcp, address, serving).await?;
    let secured = match &serving.tls {
        None => Secured { stream: Stream::Tcp(tcp), certificate: None, http2: false },
        Some(tls) => secure(tcp, tls, front, local).await?,
    };
    Ok((secured, address))
}

/// Whose connection it is, by the word of a proxy that is trusted.
async fn address_of(tcp: &mut TcpStream, peer: SocketAddr, serving: &Serving) -> io::Result<SocketAddr> {
    let Some(proxies) = &serving.spec.proxy_protocol else { return Ok(peer) };
    let ip = peer.ip().to_canonical();
    if !proxies.trusted_ips.iter().any(|range| range.contains(ip)) {
        let reason = "the peer is not in `trustedIPs` of `proxyProtocol`";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    Ok(announced(tcp).await?.unwrap_or(peer))
}

async fn announced(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let said = timeout(HEADER_PATIENCE, proxy_protocol::read(stream)).await;
    said.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The same on a Unix socket. The mode of its file says who can connect, and so who is believed.
async fn receive_here(socket: OwnedFd, front: &Front) -> io::Result<(Secured, Peer)> {
    let mut unix = UnixStream::from_std(socket.into())?;
    let mut address = HERE;
    if front.serving.load().spec.proxy_protocol.is_some() {
        let announced = tokio::select! {
            announced = announced(&mut unix) => announced?,
            () = front.closed.cancelled() => return Err(io::ErrorKind::Interrupted.into()),
        };
        address = announced.unwrap_or(HERE);
    }
    let secured = Secured { stream: Boxed::Unix(unix).into(), certificate: None, http2: false };
    Ok((secured, Peer::new(address)))
}

async fn secure(tcp: TcpStream, tls: &Tls, front: &Front, local: &Local) -> io::Result<Secured> {
    let shaking = async {
        // Who says nothing is to take nobody's turn.
        let tcp = tls.greet(tcp).await?;
        // Never closed. Who waits here waits in the order of arrival.
        let _turn = local.tls_handshakes.acquire().await;
        tls.accept(tcp).await
    };
    let shaken = timeout(tls.timeout, shaking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    front.metrics.tls_handshake(if shaken.is_ok() { "ok" } else { "failed" });
    shaken
}
