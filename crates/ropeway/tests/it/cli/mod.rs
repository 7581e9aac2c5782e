//! The command line, as its user meets it.

mod backends;
mod demo;
mod logs;
pub(crate) mod process;
mod run;
mod texts;

use std::net::SocketAddr;

use testkit::{Backend, Peer};

/// One server with the route `/ws` to a pool of `backends`; `pool` holds further lines of the pool.
fn documents(port: u16, backends: &[SocketAddr], pool: &str) -> String {
    let servers: String = backends.iter().map(|address| format!("    - url: ws://{address}\n")).collect();
    let pool: String = pool.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "name: front\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\nrules:\n- paths:\n  - path: /ws\n\
         \x20   backend: chat\n---\nname: chat\nkind: Pipeline\nfilters:\n- name: proxy\n  kind: WebSocketProxy\n\
         \x20 pools:\n  - servers:\n{servers}{pool}"
    )
}

/// Opens a tunnel through a gateway: the client's and the backend's end of it, both behind their handshakes.
fn open(gateway: SocketAddr, backend: &Backend, headers: &str) -> (Peer, Peer) {
    let mut client = Peer::shake(gateway, "/ws", headers);
    let (server, _) = backend.accept_websocket("");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, server)
}
