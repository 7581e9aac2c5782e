//! Parts of a request by which a server can be chosen.

use std::{fmt, str::FromStr};

use super::{HeaderName, Pattern, text_type};

/// The part of a request that decides: what has the same there goes to the same server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HashKey {
    /// `ip`: the client's address.
    Ip,
    /// `header:NAME`: the first value of that header.
    Header(HeaderName),
    /// `cookie:NAME`: the value of that cookie.
    Cookie(String),
    /// `query:NAME`: the first value of that query parameter.
    Query(String),
    /// `path:REGEX`: what the first group matches in the path; without groups, what the whole expression does.
    Path(Pattern),
}

/// What can be written.
pub(crate) const FORMS: &str = "`ip`, `header:NAME`, `cookie:NAME`, `query:NAME` or `path:REGEX`";

impl FromStr for HashKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (part, name) = match text.split_once(':') {
            None if text == "ip" => return Ok(Self::Ip),
            Some((_, "")) | None => return Err(format!("`{text}` is not a key: write {FORMS}")),
            Some(parts) => parts,
        };
        match part {
            "header" => name.parse().map(Self::Header),
            "cookie" if !name.bytes().all(is_in_cookie) => {
                Err(format!("`{name}` cannot be the name of a cookie"))
            }
            "cookie" => Ok(Self::Cookie(name.into())),
            "query" => Ok(Self::Query(name.into())),
            "path" => name.parse().map(Self::Path),
            _ => Err(format!("`{part}` is no part of a request: write {FORMS}")),
        }
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Path(pattern) => write!(f, "path:{}", pattern.as_str()),
        }
    }
}

text_type!(HashKey, expects: "a key such as `ip` or `header:NAME`", schema: {
    "type": "string", "pattern": "^(ip|(header|cookie|query|path):.+)$"
});

fn is_in_cookie(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'=' | b';' | b',')
}
