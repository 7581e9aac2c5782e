//! Answers of a backend that are no 101 and reach the client as they are.

use std::thread;
use std::time::{Duration, Instant};

use testkit::{Backend, Peer, TestGateway};

use super::{Answer, meet};

const MOST: usize = 64 * 1024;

/// Has the one backend of `gateway` answer with `sent`; gives the client's answer.
fn refused(gateway: &TestGateway, backend: &Backend, name: &str, sent: &[u8]) -> Answer {
    let mut client = Peer::shake(gateway.address, "/ws", "");
    let mut server = meet(&mut client, backend, name);
    server.head();
    server.try_send(sent);
    let answer = Answer::read(&mut client);
    assert_eq!(client.rest(), b"", "{name}: something follows");
    assert_eq!(server.rest(), b"", "{name}: only the handshake goes to the backend");
    answer
}

#[test]
fn status_headers_and_body_are_relayed() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let body = "try later";
    let table: &[(&str, &str)] = &[
        ("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"x\"\r\nwww-authenticate: Basic\r\n"),
        ("403 Forbidden", "X-Why: because\r\n"),
        ("404 Not Found", ""),
        ("410 Gone", ""),
        ("426 Upgrade Required", "Sec-WebSocket-Version: 8, 7\r\n"),
        ("429 Too Many Requests", "Retry-After: 7\r\n"),
        ("302 Found", "Location: https://other.example/ws?x=%2F\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"),
        ("307 Temporary Redirect", "LOCATION: /login\r\n"),
        ("200 OK", "Content-Type: text/html\r\nETAG: \"x\"\r\n"),
        ("500 Internal Server Error", ""),
        ("503 Service Unavailable", "Retry-After: 1\r\n"),
        ("599 Own Thing", ""),
    ];
    let chunked =
        "Transfer-Encoding: chunked\r\n\r\n4\r\ntry \r\n5;x=y\r\nlater\r\n0\r\nX-Trailer: 1\r\n\r\n";
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    for (status, headers) in table {
        for (form, rest) in
            [("chunked", chunked), ("a length", &length), ("to the end", &format!("\r\n{body}"))]
        {
            for version in ["HTTP/1.1", "HTTP/1.0"] {
                if (form, version) == ("chunked", "HTTP/1.0") {
                    continue; // not a thing of HTTP/1.0
                }
                let name = format!("{version} {status}, {form}");
                let hops = "Keep-Alive: timeout=5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Ropeway-Error: x\r\n";
                let sent = format!("{version} {status}\r\n{headers}{hops}{rest}");
                let mut client = Peer::shake(gateway.address, "/ws", "");
                let mut server = meet(&mut client, &backend, &name);
                server.head();
                server.send(sent.as_bytes());
                if form == "to the end" {
                    server.finish();
                }
                check(&name, &mut client, status, headers, body);
                assert_eq!(server.rest(), b"", "{name}: only the handshake goes to the backend");
            }
        }
    }
}

fn check(name: &str, client: &mut Peer, status: &str, headers: &str, body: &str) {
    let answer = Answer::read(client);
    assert_eq!(answer.status().to_string(), status[..3], "{name}: {answer:?}");
    for line in headers.lines() {
        let found = answer.head.split("\r\n").filter(|found| *found == line).count();
        assert_eq!(found, 1, "{name}: {line} is missing in {}", answer.head);
    }
    assert_eq!(answer.text(), body, "{name}");
    assert_eq!(answer.values("content-length"), [body.len().to_string()], "{name}");
    assert_eq!(answer.values("connection"), ["close"], "{name}");
    for gone in ["keep-alive", "x-hop", "x-ropeway-error", "transfer-encoding", "trailer"] {
        assert_eq!(answer.values(gone), [""; 0], "{name}: {gone} went on");
    }
    assert_eq!(client.rest(), b"", "{name}: something follows");
}

