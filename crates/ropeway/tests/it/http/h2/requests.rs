//! One request: what servers see of it, what they never see, and how bodies pass.

use testkit::h2::{END, END_HEADERS, H2Peer, h2_get, h2_headers, h2_request, kind};
use testkit::{Backend, Initiator, TestGateway};

use super::super::{chunked, header};
use super::{Front, frames, paths};
use crate::tls::shows;

const GET: &[(&str, &str)] = &[(":method", "GET"), (":scheme", "https"), (":path", "/")];

/// Sends a request that has no body.
fn ask(client: &mut H2Peer, headers: &[u8]) {
    client.send(kind::HEADERS, END | END_HEADERS, 1, headers);
}

#[test]
fn a_server_sees_a_request_of_http_1() {
    let backend = Backend::listen();
    let front = Front::to(backend.address, "");
    let mut client = front.connect();
    let more = [
        ("cookie", "a=1"),
        ("x-mine", "1"),
        ("cookie", "b=2"),
        ("te", "trailers"),
        ("expect", "100-continue"),
    ];
    ask(&mut client, &h2_get("/a%20b?c=d&e", &more));
    let mut server = backend.accept();
    let head = server.head();
    assert!(head.starts_with("GET /a%20b?c=d&e HTTP/1.1\r\n"), "{head}");
    let expected = [
        ("host", Some("test.example")),
        ("cookie", Some("a=1; b=2")),
        ("x-mine", Some("1")),
        ("te", Some("trailers")),
        ("connection", Some("TE")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("https")),
        ("x-forwarded-host", Some("test.example")),
        ("expect", None),
        ("content-length", None),
        ("transfer-encoding", None),
    ];
    for (name, value) in expected {
        assert_eq!(header(&head, name), value, "{name} in {head}");
    }
    assert_eq!(head.to_ascii_lowercase().matches("cookie:").count(), 1, "{head}");
    server.send(b"HTTP/1.1 200 OK\r\nConnection: X-Own\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\nhello");
    let answer = client.answer(1).unwrap();
    assert_eq!((answer.status, &*answer.body, answer.reset), (0x88, &b"hello"[..], None));
}

/// What is not to reach a server, and what the client hears.
#[test]
fn requests_that_are_refused() {
    const PROTOCOL_ERROR: u32 = 1;
    /// The connection ends: the library takes this for a fault of the compression.
    const CUT: u32 = u32::MAX;
    let backend = Backend::listen().serve(paths);
    let front = Front::to(backend.address, "");
    let with = |more: &[(&str, &str)]| h2_get("/", more);
    let without = |more: &[(&str, &str)]| h2_headers(&[GET, more].concat());
    let many: Vec<_> = (0..101).map(|_| ("x", "y")).collect();
    let at = |path| h2_get(path, &[]);
    let connect = [(":method", "CONNECT"), (":authority", "test.example:443")];
    let extended = [GET, &[(":authority", "test.example"), (":protocol", "websocket")]].concat();
    let extended: Vec<_> = extended
        .into_iter()
        .map(|(name, value)| (name, if name == ":method" { "CONNECT" } else { value }))
        .collect();
    let rows: Vec<(&str, Vec<u8>, Result<&str, u32>)> = vec![
        ("no host at all", without(&[]), Ok("exactly one valid host")),
        ("two hosts", without(&[("host", "a"), ("host", "a")]), Ok("exactly one valid host")),
        ("another host", with(&[("host", "other.example")]), Ok("exactly one valid host")),
        ("a second host", with(&[("host", "test.example"), ("host", "other")]), Ok("exactly one valid host")),
        ("a user in the authority", without(&[("host", "user@a")]), Ok("exactly one valid host")),
        ("a host twice in one", without(&[("host", "b:80@b:80")]), Ok("exactly one valid host")),
        (
            "a host twice in the authority",
            h2_headers(&[GET, &[(":authority", "b:80@b:80")]].concat()),
            Ok("exactly one valid host"),
        ),
        ("101 headers", with(&many), Ok("more than 100 headers")),
        ("a path that does not begin", at("a"), Err(PROTOCOL_ERROR)),
        ("an asterisk", at("*"), Ok("the path holds")),
        ("an absolute target", at("http://other.example/"), Err(PROTOCOL_ERROR)),
        ("an empty path", at(""), Err(PROTOCOL_ERROR)),
        ("an escaped slash", at("/a%2fb"), Ok("the path holds")),
        ("CONNECT", h2_headers(&connect), Ok("no proxy for CONNECT")),
        ("extended CONNECT", h2_headers(&extended), Err(PROTOCOL_ERROR)),
        ("Upgrade", with(&[("upgrade", "websocket")]), Err(PROTOCOL_ERROR)),
        ("Connection", with(&[("connection", "keep-alive")]), Err(PROTOCOL_ERROR)),
        ("Transfer-Encoding", with(&[("transfer-encoding", "chunked")]), Err(PROTOCOL_ERROR)),
        ("another TE", with(&[("te", "gzip")]), Err(PROTOCOL_ERROR)),
        ("a name in upper case", with(&[("X-Mine", "1")]), Err(CUT)),
        ("a line end", with(&[("x", "a\r\nb: c")]), Err(CUT)),
        ("a length without a body", with(&[("content-length", "5")]), Err(PROTOCOL_ERROR)),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "1")]), Err(PROTOCOL_ERROR)),
        ("a late pseudo header", with(&[(":method", "GET")]), Err(PROTOCOL_ERROR)),
    ];
    for (name, headers, expected) in rows {
        let mut client = front.connect();
        ask(&mut client, &headers);
        let Some(answer) = client.answer(1) else {
            assert_eq!(expected, Err(CUT), "{name}: the connection ended");
            continue;
        };
        let body = String::from_utf8_lossy(&answer.body);
        match expected {
            Ok(text) => assert!(body.contains(text) && answer.reset.is_none(), "{name}: {answer:?} {body}"),
            Err(code) => assert_eq!(answer.reset, Some(code), "{name}: {body}"),
        }
        // The connection is as good as before.
        client.get(3, "/good");
        assert_eq!(client.answer(3).unwrap().body, b"/good", "{name}");
    }
    assert!(backend.connections() < 22, "only the good ones came through");
}

