//! TLS in front of a backend that knows nothing of it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::bridge::Bridge;
use crate::certificates::{Authority, Identity};

/// Ends TLS, and passes on what was in it, both ways. It is a proxy and no mock: TLS is that of rustls.
#[derive(Debug)]
pub struct Terminator {
    /// Where it listens.
    pub address: SocketAddr,
    hellos: Arc<Mutex<Vec<Hello>>>,
    _bridge: Bridge,
}

/// How a terminator speaks TLS.
#[derive(Clone, Copy, Default)]
pub struct Manner<'a> {
    /// Clients must show a certificate of this authority.
    pub clients: Option<&'a Authority>,
    /// The only version it speaks; else any that rustls does.
    pub version: Option<&'static SupportedProtocolVersion>,
    /// When the backend ends its stream, the connection is ended without a word of TLS.
    pub truncates: bool,
}

/// What a client said in a handshake that came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The host it asked for.
    pub server_name: Option<String>,
    /// The protocol that was agreed on.
    pub protocol: Option<String>,
    /// Whether it went on with an earlier session.
    pub resumed: bool,
    /// How many certificates it showed.
    pub certificates: usize,
}

impl Terminator {
    /// Listens on a free port of 127.0.0.1, shows `identity`, and passes on to `backend`.
    pub fn new(backend: SocketAddr, identity: &Identity, manner: Manner<'_>) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config(identity, manner)));
        let hellos: Arc<Mutex<Vec<Hello>>> = Arc::default();
        let (noted, truncates) = (hellos.clone(), manner.truncates);
        let bridge = Bridge::new(move |tcp| {
            let (acceptor, noted) = (acceptor.clone(), noted.clone());
            async move {
                // A client that is not content says so to its own user.
                let _ = pass(tcp, &acceptor, backend, &noted, truncates).await;
            }
        });
        Terminator { address: bridge.address, hellos, _bridge: bridge }
    }

    /// All handshakes so far that came to their end.
    pub fn hellos(&self) -> Vec<Hello> {
        self.hellos.lock().unwrap().clone()
    }
}

fn config(identity: &Identity, manner: Manner<'_>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let versions = manner.version.map_or(rustls::ALL_VERSIONS.to_vec(), |version| vec![version]);
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(&versions).unwrap();
    let builder = match manner.clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

async fn pass(
    tcp: TcpStream,
    acceptor: &TlsAcceptor,
    backend: SocketAddr,
    noted: &Mutex<Vec<Hello>>,
    truncates: bool,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut tls = acceptor.accept(tcp).await?;
    let session = tls.get_ref().1;
    noted.lock().unwrap().push(Hello {
        server_name: session.server_name().map(ToOwned::to_owned),
        protocol: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        certificates: session.peer_certificates().map_or(0, <[_]>::len),
    });
    let mut backend = TcpStream::connect(backend).await?;
    backend.set_nodelay(true)?;
    if truncates {
        return truncate(tls, backend).await;
    }
    copy_bidirectional_with_sizes(&mut tls, &mut backend, 64 * 1024, 64 * 1024).await?;
    Ok(())
}

/// Passes on until the backend ends its stream. Then the socket below TLS is closed.
async fn truncate(
    mut tls: tokio_rustls::server::TlsStream<TcpStream>,
    mut backend: TcpStream,
) -> io::Result<()> {
    let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
    loop {
        tokio::select! {
            read = tls.read(&mut up) => match read? {
                0 => return Ok(()),
                read => backend.write_all(&up[..read]).await?,
            },
            read = backend.read(&mut down) => match read? {
                0 => return Ok(()),
                read => {
                    tls.write_all(&down[..read]).await?;
                    tls.flush().await?;
                }
            },
        }
    }
}
