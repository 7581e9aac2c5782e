//! Ordinary HTTP through the gateway, as clients and servers see it on the wire.

mod bodies;
mod connections;
mod exchange;
mod addresses;
mod h2;
mod hygiene;
mod malformed;
mod proxied;
mod real;
mod routing;
mod sockets;
mod stalls;
mod sticky;

use std::net::SocketAddr;

use testkit::{Peer, TestGateway};

use crate::handshake::indented;

/// A gateway that leads every path to servers by a `Proxy`, and further lines for each place of its documents, each at
/// its left margin.
#[derive(Clone, Copy, Default)]
struct Setup<'a> {
    server: &'a str,
    path: &'a str,
    filter: &'a str,
    pool: &'a str,
}

impl Setup<'_> {
    fn documents(self, urls: &[String]) -> String {
        let servers: String = urls.iter().map(|url| format!("    - url: {url}\n")).collect();
        let (server, path) = (indented("", self.server), indented("    ", self.path));
        let (filter, pool) = (indented("  ", self.filter), indented("    ", self.pool));
        format!(
            "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n{server}rules:\n- paths:\n\
             \x20 - pathPrefix: /\n    backend: NAME-http\n{path}---\nname: NAME-http\nkind: Pipeline\nfilters:\n\
             - kind: Proxy\n  name: proxy\n{filter}  pools:\n  - servers:\n{servers}{pool}"
        )
    }

    fn to(self, backends: &[SocketAddr]) -> TestGateway {
        let urls: Vec<_> = backends.iter().map(|address| format!("http://{address}")).collect();
        TestGateway::start(&self.documents(&urls))
    }
}

/// A gateway to `backends` that is as usual.
fn to(backends: &[SocketAddr]) -> TestGateway {
    Setup::default().to(backends)
}

/// A request without a body.
fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n{headers}\r\n")
}

/// Sends `request` on a connection of its own.
fn ask(gateway: &TestGateway, request: &str) -> Peer {
    let mut client = Peer::connect(gateway.address);
    client.send(request.as_bytes());
    client
}

/// Reads a chunked body with its trailers, and gives both.
fn chunked(peer: &mut Peer) -> (Vec<u8>, String) {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&line(peer), 16).unwrap();
        if size == 0 {
            let mut trailers = String::new();
            loop {
                match line(peer) {
                    end if end.is_empty() => return (body, trailers),
                    field => trailers += &format!("{field}\n"),
                }
            }
        }
        body.extend(peer.bytes(size));
        assert_eq!(line(peer), "");
    }
}

/// A line without its end.
fn line(peer: &mut Peer) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(peer.bytes(1));
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// The value of a header in a head.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
