//! Tunnels that go on in another process: here in a second gateway of this one.

mod cases;
mod figures;
mod traffic;

use std::net::SocketAddr;

use ropeway::app::Options;
use ropeway::tunnel::registry::Progress;
use testkit::{Backend, Peer, TestGateway};

/// Documents with one route to `backend`, and these fields of the server and of the pool.
fn documents(backend: SocketAddr, server: &str, pool: &str) -> String {
    format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n{server}rules:\n\
         - paths: [{{ pathPrefix: /ws, backend: NAME-ws }}]\n---\nname: NAME-ws\nkind: Pipeline\nfilters:\n\
         - kind: WebSocketProxy\n  name: proxy\n  pools:\n  - {{ servers: [{{ url: 'ws://{backend}' }}]{pool} }}\n"
    )
}

fn start(documents: &str) -> TestGateway {
    let options = Options { workers: 2, admin: Some(([127, 0, 0, 1], 0).into()), ..Options::default() };
    TestGateway::start_with(documents, &options)
}

/// A gateway and its twin in front of a backend, with these fields of the pool.
fn twins(pool: &str) -> (Backend, TestGateway, TestGateway) {
    let backend = Backend::listen();
    let documents = documents(backend.address, "", pool);
    let gateway = start(&documents);
    let twin = gateway.twin(&documents);
    (backend, gateway, twin)
}

/// Opens a tunnel with these headers of the request and of the answer.
fn open(gateway: &TestGateway, backend: &Backend, asked: &str, answered: &str) -> (Peer, Peer) {
    let mut client = Peer::shake(gateway.address, "/ws", asked);
    let (server, _) = backend.accept_websocket(answered);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, server)
}

/// How many tunnels there are, and what all so far have moved.
fn totals(gateway: &TestGateway) -> (usize, Progress) {
    let totals = gateway.registries().totals().into_iter().map(|answer| answer.blocking_recv().unwrap());
    totals.fold(Default::default(), |sum, each| (sum.0 + each.0, sum.1 + each.1))
}
