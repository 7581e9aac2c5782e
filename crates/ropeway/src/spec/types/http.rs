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
    /// 200.
    pub const OK: Self = Self(200);

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

/// The name of a header, in lower case (RFC 9110 section 5.1: a token, letter case does not matter).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HeaderName(Box<str>);

impl HeaderName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
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

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
