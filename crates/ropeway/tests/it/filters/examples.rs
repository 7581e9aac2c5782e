//! The examples that are about filters, as they stand.

use std::fs;

use testkit::{Backend, Peer, TestGateway};

use super::{ask, header, mirror, status};
use crate::real::needs::ROOT;

/// An example, with addresses of its servers in the place of those that it names.
fn example(name: &str, servers: &[(&str, String)]) -> TestGateway {
    let text = fs::read_to_string(format!("{ROOT}/examples/{name}.yaml")).unwrap();
    let mut text = text.replace("port: 8080", "port: PORT\naddress: 127.0.0.1");
    for (named, actual) in servers {
        assert!(text.contains(named), "{named}");
        text = text.replace(named, actual);
    }
    TestGateway::start(&text)
}

#[test]
fn pages() {
    let backend = mirror();
    let gateway = example("pages", &[("127.0.0.1:3000", backend.address.to_string())]);
    let good = "Origin: https://a.example.com\r\nX-Debug: 1\r\n";
    let (head, seen) = ask(&gateway, "PUT /api/a?b", good);
    assert_eq!((status(&head), header(&head, "server")), (200, None), "{head}");
    assert_eq!(header(&head, "access-control-allow-origin"), Some("https://a.example.com"), "{head}");
    assert!(seen.starts_with("PUT /a?b HTTP/1.1\r\n"), "{seen}");
    assert_eq!((header(&seen, "x-debug"), header(&seen, "x-gateway")), (None, Some("ropeway")), "{seen}");
    let rows = [
        ("OPTIONS /api/a", "Access-Control-Request-Method: DELETE\r\nOrigin: https://a.example.com\r\n", 204),
        ("GET /api/a", "Origin: https://example.org\r\n", 403),
        ("GET /v1/a", "", 301),
        ("GET /other", "", 404),
    ];
    for (start, headers, code) in rows {
        let (head, _) = ask(&gateway, start, headers);
        assert_eq!(status(&head), code, "{start} {headers}: {head}");
    }
    drop(backend);
    let (head, body) = ask(&gateway, "GET /api/a", good);
    assert_eq!((status(&head), &*body), (503, "back in a moment"), "{head}");
    assert_eq!(header(&head, "access-control-allow-origin"), Some("https://a.example.com"), "{head}");

    let backend = Backend::listen();
    let gateway = example("pages", &[("127.0.0.1:3000", backend.address.to_string())]);
    let mut client = Peer::shake(gateway.address, "/api/chat", "Origin: https://a.example.com\r\n");
    let (_server, head) = backend.accept_websocket("Server: mine\r\n");
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    let head = client.head();
    assert_eq!((status(&head), header(&head, "server")), (101, None), "{head}");
}

#[test]
fn permission() {
    let backend = mirror();
    let no = ["401 No", "403 No", "500 Broken", "501 HEAD?", "405 HEAD?", "302 Log in", ""];
    for (answer, code) in [("204 Fine", 200)].into_iter().chain(no.map(|answer| (answer, 401))) {
        let service = Backend::listen().serve(move |mut peer| {
            let head = peer.head();
            assert!(head.starts_with("HEAD /permission?b HTTP/1.1\r\n"), "{head}");
            if !answer.is_empty() {
                peer.try_send(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes());
            }
        });
        let servers = [
            ("127.0.0.1:4000", service.address.to_string()),
            ("127.0.0.1:3000", backend.address.to_string()),
        ];
        let gateway = example("permission", &servers);
        let (head, seen) = ask(&gateway, "GET /a?b", "");
        assert_eq!(status(&head), code, "{answer}: {head}");
        assert!(code != 200 || seen.starts_with("GET /a?b HTTP/1.1\r\n"), "{seen}");
    }
    assert_eq!(backend.connections(), 1);
}