#[test]
fn what_says_the_same_twice_is_no_contradiction() {
    let backend = Backend::listen().serve(paths);
    let front = Front::to(backend.address, "");
    let rows = [
        ("both", h2_get("/", &[("host", "TEST.example")])),
        ("only the header", h2_headers(&[GET, &[("host", "test.example")]].concat())),
    ];
    for (name, headers) in rows {
        let mut client = front.connect();
        ask(&mut client, &headers);
        let answer = client.answer(1).unwrap();
        assert_eq!(answer.status, 0x88, "{name}: {}", String::from_utf8_lossy(&answer.body));
    }
}

#[test]
fn bodies_and_trailers_pass_as_they_come() {
    let backend = Backend::listen();
    let front = Front::to(backend.address, "");
    let mut client = front.connect();
    client.send(
        kind::HEADERS,
        END_HEADERS,
        1,
        &h2_request("POST", "/", &[("te", "trailers"), ("trailer", "x-sum")]),
    );
    client.send(kind::DATA, 0, 1, b"first");
    let mut server = backend.accept();
    let head = server.head();
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"), "{head}");
    assert_eq!(server.bytes(10), b"5\r\nfirst\r\n", "before the rest is sent");
    client.send(kind::DATA, 0, 1, b"second");
    client.send(kind::HEADERS, END | END_HEADERS, 1, &h2_headers(&[("x-sum", "7"), ("content-length", "1")]));
    assert_eq!(chunked(&mut server), (b"second".to_vec(), "X-Sum: 7\n".to_owned()));
    server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n3\r\none\r\n");
    let first = client.next(kind::DATA).unwrap();
    assert_eq!(first.payload, b"one", "before the rest is sent");
    server.send(b"3\r\ntwo\r\n0\r\nx-end: 1\r\n\r\n");
    let rest = frames(&mut client, 1);
    let seen: Vec<_> = rest.iter().map(|frame| (frame.kind, frame.flags & END)).collect();
    assert_eq!(seen, [(kind::DATA, 0), (kind::HEADERS, END)], "{rest:?}");
    assert_eq!(rest[0].payload, b"two");
}

#[test]
fn a_body_of_known_length_keeps_it() {
    let backend = Backend::listen();
    let front = Front::to(backend.address, "");
    let mut client = front.connect();
    client.send(kind::HEADERS, END_HEADERS, 1, &h2_request("PUT", "/", &[("content-length", "4")]));
    client.send(kind::DATA, END, 1, b"four");
    let mut server = backend.accept();
    let head = server.head();
    assert_eq!((header(&head, "content-length"), header(&head, "transfer-encoding")), (Some("4"), None));
    assert_eq!(server.bytes(4), b"four");
}

