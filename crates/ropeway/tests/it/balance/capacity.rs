//! Servers and pools that have enough.

use testkit::{Backend, Peer, TestGateway, eventually};

/// A gateway with two servers; `server` and `pool` are further fields of each server and of the pool.
fn gateway(backends: &[Backend; 2], server: &str, pool: &str) -> TestGateway {
    let servers = backends.each_ref().map(|backend| format!("{{ url: 'ws://{}'{server} }}", backend.address));
    TestGateway::start(&format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\nrules:\n- paths: [{{ backend: NAME-ws }}]\n---\n\
         name: NAME-ws\nkind: Pipeline\nfilters:\n- kind: WebSocketProxy\n  name: proxy\n  pools:\n\
         \x20 - {{ servers: [{}]{pool} }}\n",
        servers.join(", ")
    ))
}

/// Opens a tunnel: its client, its server, and which of the backends that is. `None` where there is no capacity.
fn open(gateway: &TestGateway, backends: &[Backend; 2]) -> Option<(Peer, Peer, usize)> {
    let mut client = Peer::shake(gateway.address, "/ws", "");
    let server = eventually("an answer, or a backend's turn", || {
        let taken = (0..2).find_map(|number| Some((backends[number].try_accept()?, number)));
        taken.map(Some).or_else(|| client.is_readable().then_some(None))
    });
    let Some((mut server, number)) = server else {
        let head = client.head().to_lowercase();
        assert!(head.starts_with("http/1.1 503 "), "{head}");
        assert!(head.contains("\r\nx-ropeway-error: no_capacity\r\n"), "{head}");
        assert!(head.contains("\r\nretry-after: 1\r\n"), "{head}");
        return None;
    };
    let head = server.head();
    server.send(Backend::answer(&head, "").as_bytes());
    client.head();
    Some((client, server, number))
}

#[test]
fn a_full_server_is_passed_over_and_full_servers_are_a_503() {
    for (server, pool, most) in [
        (", maxConnections: 2", "", 4),
        (", maxConnections: 1", ", maxRetries: 0", 2),
        ("", ", maxConnections: 3", 3),
        (", maxConnections: 2", ", maxConnections: 3, loadBalance: { policy: ipHash }", 3),
    ] {
        let backends = [Backend::listen(), Backend::listen()];
        let gateway = gateway(&backends, server, pool);
        let mut tunnels: Vec<_> = (0..most).map(|_| open(&gateway, &backends).expect("room")).collect();
        assert!(open(&gateway, &backends).is_none(), "{server}{pool}: more than {most}");
        if server.contains('2') && most == 4 {
            assert_eq!(tunnels.iter().filter(|(_, _, number)| *number == 0).count(), 2);
        }
        for _ in 0..3 {
            drop(tunnels.pop());
            let again = eventually("room where a tunnel ended", || open(&gateway, &backends));
            tunnels.push(again);
            assert!(open(&gateway, &backends).is_none(), "{server}{pool}: more than {most} again");
        }
    }
}
