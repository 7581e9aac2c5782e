//! The opening handshake as clients and backends see it on the wire.

mod admin;
mod answers;
mod failover;
mod forwarding;
pub(crate) mod invalid;
mod leaks;
mod origin;
mod refusals;
mod requests;
mod splits;

use std::net::SocketAddr;

use testkit::{Backend, Peer, TestGateway, eventually};

/// A gateway with one route `/ws` to one pool, and further lines for each place of its documents, each at its left
/// margin.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    pub(crate) server: &'a str,
    pub(crate) path: &'a str,
    pub(crate) filter: &'a str,
    pub(crate) pool: &'a str,
}

impl Setup<'_> {
    /// Its documents; each of `servers` is the inside of a YAML flow mapping.
    pub(crate) fn documents(self, servers: &[String]) -> String {
        let servers: String = servers.iter().map(|server| format!("    - {{{server}}}\n")).collect();
        let path = indented("    ", self.path);
        let filter = indented("  ", self.filter);
        let pool = indented("    ", self.pool);
        let server = indented("", self.server);
        format!(
            "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n{server}rules:\n- paths:\n\
             \x20 - pathPrefix: /ws\n    backend: NAME-ws\n{path}---\nname: NAME-ws\nkind: Pipeline\nfilters:\n\
             - kind: WebSocketProxy\n  name: proxy\n{filter}  pools:\n  - servers:\n{servers}{pool}"
        )
    }

    /// Starts it.
    fn start(self, servers: &[String]) -> TestGateway {
        TestGateway::start(&self.documents(servers))
    }

    /// Starts it with servers named by their addresses.
    fn to(self, backends: &[SocketAddr]) -> TestGateway {
        let servers: Vec<_> = backends.iter().map(|address| format!("url: 'ws://{address}'")).collect();
        self.start(&servers)
    }
}

pub(crate) fn indented(margin: &str, lines: &str) -> String {
    lines.lines().map(|line| format!("{margin}{line}\n")).collect()
}

/// The backend's end of a handshake that `client` has sent.
fn meet(client: &mut Peer, backend: &Backend, name: &str) -> Peer {
    let server = eventually("an answer, or the backend's turn", || {
        backend.try_accept().map(Some).or_else(|| client.is_readable().then_some(None))
    });
    server.unwrap_or_else(|| panic!("{name}: the gateway answered by itself: {:?}", Answer::read(client)))
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// Reads an answer with its whole body; one that tells no length, to the end of the connection.
    pub(crate) fn read(peer: &mut Peer) -> Answer {
        let head = peer.head();
        let length = values(&head, "content-length").first().map(|length| length.parse().unwrap());
        let body = match length {
            Some(length) => peer.bytes(length),
            None if values(&head, "transfer-encoding") == ["chunked"] => dechunked(&peer.rest()),
            None => peer.rest(),
        };
        Answer { head, body }
    }

    /// Reads the head of an answer; what follows stays with `peer`.
    pub(crate) fn head(peer: &mut Peer) -> Answer {
        Answer { head: peer.head(), body: Vec::new() }
    }

    /// Reads an answer to HEAD.
    pub(crate) fn without_body(peer: &mut Peer) -> Answer {
        Answer { head: peer.head(), body: Vec::new() }
    }

    pub(crate) fn status(&self) -> u16 {
        let code = self.head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        code.unwrap_or_else(|| panic!("not a status line of HTTP/1.1: {}", self.head)).parse().unwrap()
    }

    /// The values of all lines of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.head, name)
    }

    /// The gateway's own code for what went wrong.
    pub(crate) fn error(&self) -> Option<&str> {
        self.values("x-ropeway-error").first().copied()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// The values of all lines of a header, in order, whatever the letter case of its name.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

/// The content of a whole chunked body.
fn dechunked(mut raw: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let line = raw.windows(2).position(|two| two == b"\r\n").expect("the length of a chunk");
        let length = usize::from_str_radix(std::str::from_utf8(&raw[..line]).unwrap(), 16).unwrap();
        let (chunk, rest) = raw[line + 2..].split_at(length);
        content.extend_from_slice(chunk);
        raw = rest.strip_prefix(b"\r\n").expect("a chunk ends with a line end");
        if length == 0 {
            assert_eq!(raw, b"", "nothing follows a body on a connection that closes");
            return content;
        }
    }
}
