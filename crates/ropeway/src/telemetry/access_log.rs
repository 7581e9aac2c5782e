//! Lines of the access log: one for each request, in a form of the user's own, on standard output.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::HeaderMap;
use http::{StatusCode, request};

use super::clock::Moment;
use super::log;
use crate::spec::is_secret_key;
use crate::spec::types::{AccessFormat, AccessPart, Placeholder};

/// More of a path is not logged.
const MAX_URI: usize = 512;

/// What is known of a request so far.
#[derive(Debug)]
pub struct Entry {
    format: Arc<AccessFormat>,
    began: (SystemTime, Instant),
    peer: SocketAddr,
    head: Head,
    /// The client's address.
    pub client: IpAddr,
    /// `server/rule/path`, once there is one.
    pub route: Option<Arc<str>>,
}

#[derive(Debug)]
struct Head {
    method: String,
    uri: String,
    proto: String,
    headers: HeaderMap,
}

/// What is known of its answer, once that was sent.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The code of the gateway's own answers, or nothing.
    pub error: String,
    /// The headers.
    pub headers: HeaderMap,
    /// Bytes of the request's body that were read.
    pub received: u64,
    /// Bytes of its own body that were sent.
    pub sent: u64,
}

impl Entry {
    /// For a request that has just come from `peer`.
    pub fn new(format: Arc<AccessFormat>, head: &request::Parts, peer: SocketAddr) -> Self {
        // Over HTTP/2 it has scheme and authority, too; CONNECT has nothing but an authority.
        let target = head.uri.path_and_query();
        let uri = target.map_or_else(|| head.uri.to_string(), ToString::to_string);
        let head = Head {
            method: head.method.to_string(),
            uri: shortened(&uri),
            proto: format!("{:?}", head.version),
            headers: head.headers.clone(),
        };
        let client = peer.ip().to_canonical();
        Entry { format, began: (SystemTime::now(), Instant::now()), peer, head, client, route: None }
    }

    /// Writes the line.
    pub fn write(&self, answer: &Answer) {
        log::access(&self.line(answer));
    }

    fn line(&self, answer: &Answer) -> String {
        let mut line = String::new();
        for part in self.format.parts() {
            match part {
                AccessPart::Literal(text) => line.push_str(text),
                AccessPart::Placeholder(placeholder) => escape(&self.value(*placeholder, answer), &mut line),
            }
        }
        line
    }

    fn value(&self, placeholder: Placeholder, answer: &Answer) -> String {
        match placeholder {
            Placeholder::Duration => format!("{:?}", self.began.1.elapsed()),
            Placeholder::Error => answer.error.clone(),
            Placeholder::Method => self.head.method.clone(),
            Placeholder::Proto => self.head.proto.clone(),
            Placeholder::RealIp => self.client.to_string(),
            Placeholder::RemoteAddr => self.peer.to_string(),
            Placeholder::ReqHeaders => shown(&self.head.headers),
            Placeholder::ReqSize => answer.received.to_string(),
            Placeholder::RespHeaders => shown(&answer.headers),
            Placeholder::RespSize => answer.sent.to_string(),
            Placeholder::Route => self.route.as_deref().unwrap_or("-").to_owned(),
            Placeholder::StatusCode => answer.status.as_u16().to_string(),
            Placeholder::Tags => self.tags(answer),
            Placeholder::Time => Moment::at(self.began.0).to_string(),
            Placeholder::Uri => self.head.uri.clone(),
        }
    }

    fn tags(&self, answer: &Answer) -> String {
        let route = self.route.as_ref().map(|route| format!("route: {route}"));
        let error = Some(&answer.error).filter(|error| !error.is_empty());
        let tags: Vec<_> = route.into_iter().chain(error.map(|error| format!("error: {error}"))).collect();
        tags.join(" | ")
    }
}

fn shortened(uri: &str) -> String {
    match uri.get(..uri.floor_char_boundary(MAX_URI)) {
        Some(beginning) if beginning.len() < uri.len() => format!("{beginning}..."),
        _ => uri.to_owned(),
    }
}

