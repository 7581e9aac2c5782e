//! Load balancers in front that speak the PROXY protocol.

use std::time::{Duration, Instant};

use ropeway::spec::Source;
use ropeway::supervisor::load::load;
use testkit::h2::{H2Peer, kind};
use testkit::{Authority, Backend, Demand, Initiator, Peer, TestGateway, UPGRADE, record};

use super::{Setup, get, header};
use crate::tls::shows;

const TRUSTED: &str = "proxyProtocol: { trustedIPs: [127.0.0.1] }\n";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 443\r\n";

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, body].concat()
}

fn answer(backend: &Backend) -> String {
    let mut server = backend.accept();
    let head = server.head();
    server.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    head
}

#[test]
fn the_client_is_whom_the_header_names() {
    let backend = Backend::listen();
    let gateway = Setup { server: TRUSTED, ..Setup::default() }.to(&[backend.address]);
    let six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 9];
    let rows: &[(&str, Vec<u8>, &str)] = &[
        ("1", V1.to_vec(), "192.0.2.7"),
        ("1, IPv6", b"PROXY TCP6 2001:db8::7 ::1 5555 443\r\n".to_vec(), "2001:db8::7"),
        ("1, unknown", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        ("2", v2(0x21, 0x11, &[192, 0, 2, 8, 192, 0, 2, 1, 1, 1, 2, 2]), "192.0.2.8"),
        ("2, IPv6", v2(0x21, 0x21, &[&six[..], &six, &[1, 1, 2, 2]].concat()), "2001:db8::7"),
        ("2, IPv4 as IPv6", v2(0x21, 0x21, &[&mapped[..], &mapped, &[1, 1, 2, 2]].concat()), "192.0.2.9"),
        ("2, the proxy itself", v2(0x20, 0, b""), "127.0.0.1"),
        ("2, unspecified", v2(0x21, 0, b""), "127.0.0.1"),
    ];
    for (name, announcement, expected) in rows {
        for drips in [false, true] {
            let mut client = Peer::connect(gateway.address);
            let bytes = [&**announcement, get("/", "").as_bytes()].concat();
            // In one segment with the request, and in many.
            bytes.chunks(if drips { 1 } else { bytes.len() }).for_each(|part| client.send(part));
            let head = answer(&backend);
            assert_eq!(header(&head, "x-forwarded-for"), Some(*expected), "{name}: {head}");
            assert!(client.head().starts_with("HTTP/1.1 200 "), "{name}");
        }
    }
}

/// It comes before TLS, and counts for HTTP/2 as well.
#[test]
fn the_header_stands_before_tls() {
    let authority = Authority::new();
    let backend = Backend::listen();
    let server = format!("{TRUSTED}{}", shows(&authority.issue(&["localhost"])));
    let gateway = Setup { server: &server, ..Setup::default() }.to(&[backend.address]);
    let demand = Demand { name: "localhost", authority: &authority, identity: None, version: None };
    let tls = Initiator::announced(gateway.address, demand, "http/1.1", V1);
    let mut client = Peer::connect(tls.address);
    client.send(get("/", "").as_bytes());
    let head = answer(&backend);
    assert_eq!(header(&head, "x-forwarded-for"), Some("192.0.2.7"), "{head}");
    assert_eq!(header(&head, "x-forwarded-proto"), Some("https"), "{head}");
    let tls = Initiator::announced(gateway.address, demand, "h2", V1);
    let mut client = H2Peer::connect(tls.address, &[]);
    client.get(1, "/");
    assert_eq!(header(&answer(&backend), "x-forwarded-for"), Some("192.0.2.7"));
    assert!(client.next(kind::DATA).is_some());
}

