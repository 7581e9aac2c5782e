//! Which pages may open a WebSocket (RFC 6455 10.2).

use testkit::{Backend, Peer, UPGRADE};

use super::{Answer, Setup, meet};

#[test]
fn pages_of_the_same_host_and_of_listed_ones_may_connect() {
    const LISTED: &str = "originPatterns: ['*.example.com', 'app?.example.org:8443']";
    const ANY: &str = "insecureSkipVerify: true";
    // The pool's settings, `Host`, the lines of `Origin`, whether it may.
    let table: &[(&str, &str, &[&str], bool)] = &[
        ("", "a.example", &[], true),
        ("", "a.example", &["http://a.example"], true),
        ("", "a.example", &["https://A.Example"], true),
        ("", "a.example:8080", &["http://a.example:8080"], true),
        ("", "a.example:8080", &["http://a.example"], false),
        ("", "a.example", &["http://a.example:8080"], false),
        ("", "a.example", &["http://b.example"], false),
        ("", "a.example", &["http://a.example.evil.example"], false),
        ("", "a.example", &["http://evil.example/a.example"], false),
        ("", "a.example", &["null"], false),
        ("", "a.example", &[""], false),
        ("", "a.example", &["a.example"], false),
        ("", "a.example", &["http://a.example", "http://b.example"], false),
        ("", "a.example", &["http://a.example http://b.example"], false),
        (LISTED, "a.example", &["http://a.example"], true),
        (LISTED, "a.example", &["https://x.example.com"], true),
        (LISTED, "a.example", &["https://example.com"], false),
        (LISTED, "a.example", &["https://app1.example.org:8443"], true),
        (LISTED, "a.example", &["https://app1.example.org"], false),
        (LISTED, "a.example", &["https://x.example.com.evil.example"], false),
        (LISTED, "a.example", &["null"], false),
        (ANY, "a.example", &["http://b.example"], true),
        (ANY, "a.example", &["null"], true),
    ];
    let backend = Backend::listen();
    for (pool, host, origins, may) in table {
        let name = format!("{origins:?} at {host} with {pool:?}");
        let gateway = Setup { pool, ..Setup::default() }.to(&[backend.address]);
        let origins: String = origins.iter().map(|origin| format!("Origin: {origin}\r\n")).collect();
        let mut client = Peer::connect(gateway.address);
        client.send(format!("GET /ws HTTP/1.1\r\nHost: {host}\r\n{UPGRADE}{origins}\r\n").as_bytes());
        if *may {
            meet(&mut client, &backend, &name);
        } else {
            let answer = Answer::read(&mut client);
            assert_eq!((answer.status(), answer.error()), (403, Some("origin_refused")), "{name}");
            assert!(answer.text().contains("origin"), "{name}: {answer:?}");
            assert_eq!(answer.values("connection"), ["close"], "{name}");
            assert!(backend.try_accept().is_none(), "{name}: the backend was asked");
        }
    }
}

/// `defaultOrigin` is for the backend: it neither opens nor closes the door to a page.
#[test]
fn the_default_origin_is_not_the_clients() {
    let backend = Backend::listen();
    let gateway = Setup { filter: "defaultOrigin: http://elsewhere.example", ..Setup::default() }
        .to(&[backend.address]);
    meet(&mut Peer::shake(gateway.address, "/ws", ""), &backend, "no origin");
    let mut page = Peer::shake(gateway.address, "/ws", "Origin: http://elsewhere.example\r\n");
    assert_eq!(Answer::read(&mut page).status(), 403);
}
