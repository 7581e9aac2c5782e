//! Edits that concern no live tunnel.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ropeway::supervisor::plan::Fate;
use testkit::{TestGateway, free_port, records};

use super::{documents, echo, echoes, open, open_many, pool};

#[test]
fn no_edit_ends_a_tunnel_that_it_does_not_concern() {
    let (_servers, addresses) = echoes(3);
    let of = |servers: &[_], fields| documents(&[pool(servers, fields)], "", "");
    let first = of(&addresses[..1], "");
    let other = "---\nname: NAME-other\nkind: Pipeline\nfilters:\n- {kind: Mock, name: mock}\n";
    let page = "- paths: [{ path: /page, backend: NAME-other }]\n";
    let listener =
        format!("---\nname: NAME-more\nkind: HTTPServer\nport: {}\naddress: 127.0.0.1\n", free_port());
    let main = pool(&addresses[..1], "");
    let candidate = pool(&addresses[1..2], ", filter: { headers: { X-Beta: { exact: yes } } }");
    let fates = |added, changed, removed, kept| [added, changed, removed, kept];

    let mut gateway = TestGateway::start(&first);
    let mut clients = open_many(&gateway, 10);
    for (what, documents, expected) in [
        ("a comment", format!("# hello\n{first}"), fates(0, 0, 0, 2)),
        ("a pipeline more", format!("{first}{other}"), fates(1, 0, 0, 2)),
        ("a route more", documents(std::slice::from_ref(&main), page, other), fates(0, 1, 0, 2)),
        ("a listener more", format!("{first}{listener}"), fates(1, 1, 1, 1)),
        ("no listener more", first.clone(), fates(0, 0, 1, 2)),
        ("a candidate before it", documents(&[candidate.clone(), main.clone()], "", ""), fates(0, 1, 0, 1)),
        ("no candidate", first.clone(), fates(0, 1, 0, 1)),
        ("a server more", of(&addresses[..2], ""), fates(0, 1, 0, 1)),
        ("another order", of(&[addresses[1], addresses[0]], ""), fates(0, 1, 0, 1)),
        (
            "another policy",
            of(&addresses[..2], ", loadBalance: { policy: leastConnections }"),
            fates(0, 1, 0, 1),
        ),
        ("a server that none has", of(&[addresses[0], addresses[2]], ""), fates(0, 1, 0, 1)),
        ("another limit", of(&addresses[..1], ", clientMaxMsgSize: 1000"), fates(0, 1, 0, 1)),
        ("a health check", of(&addresses[..1], ", healthCheck: { ws: { uri: / } }"), fates(0, 1, 0, 1)),
        ("the first again", first.clone(), fates(0, 1, 0, 1)),
    ] {
        let plan = gateway.reload(&documents);
        let counted = [Fate::Added, Fate::Changed, Fate::Removed, Fate::Kept].map(|fate| plan.count(fate));
        assert_eq!(counted, expected, "{what}: {plan}");
        for client in &mut clients {
            echo(client, what.as_bytes());
        }
        echo(&mut open(&gateway), b"a new one");
    }
    let ended = records(&gateway.name).into_iter().filter(|record| record["ended_by"] == "gateway");
    assert_eq!(ended.count(), 0);
}

/// Tunnels that are busy, and handshakes that never stop, through edit after edit.
#[test]
fn a_hundred_edits_under_traffic_lose_nothing() {
    const TUNNELS: usize = 40;
    const EDITS: usize = 100;
    let (_servers, addresses) = echoes(3);
    let mut gateway = TestGateway::start(&documents(&[pool(&addresses, "")], "", ""));
    let clients = open_many(&gateway, TUNNELS);
    let (stop, handshakes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let opened = gateway.address;
    thread::scope(|scope| {
        for (number, mut client) in clients.into_iter().enumerate() {
            let stop = &stop;
            scope.spawn(move || {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    echo(&mut client, format!("message {count} of {number}").as_bytes());
                    count += 1;
                }
                assert!(count > 0, "tunnel {number} never had its turn");
            });
        }
        let (stop_opening, handshakes) = (&stop, &handshakes);
        scope.spawn(move || {
            while !stop_opening.load(Ordering::Relaxed) {
                let mut client = testkit::Peer::shake(opened, "/ws", "");
                assert!(client.head().starts_with("HTTP/1.1 101 "));
                echo(&mut client, b"hello");
                handshakes.fetch_add(1, Ordering::Relaxed);
            }
        });
        for edit in 0..EDITS {
            let fields = format!(", clientMaxMsgSize: {}", 1000 + edit);
            let rules = format!("- paths: [{{ path: /{edit}, backend: NAME-ws }}]\n");
            let documents = match edit % 4 {
                0 => documents(&[pool(&addresses, "")], &rules, ""),
                1 => documents(&[pool(&addresses, &fields)], &rules, ""),
                2 => documents(&[pool(&addresses, &fields)], "", ""),
                _ => documents(&[pool(&[addresses[2], addresses[0], addresses[1]], "")], "", ""),
            };
            gateway.reload(&documents);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(handshakes.load(Ordering::Relaxed) > 0);
    let ended = records(&gateway.name).into_iter().filter(|record| record["ended_by"] == "gateway");
    assert_eq!(ended.count(), 0);
}
