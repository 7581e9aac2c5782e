//! `tls` of a pool or a server.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Check, Diagnostic, Reader, Span, Spanned,
    types::{CertificateBase64, CertificateFile, KeyBase64, KeyFile, TlsName},
};

/// How TLS is spoken with servers at `wss` and `https`. Files are read when the configuration is, and stand relative to
/// the folder in which the gateway is started.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Tls {
    /// A PEM file with the certificates of the authorities to trust. Default: those that the system trusts.
    pub ca_file: Option<Spanned<CertificateFile>>,
    /// What `caFile` names, as base64 of the file.
    pub ca_base64: Option<Spanned<CertificateBase64>>,
    /// The name or IP address that the server's certificate must have, and that it is asked for. Default: the host of
    /// its URL.
    pub server_name: Option<Spanned<TlsName>>,
    /// A PEM file with the gateway's own certificate, for servers that want one, followed by those that issued it.
    /// Needs a key.
    pub cert_file: Option<Spanned<CertificateFile>>,
    /// What `certFile` names, as base64 of the file.
    pub cert_base64: Option<Spanned<CertificateBase64>>,
    /// A PEM file with the private key of that certificate.
    pub key_file: Option<Spanned<KeyFile>>,
    /// What `keyFile` names, as base64 of the file.
    pub key_base64: Option<Spanned<KeyBase64>>,
    /// Believe any server, whatever its certificate says: who stands in between can read and change everything.
    /// Default: false.
    pub insecure: Spanned<bool>,
}

/// What a fault of the whole can be about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsField {
    /// The certificates to trust.
    Authorities,
    /// The gateway's own certificate and key.
    Identity,
}

impl Tls {
    /// The certificates to trust; `None` for the system's.
    pub fn authorities(&self) -> Option<&[CertificateDer<'static>]> {
        either(
            self.ca_file.as_deref().map(|file| file.get()),
            self.ca_base64.as_deref().map(|text| text.get()),
        )
    }

    /// The gateway's own certificate, with those that issued it, and its key.
    pub fn identity(&self) -> Option<(&[CertificateDer<'static>], &PrivateKeyDer<'static>)> {
        let chain = either(
            self.cert_file.as_deref().map(|file| file.get()),
            self.cert_base64.as_deref().map(|text| text.get()),
        );
        let key = either(
            self.key_file.as_deref().map(|file| file.get()),
            self.key_base64.as_deref().map(|text| text.get()),
        );
        Some((chain?, key?))
    }

    /// Where a field stands, if it is there.
    pub fn span(&self, field: TlsField) -> Option<Span> {
        match field {
            TlsField::Authorities => either(span(&self.ca_file), span(&self.ca_base64)),
            TlsField::Identity => either(span(&self.cert_file), span(&self.cert_base64)),
        }
    }
}

impl Check for Tls {
    fn files(&self) -> Vec<&Path> {
        let certificates = self.ca_file.iter().chain(&self.cert_file).map(|file| file.path());
        certificates.chain(self.key_file.iter().map(|file| file.path())).collect()
    }

    fn check(&self, reader: &Reader) {
        let places = [
            ("ca", span(&self.ca_file), span(&self.ca_base64)),
            ("cert", span(&self.cert_file), span(&self.cert_base64)),
            ("key", span(&self.key_file), span(&self.key_base64)),
        ];
        for (what, file, text) in places {
            if let (Some(file), Some(text)) = (file, text) {
                let title = format!("`{what}File` and `{what}Base64` mean the same: leave one out");
                reader.report(Diagnostic::error(title).at(text).other(file, "this is the other"));
            }
        }
        let [_, cert, key] = places.map(|(_, file, text)| either(file, text));
        let alone = match (cert, key) {
            (Some(cert), None) => Some(("a certificate needs its key", "add `keyFile` or `keyBase64`", cert)),
            (None, Some(key)) => Some(("a key needs its certificate", "add `certFile` or `certBase64`", key)),
            _ => None,
        };
        if let Some((title, help, at)) = alone {
            reader.report(Diagnostic::error(title).at(at).help(help));
        }
        if *self.insecure {
            reader.report(
                Diagnostic::warning(
                    "`insecure` switches the check of certificates off: any server is believed",
                )
                .at(self.insecure.span())
                .help("to trust an authority of your own, name its certificate in `caFile`"),
            );
        }
    }
}

fn either<T>(first: Option<T>, second: Option<T>) -> Option<T> {
    first.or(second)
}

fn span<T>(field: &Option<Spanned<T>>) -> Option<Span> {
    field.as_ref().map(Spanned::span)
}
