//! Addresses of backends.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use super::text_type;

/// The URL of one backend: `ws`, `wss`, `http` or `https`, a host, maybe a port; or `unix:` and a path.
///
/// Two URLs are equal if they name the same scheme, host, port, path and query; `http` is `ws` and `https` is `wss`.
#[derive(Clone, Debug)]
pub struct ServerUrl {
    scheme: Scheme,
    host: Host,
    port: u16,
    authority: Box<str>,
    target: Box<str>,
}

impl ServerUrl {
    /// Whether to speak TLS.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where to connect.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port as written, else the scheme's own (80 or 443). Without meaning for a Unix socket.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `host[:port]` as written: what a `Host` header says; `localhost` for a Unix socket.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query, `/` if there are none. Health checks ask for them; a client's request keeps its own.
    pub fn target(&self) -> &str {
        &self.target
    }
}

impl Eq for ServerUrl {}

impl PartialEq for ServerUrl {
    fn eq(&self, other: &Self) -> bool {
        (self.scheme, self.port, &self.host, &self.target)
            == (other.scheme, other.port, &other.host, &other.target)
    }
}

/// The normalised form: `ws` or `wss`, the host in lower case, always a port; or `unix:` and the path.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Host::Unix(_) = self.host {
            return self.host.fmt(f);
        }
        let scheme = if self.scheme.is_tls() { "wss" } else { "ws" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Whether a backend is spoken to in the clear or over TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// `ws` or `http`.
    Plain,
    /// `wss` or `https`.
    Tls,
}

impl Scheme {
    /// Whether this is TLS.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Tls)
    }
}

/// Where a backend lives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// An address, to be dialled as it is.
    Ip(IpAddr),
    /// A name to be resolved, in lower case.
    Name(Box<str>),
    /// The path of a Unix socket, or `@` and a name that stands in no directory (Linux).
    Unix(Box<str>),
}

/// What the system has room for: `sun_path` without its last byte.
const MAX_UNIX_PATH: usize = 107;

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("the URL of a server starts with ws://, wss://, http://, https:// or unix:".into());
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => Scheme::Plain,
            "wss" | "https" => Scheme::Tls,
            _ => {
                return Err(format!(
                    "`{scheme}` is not a scheme of a server: use ws, wss, http, https or unix"
                ));
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("a user and password cannot stand in the URL of a server".into());
        }
        let (host, port) = split_port(authority)?;
        Ok(Self {
            scheme,
            host: host_of(host)?,
            port: port.unwrap_or(if scheme.is_tls() { 443 } else { 80 }),
            authority: authority.into(),
            target: target_of(target)?.into(),
        })
    }
}

text_type!(ServerUrl, expects: "a URL such as ws://127.0.0.1:9095", schema: {
    "type": "string",
    "pattern": "^(([Ww][Ss]|[Hh][Tt][Tt][Pp])[Ss]?://[^/?#@]+([/?#].*)?|unix:[/@].+)$",
    "examples": ["ws://127.0.0.1:9095", "wss://backend.internal", "unix:/run/backend.sock"],
});

/// A host, maybe with a port: what `Host` says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authority(Box<str>);

impl Authority {
    /// It as the value of `Host`.
    pub fn to_header(&self) -> http::HeaderValue {
        http::HeaderValue::from_str(&self.0).expect("letters, digits and a few signs")
    }
}

impl FromStr for Authority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, _) = split_port(text)?;
        host_of(host).map(|_| Self(text.into()))
    }
}

text_type!(Authority, expects: "a host such as example.com:8080", schema: {
    "type": "string", "pattern": "^[^/?#@ ]+$"
});

fn unix(path: &str) -> Result<ServerUrl, String> {
    if !path.starts_with(['/', '@']) || path.len() < 2 {
        return Err("write the path of a Unix socket from the root, like `unix:/run/backend.sock`".into());
    }
    if path.len() > MAX_UNIX_PATH || path.contains('\0') {
        return Err(format!("the path of a Unix socket has at most {MAX_UNIX_PATH} bytes, none of them NUL"));
    }
    Ok(ServerUrl {
        scheme: Scheme::Plain,
        host: Host::Unix(path.into()),
        port: 0,
        authority: "localhost".into(),
        target: "/".into(),
    })
}

