//! What an `HTTPServer` says of TLS.

use std::collections::BTreeMap;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Diagnostic, Reader, Span, Spanned, http_server::HttpServer};

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum ClientAuth {
    /// Without one there is no connection.
    #[default]
    Required,
    /// One that is presented must be good.
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "TLSv1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "TLSv1.3")]
    V1_3,
}

impl HttpServer {
    /// Whether the listener can be opened as the user means it: certificates that are to come from elsewhere cannot be
    /// had yet.
    pub fn is_served(&self) -> bool {
        !*self.https || self.certificates().next().is_some()
    }

    /// Certificates with their keys, in the order in which they are preferred. A spec that was read without an error has
    /// a key for each.
    pub fn certificates(
        &self,
    ) -> impl Iterator<Item = (Span, &[CertificateDer<'static>], &PrivateKeyDer<'static>)> {
        let first = self.cert_base64.as_ref().zip(self.key_base64.as_ref());
        let first = first.map(|(chain, key)| (chain.span(), chain.get(), key.get()));
        let texts = self
            .certs
            .iter()
            .filter_map(|(name, chain)| Some((name.span(), chain.get(), self.keys.get(name)?.get())));
        let files = self
            .cert_files
            .iter()
            .filter_map(|(name, chain)| Some((name.span(), chain.get(), self.key_files.get(name)?.get())));
        first.into_iter().chain(texts).chain(files)
    }

    /// The authorities that issue the certificates of clients, where those need one, and where that stands.
    pub fn client_authorities(&self) -> Option<(Span, &[CertificateDer<'static>])> {
        let file = self.ca_cert_file.as_ref().map(|file| (file.span(), file.get()));
        file.or_else(|| self.ca_cert_base64.as_ref().map(|text| (text.span(), text.get())))
    }

    /// Whether HTTP/2 is offered: it carries many requests on one connection, and only over TLS do clients ask for it.
    pub fn offers_http2(&self) -> bool {
        *self.https && self.http2 && self.keep_alive
    }

    /// Whether a connection that was made under `other` could be made just so here. Another certificate of our own is no
    /// reason to end one.
    pub fn meets_clients_as(&self, other: &HttpServer) -> bool {
        let authorities = |server: &HttpServer| server.client_authorities().map(|(_, all)| all.to_vec());
        let auth = |server: &HttpServer| server.client_auth.as_deref().copied().unwrap_or_default();
        let min = |server: &HttpServer| server.min_tls_version.as_deref().copied();
        let max = |server: &HttpServer| server.max_tls_version.as_deref().copied();
        *self.https == *other.https
            && self.proxy_protocol == other.proxy_protocol
            && self.offers_http2() == other.offers_http2()
            && authorities(self) == authorities(other)
            && auth(self) == auth(other)
            && min(self) == min(other)
            && max(self) == max(other)
    }

    /// Every certificate needs its key, and all of them need TLS.
    pub(super) fn check_certificates(&self, reader: &Reader) {
        let pair = match (&self.cert_base64, &self.key_base64) {
            (Some(cert), None) => Some(("`certBase64` needs a `keyBase64`", cert.span())),
            (None, Some(key)) => Some(("`keyBase64` needs a `certBase64`", key.span())),
            _ => None,
        };
        reader.report_all(pair.map(|(title, span)| Diagnostic::error(title).at(span)));
        check_keys(reader, "keys", &self.certs, &self.keys);
        check_keys(reader, "keyFiles", &self.cert_files, &self.key_files);
        let names = self.certs.keys().chain(self.cert_files.keys());
        let first = self.cert_base64.iter().map(Spanned::span).chain(names.map(Spanned::span)).next();
        let is_whole = reader.is_whole(self.certs.span()) && reader.is_whole(self.cert_files.span());
        match (*self.https, first) {
            (false, Some(first)) => reader
                .report(Diagnostic::warning("a certificate does nothing without `https: true`").at(first)),
            (true, None) if !*self.auto_cert.written() && is_whole => reader.report(
                Diagnostic::error("`https` needs a certificate")
                    .at(self.https.span())
                    .help("name PEM files in `certFiles` and `keyFiles`"),
            ),
            _ => {}
        }
    }

    pub(super) fn check_clients(&self, reader: &Reader) {
        if let (Some(file), Some(text)) = (&self.ca_cert_file, &self.ca_cert_base64) {
            let title = "`caCertFile` and `caCertBase64` mean the same: leave one out";
            reader.report(Diagnostic::error(title).at(text.span()).other(file.span(), "this is the other"));
        }
        if let Some(auth) = self.client_auth.as_ref().filter(|_| self.client_authorities().is_none()) {
            let title = "`clientAuth` needs to know whose certificates are good";
            reader.report(Diagnostic::error(title).at(auth.span()).help("name a PEM file in `caCertFile`"));
        }
        if let (Some(min), Some(max)) = (&self.min_tls_version, &self.max_tls_version)
            && **min > **max
        {
            let title = "`maxTlsVersion` is older than `minTlsVersion`";
            reader.report(Diagnostic::error(title).at(max.span()).other(min.span(), "this is the other"));
        }
    }
}

/// Every certificate needs a key, and every key its certificate.
fn check_keys<C, K>(
    reader: &Reader,
    keys_name: &str,
    certs: &Spanned<BTreeMap<Spanned<String>, C>>,
    keys: &Spanned<BTreeMap<Spanned<String>, K>>,
) {
    // One that could not be read is there all the same.
    if !reader.is_whole(certs.span()) || !reader.is_whole(keys.span()) {
        return;
    }
    for name in certs.keys().filter(|name| !keys.contains_key(*name)) {
        let title = format!("`{keys_name}` has no key for the certificate `{}`", **name);
        reader.report(Diagnostic::error(title).at(name.span()));
    }
    for name in keys.keys().filter(|name| !certs.contains_key(*name)) {
        let title = format!("there is no certificate for the key `{}`", **name);
        reader.report(Diagnostic::error(title).at(name.span()));
    }
}