#[test]
fn long_bodies_are_cut() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let body: Vec<u8> = (0..3 * MOST).map(|at| (at % 251) as u8).collect();
    for size in [0, 1, MOST - 1, MOST, MOST + 1, 3 * MOST] {
        let body = &body[..size];
        let length = [format!("HTTP/1.1 403 X\r\nContent-Length: {size}\r\n\r\n").as_bytes(), body].concat();
        let mut chunked = b"HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(1000) {
            chunked.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        for (form, sent) in [("with its length", length), ("chunked", chunked)] {
            let name = format!("{size} bytes {form}");
            let answer = refused(&gateway, &backend, &name, &sent);
            assert_eq!((answer.status(), answer.error()), (403, None), "{name}");
            assert!(answer.body == body[..size.min(MOST)], "{name}: {} bytes came", answer.body.len());
            let whole = answer.values("content-length") == [size.to_string()];
            assert_eq!(whole, size <= MOST, "{name}: {}", answer.head);
            assert!(whole || answer.values("content-length").is_empty(), "{name}: {}", answer.head);
        }
    }
}

/// A body that never ends is bounded by its size, and a slow one by the time for the whole handshake.
#[test]
fn endless_and_slow_bodies_are_bounded() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "handshakeTimeout: 1s");
    for (name, announced, chunk) in [
        (
            "endless and fast",
            "Transfer-Encoding: chunked",
            Some("4000\r\n".to_owned() + &"x".repeat(0x4000) + "\r\n"),
        ),
        ("a stalled one with a length", "Content-Length: 100", None),
        ("a stalled chunked one", "Transfer-Encoding: chunked", None),
        ("a stalled one to the end", "X: y", None),
    ] {
        let began = Instant::now();
        let mut client = Peer::shake(gateway.address, "/ws", "");
        let mut server = meet(&mut client, &backend, name);
        server.head();
        let start = if announced.starts_with('T') { "5\r\nstart\r\n" } else { "start" };
        server.send(format!("HTTP/1.1 403 X\r\n{announced}\r\n\r\n{start}").as_bytes());
        let sending = thread::spawn(move || {
            while chunk.as_ref().is_some_and(|chunk| server.try_send(chunk.as_bytes())) {}
            server
        });
        let answer = Answer::read(&mut client);
        assert_eq!((answer.status(), answer.error()), (403, None), "{name}");
        let expected = if name.starts_with("endless") { MOST } else { "start".len() };
        assert_eq!(answer.body.len(), expected, "{name}");
        assert_eq!(answer.values("content-length"), [""; 0], "{name}: {}", answer.head);
        assert!(began.elapsed() < Duration::from_secs(3), "{name}: after {:?}", began.elapsed());
        sending.join().unwrap().rest();
    }
}

/// A body that breaks off is relayed as far as it came.
#[test]
fn a_body_that_breaks_off_is_relayed_without_its_length() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    for announced in ["Content-Length: 100\r\n\r\nstart", "Transfer-Encoding: chunked\r\n\r\n5\r\nstart\r\n"]
    {
        let mut client = Peer::shake(gateway.address, "/ws", "");
        let mut server = meet(&mut client, &backend, announced);
        server.head();
        server.send(format!("HTTP/1.1 403 X\r\n{announced}").as_bytes());
        server.finish();
        let answer = Answer::read(&mut client);
        assert_eq!((answer.status(), answer.text()), (403, "start"), "{announced}");
        assert_eq!(answer.values("content-length"), [""; 0], "{announced}: {}", answer.head);
    }
}

/// Answers that have no body by their nature (RFC 9112 6.3).
#[test]
fn answers_without_a_body() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    for status in ["204 No Content", "304 Not Modified"] {
        let sent = format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n");
        let mut client = Peer::shake(gateway.address, "/ws", "");
        let mut server = meet(&mut client, &backend, status);
        server.head();
        server.send(sent.as_bytes());
        let answer = Answer::without_body(&mut client);
        assert_eq!(answer.status().to_string(), status[..3]);
        assert_eq!(answer.values("etag"), ["\"x\""]);
        assert_eq!(client.rest(), b"", "{status}");
    }
}