/// The path and query in what follows the authority; a fragment is never sent (RFC 9110 7.1).
fn target_of(rest: &str) -> Result<String, String> {
    let target = rest.split_once('#').map_or(rest, |(target, _)| target);
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    match target.parse::<http::uri::PathAndQuery>() {
        Ok(_) => Ok(target),
        Err(_) => Err(format!("`{target}` is not a path: write spaces and their like as `%20`")),
    }
}

/// Splits `host[:port]`; an IPv6 address keeps its brackets.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let host_end = match authority.strip_prefix('[') {
        Some(_) => authority.find(']').ok_or("the `[` of the address is not closed")? + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        None => Err(format!("`{port}` cannot follow the host")),
        Some(port) if port.contains(':') => {
            Err("an IPv6 address stands in brackets: write it like `[::1]:9095`".into())
        }
        Some(port) if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) => {
            Err(format!("`{port}` is not a port: from 1 to 65535"))
        }
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => Err(format!("`{port}` is not a port: from 1 to 65535")),
            Ok(port) => Ok((host, Some(port))),
        },
    }
}

fn host_of(text: &str) -> Result<Host, String> {
    if let Some(ip) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return match ip.parse::<Ipv6Addr>() {
            Ok(ip) => Ok(Host::Ip(ip.into())),
            Err(_) => Err(format!("`{ip}` is not an IPv6 address")),
        };
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Host::Ip(ip));
    }
    if text.is_empty() {
        return Err("the host is missing".into());
    }
    let is_name = text.len() <= 253
        && text.trim_end_matches('.').split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    // digits and dots only, but no address: `10.0.0.256` must not become a name to resolve
    let like_ip = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !is_name || like_ip {
        return Err(format!("`{text}` is not a host name or an IP address"));
    }
    Ok(Host::Name(text.to_ascii_lowercase().into()))
}

#[cfg(test)]
mod tests {
    use super::{Host, ServerUrl};

    #[test]
    fn reads_and_normalises() {
        for (text, normal, authority, target) in [
            ("ws://127.0.0.1:9095", "ws://127.0.0.1:9095", "127.0.0.1:9095", "/"),
            ("http://Back.End/", "ws://back.end:80", "Back.End", "/"),
            ("WSS://[::1]", "wss://[::1]:443", "[::1]", "/"),
            ("https://a:8443/chat?x=1", "wss://a:8443", "a:8443", "/chat?x=1"),
            ("ws://svc_a.ns.?q", "ws://svc_a.ns.:80", "svc_a.ns.", "/?q"),
            ("ws://a/b#c?d", "ws://a:80", "a", "/b"),
            ("unix:/run/a.sock", "unix:/run/a.sock", "localhost", "/"),
            ("unix:@a", "unix:@a", "localhost", "/"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.authority(), url.target()),
                (normal, authority, target)
            );
        }
        assert!(matches!("ws://10.0.0.1".parse::<ServerUrl>().unwrap().host(), Host::Ip(_)));
        assert_eq!("http://A".parse::<ServerUrl>(), "ws://a:80/".parse::<ServerUrl>());
        assert_ne!("ws://a/x".parse::<ServerUrl>(), "ws://a/y".parse::<ServerUrl>());
    }

    #[test]
    fn refuses_what_cannot_be_dialled() {
        for text in [
            "",
            "127.0.0.1:9095",
            "ftp://a",
            "ws://",
            "ws://:80",
            "ws://a:",
            "ws://a:0",
            "ws://a:65536",
            "ws://a:+80",
            "ws://u:p@a",
            "ws://::1",
            "ws://[::1",
            "ws://[::1]x",
            "ws://[a]",
            "ws://a b",
            "ws://10.0.0.256",
            "ws://.",
            "ws://a..b",
            "ws://é",
            "unix:",
            "unix:/",
            "unix:run/a.sock",
            "unix:/a\0b",
            &format!("unix:/{}", "a".repeat(107)),
            "ws://a/b c",
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
    }
}