#[test]
fn filters_and_trusted_proxies_go_by_the_header() {
    let backend = Backend::listen();
    let rows = [
        ("ipFilter: { blockIPs: [192.0.2.0/24] }\n", "", Err("403")),
        ("ipFilter: { blockIPs: [127.0.0.1] }\n", "", Ok("192.0.2.7")),
        ("trustedProxies: [127.0.0.1]\n", "X-Forwarded-For: 198.51.100.1\r\n", Ok("192.0.2.7")),
        ("trustedProxies: [192.0.2.7]\n", "X-Forwarded-For: 198.51.100.1\r\n", Ok("198.51.100.1, 192.0.2.7")),
    ];
    for (lines, headers, expected) in rows {
        let server = format!("{TRUSTED}{lines}");
        let gateway = Setup { server: &server, ..Setup::default() }.to(&[backend.address]);
        let mut client = Peer::connect(gateway.address);
        client.send(&[V1, get("/", headers).as_bytes()].concat());
        match expected {
            Ok(chain) => assert_eq!(header(&answer(&backend), "x-forwarded-for"), Some(chain), "{lines}"),
            Err(status) => {
                let head = client.head();
                assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{lines}: {head}");
            }
        }
    }
}

#[test]
fn a_tunnel_is_logged_with_the_client_of_the_header() {
    let backend = Backend::listen();
    let documents = TestGateway::documents_to(&[backend.address], "");
    let gateway = TestGateway::start(&documents.replacen("rules:", &format!("{TRUSTED}rules:"), 1));
    let mut client = Peer::connect(gateway.address);
    let handshake = format!("GET /ws HTTP/1.1\r\nHost: test.example\r\n{UPGRADE}\r\n");
    client.send(&[V1, handshake.as_bytes()].concat());
    let (_server, head) = backend.accept_websocket("");
    assert_eq!(header(&head, "x-forwarded-for"), Some("192.0.2.7"), "{head}");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    drop(client);
    assert_eq!(record(&gateway.name)["client"], "192.0.2.7");
}

/// Nothing of what they send is answered, and nothing reaches a server.
#[test]
fn whoever_says_it_wrongly_or_may_not_is_not_served() {
    let backend = Backend::listen();
    let stranger = "proxyProtocol: { trustedIPs: [192.0.2.0/24] }\n";
    let rows: &[(&str, &str, &[u8])] = &[
        ("no header", TRUSTED, b""),
        ("TLS", TRUSTED, &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0, 0, 0]),
        ("an invalid header", TRUSTED, b"PROXY TCP4 here there 1 2\r\n"),
        ("a header of datagrams", TRUSTED, &v2(0x21, 0x12, &[0; 12])),
        ("a stranger with a header", stranger, V1),
        ("a stranger without", stranger, b""),
    ];
    for (name, lines, announcement) in rows {
        let gateway = Setup { server: lines, ..Setup::default() }.to(&[backend.address]);
        let mut client = Peer::connect(gateway.address);
        client.try_send(&[announcement, get("/", "").as_bytes()].concat());
        assert_eq!(client.rest(), b"", "{name}");
        assert!(backend.try_accept().is_none(), "{name}");
    }
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let backend = Backend::listen();
    let gateway = Setup { server: TRUSTED, ..Setup::default() }.to(&[backend.address]);
    let mut clients =
        [&b""[..], b"PROXY ", b"PROXY TCP4 192.0", &v2(0x21, 0x11, &[1; 12])[..20]].map(|beginning| {
            let mut client = Peer::connect(gateway.address);
            client.send(beginning);
            client
        });
    let began = Instant::now();
    clients.iter_mut().for_each(|client| assert_eq!(client.rest(), b""));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

/// On a listener that does not ask for it, it is no HTTP.
#[test]
fn nobody_is_believed_unasked() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let mut client = Peer::connect(gateway.address);
    client.try_send(&[V1, get("/", "").as_bytes()].concat());
    let answer = String::from_utf8(client.rest()).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(backend.try_accept().is_none());
}

#[test]
fn a_list_without_anybody_is_a_fault() {
    let text = "name: a\nkind: HTTPServer\nport: 1\nproxyProtocol: { trustedIPs: [] }\n";
    let rendered = load(&[Source::new("a.yaml", text)]).diagnostics.render(false);
    assert!(rendered.contains("nobody could connect") && rendered.contains("a.yaml:4:30"), "{rendered}");
}
