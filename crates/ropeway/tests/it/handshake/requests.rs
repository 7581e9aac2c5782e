//! What a client has to send to be let through to a backend, and what it is told otherwise.

use testkit::{Backend, Peer, TestGateway};

use super::{Answer, Setup, meet, values};

/// A handshake that would be served: it stands behind each one that is not.
const BEHIND: &str = "GET /ws/behind HTTP/1.1\r\nHost: test.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A request, and the answer that the gateway itself gives.
struct Row {
    name: &'static str,
    request_line: &'static str,
    /// Beside `Host`.
    headers: &'static [&'static str],
    body: &'static str,
    status: u16,
    error: &'static str,
    text: &'static str,
}

const fn row(
    name: &'static str,
    headers: &'static [&'static str],
    status: u16,
    error: &'static str,
    text: &'static str,
) -> Row {
    Row { name, request_line: "GET /ws HTTP/1.1", headers, body: "", status, error, text }
}

const C: &str = "Connection: Upgrade";
const U: &str = "Upgrade: websocket";
const V: &str = "Sec-WebSocket-Version: 13";
const K: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const NOT_AN_UPGRADE: &str = "send Connection: Upgrade and Upgrade: websocket";
const TEXT_PATHS: &str = "there are: /ws";
const BODY: &str = "cannot have a body";

const REFUSED: &[Row] = &[
    row("no Connection", &[U, V, K], 426, "not_an_upgrade", NOT_AN_UPGRADE),
    row("other Connection", &["Connection: keep-alive", U, V, K], 426, "not_an_upgrade", NOT_AN_UPGRADE),
    row("upgrade within a word", &["Connection: upgrades", U, V, K], 426, "not_an_upgrade", NOT_AN_UPGRADE),
    row("upgrade to something else", &[C, "Upgrade: h2c", V, K], 426, "not_an_upgrade", NOT_AN_UPGRADE),
    row("empty Upgrade", &[C, "Upgrade:", V, K], 426, "not_an_upgrade", NOT_AN_UPGRADE),
    row("no version", &[C, U, K], 426, "version_missing", "send 13"),
    row("old version", &[C, U, K, "Sec-WebSocket-Version: 8"], 426, "version_unsupported", "send 13"),
    row("empty version", &[C, U, K, "Sec-WebSocket-Version:"], 426, "version_unsupported", "send 13"),
    row(
        "versions in a list",
        &[C, U, K, "Sec-WebSocket-Version: 13, 8"],
        426,
        "version_unsupported",
        "send 13",
    ),
    row("two versions", &[C, U, K, V, "Sec-WebSocket-Version: 8"], 426, "version_unsupported", "send 13"),
    row("no key", &[C, U, V], 400, "key_missing", "send 16 random bytes"),
    row("empty key", &[C, U, V, "Sec-WebSocket-Key:"], 400, "key_empty", "send 16 random bytes"),
    row("blank key", &[C, U, V, "Sec-WebSocket-Key: \t "], 400, "key_empty", "send 16 random bytes"),
    row("key twice", &[C, U, V, K, K], 400, "key_repeated", "send it once"),
    row("two keys", &[C, U, V, K, "sec-websocket-key: other"], 400, "key_repeated", "send it once"),
    row(
        "protocol no token",
        &[C, U, V, K, "Sec-WebSocket-Protocol: a b"],
        400,
        "protocols_invalid",
        "list of tokens",
    ),
    row(
        "protocol no token on a later line",
        &[C, U, V, K, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: \"b\""],
        400,
        "protocols_invalid",
        "list of tokens",
    ),
    row(
        "extensions out of form",
        &[C, U, V, K, "Sec-WebSocket-Extensions: permessage-deflate; =1"],
        400,
        "extensions_invalid",
        "malformed",
    ),
    Row { body: "12345", ..row("a body", &[C, U, V, K, "Content-Length: 5"], 400, "body_declared", BODY) },
    row("a body announced", &[C, U, V, K, "Content-Length: 5"], 400, "body_declared", BODY),
    Row {
        body: "5\r\n12345\r\n0\r\n\r\n",
        ..row("a chunked body", &[C, U, V, K, "Transfer-Encoding: chunked"], 400, "body_declared", BODY)
    },
    Row {
        body: "0\r\n\r\n",
        ..row(
            "both kinds of length",
            &[C, U, V, K, "Content-Length: 0", "Transfer-Encoding: chunked"],
            400,
            "body_declared",
            BODY,
        )
    },
    Row {
        request_line: "GET / HTTP/1.1",
        ..row("another path", &[C, U, V, K], 404, "route_not_found", TEXT_PATHS)
    },
    Row {
        request_line: "GET /ws/a%2Fb HTTP/1.1",
        ..row("an escaped slash", &[C, U, V, K], 400, "path_invalid", "escaped slash")
    },
    Row {
        request_line: "GET /ws/../admin HTTP/1.1",
        ..row("a dot segment", &[C, U, V, K], 400, "path_invalid", "dot segment")
    },
    Row {
        request_line: "POST /ws HTTP/1.1",
        ..row("a POST", &[C, U, V, K], 405, "method_not_allowed", "only GET")
    },
    Row { request_line: "HEAD /ws HTTP/1.1", ..row("a HEAD", &[C, U, V, K], 405, "method_not_allowed", "") },
    Row {
        request_line: "get /ws HTTP/1.1",
        ..row("a method in small letters", &[C, U, V, K], 405, "method_not_allowed", "only GET")
    },
];

