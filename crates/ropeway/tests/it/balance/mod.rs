//! Which server of which pool a handshake reaches.

mod candidates;
mod capacity;
mod counts;
mod policies;
mod sticky;

use ropeway::app::Options;
use testkit::{Backend, Peer, Serving, TestGateway, close, eventually, masked, op};

/// A server that agrees to each handshake, says in its 101 who it is, and does what a good server does.
fn server(name: usize) -> Serving {
    Backend::listen().serve(move |mut peer| {
        let head = peer.head();
        peer.try_send(Backend::answer(&head, &format!("X-Server: {name}\r\n")).as_bytes());
        peer.behave(true);
    })
}

fn servers(count: usize) -> Vec<Serving> {
    (0..count).map(server).collect()
}

/// A gateway with one route to `pools`, each the lines of one: servers, and whatever else. Who connects may say who it
/// is.
fn gateway(pools: &[String]) -> TestGateway {
    let pools: String = pools.iter().map(|pool| pool.replacen("  ", "- ", 1)).collect();
    let pools: String = pools.lines().map(|line| format!("  {line}\n")).collect();
    let documents = format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\ntrustedProxies: [127.0.0.1/32]\nrules:\n\
         - paths:\n  - pathPrefix: /\n    backend: NAME-ws\n---\nname: NAME-ws\nkind: Pipeline\nfilters:\n\
         - kind: WebSocketProxy\n  name: proxy\n  pools:\n{pools}"
    );
    let options = Options { workers: 2, admin: Some(([127, 0, 0, 1], 0).into()), ..Options::default() };
    TestGateway::start_with(&documents, &options)
}

/// The lines of a pool of these servers; `weights` are as many, or none, and `more` stands at the left margin.
fn pool(servers: &[Serving], weights: &[u32], more: &str) -> String {
    let weights = weights.iter().map(|weight| format!(", weight: {weight}"));
    let weights = weights.chain(std::iter::repeat(String::new()));
    let servers = servers.iter().map(|server| server.address).zip(weights);
    let servers = servers.map(|(address, weight)| format!("  - {{url: 'ws://{address}'{weight}}}\n"));
    let more = more.lines().map(|line| format!("  {line}\n"));
    format!("  servers:\n{}{}", servers.collect::<String>(), more.collect::<String>())
}

/// A tunnel, and the number of its server.
fn open(gateway: &TestGateway, path: &str, headers: &str) -> (Peer, usize) {
    let mut client = Peer::shake(gateway.address, path, headers);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let name =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-server: ")?.parse().ok());
    (client, name.unwrap_or_else(|| panic!("no server has answered: {head}")))
}

/// The number of the server that a handshake reaches.
fn reached(gateway: &TestGateway, path: &str, headers: &str) -> usize {
    let (client, server) = open(gateway, path, headers);
    end([client]);
    server
}

/// Ends tunnels as good clients do.
fn end(clients: impl IntoIterator<Item = Peer>) {
    for mut client in clients {
        client.send(&masked(op::CLOSE, &close(1000, "")));
        client.behave(false);
    }
}

/// Waits until so many tunnels are open, and those that have ended count no more. What is logged comes before that.
fn settled(gateway: &TestGateway, tunnels: usize) {
    let expected = format!("\nropeway_tunnels {tunnels}\n");
    eventually("the end of the tunnels", || gateway.metrics().contains(&expected).then_some(()));
}
