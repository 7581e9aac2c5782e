//! TLS with the clients of a listener.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig, SupportedProtocolVersion, version};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use webpki::EndEntityCert;

use crate::net::Stream;
use crate::net::linger::linger;
use crate::net::stream::Boxed;
use crate::net::tls::{PROVIDER, TlsStream, roots};
use crate::spec::http_server::HttpServer;
use crate::spec::server_tls::{ClientAuth, TlsVersion};
use crate::spec::{Diagnostic, Reader, Span};

/// What a client hears that speaks plain HTTP here.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 35\r\n\
                       Connection: close\r\n\r\nthis port speaks TLS: use https://\n";

/// Names of protocols (RFC 7301).
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// How long such a client may go on sending after that.
const LINGER: Duration = Duration::from_secs(1);

/// TLS as a listener speaks it.
pub struct Tls {
    config: Arc<ServerConfig>,
    /// Where sessions can be resumed.
    tickets: Option<Arc<dyn ProducesTickets>>,
    /// How long [`Tls::greet`], and then [`Tls::accept`], may take.
    pub timeout: Duration,
}

/// Why there can be no TLS.
#[derive(Debug)]
struct TlsFault {
    at: Span,
    title: String,
    help: &'static str,
}

/// A connection on which TLS is spoken.
#[derive(Debug)]
pub struct Secured {
    /// What is in it.
    pub stream: Stream,
    /// The client's certificate as a header says it, if it has one.
    pub certificate: Option<HeaderValue>,
    /// Whether HTTP/2 was agreed on.
    pub http2: bool,
}

/// Reports what is wrong with the TLS of `server`, which has no other fault.
pub fn check(server: &HttpServer, reader: &Reader) {
    // Without a version between the bounds there is a fault already.
    if *server.https
        && server.is_served()
        && !versions(server).is_empty()
        && let Err(fault) = Tls::of(server, None)
    {
        reader.report(Diagnostic::error(fault.title).at(fault.at).help(fault.help));
    }
}

impl Tls {
    /// TLS as `server` wants it, if it does, and with certificates that were found to be good. Sessions of `before` can be
    /// resumed.
    pub fn new(server: &HttpServer, before: Option<&Tls>) -> Option<Arc<Self>> {
        if !*server.https {
            return None;
        }
        match Tls::of(server, before.and_then(|tls| tls.tickets.clone())) {
            Ok(tls) => Some(Arc::new(tls)),
            Err(fault) => {
                tracing::error!(reason = fault.title, "TLS is not available");
                None
            }
        }
    }

    fn of(server: &HttpServer, tickets: Option<Arc<dyn ProducesTickets>>) -> Result<Tls, TlsFault> {
        let general = |error: Error| TlsFault {
            at: server.https.span(),
            title: format!("TLS is not available: {error}"),
            help: "these settings cannot be used together",
        };
        let builder = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&versions(server))
            .map_err(general)?;
        let builder = match verifier(server)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Certificates::new(server, &PROVIDER)?));
        // An upgrade to WebSocket needs HTTP/1.1: clients that want one do not offer the other.
        let protocols = [HTTP2, HTTP1].into_iter().filter(|name| *name != HTTP2 || server.offers_http2());
        config.alpn_protocols = protocols.map(<[u8]>::to_vec).collect();
        // Tickets keep the state with the client, for both versions.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let tickets = match (server.client_authorities(), tickets) {
            // A session that is resumed brings its certificate along, and nobody looks whether it is still good.
            (Some(_), _) => None,
            (None, Some(tickets)) => Some(tickets),
            (None, None) => Some(aws_lc_rs::Ticketer::new().map_err(general)?),
        };
        match &tickets {
            Some(tickets) => config.ticketer = tickets.clone(),
            None => config.send_tls13_tickets = 0,
        }
        Ok(Tls { config: Arc::new(config), tickets, timeout: server.tls_handshake_timeout.get() })
    }

    /// Waits for the client's first byte.
    ///
    /// # Errors
    /// The connection is lost. A client that speaks plain HTTP is told what is spoken here.
    ///
    /// Cancel safe: dropped, the connection is closed.
    pub async fn greet(&self, mut tcp: TcpStream) -> io::Result<TcpStream> {
        let mut first = [0];
        tcp.peek(&mut first).await?;
        if first[0].is_ascii_uppercase() {
            tcp.write_all(PLAIN).await?;
            linger(tcp.into(), LINGER).await;
            return Err(io::Error::other("plain HTTP where TLS is spoken"));
        }
        Ok(tcp)
    }

    /// The server's side of a TLS handshake.
    ///
    /// # Errors
    /// The client does not agree.
    ///
    /// Cancel safe: dropped, the connection is closed.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<Secured> {
        let tls = TlsStream::accept(&self.config, tcp).await?;
        let certificate = tls.peer_certificate().and_then(client_cert);
        let http2 = tls.protocol() == Some(HTTP2);
        Ok(Secured { stream: Boxed::Tls(Box::new(tls)).into(), certificate, http2 })
    }
}

