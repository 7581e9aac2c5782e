//! TLS with servers, from what the user wrote.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::net::tls::{PROVIDER, roots};
use crate::spec::pool::Pool as PoolSpec;
use crate::spec::tls::{Tls, TlsField};
use crate::spec::types::Host;
use crate::spec::{Diagnostic, Reader, Span};

/// Trusts whom the system trusts. Read once: there are hundreds of certificates.
static SYSTEM: LazyLock<Result<Arc<Verifier>, Error>> =
    LazyLock::new(|| Verifier::new(PROVIDER.clone()).map(Arc::new));

/// Why there can be no TLS, and which field is to blame.
#[derive(Debug)]
pub struct TlsFault {
    field: Option<TlsField>,
    title: String,
}

/// Reports what is wrong with the TLS of a pool's servers.
pub fn check(pool: &PoolSpec, reader: &Reader) {
    let mut checked: Vec<&Tls> = Vec::new();
    for server in &pool.servers {
        let Some(spec) = pool.tls_of(server) else { continue };
        let mut ready = server_name(spec, server.url.host()).map(|_| ());
        if !checked.contains(&spec) {
            checked.push(spec);
            ready = ready.and_then(|()| client_config(spec).map(|_| ()));
        }
        if let Err(fault) = ready {
            let at = fault.field.and_then(|field| spec.span(field)).unwrap_or(server.url.span());
            fault.report(reader, at);
        }
    }
}

/// Who a server at `host` must prove to be.
///
/// # Errors
/// The host cannot stand in a certificate.
pub fn server_name(spec: &Tls, host: &Host) -> Result<ServerName<'static>, TlsFault> {
    match (&spec.server_name, host) {
        (Some(name), _) => Ok(name.get().clone()),
        (None, Host::Ip(ip)) => Ok(ServerName::IpAddress((*ip).into())),
        (None, Host::Name(name) | Host::Unix(name)) => {
            // A certificate has no name with a dot at its end (RFC 6066 3).
            let name = name.trim_end_matches('.').to_owned();
            ServerName::try_from(name).map_err(|_| TlsFault {
                field: None,
                title: "no certificate can have this host's name: set `serverName`".into(),
            })
        }
    }
}

/// What rustls needs to know: whom to trust, and who we are.
///
/// # Errors
/// Certificates that cannot be used.
pub fn client_config(spec: &Tls) -> Result<ClientConfig, TlsFault> {
    let builder = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFault { field: None, title: error.to_string() })?;
    let builder = match spec.authorities() {
        _ if *spec.insecure => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(PROVIDER.clone())))
        }
        Some(authorities) => builder.with_root_certificates(trusted(authorities)?),
        None => builder.dangerous().with_custom_certificate_verifier(system()?),
    };
    let mut config = match spec.identity() {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain.to_vec(), key.clone_key()).map_err(|error| {
                let title = match error {
                    Error::InconsistentKeys(_) => "the certificate is not of this key".into(),
                    error => format!("the client certificate cannot be used: {error}"),
                };
                TlsFault { field: Some(TlsField::Identity), title }
            })?
        }
    };
    // An upgrade to WebSocket needs HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn system() -> Result<Arc<Verifier>, TlsFault> {
    SYSTEM.clone().map_err(|error| TlsFault {
        field: None,
        title: format!("the authorities that the system trusts are not known: {error}"),
    })
}

fn trusted(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsFault> {
    roots(authorities).map_err(|error| TlsFault {
        field: Some(TlsField::Authorities),
        title: format!("this is not the certificate of an authority: {error}"),
    })
}

impl TlsFault {
    /// What is wrong, in words.
    pub fn title(&self) -> &str {
        &self.title
    }

    fn report(self, reader: &Reader, at: Span) {
        let diagnostic = Diagnostic::error(self.title).at(at);
        reader.report(match self.field {
            Some(TlsField::Identity) => diagnostic
                .help("the first certificate of the list must be of the key, those that issued it follow"),
            Some(TlsField::Authorities) => diagnostic,
            None => diagnostic.help("`tls.caFile` names certificates to trust instead of the system's"),
        });
    }
}

/// Whoever the server says it is, it is believed: `insecure`.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
