//! Both halves of the opening handshake (RFC 6455 4), over `(name, value)` pairs.
//!
//! The request line and the status are the caller's to check: GET, HTTP/1.1 or newer, and 101.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::extensions::{AnswerFault, DeflateOffer, DeflateParams, known_offers, read_answer};
use crate::grammar::{list, token, trim};

/// The length of a `Sec-WebSocket-Accept` value.
pub const ACCEPT_LEN: usize = 28;

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 4.2.2).
pub fn accept_key(key: &[u8]) -> [u8; ACCEPT_LEN] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; ACCEPT_LEN];
    STANDARD.encode_slice(digest, &mut accept).expect("20 bytes of SHA-1 are 28 of base64");
    accept
}

/// What a client asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer<'a> {
    /// `Sec-WebSocket-Key` as it came, not empty: whether it is 16 bytes of base64 is the backend's to judge.
    pub key: &'a [u8],
    /// The subprotocols of all `Sec-WebSocket-Protocol` lines, in order.
    pub protocols: Vec<&'a str>,
    /// The compression that the client asks for, and the backend may answer.
    pub deflate: Vec<DeflateOffer>,
    /// The `Sec-WebSocket-Extensions` to send on; empty for none.
    pub extensions: String,
}

/// Checks a client's request.
///
/// # Errors
/// The first rule of RFC 6455 4.2.1 that the headers break.
pub fn check_request<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Result<Offer<'a>, RequestFault> {
    let lines = |name| lines(headers.clone(), name);
    if !has_element(lines("connection"), "upgrade") || !has_element(lines("upgrade"), "websocket") {
        return Err(RequestFault::NotAnUpgrade);
    }
    check_version(lines("sec-websocket-version"))?;
    let key = read_key(lines("sec-websocket-key"))?;
    let protocols = list(lines("sec-websocket-protocol")).map(token).collect::<Option<_>>();
    let (deflate, extensions) =
        known_offers(lines("sec-websocket-extensions")).map_err(|_| RequestFault::ExtensionsInvalid)?;
    Ok(Offer { key, protocols: protocols.ok_or(RequestFault::ProtocolsInvalid)?, deflate, extensions })
}

/// Why a request opens no WebSocket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RequestFault {
    /// `Sec-WebSocket-Extensions` is not in the form of RFC 6455 9.1.
    ExtensionsInvalid,
    /// `Sec-WebSocket-Key` has no value.
    KeyEmpty,
    /// No `Sec-WebSocket-Key` (RFC 6455 4.2.1).
    KeyMissing,
    /// More than one `Sec-WebSocket-Key` (RFC 6455 11.3.1).
    KeyRepeated,
    /// `Connection` lacks `upgrade`, or `Upgrade` lacks `websocket` (RFC 6455 4.2.1): for a 426.
    NotAnUpgrade,
    /// A subprotocol is not a token (RFC 6455 4.1).
    ProtocolsInvalid,
    /// No `Sec-WebSocket-Version` (RFC 6455 4.2.1).
    VersionMissing,
    /// A `Sec-WebSocket-Version` other than 13: for a 426 that names 13 (RFC 6455 4.4).
    VersionUnsupported,
}

impl RequestFault {
    /// The stable name of the fault, for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            RequestFault::ExtensionsInvalid => "extensions_invalid",
            RequestFault::KeyEmpty => "key_empty",
            RequestFault::KeyMissing => "key_missing",
            RequestFault::KeyRepeated => "key_repeated",
            RequestFault::NotAnUpgrade => "not_an_upgrade",
            RequestFault::ProtocolsInvalid => "protocols_invalid",
            RequestFault::VersionMissing => "version_missing",
            RequestFault::VersionUnsupported => "version_unsupported",
        }
    }
}

impl fmt::Display for RequestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RequestFault::ExtensionsInvalid => "Sec-WebSocket-Extensions is malformed",
            RequestFault::KeyEmpty => "Sec-WebSocket-Key is empty: send 16 random bytes in base64",
            RequestFault::KeyMissing => "Sec-WebSocket-Key is missing: send 16 random bytes in base64",
            RequestFault::KeyRepeated => "Sec-WebSocket-Key is there more than once: send it once",
            RequestFault::NotAnUpgrade => {
                "not a WebSocket request: send Connection: Upgrade and Upgrade: websocket"
            }
            RequestFault::ProtocolsInvalid => "Sec-WebSocket-Protocol is malformed: send a list of tokens",
            RequestFault::VersionMissing => "Sec-WebSocket-Version is missing: send 13",
            RequestFault::VersionUnsupported => "Sec-WebSocket-Version is not supported: send 13",
        })
    }
}

impl core::error::Error for RequestFault {}

/// Checks the headers of a backend's 101 to `offer`.
///
/// # Errors
/// The first rule of RFC 6455 4.1 that they break.
pub fn check_response<'a>(
    offer: &Offer<'_>,
    headers: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Result<Agreement<'a>, ResponseFault> {
    let lines = |name| lines(headers.clone(), name);
    if !has_element(lines("upgrade"), "websocket") {
        return Err(ResponseFault::UpgradeMissing);
    }
    if !has_element(lines("connection"), "upgrade") {
        return Err(ResponseFault::ConnectionMissing);
    }
    check_accept(offer.key, lines("sec-websocket-accept"))?;
    let protocol = read_protocol(&offer.protocols, lines("sec-websocket-protocol"))?;
    let deflate = read_deflate(&offer.deflate, lines("sec-websocket-extensions"))?;
    Ok(Agreement { protocol, deflate })
}