/// A value of `Client-Cert` (RFC 9440 2.2).
fn client_cert(certificate: &CertificateDer<'_>) -> Option<HeaderValue> {
    HeaderValue::try_from(format!(":{}:", STANDARD.encode(certificate))).ok()
}

fn versions(server: &HttpServer) -> Vec<&'static SupportedProtocolVersion> {
    let min = server.min_tls_version.as_deref().copied().unwrap_or(TlsVersion::V1_2);
    let max = server.max_tls_version.as_deref().copied().unwrap_or(TlsVersion::V1_3);
    let known = [(TlsVersion::V1_3, &version::TLS13), (TlsVersion::V1_2, &version::TLS12)];
    let spoken = known.into_iter().filter(|(version, _)| (min..=max).contains(version));
    spoken.map(|(_, version)| version).collect()
}

type ClientVerifier = Arc<dyn rustls::server::danger::ClientCertVerifier>;

fn verifier(server: &HttpServer) -> Result<Option<ClientVerifier>, TlsFault> {
    let Some((at, authorities)) = server.client_authorities() else { return Ok(None) };
    let fault = |error: &dyn fmt::Display| TlsFault {
        at,
        title: format!("this is not the certificate of an authority: {error}"),
        help: "name the certificate that signs those of clients",
    };
    let roots = roots(authorities).map_err(|error| fault(&error))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone());
    let verifier = match server.client_auth.as_deref().copied().unwrap_or_default() {
        ClientAuth::Required => verifier,
        ClientAuth::Optional => verifier.allow_unauthenticated(),
    };
    Ok(Some(verifier.build().map_err(|error| fault(&error))?))
}

/// Certificates by the names that clients ask for (RFC 6066 3).
#[derive(Debug, Default)]
struct Certificates {
    /// In lower case, `*` for a first label that may be any. The first that suits the client is taken.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For clients that ask for another name, or none.
    all: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    fn new(server: &HttpServer, provider: &CryptoProvider) -> Result<Self, TlsFault> {
        let mut certificates = Certificates::default();
        for (at, chain, key) in server.certificates() {
            let certified = CertifiedKey::from_der(chain.to_vec(), key.clone_key(), provider);
            let certified = certified.map_err(|error| TlsFault {
                at,
                title: match error {
                    Error::InconsistentKeys(_) => "the certificate is not of this key".into(),
                    error => format!("this certificate cannot be used: {error}"),
                },
                help: "the first certificate of the list must be of the key, those that issued it follow",
            })?;
            certificates.add(Arc::new(certified));
        }
        Ok(certificates)
    }

    fn add(&mut self, certified: Arc<CertifiedKey>) {
        let entity = certified.end_entity_cert().ok().and_then(|leaf| EndEntityCert::try_from(leaf).ok());
        for name in entity.iter().flat_map(|entity| entity.valid_dns_names()) {
            self.by_name.entry(name.to_ascii_lowercase()).or_default().push(certified.clone());
        }
        self.all.push(certified);
    }

    fn named(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let name = name.to_ascii_lowercase();
        let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
        self.by_name.get(&name).or_else(wildcard)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let known = hello.server_name().and_then(|name| self.named(name)).unwrap_or(&self.all);
        let suits =
            |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(hello.signature_schemes()).is_some();
        known.iter().find(suits).or_else(|| known.first()).cloned()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
