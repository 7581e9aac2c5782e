//! Heads that are none.

use ropeway::app::Options;
use testkit::{Backend, Peer, TestGateway, eventually};

use super::{Setup, get, header};

/// A gateway that tells its figures.
fn gateway(backend: &Backend) -> TestGateway {
    let options = Options { admin: Some(([127, 0, 0, 1], 0).into()), ..Options::default() };
    TestGateway::start_with(&Setup::default().documents(&[format!("http://{}", backend.address)]), &options)
}

#[test]
fn a_head_that_is_none_is_refused_by_name() {
    let backend = Backend::listen();
    let gateway = gateway(&backend);
    let many = get("/", &"a: b\r\n".repeat(100));
    let rows = [
        ("no request line", "hello\r\n\r\n", "400", "head_malformed"),
        ("another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400", "head_malformed"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}", "400", "head_malformed"),
        ("a blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400", "head_malformed"),
        ("a line that goes on", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "400", "head_malformed"),
        ("a control character", "GET / HTTP/1.1\r\nHost: a\u{0}b\r\n\r\n", "400", "head_malformed"),
        ("a blank in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400", "head_malformed"),
        ("101 headers", &*many, "431", "head_too_large"),
    ];
    for (name, request, status, code) in rows {
        let mut client = Peer::connect(gateway.address);
        client.send(request.as_bytes());
        let head = client.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {head}");
        assert_eq!(header(&head, "x-ropeway-error"), Some(code), "{name}: {head}");
        assert_eq!(header(&head, "connection"), Some("close"), "{name}: {head}");
        let length = header(&head, "content-length").unwrap().parse().unwrap();
        assert!(String::from_utf8(client.bytes(length)).unwrap().ends_with('\n'), "{name}");
        assert_eq!(client.bytes_or_end(1), None, "{name}: the connection ends");
    }
    let metrics = gateway.metrics();
    assert!(metrics.contains("{status=\"400\",error=\"head_malformed\"} 7\n"), "{metrics}");
    assert!(metrics.contains("{status=\"431\",error=\"head_too_large\"} 1\n"), "{metrics}");
}

#[test]
fn a_later_one_is_counted_alike() {
    let backend = Backend::listen();
    let gateway = gateway(&backend);
    let mut client = Peer::connect(gateway.address);
    client.send(get("/", "").as_bytes());
    backend.accept().send(b"HTTP/1.1 204 No Content\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 204 "));
    client.send(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 400 "));
    eventually("the count", || {
        gateway.metrics().contains("{status=\"400\",error=\"head_malformed\"} 1\n").then_some(())
    });
}
