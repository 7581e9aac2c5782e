//! Certificates and keys, and the names they are for.

use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName,
    pem::{self, PemObject},
};

use super::text_type;

/// Larger files are not read.
const MAX_FILE: u64 = 1 << 20;

/// Certificates, at least one, from a PEM file named by its path.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateFile {
    path: PathBuf,
    content: Vec<CertificateDer<'static>>,
}

/// Certificates, at least one, from the base64 of a PEM file.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateBase64(Vec<CertificateDer<'static>>);

/// A private key from a PEM file named by its path. Its `Debug` text is masked.
#[derive(PartialEq)]
pub struct KeyFile {
    path: PathBuf,
    content: PrivateKeyDer<'static>,
}

/// A private key from the base64 of a PEM file. Its `Debug` text is masked.
#[derive(PartialEq)]
pub struct KeyBase64(PrivateKeyDer<'static>);

/// Certificates, at least one, as PEM or as the base64 of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateText(Vec<CertificateDer<'static>>);

/// A private key as PEM or as the base64 of it. Its `Debug` text is masked.
#[derive(PartialEq)]
pub struct KeyText(PrivateKeyDer<'static>);

/// A host name or an IP address, as a certificate can have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsName(ServerName<'static>);

macro_rules! file_type {
    ($type:ident, $content:ty, $read:path, $example:literal) => {
        impl $type {
            /// What it holds.
            pub fn get(&self) -> &$content {
                &self.content
            }

            /// Where it is.
            pub fn path(&self) -> &Path {
                &self.path
            }
        }

        impl FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Ok(Self { path: text.into(), content: $read(&file(text)?)? })
            }
        }

        text_type!($type, expects: "the path of a PEM file", schema: {
            "type": "string",
            "examples": [$example],
        });
    };
}

macro_rules! pem_type {
    ($type:ty, $content:ty, $bytes:path, $read:path, $expects:literal, $example:literal) => {
        impl $type {
            /// What it holds.
            pub fn get(&self) -> &$content {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                $read(&$bytes(text)?).map(Self)
            }
        }

        text_type!($type, expects: $expects, schema: { "type": "string", "examples": [$example] });
    };
}

file_type!(CertificateFile, [CertificateDer<'static>], certificates, "/etc/ropeway/ca.pem");
file_type!(KeyFile, PrivateKeyDer<'static>, key, "/etc/ropeway/key.pem");
pem_type!(
    CertificateBase64,
    [CertificateDer<'static>],
    decoded,
    certificates,
    "the base64 of a PEM file",
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"
);
pem_type!(
    KeyBase64,
    PrivateKeyDer<'static>,
    decoded,
    key,
    "the base64 of a PEM file",
    "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t"
);

pem_type!(
    CertificateText,
    [CertificateDer<'static>],
    pem_or_base64,
    certificates,
    "PEM, or the base64 of it",
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"
);
pem_type!(
    KeyText,
    PrivateKeyDer<'static>,
    pem_or_base64,
    key,
    "PEM, or the base64 of it",
    "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t"
);

macro_rules! masked {
    ($($type:ident),*) => {$(
        impl Clone for $type {
            fn clone(&self) -> Self {
                Self(self.0.clone_key())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("***")
            }
        }
    )*};
}

masked!(KeyBase64, KeyText);

impl Clone for KeyFile {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), content: self.content.clone_key() }
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({}, ***)", self.path.display())
    }
}

impl TlsName {
    /// As rustls has it.
    pub fn get(&self) -> &ServerName<'static> {
        &self.0
    }
}

impl FromStr for TlsName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match ServerName::try_from(text.to_owned()) {
            Ok(name) => Ok(Self(name)),
            Err(_) => Err(format!("`{text}` is not a host name or an IP address")),
        }
    }
}

text_type!(TlsName, expects: "a host name or an IP address", schema: {
    "type": "string",
    "examples": ["backend.internal"],
});

fn file(path: &str) -> Result<Vec<u8>, String> {
    let failed = |error| {
        let from = if path.starts_with('/') { "" } else { " (looked for from where ropeway was started)" };
        format!("`{path}` cannot be read: {error}{from}")
    };
    // What is no regular file may never end, or never begin: it is not even opened.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("`{path}` is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("`{path}` is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// Line ends may stand anywhere in it, as `base64` puts them there.
fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let text: String = text.split_whitespace().collect();
    STANDARD.decode(text).map_err(|_| "this is not base64: write what `base64 -w0 FILE` says".into())
}

fn pem_or_base64(text: &str) -> Result<Vec<u8>, String> {
    if text.contains("-----BEGIN ") { Ok(text.as_bytes().to_vec()) } else { decoded(text) }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in it, in PEM form".into()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("the certificates in it cannot be read: {error}")),
    }
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => {
            Err("there is no private key in it, in PEM form, without a password".into())
        }
        // The library's own words might quote what they are about.
        Err(_) => Err("the private key in it cannot be read".into()),
    }
}
