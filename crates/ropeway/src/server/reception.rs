//! From a socket to a connection on which HTTP is spoken: who is at the other end, and TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::serving::{Front, Serving};
use super::tls::{Secured, Tls};
use super::worker::Local;
use crate::net::Stream;
use crate::net::forwarded::Peer;
use crate::net::proxy_protocol;

/// How long a proxy may take to say whose connection it passes on.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);

/// Meets the client at the other end of `tcp`, which `address` is as far as the kernel knows.
///
/// # Errors
/// The connection is lost, or must not go on.
///
/// Cancel safe: dropped, the connection is closed.
pub(super) async fn receive(
    tcp: std::net::TcpStream,
    address: SocketAddr,
    front: &Front,
    local: &Local,
) -> io::Result<(Secured, Peer)> {
    let tcp = TcpStream::from_std(tcp)?;
    let serving = front.serving.load_full();
    if serving.spec.proxy_protocol.is_none() && serving.tls.is_none() {
        let plain = Secured { stream: Stream::Tcp(tcp), certificate: None, http2: false };
        return Ok((plain, Peer { address, secure: false, certificate: None }));
    }
    // Boxed: only few listeners come here, and for a moment.
    let (mut secured, address) = tokio::select! {
        met = Box::pin(meet(tcp, address, &serving, front, local)) => met?,
        () = front.closed.cancelled() => return Err(io::ErrorKind::Interrupted.into()),
    };
    let certificate = secured.certificate.take();
    Ok((secured, Peer { address, secure: serving.tls.is_some(), certificate }))
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
    let said = timeout(HEADER_PATIENCE, proxy_protocol::read(tcp)).await;
    Ok(said.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?.unwrap_or(peer))
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
