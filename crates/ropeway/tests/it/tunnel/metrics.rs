//! What `/metrics` says of tunnels, while they live and after.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ropeway::app::Options;
use ropeway::tunnel::Side::{Client, Server};
use testkit::{Backend, Peer, TestGateway, eventually, op};

use super::{close, part, whole};

#[test]
fn tell_of_live_and_ended_tunnels() {
    let backend = Backend::listen();
    let documents = documents(backend.address);
    let options = Options { workers: 2, admin: Some(([127, 0, 0, 1], 0).into()), ..Options::default() };
    let gateway = TestGateway::start_with(&documents, &options);
    let admin = gateway.admin().unwrap();
    let reach = |name: &str, value: u64| {
        eventually(&format!("{name} becomes {value}"), || {
            (scrape(admin).get(name).copied().unwrap_or(0) == value).then_some(())
        });
    };
    reach("ropeway_tunnels", 0);

    let mut live: Vec<_> = (0..6).map(|_| gateway.tunnel(&backend)).collect();
    reach("ropeway_tunnels", 6);
    let (client, server) = &mut live[0];
    // A message in two fragments with a ping between them is one message, and the ping is none.
    let sent = [
        part(Client, op::TEXT, b"one"),
        whole(Client, op::PING, b"?"),
        whole(Client, op::CONTINUATION, b"two"),
    ];
    client.send(&sent.concat());
    server.bytes(sent.concat().len());
    server.send(&whole(Server, op::BINARY, &[0; 1000]).repeat(3));
    client.bytes(3 * 1004);
    // And a frame under way counts as far as it has passed.
    client.send(&whole(Client, op::BINARY, &[0; 500])[..108]);
    server.bytes(108);
    let moved = [
        ("ropeway_messages_total{direction=\"to_server\"}", 1),
        ("ropeway_messages_total{direction=\"to_client\"}", 3),
        ("ropeway_payload_bytes_total{direction=\"to_server\"}", 106),
        ("ropeway_payload_bytes_total{direction=\"to_client\"}", 3000),
    ];
    moved.iter().for_each(|(name, value)| reach(name, *value));

    let ends: [fn(&mut Peer, &mut Peer); 6] = [
        |client, _| client.finish(),
        |client, _| client.send(&close(Client, 1000, "")),
        |_, server| server.send(&close(Server, 1000, "")),
        |_, server| server.finish(),
        |client, _| client.send(&whole(Client, 3, b"")),
        |_, server| server.send(&whole(Server, op::BINARY, &[0; 32_770])),
    ];
    for ((client, server), end) in live.iter_mut().zip(ends) {
        end(client, server);
    }
    reach("ropeway_tunnels", 0);
    let ended = [
        ("client", "vanished"),
        ("client", "closed"),
        ("server", "closed"),
        ("server", "vanished"),
        ("client", "violation:reserved_opcode"),
        ("server", "too_big"),
    ];
    for (by, cause) in ended {
        reach(&format!("ropeway_tunnels_ended_total{{ended_by=\"{by}\",cause=\"{cause}\"}}"), 1);
    }
    // What ended tunnels have moved is not forgotten, and what did not pass is not counted.
    moved.iter().for_each(|(name, value)| reach(name, *value));
}

fn documents(backend: SocketAddr) -> String {
    format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\nrules:\n- paths:\n  - pathPrefix: /ws\n\
         \x20   backend: NAME-ws\n---\nname: NAME-ws\nkind: Pipeline\nfilters:\n- kind: WebSocketProxy\n\
         \x20 name: proxy\n  pools:\n  - servers:\n    - url: ws://{}\n    closeTimeout: 50ms\n",
        backend
    )
}

/// Every sample by its name and labels.
fn scrape(admin: SocketAddr) -> BTreeMap<String, u64> {
    let mut peer = Peer::connect(admin);
    peer.send(b"GET /metrics HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n");
    let head = peer.head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let body = String::from_utf8(peer.rest()).unwrap();
    assert!(body.ends_with("# EOF\n"), "{body}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}