#[test]
fn what_is_no_proper_handshake_is_refused_without_asking_a_backend() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    for row in REFUSED {
        let headers: String = row.headers.iter().map(|line| format!("{line}\r\n")).collect();
        let mut client = Peer::connect(gateway.address);
        let request =
            format!("{}\r\nHost: test.example\r\n{headers}\r\n{}{BEHIND}", row.request_line, row.body);
        client.send(request.as_bytes());
        let head_only = row.request_line.starts_with("HEAD");
        let answer = if head_only { Answer::without_body(&mut client) } else { Answer::read(&mut client) };
        check(row, &answer);
        assert_eq!(String::from_utf8(client.rest()).unwrap(), "", "{}: something follows", row.name);
        assert!(backend.try_accept().is_none(), "{}: the backend was asked", row.name);
    }
}

fn check(row: &Row, answer: &Answer) {
    let name = row.name;
    assert_eq!(answer.status(), row.status, "{name}: {answer:?}");
    assert_eq!(answer.error(), Some(row.error), "{name}: {answer:?}");
    assert!(answer.text().contains(row.text), "{name}: {:?}", answer.text());
    assert!(answer.text().len() < 200, "{name}: a short text, please: {:?}", answer.text());
    assert_eq!(answer.values("content-type"), ["text/plain; charset=utf-8"], "{name}");
    let connection = answer.values("connection").join(", ").to_ascii_lowercase();
    assert!(connection.split(", ").any(|option| option == "close"), "{name}: {connection}");
    let allow: &[&str] = if row.status == 405 { &["GET"] } else { &[] };
    assert_eq!(answer.values("allow"), allow, "{name}");
    let (upgrade, version): (&[&str], &[&str]) =
        if row.status == 426 { (&["websocket"], &["13"]) } else { (&[], &[]) };
    assert_eq!(answer.values("upgrade"), upgrade, "{name}");
    assert_eq!(answer.values("sec-websocket-version"), version, "{name}");
    assert_eq!(connection.contains("upgrade"), row.status == 426, "{name}: {connection}");
}

#[test]
fn hosts_other_than_exactly_one_are_refused() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let table = [
        ("none", ""),
        ("empty", "Host:\r\n"),
        ("two", "Host: test.example\r\nHost: other.example\r\n"),
        ("the same twice", "Host: test.example\r\nHost: test.example\r\n"),
        ("a list", "Host: test.example, other.example\r\n"),
        ("with a user", "Host: user@test.example\r\n"),
        ("with a path", "Host: test.example/ws\r\n"),
    ];
    for (name, host) in table {
        let mut client = Peer::connect(gateway.address);
        client.send(format!("GET /ws HTTP/1.1\r\n{host}{C}\r\n{U}\r\n{V}\r\n{K}\r\n\r\n{BEHIND}").as_bytes());
        let answer = Answer::read(&mut client);
        assert_eq!((answer.status(), answer.error()), (400, Some("host_invalid")), "{name}: {answer:?}");
        assert_eq!(client.rest(), b"", "{name}: something follows");
        assert!(backend.try_accept().is_none(), "{name}: the backend was asked");
    }
}

#[test]
fn what_is_not_http_is_refused() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let long = format!("X-Long: {}", "x".repeat(100 * 1024));
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    let table: &[(&str, &str, u16)] = &[
        ("a space before the colon", "Upgrade : websocket", 400),
        ("a folded line", "X-Folded: a\r\n b", 400),
        ("a bare CR", "X-Cr: a\rb", 400),
        ("a NUL", "X-Nul: a\0b", 400),
        ("a line without a colon", "websocket", 400),
        ("two lengths", "Content-Length: 0\r\nContent-Length: 5", 400),
        ("a length with a sign", "Content-Length: +0", 400),
        ("a transfer coding that is not chunked", "Transfer-Encoding: gzip", 400),
        ("a long head", &long, 431),
        ("too many headers", many.trim_end(), 431),
    ];
    for (name, line, status) in table {
        let mut client = Peer::connect(gateway.address);
        let head =
            format!("GET /ws HTTP/1.1\r\nHost: test.example\r\n{line}\r\n{C}\r\n{U}\r\n{V}\r\n{K}\r\n\r\n");
        client.try_send(head.as_bytes());
        let answer = Answer::read(&mut client);
        assert_eq!(answer.status(), *status, "{name}: {answer:?}");
        assert_eq!(client.rest(), b"", "{name}: something follows");
        assert!(backend.try_accept().is_none(), "{name}: the backend was asked");
    }
}