/// An answer that breaks off is not taken for a whole one, and a request that does goes no further.
#[test]
fn what_breaks_off_is_reset() {
    let backend = Backend::listen();
    let front = Front::to(backend.address, "clientMaxBodySize: 10\n");
    let mut client = front.connect();
    client.get(1, "/");
    let mut server = backend.accept();
    server.head();
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    server.finish();
    let answer = client.answer(1).unwrap();
    assert!(answer.reset.is_some(), "{answer:?}");

    client.send(kind::HEADERS, END_HEADERS, 3, &h2_request("POST", "/", &[]));
    client.send(kind::DATA, 0, 3, b"half");
    let mut server = backend.accept();
    server.head();
    assert_eq!(server.bytes(9), b"4\r\nhalf\r\n");
    client.send(kind::RST_STREAM, 0, 3, &8_u32.to_be_bytes());
    assert!(server.rest().is_empty(), "no last chunk");

    client.send(kind::HEADERS, END_HEADERS, 5, &h2_request("POST", "/", &[]));
    client.send(kind::DATA, END, 5, b"more than ten");
    let answer = client.answer(5).unwrap();
    assert!(String::from_utf8_lossy(&answer.body).contains("longer than it may be"), "{answer:?}");
}

/// An answer that does not wait for the body is whole, and no reset comes with it (RFC 9113 8.1): there are clients that
/// forget the answer then.
#[test]
fn an_early_answer_lets_the_body_come() {
    const NO_ERROR: Option<u32> = Some(0);
    // Who answers, the path, what its head says of the body, and what comes of the body before and behind the answer.
    let rows: [(&str, &str, &str, usize, &[usize]); 5] = [
        ("no server", "/%00", "4", 0, &[4]),
        ("no server", "/%00", "8", 4, &[4]),
        ("the length", "/", "40", 0, &[20, 20]),
        ("the gateway", "/", "40", 20, &[20]),
        ("a server", "/early", "8", 4, &[4]),
    ];
    for (name, path, length, before, behind) in rows {
        let row = format!("{name}: {length} bytes for {path}");
        let backend = Backend::listen();
        let front = Front::to(backend.address, "clientMaxBodySize: 10\n");
        let mut client = front.connect();
        let mut fields = vec![("content-length", length)];
        if name == "the gateway" {
            fields.clear();
        }
        client.send(kind::HEADERS, END_HEADERS, 1, &h2_request("POST", path, &fields));
        if before > 0 {
            client.send(kind::DATA, 0, 1, &vec![b'x'; before]);
        }
        let server = (path == "/early").then(|| backend.accept());
        let server = server.map(|mut server| {
            server.head();
            server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
            server
        });
        let answer = client.answer(1).unwrap();
        assert!(answer.reset.is_none() && !answer.body.is_empty(), "{row}: {answer:?}");
        for (at, length) in behind.iter().enumerate() {
            let end = if at + 1 == behind.len() { END } else { 0 };
            client.send(kind::DATA, end, 1, &vec![b'x'; *length]);
        }
        client.get(3, "/%00");
        let of_first = std::iter::from_fn(|| client.frame())
            .take_while(|frame| frame.stream != 3)
            .filter(|frame| frame.kind == kind::RST_STREAM);
        assert_eq!(of_first.count(), 0, "{row}");
        drop(server);
    }

    // But not without end, and not for ever.
    let front = Front::to(Backend::listen().address, "");
    let mut client = front.connect();
    client.next(kind::SETTINGS).unwrap();
    client.send(kind::SETTINGS, END, 0, &[]);
    for (stream, pieces) in [(1, 20), (3, 0)] {
        client.send(kind::HEADERS, END_HEADERS, stream, &h2_request("POST", "/%00", &[]));
        assert!(client.answer(stream).unwrap().reset.is_none());
        for piece in 0..pieces {
            client.send(kind::DATA, 0, stream, &[0; 16_000]);
            while piece == 10 && client.next(kind::WINDOW_UPDATE).unwrap().stream != stream {}
        }
        assert_eq!(client.answer(stream).unwrap().reset, NO_ERROR, "after {pieces} pieces");
    }
}

/// A WebSocket is not announced over HTTP/2, and a route that is only for WebSockets says what it needs.
#[test]
fn websockets_stay_with_http_1() {
    const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    let echo = Backend::listen().echo();
    let authority = testkit::Authority::new();
    let lines = shows(&authority.issue(&["localhost"]));
    let documents = TestGateway::documents_to(&[echo.address], "");
    let gateway = TestGateway::start(&documents.replacen("rules:", &format!("{lines}rules:"), 1));
    let demand = testkit::Demand { name: "localhost", authority: &authority, identity: None, version: None };
    let tls = Initiator::speaking(gateway.address, demand, "h2");
    let mut client = H2Peer::connect(tls.address, &[]);
    let settings = client.next(kind::SETTINGS).unwrap().payload;
    assert!(!settings.chunks(6).any(|setting| setting[..2] == ENABLE_CONNECT_PROTOCOL.to_be_bytes()));
    client.get(1, "/ws");
    let answer = client.answer(1).unwrap();
    assert_eq!(answer.body, b"a WebSocket handshake needs HTTP/1.1\n");
    assert_eq!(echo.connections(), 0);
}
