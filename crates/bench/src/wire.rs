//! A client's connection to the proxy, with TLS or without.

use crate::fault::Fault;
use mio::net::TcpStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, NamedGroup, RootCertStore};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Bytes that wait for the socket.
const BUFFER: usize = 512 << 10;

/// Reads and writes as a socket that does not block, TLS or not.
pub(crate) struct Wire {
    tcp: TcpStream,
    /// Boxed: connections without TLS are many.
    tls: Option<Box<ClientConnection>>,
}

/// The authorities whose certificates (PEM) are in `file`.
pub(crate) fn roots(file: &Path) -> Result<RootCertStore, Fault> {
    let unreadable = |error: &dyn fmt::Display| Fault::new(format!("{}: {error}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    Ok(roots)
}

/// What clients speak: one version, cipher suite and key exchange, so that every proxy does the same work, and nothing
/// resumed. `authority` is the file of who signed the proxy's certificate, which is for `localhost`.
pub(crate) fn client_config(authority: &Path) -> Result<Arc<ClientConfig>, Fault> {
    let roots = roots(authority)?;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_256_GCM_SHA384);
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Fault::new(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config.into())
}

impl Wire {
    /// A connection that is being made; TLS begins with what is written first.
    pub(crate) fn new(tcp: TcpStream, config: Option<&Arc<ClientConfig>>) -> Result<Wire, Fault> {
        let tls = config.map(|config| {
            let name = ServerName::try_from("localhost").expect("it is a name");
            let mut tls =
                ClientConnection::new(config.clone(), name).map_err(|error| Fault::new(error.to_string()))?;
            tls.set_buffer_limit(Some(BUFFER));
            Ok(Box::new(tls))
        });
        Ok(Wire { tcp, tls: tls.transpose()? })
    }

    /// The socket below.
    pub(crate) fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Whether a read that brought `count` of the `asked` bytes has emptied it: what comes later is a new event
    /// (epoll(7), edge-triggered). With TLS only a read that brings nothing says so.
    pub(crate) fn is_emptied(&self, count: usize, asked: usize) -> bool {
        count < asked && self.tls.is_none()
    }

    /// Whether all that was written is with the kernel.
    pub(crate) fn push(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            tls.read_tls(&mut self.tcp)?;
            tls.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            self.push()?;
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What waits goes first: so no more than one buffer waits.
        if !self.push()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Some(tls) = &mut self.tls else { return self.tcp.write(bytes) };
        let written = tls.writer().write(bytes)?;
        self.push()?;
        if written == 0 && !bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
