//! TLS on a connection: what stands between its bytes and a [`Stream`](super::Stream).

mod record_reader;
mod secrets;

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, Connection, ExtractedSecrets, ProtocolVersion, RootCertStore, ServerConfig,
    SupportedCipherSuite,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use self::record_reader::RecordReader;
pub use self::secrets::Secrets;

/// Bytes that are sealed at once, at most.
const SEALED: usize = 32 * 1024;

/// The one implementation of cryptography, for both sides.
pub static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// A connection that speaks TLS. What it says was written is with the kernel, never in a buffer of TLS.
pub struct TlsStream {
    tls: tokio_rustls::TlsStream<RecordReader>,
    /// Bytes that were sealed, of which some did not leave yet.
    sealed: usize,
    secrets: Arc<Secrets>,
}

/// A TLS 1.3 connection taken apart, between two records of both directions: all that somebody else needs to go on with
/// it.
pub struct Parts {
    /// What the records go over.
    pub tcp: TcpStream,
    /// Records that were not read yet, the last one perhaps in part.
    pub unread: Bytes,
    /// What stood in the last records that were read, and nobody has taken yet.
    pub opened: Vec<u8>,
    /// How records are sealed.
    pub suite: SupportedCipherSuite,
    /// What all keys follow from.
    pub secrets: Arc<Secrets>,
    /// The numbers of the next records, and the keys in use: if these do not follow from the secrets, they were renewed
    /// meanwhile (RFC 8446 4.6.3).
    pub keys: ExtractedSecrets,
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
    /// The server's side of a TLS handshake.
    ///
    /// # Errors
    /// The connection is lost, or the client does not agree.
    ///
    /// Cancel safe: dropped, the connection is closed.
    pub async fn accept(config: &ServerConfig, tcp: TcpStream) -> io::Result<Self> {
        let secrets = Secrets::new();
        // A key log is part of the settings: each connection has its own, of which most is shared.
        let mut config = config.clone();
        config.key_log = secrets.clone();
        config.enable_secret_extraction = true;
        let tls = TlsAcceptor::from(Arc::new(config)).accept(RecordReader::new(tcp)).await?;
        Ok(TlsStream { tls: tls.into(), sealed: 0, secrets })
    }

    /// The client's side of a TLS handshake, with a server that must prove to be `name`.
    ///
    /// # Errors
    /// The connection is lost, or the server does not agree, or is not the one.
    ///
    /// Cancel safe: dropped, the connection is closed.
    pub async fn connect(
        config: &ClientConfig,
        name: ServerName<'static>,
        tcp: TcpStream,
    ) -> io::Result<Self> {
        let secrets = Secrets::new();
        let mut config = config.clone();
        config.key_log = secrets.clone();
        config.enable_secret_extraction = true;
        let tls = TlsConnector::from(Arc::new(config)).connect(name, RecordReader::new(tcp)).await?;
        Ok(TlsStream { tls: tls.into(), sealed: 0, secrets })
    }

    /// The other side's certificate, if it showed one.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.tls.get_ref().1.peer_certificates()?.first()
    }

    /// What it runs over.
    pub(super) fn tcp(&self) -> &TcpStream {
        self.tls.get_ref().0.tcp()
    }

    /// What is spoken over it, if both sides agreed on something (RFC 7301).
    pub fn protocol(&self) -> Option<&[u8]> {
        self.tls.get_ref().1.alpn_protocol()
    }

    /// Takes the connection apart. `None` for one that only rustls can go on with: it speaks TLS 1.2, or has sealed
    /// bytes that did not leave yet.
    pub fn into_parts(self) -> Option<Parts> {
        let is_between_writes = self.sealed == 0;
        let (reader, mut session) = match self.tls {
            tokio_rustls::TlsStream::Client(tls) => {
                let (reader, session) = tls.into_inner();
                (reader, Connection::Client(session))
            }
            tokio_rustls::TlsStream::Server(tls) => {
                let (reader, session) = tls.into_inner();
                (reader, Connection::Server(session))
            }
        };
        let is_tls13 = session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        if !is_tls13 || !is_between_writes || session.wants_write() || session.is_handshaking() {
            return None;
        }
        let mut opened = Vec::new();
        // Ends with `WouldBlock`, or with the end of the stream, behind all that there is.
        let _ = session.reader().read_to_end(&mut opened);
        let (tcp, unread) = reader.into_parts()?;
        let suite = session.negotiated_cipher_suite()?;
        let keys = session.dangerous_extract_secrets().ok()?;
        Some(Parts { tcp, unread, opened, suite, secrets: self.secrets, keys })
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