/// What a backend's 101 settled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Agreement<'a> {
    /// The subprotocol, one of those offered.
    pub protocol: Option<&'a str>,
    /// How messages may be compressed, if they may.
    pub deflate: Option<DeflateParams>,
}

/// Why a 101 opens no WebSocket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ResponseFault {
    /// No `Sec-WebSocket-Accept` (RFC 6455 4.1).
    AcceptMissing,
    /// More than one `Sec-WebSocket-Accept` (RFC 6455 11.3.3).
    AcceptRepeated,
    /// A `Sec-WebSocket-Accept` that does not answer the key (RFC 6455 4.1).
    AcceptWrong,
    /// `Connection` lacks `upgrade` (RFC 6455 4.1).
    ConnectionMissing,
    /// An extension that the client did not offer (RFC 6455 4.1).
    ExtensionNotOffered,
    /// Extension parameters that fit no offer (RFC 7692 7.1), a malformed header, or permessage-deflate twice.
    ExtensionParameters,
    /// A subprotocol that the client did not offer (RFC 6455 4.1).
    ProtocolNotOffered,
    /// More than one `Sec-WebSocket-Protocol` (RFC 6455 11.3.4).
    ProtocolRepeated,
    /// `Upgrade` lacks `websocket` (RFC 6455 4.1).
    UpgradeMissing,
}

impl ResponseFault {
    /// The stable name of the fault, for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            ResponseFault::AcceptMissing => "accept_missing",
            ResponseFault::AcceptRepeated => "accept_repeated",
            ResponseFault::AcceptWrong => "accept_wrong",
            ResponseFault::ConnectionMissing => "connection_missing",
            ResponseFault::ExtensionNotOffered => "extension_not_offered",
            ResponseFault::ExtensionParameters => "extension_parameters",
            ResponseFault::ProtocolNotOffered => "protocol_not_offered",
            ResponseFault::ProtocolRepeated => "protocol_repeated",
            ResponseFault::UpgradeMissing => "upgrade_missing",
        }
    }
}

impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResponseFault::AcceptMissing => "the 101 has no Sec-WebSocket-Accept",
            ResponseFault::AcceptRepeated => "the 101 has more than one Sec-WebSocket-Accept",
            ResponseFault::AcceptWrong => "the 101's Sec-WebSocket-Accept does not answer the key",
            ResponseFault::ConnectionMissing => "the 101's Connection lacks upgrade",
            ResponseFault::ExtensionNotOffered => "the 101 has an extension that was not offered",
            ResponseFault::ExtensionParameters => "the 101's extension parameters fit no offer",
            ResponseFault::ProtocolNotOffered => "the 101 has a subprotocol that was not offered",
            ResponseFault::ProtocolRepeated => "the 101 has more than one Sec-WebSocket-Protocol",
            ResponseFault::UpgradeMissing => "the 101's Upgrade lacks websocket",
        })
    }
}

impl core::error::Error for ResponseFault {}

fn check_version<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Result<(), RequestFault> {
    let version = lines.next().ok_or(RequestFault::VersionMissing)?;
    let supported = trim(version) == b"13" && lines.all(|line| trim(line) == b"13");
    if supported { Ok(()) } else { Err(RequestFault::VersionUnsupported) }
}

fn read_key<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Result<&'a [u8], RequestFault> {
    let key = trim(lines.next().ok_or(RequestFault::KeyMissing)?);
    match (lines.next(), key.is_empty()) {
        (Some(_), _) => Err(RequestFault::KeyRepeated),
        (None, true) => Err(RequestFault::KeyEmpty),
        (None, false) => Ok(key),
    }
}

fn check_accept<'a>(key: &[u8], mut lines: impl Iterator<Item = &'a [u8]>) -> Result<(), ResponseFault> {
    let accept = lines.next().ok_or(ResponseFault::AcceptMissing)?;
    match (lines.next(), trim(accept) == accept_key(key)) {
        (Some(_), _) => Err(ResponseFault::AcceptRepeated),
        (None, false) => Err(ResponseFault::AcceptWrong),
        (None, true) => Ok(()),
    }
}

fn read_protocol<'a>(
    offered: &[&str],
    mut lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<&'a str>, ResponseFault> {
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(ResponseFault::ProtocolRepeated);
    }
    let protocol = token(trim(line)).filter(|protocol| offered.contains(protocol));
    protocol.map(Some).ok_or(ResponseFault::ProtocolNotOffered)
}

fn read_deflate<'a>(
    offered: &[DeflateOffer],
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<DeflateParams>, ResponseFault> {
    let answer = read_answer(lines).map_err(|fault| match fault {
        AnswerFault::Unknown => ResponseFault::ExtensionNotOffered,
        AnswerFault::Parameters => ResponseFault::ExtensionParameters,
    })?;
    match answer {
        Some(_) if offered.is_empty() => Err(ResponseFault::ExtensionNotOffered),
        Some(answer) if !offered.iter().any(|offer| answer.answers(offer)) => {
            Err(ResponseFault::ExtensionParameters)
        }
        answer => Ok(answer),
    }
}

/// The values of all headers of that name, whatever its case.
fn lines<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    headers.filter(move |(candidate, _)| candidate.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Whether a list has an element, whatever its case.
fn has_element<'a>(lines: impl Iterator<Item = &'a [u8]>, name: &str) -> bool {
    list(lines).any(|element| element.eq_ignore_ascii_case(name.as_bytes()))
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
