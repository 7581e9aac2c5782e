//! A changed configuration under live tunnels.

mod edits;
mod forecast;
mod limits;
mod listeners;
mod removal;
pub(crate) mod soak;
mod unhealthy;

use std::net::SocketAddr;

use testkit::{Peer, Serving, TestGateway, frame, op};

/// Documents of one server, with `rules` behind the first that leads to the pools, each given as the lines of one in
/// braces; `more` are further documents.
fn documents(pools: &[String], rules: &str, more: &str) -> String {
    let pools: String = pools.iter().map(|pool| format!("  - {pool}\n")).collect();
    format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\nrules:\n\
         - paths: [{{ pathPrefix: /ws, backend: NAME-ws }}]\n{rules}---\nname: NAME-ws\nkind: Pipeline\nfilters:\n\
         - kind: WebSocketProxy\n  name: proxy\n  pools:\n{pools}{more}"
    )
}

/// A pool of these servers, with further fields.
fn pool(servers: &[SocketAddr], fields: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|server| format!("{{ url: 'ws://{server}' }}")).collect();
    format!("{{ servers: [{}]{fields} }}", servers.join(", "))
}

fn echoes(count: usize) -> (Vec<Serving>, Vec<SocketAddr>) {
    let servers: Vec<_> = (0..count).map(|_| testkit::Backend::listen().echo()).collect();
    let addresses = servers.iter().map(|server| server.address).collect();
    (servers, addresses)
}

fn open(gateway: &TestGateway) -> Peer {
    let mut client = Peer::shake(gateway.address, "/ws", "");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

fn open_many(gateway: &TestGateway, count: usize) -> Vec<Peer> {
    (0..count).map(|_| open(gateway)).collect()
}

/// Sends a message and gets it back.
fn echo(client: &mut Peer, text: &[u8]) {
    client.send(&testkit::masked(op::TEXT, text));
    let echo = client.frame();
    assert_eq!((echo.opcode, &*echo.payload), (op::TEXT, text));
}

/// The Close frame that the gateway says; the client answers it, and leaves.
fn farewell(client: &mut Peer) -> (u16, String) {
    let close = client.frame();
    assert_eq!(close.opcode, op::CLOSE);
    client.send(&frame(0x88, Some([1, 2, 3, 4]), &close.payload));
    client.finish();
    close.close()
}

/// What `/status` tells.
pub(crate) fn status(gateway: &TestGateway) -> serde_json::Value {
    let mut peer = Peer::connect(gateway.admin().unwrap());
    peer.send(b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(peer.rest()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    serde_json::from_str(body).unwrap()
}
