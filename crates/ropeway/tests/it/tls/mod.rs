//! TLS with clients.

mod certificates;
mod clients;
mod eras;
mod handshakes;
mod stream;

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use testkit::{Authority, Backend, Demand, Identity, Initiator, Peer, Serving, TestGateway, op};

fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// The lines of a server that shows `identity`.
pub(crate) fn shows(identity: &Identity) -> String {
    let (certificate, key) = (base64(&identity.certificate), base64(&identity.key));
    format!("https: true\ncertBase64: {certificate}\nkeyBase64: {key}\n")
}

/// Documents with one route to `backend`, and these lines of the server.
fn documents(backend: SocketAddr, server: &str) -> String {
    format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n{server}rules:\n\
         - paths: [{{ pathPrefix: /ws, backend: NAME-ws }}]\n---\nname: NAME-ws\nkind: Pipeline\nfilters:\n\
         - kind: WebSocketProxy\n  name: proxy\n  pools:\n  - servers: [{{ url: 'ws://{backend}' }}]\n\
         \x20   clientMaxMsgSize: -1\n    serverMaxMsgSize: -1\n    closeTimeout: 1s\n"
    )
}

/// A gateway in front of an echo, with these lines of the server.
pub(crate) fn gateway(server: &str) -> (TestGateway, Serving) {
    let echo = Backend::listen().echo();
    (TestGateway::start(&documents(echo.address, server)), echo)
}

/// Asks for `name`, and believes `authority`.
pub(crate) fn demand<'a>(name: &'a str, authority: &'a Authority) -> Demand<'a> {
    Demand { name, authority, identity: None, version: None }
}

/// A WebSocket through TLS; `None` where TLS does not come about.
fn try_open(tls: &Initiator) -> Option<Peer> {
    let mut client = Peer::shake(tls.address, "/ws", "");
    let head = client.head_or_end()?;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    Some(client)
}

fn open(tls: &Initiator) -> Peer {
    try_open(tls).expect("a WebSocket through TLS")
}

/// Sends a message and gets it back.
fn echo(client: &mut Peer, message: &[u8]) {
    client.send(&testkit::masked(op::BINARY, message));
    let echo = client.frame();
    assert!((echo.opcode, &*echo.payload) == (op::BINARY, message), "not the same came back");
}
