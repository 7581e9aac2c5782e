//! TLS for a client that knows nothing of it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::bridge::Bridge;
use crate::certificates::{Authority, Identity};

/// Speaks TLS with a server for whoever connects to it, and passes on what is in it, both ways. It is a proxy and no
/// mock: TLS is that of rustls.
#[derive(Debug)]
pub struct Initiator {
    /// Where it listens.
    pub address: SocketAddr,
    met: Arc<Mutex<Vec<Met>>>,
    _bridge: Bridge,
}

/// What is asked of the server, and shown to it.
#[derive(Clone, Copy)]
pub struct Demand<'a> {
    /// The host that is asked for.
    pub name: &'a str,
    /// Who must have issued the server's certificate.
    pub authority: &'a Authority,
    /// What is shown to a server that wants a certificate.
    pub identity: Option<&'a Identity>,
    /// The only version to speak; else any that rustls does.
    pub version: Option<&'static SupportedProtocolVersion>,
}

/// A server in a handshake that came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Met {
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    /// Whether it went on with an earlier session.
    pub resumed: bool,
    /// What is spoken.
    pub version: Option<ProtocolVersion>,
    /// What is spoken within.
    pub protocol: Option<String>,
}

impl Initiator {
    /// Listens on a free port of 127.0.0.1, and connects to `server`.
    pub fn new(server: SocketAddr, demand: Demand<'_>) -> Self {
        Self::speaking(server, demand, "http/1.1")
    }

    /// The same, with this protocol in the connection (RFC 7301).
    pub fn speaking(server: SocketAddr, demand: Demand<'_>, protocol: &str) -> Self {
        Self::announced(server, demand, protocol, b"")
    }

    /// The same, with these bytes before TLS.
    pub fn announced(
        server: SocketAddr,
        demand: Demand<'_>,
        protocol: &str,
        announcement: &'static [u8],
    ) -> Self {
        let connector = TlsConnector::from(Arc::new(config(demand, protocol)));
        let name = ServerName::try_from(demand.name.to_owned()).unwrap();
        let met: Arc<Mutex<Vec<Met>>> = Arc::default();
        let noted = met.clone();
        let bridge = Bridge::new(move |tcp| {
            let (connector, name, noted) = (connector.clone(), name.clone(), noted.clone());
            async move {
                // Where there is no agreement, the connection ends.
                let _ = pass(tcp, &connector, server, name, &noted, announcement).await;
            }
        });
        Initiator { address: bridge.address, met, _bridge: bridge }
    }

    /// The server in all handshakes so far that came to their end.
    pub fn met(&self) -> Vec<Met> {
        self.met.lock().unwrap().clone()
    }
}

fn config(demand: Demand<'_>, protocol: &str) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = demand.version.map_or(rustls::ALL_VERSIONS.to_vec(), |version| vec![version]);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(demand.authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match demand.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![identity.der()], key).unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config
}

async fn pass(
    mut tcp: TcpStream,
    connector: &TlsConnector,
    server: SocketAddr,
    name: ServerName<'static>,
    met: &Mutex<Vec<Met>>,
    announcement: &[u8],
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    server.write_all(announcement).await?;
    let mut tls = connector.connect(name, server).await?;
    let session = tls.get_ref().1;
    met.lock().unwrap().push(Met {
        certificate: session.peer_certificates().unwrap()[0].clone().into_owned(),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        version: session.protocol_version(),
        protocol: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
    });
    copy_bidirectional_with_sizes(&mut tcp, &mut tls, 64 * 1024, 64 * 1024).await?;
    Ok(())
}