/// `a: [1 2], b: [3]`, without secrets.
fn shown(headers: &HeaderMap) -> String {
    let lines = headers.keys().map(|name| {
        let values = headers.get_all(name).iter();
        let values = values.map(|value| match is_secret(name.as_str()) {
            true => "***".into(),
            false => String::from_utf8_lossy(value.as_bytes()),
        });
        format!("{name}: [{}]", values.collect::<Vec<_>>().join(" "))
    });
    lines.collect::<Vec<_>>().join(", ")
}

/// Browsers can put a token into `Sec-WebSocket-Protocol` only; a certificate says who somebody is.
fn is_secret(name: &str) -> bool {
    is_secret_key(name) || matches!(name, "sec-websocket-protocol" | "client-cert" | "client-cert-chain")
}

/// Keeps what a client says from ending a line, a quoted field, or the string that it is in a line of JSON.
fn escape(value: &str, line: &mut String) {
    for character in value.chars() {
        match character {
            '"' | '\\' => line.extend(['\\', character]),
            control if control.is_control() => {
                // Writing to a string does not fail.
                let _ = write!(line, "\\u{:04x}", u32::from(control));
            }
            other => line.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::SET_COOKIE;

    use super::*;

    #[test]
    fn a_line_has_what_the_format_asks_for() {
        let long = format!("/{}", "a".repeat(600));
        let request = Request::get(&long).header("a", "1").header("a", "\"\\").header("cookie", "secret");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let text = "{{RemoteAddr}} {{RealIP}} {{Method}} {{URI}} {{Proto}} {{StatusCode}} {{Error}} {{Route}} rx:{{ReqSize}} \
                    tx:{{RespSize}} [{{Tags}}] {{ReqHeaders}} {{RespHeaders}}";
        let mut entry = Entry::new(Arc::new(text.parse().unwrap()), &head, "192.0.2.1:5".parse().unwrap());
        let mut headers = HeaderMap::new();
        headers.insert("x", "\u{e9}".parse().unwrap());
        headers.insert(SET_COOKIE, "secret".parse().unwrap());
        let error = "no_server".to_owned();
        let answer = Answer { status: StatusCode::OK, error, headers, received: 3, sent: 4 };
        let without_route = entry.line(&answer);
        assert!(without_route.contains(" - rx:3 tx:4 [error: no_server] "), "{without_route}");
        entry.route = Some("a/0/0".into());
        let uri = format!("/{}...", "a".repeat(511));
        assert_eq!(
            entry.line(&answer),
            format!(
                "192.0.2.1:5 192.0.2.1 GET {uri} HTTP/1.1 200 no_server a/0/0 rx:3 tx:4 [route: a/0/0 | error: \
                 no_server] a: [1 \\\"\\\\], cookie: [***] x: [\u{e9}], set-cookie: [***]"
            )
        );
    }

    #[test]
    fn a_target_is_path_and_query_however_it_comes() {
        let rows = [
            ("GET", "/a%20b?c=d", "/a%20b?c=d"),
            ("GET", "https://user:secret@a.example/a%20b?c=d", "/a%20b?c=d"),
            ("OPTIONS", "*", "*"),
            ("CONNECT", "a.example:443", "a.example:443"),
        ];
        for (method, target, expected) in rows {
            let (head, ()) = Request::builder().method(method).uri(target).body(()).unwrap().into_parts();
            let entry =
                Entry::new(Arc::new("{{URI}}".parse().unwrap()), &head, "192.0.2.1:5".parse().unwrap());
            assert_eq!(entry.head.uri, expected, "{method} {target}");
        }
    }

    #[test]
    fn secrets_are_masked_by_their_names() {
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "x-api-key",
            "x-auth-token",
            "sec-websocket-protocol",
            "client-cert",
            "client-cert-chain",
            "x-csrf-token",
            "x-amz-security-token",
        ] {
            let mut headers = HeaderMap::new();
            headers.append(name, "hunter2".parse().unwrap());
            headers.append(name, "hunter3".parse().unwrap());
            assert_eq!(shown(&headers), format!("{name}: [*** ***]"));
        }
    }

    #[test]
    fn nothing_a_peer_says_ends_a_line() {
        let mut line = String::new();
        escape("a\r\n\u{1b}[2J\u{85}\"\\", &mut line);
        assert_eq!(line, "a\\u000d\\u000a\\u001b[2J\\u0085\\\"\\\\");
    }
}