#[test]
fn http_1_0_cannot_upgrade() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let mut client = Peer::connect(gateway.address);
    client.send(
        format!("GET /ws HTTP/1.0\r\nHost: test.example\r\n{C}\r\n{U}\r\n{V}\r\n{K}\r\n\r\n").as_bytes(),
    );
    let head = client.head();
    assert!(head.starts_with("HTTP/1.0 426 ") || head.starts_with("HTTP/1.1 426 "), "{head}");
    assert_eq!(values(&head, "x-ropeway-error"), ["http_version"], "{head}");
    assert!(String::from_utf8(client.rest()).unwrap().contains("needs HTTP/1.1"));
    assert!(backend.try_accept().is_none());
}

/// A browser or a health check asks for the page: it is told, and may go on with a handshake.
#[test]
fn a_plain_get_is_told_to_upgrade_and_the_connection_stays() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let mut client = Peer::connect(gateway.address);
    client.send(b"GET /ws HTTP/1.1\r\nHost: test.example\r\n\r\n");
    let answer = Answer::read(&mut client);
    assert_eq!((answer.status(), answer.error()), (426, Some("not_an_upgrade")), "{answer:?}");
    assert_eq!(answer.values("connection"), ["Upgrade"]);
    assert_eq!(
        (answer.values("upgrade"), answer.values("sec-websocket-version")),
        (vec!["websocket"], vec!["13"])
    );
    assert!(answer.text().contains(NOT_AN_UPGRADE), "{answer:?}");
    assert!(backend.try_accept().is_none());
    client.send(BEHIND.as_bytes());
    let (_server, head) = backend.accept_websocket("");
    assert!(head.starts_with("GET /ws/behind HTTP/1.1\r\n"), "{head}");
    assert_eq!(Answer::without_body(&mut client).status(), 101);
}

#[test]
fn lenient_forms_of_a_proper_handshake_are_served() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let table: &[(&str, &[&str])] = &[
        ("as Firefox sends it", &["Connection: keep-alive, Upgrade", U, V, K]),
        ("other letter case", &["CONNECTION: uPGRADE", "upgrade: WebSocket", "sec-websocket-version: 13", K]),
        ("spread over lines", &["Connection: keep-alive", C, "Upgrade: h2c", U, V, K]),
        ("in a list", &[C, "Upgrade: h2c, websocket", V, K]),
        ("version twice the same", &[C, U, V, V, K]),
        ("no body, said aloud", &[C, U, V, K, "Content-Length: 0"]),
        ("an empty protocol list", &[C, U, V, K, "Sec-WebSocket-Protocol:"]),
        ("an empty extension list", &[C, U, V, K, "Sec-WebSocket-Extensions:"]),
    ];
    for (name, headers) in table {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let mut client = Peer::connect(gateway.address);
        client.send(format!("GET /ws HTTP/1.1\r\nHost: test.example\r\n{headers}\r\n").as_bytes());
        let mut server = meet(&mut client, &backend, name);
        let head = server.head();
        assert_eq!(values(&head, "content-length"), [""; 0], "{name}: {head}");
        server.send(Backend::answer(&head, "").as_bytes());
        assert_eq!(Answer::without_body(&mut client).status(), 101, "{name}");
    }
}

/// What a key holds is the backend's to judge, and its judgement is relayed.
#[test]
fn any_single_key_reaches_the_backend() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let long = "k".repeat(4096);
    for key in [
        "your-key-here",
        "x",
        "a key with spaces, and a comma",
        "dGhlIHNhbXBsZSBub25jZQ",
        "==",
        "\u{fc}",
        &long,
    ] {
        let request =
            format!("GET /ws HTTP/1.1\r\nHost: t\r\n{C}\r\n{U}\r\n{V}\r\nSec-WebSocket-Key: {key}\r\n\r\n");
        for accepted in [true, false] {
            let mut client = Peer::connect(gateway.address);
            client.send(request.as_bytes());
            let mut server = backend.accept();
            let head = server.head();
            assert_eq!(values(&head, "sec-websocket-key"), [key]);
            if accepted {
                let answer = Backend::answer(&head, "");
                server.send(answer.as_bytes());
                let head = client.head();
                assert_eq!(values(&head, "sec-websocket-accept"), values(&answer, "sec-websocket-accept"));
            } else {
                server.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 11\r\n\r\ninvalid key");
                let answer = Answer::read(&mut client);
                assert_eq!(
                    (answer.status(), answer.error(), answer.text()),
                    (400, None, "invalid key"),
                    "{key}"
                );
            }
        }
    }
}
