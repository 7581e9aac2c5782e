//! Methods, status codes and header names.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

use super::text_type;

/// A request method that routes may name.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Connect,
    Options,
    Trace,
}

impl HttpMethod {
    /// The method as it stands in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
        }
    }
}

/// An HTTP status code, 100 to 599.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct StatusCode(u16);

impl StatusCode {
    /// The code as it goes on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for StatusCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = i64::deserialize(deserializer)?;
        match u16::try_from(code) {
            Ok(code @ 100..=599) => Ok(Self(code)),
            _ => Err(D::Error::custom(format_args!("{code} is not an HTTP status code: from 100 to 599"))),
        }
    }
}

impl JsonSchema for StatusCode {
    fn schema_name() -> Cow<'static, str> {
        "StatusCode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 100, "maximum": 599 })
    }
}

/// The status code of an answer that the gateway gives by itself, 200 to 599: what is below announces another answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FinalStatus(::http::StatusCode);

impl FinalStatus {
    /// The code as it goes on the wire.
    pub const fn get(self) -> ::http::StatusCode {
        self.0
    }
}

/// 200.
impl Default for FinalStatus {
    fn default() -> Self {
        Self(::http::StatusCode::OK)
    }
}

impl<'de> Deserialize<'de> for FinalStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = StatusCode::deserialize(deserializer)?.get();
        match ::http::StatusCode::from_u16(code) {
            Ok(status) if !status.is_informational() => Ok(Self(status)),
            _ => Err(D::Error::custom(format_args!("{code} is not the end of an answer: from 200 to 599"))),
        }
    }
}

impl JsonSchema for FinalStatus {
    fn schema_name() -> Cow<'static, str> {
        "FinalStatus".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 200, "maximum": 599 })
    }
}

/// Status codes from the first to the last, both included: `[200, 399]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StatusRange {
    first: StatusCode,
    last: StatusCode,
}

impl StatusRange {
    /// The highest code of the range.
    pub const fn last(&self) -> StatusCode {
        self.last
    }

    /// Whether `code` lies in the range.
    pub const fn contains(self, code: u16) -> bool {
        self.first.0 <= code && code <= self.last.0
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let codes = Vec::<StatusCode>::deserialize(deserializer)?;
        match codes[..] {
            [first, last] if first <= last => Ok(Self { first, last }),
            [first, last] => Err(D::Error::custom(format_args!(
                "the range is empty: {} is above {}",
                first.get(),
                last.get()
            ))),
            _ => Err(D::Error::custom("a range has two numbers, such as [200, 399]")),
        }
    }
}

impl JsonSchema for StatusRange {
    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let code = generator.subschema_for::<StatusCode>();
        json_schema!({ "type": "array", "items": code, "minItems": 2, "maxItems": 2 })
    }
}

/// One status code, as `404`, or all from one to another, as `500-599`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StatusCodes(StatusRange);

impl StatusCodes {
    /// Whether `code` is among them.
    pub const fn contains(self, code: u16) -> bool {
        self.0.contains(code)
    }
}

impl FromStr for StatusCodes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let code = |text: &str| text.parse().ok().filter(|code| (100..=599).contains(code)).map(StatusCode);
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (code(first), code(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(StatusRange { first, last })),
            (Some(_), Some(_)) => Err(format!("the range is empty: {first} is above {last}")),
            _ => Err(format!("{text} is no status code from 100 to 599, nor a range such as 500-599")),
        }
    }
}

text_type!(StatusCodes, expects: "a status code such as 404, or a range such as 500-599", schema: {
    "type": ["integer", "string"], "minimum": 100, "maximum": 599, "pattern": "^[1-5][0-9]{2}-[1-5][0-9]{2}$"
});

/// The name of a header, in lower case (RFC 9110 section 5.1: a token, letter case does not matter).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HeaderName(Box<str>);

impl HeaderName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HeaderName {
    /// Whether it says how its message or its connection is to be read, or makes a handshake of a request. One that is
    /// changed by hand has peers read something else than was sent.
    pub fn is_framing(&self) -> bool {
        const FRAMING: [&str; 10] = [
            "connection",
            "content-length",
            "expect",
            "http2-settings",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ];
        FRAMING.contains(&self.as_str()) || self.as_str().starts_with("sec-websocket-")
    }
}

impl From<&HeaderName> for ::http::HeaderName {
    fn from(name: &HeaderName) -> Self {
        ::http::HeaderName::from_bytes(name.0.as_bytes()).expect("a token of at most 256 characters")
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HeaderName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.bytes().find(|&b| !is_token(b)) {
            None if text.is_empty() => Err("a header name cannot be empty".into()),
            None if text.len() > 256 => Err("a header name has at most 256 characters".into()),
            None => Ok(Self(text.to_ascii_lowercase().into())),
            Some(b) => Err(format!("{:?} cannot stand in a header name", char::from(b))),
        }
    }
}

text_type!(HeaderName, expects: "a header name", schema: {
    "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
});

/// The value of a header: without control characters, at most 8192 bytes. It may be a secret, so its `Debug` text is masked.
#[derive(Clone, Eq, PartialEq)]
pub struct HeaderValue(::http::HeaderValue);

impl HeaderValue {
    /// The value as it goes on the wire.
    pub const fn get(&self) -> &::http::HeaderValue {
        &self.0
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl FromStr for HeaderValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > 8192 {
            return Err("the value of a header has at most 8192 bytes".into());
        }
        let value = ::http::HeaderValue::from_str(text);
        value.map(Self).map_err(|_| "no header can have this value: leave out control characters".into())
    }
}

text_type!(HeaderValue, expects: "a text", schema: { "type": "string", "maxLength": 8192 });

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
