//! What a backend receives of a client's handshake.

use testkit::{Backend, Peer, UPGRADE};

use super::{Answer, Setup, meet, values};

/// Sends `head` and gives what the backend receives; nothing follows it.
fn forwarded(gateway: &testkit::TestGateway, backend: &Backend, head: &str) -> String {
    let mut client = Peer::connect(gateway.address);
    client.send(head.as_bytes());
    let mut server = meet(&mut client, backend, head);
    let received = server.head();
    drop(client);
    assert_eq!(String::from_utf8_lossy(&server.rest()), "", "one request, and nothing behind it");
    received
}

/// The same where another request came before it.
fn forwarded_behind(gateway: &testkit::TestGateway, backend: &Backend, head: &str) -> String {
    let mut client = Peer::connect(gateway.address);
    client.send(b"GET /no-such-route HTTP/1.1\r\nHost: t.example\r\n\r\n");
    assert_eq!(Answer::read(&mut client).status(), 404);
    client.send(head.as_bytes());
    meet(&mut client, backend, head).head()
}

/// The same for a `GET /ws` with these lines beside those it needs.
fn forwarded_with(gateway: &testkit::TestGateway, backend: &Backend, lines: &str) -> String {
    forwarded(gateway, backend, &format!("GET /ws HTTP/1.1\r\nHost: test.example\r\n{UPGRADE}{lines}\r\n"))
}

/// The first request of a connection and later ones are read by different code, of which one does not keep letter case.
#[test]
fn behind_another_request_the_backend_receives_the_same() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let lines = "x-MIXED: 1\r\nSec-WebSocket-protocol: a\r\nx-mixed: 2\r\nEmpty:\r\n";
    let head = format!("GET /ws/a?b HTTP/1.1\r\nHOST: t.example\r\n{UPGRADE}{lines}\r\n");
    let first = forwarded(&gateway, &backend, &head);
    let second = forwarded_behind(&gateway, &backend, &head);
    let titled = first.replace("HOST", "Host").replace("x-MIXED", "X-Mixed").replace("x-mixed", "X-Mixed");
    assert_eq!(titled.replace("-protocol", "-Protocol"), second);
}

/// One that is not read at once.
#[test]
fn a_long_head_is_passed_on_as_a_short_one() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let long = format!("COOKIE: {}\r\nx-MIXED: 1", "c".repeat(20_000));
    let received = forwarded_with(&gateway, &backend, &format!("{long}\r\n"));
    assert!(received.contains(&format!("\r\n{long}\r\n")), "{received}");
}

/// Order, letter case and repetition as they came, without what concerns only the connection to the client.
#[test]
fn the_backend_receives_the_clients_head() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let sent = "GET /ws/room%20a;v=1//x?token=a%2Fb&q=%zz&ws=13 HTTP/1.1\r\n\
                Host: Chat.Example:8080\r\n\
                Connection: keep-alive, Upgrade\r\n\
                USER-AGENT: Mozilla/5.0 (X11; Linux)\r\n\
                Upgrade: WebSocket\r\n\
                Origin: http://chat.example:8080\r\n\
                Sec-WebSocket-Version: 13\r\n\
                X-mIXED-Case: One\r\n\
                Cookie: a=1; b=\"2\"\r\n\
                sec-WebSocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                X-Mixed-case: Two\r\n\
                Cookie: c=3\r\n\
                Sec-WebSocket-Protocol: chat.v2, chat.v1\r\n\
                Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
                Authorization: Bearer x.y.z\r\n\
                Empty:\r\n\
                Latin: caf\u{e9}\r\n\
                \r\n";
    let expected = "GET /ws/room%20a;v=1//x?token=a%2Fb&q=%zz&ws=13 HTTP/1.1\r\n\
                Host: Chat.Example:8080\r\n\
                USER-AGENT: Mozilla/5.0 (X11; Linux)\r\n\
                Origin: http://chat.example:8080\r\n\
                Sec-WebSocket-Version: 13\r\n\
                X-mIXED-Case: One\r\n\
                X-Mixed-case: Two\r\n\
                Cookie: a=1; b=\"2\"\r\n\
                Cookie: c=3\r\n\
                sec-WebSocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                Sec-WebSocket-Protocol: chat.v2, chat.v1\r\n\
                Authorization: Bearer x.y.z\r\n\
                Empty:\r\n\
                Latin: caf\u{e9}\r\n\
                Connection: Upgrade\r\n\
                Upgrade: websocket\r\n\
                Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
                X-Forwarded-For: 127.0.0.1\r\n\
                X-Forwarded-Proto: http\r\n\
                X-Forwarded-Host: Chat.Example:8080\r\n\
                \r\n";
    assert_eq!(forwarded(&gateway, &backend, sent), expected);
}

#[test]
fn hop_by_hop_headers_stay_here() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let gone = [
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Trailer: X-Sum",
        "Proxy-Authenticate: Basic",
        "Content-Length: 0",
        "X-Named: 1",
        "x-also-named: 1",
    ];
    let stay = [
        "Cookie: a=1",
        "Authorization: Basic eDp5",
        "Proxy-Authorization: Basic eDp5",
        "Origin: http://test.example",
        "Sec-WebSocket-Protocol: chat",
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-Host: front.example",
        "X-Other: 1",
    ];
    let named = "Connection: X-Named, X-Also-Named, Cookie, Authorization, Origin, Host, Forwarded\r\n\
                 Connection: Sec-WebSocket-Key, Sec-WebSocket-Version, Sec-WebSocket-Protocol, X-Forwarded-Host\r\n\
                 Connection: close, not a name, ,\r\n";
    let lines: String = gone.iter().chain(&stay).map(|line| format!("{line}\r\n")).collect();
    let head = forwarded_with(&gateway, &backend, &format!("{named}{lines}"));
    for line in gone {
        let name = line.split(':').next().unwrap();
        assert_eq!(values(&head, name), [""; 0], "{line} went on: {head}");
    }
    for line in stay.iter().chain(&["Host: test.example"]).copied().chain(UPGRADE.lines()) {
        assert_eq!(
            head.split("\r\n").filter(|found| *found == line).count(),
            1,
            "{line} is missing in {head}"
        );
    }
    assert_eq!((values(&head, "connection"), values(&head, "upgrade")), (vec!["Upgrade"], vec!["websocket"]));
}

#[test]
fn paths_and_queries_stay_as_they_are() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let table = [
        "/ws",
        "/wsx",
        "/ws?",
        "/ws?a=b?c=d",
        "/ws?next=%2F..%2Fx&%00",
        "/ws//",
        "/ws/%20%7e%41%C3%BC%ff",
        "/ws/a;b=c,d/e:f@g/!$&'()*+,=-._~",
        "/ws/\"{}|^[]",
        "/ws?{}|^\\[]`/?:@",
        "/ws/a.b/...",
        "/%77s",
    ];
    for target in table {
        let head = format!("GET {target} HTTP/1.1\r\nHost: t\r\n{UPGRADE}\r\n");
        let received = forwarded(&gateway, &backend, &head);
        assert_eq!(received.split("\r\n").next(), Some(&*format!("GET {target} HTTP/1.1")));
    }
}

/// The target decides, whatever `Host` says (RFC 9112 3.2.2).
#[test]
fn an_absolute_target_names_the_host() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let head = format!("GET http://real.example/ws?x=1 HTTP/1.1\r\nHost: other.example\r\n{UPGRADE}\r\n");
    let received = forwarded(&gateway, &backend, &head);
    assert!(received.starts_with("GET /ws?x=1 HTTP/1.1\r\n"), "{received}");
    assert_eq!(values(&received, "host"), ["real.example"]);
    assert_eq!(values(&received, "x-forwarded-host"), ["real.example"]);
}

#[test]
fn rewritten_paths() {
    let backend = Backend::listen();
    let table = [
        ("rewriteTarget: /chat", "/ws", "/chat"),
        ("rewriteTarget: /chat", "/ws/a%20b?x=%2F", "/chat/a%20b?x=%2F"),
        ("rewriteTarget: /chat", "/ws/%3Fq/%25/%23", "/chat/%3Fq/%25/%23"),
        ("rewriteTarget: /", "/ws/a", "//a"),
    ];
    for (path, target, expected) in table {
        let gateway = Setup { path, ..Setup::default() }.to(&[backend.address]);
        let head = format!("GET {target} HTTP/1.1\r\nHost: t\r\n{UPGRADE}\r\n");
        let received = forwarded(&gateway, &backend, &head);
        assert_eq!(received.split("\r\n").next(), Some(&*format!("GET {expected} HTTP/1.1")), "{path}");
    }
}

#[test]
fn protocols_and_extensions_go_end_to_end() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let table: &[(&str, &[&str], &[&str])] = &[
        ("Sec-WebSocket-Protocol: a, b ,c", &["a, b ,c"], &[]),
        ("Sec-WebSocket-Protocol: b\r\nSec-WebSocket-Protocol: a", &["b", "a"], &[]),
        ("Sec-WebSocket-Extensions: permessage-deflate", &[], &["permessage-deflate"]),
        (
            "Sec-WebSocket-Extensions: permessage-deflate;server_max_window_bits=10 ,  permessage-deflate",
            &[],
            &["permessage-deflate;server_max_window_bits=10, permessage-deflate"],
        ),
        (
            "Sec-WebSocket-Extensions: x-unknown; a=1, permessage-deflate; client_max_window_bits=\"12\"\r\n\
             Sec-WebSocket-Extensions: x-webkit-deflate-frame",
            &[],
            &["permessage-deflate; client_max_window_bits=\"12\""],
        ),
        ("Sec-WebSocket-Extensions: x-webkit-deflate-frame, bbf-usp-protocol", &[], &[]),
        ("Sec-WebSocket-Extensions: permessage-deflate; unheard_of", &[], &[]),
    ];
    for (lines, protocols, extensions) in table {
        let head = forwarded_with(&gateway, &backend, &format!("{lines}\r\n"));
        assert_eq!(values(&head, "sec-websocket-protocol"), *protocols, "{lines}");
        assert_eq!(values(&head, "sec-websocket-extensions"), *extensions, "{lines}");
    }
}

const FOR: &str = "x-forwarded-for";
const HOST: &str = "x-forwarded-host";
const PROTO: &str = "x-forwarded-proto";

#[test]
fn forwarding_headers() {
    const TRUSTED: &str = "trustedProxies: [127.0.0.0/8]";
    const OTHERS: &str = "trustedProxies: [192.0.2.0/24]";
    const NOBODY: &str = "trustedProxies: []";
    let sent =
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: front.example\r\nX-Forwarded-Proto: https\r\n";
    let two = "X-Forwarded-For: 192.0.2.7, unknown\r\nX-forwarded-For: 10.0.0.1\r\n";
    let own = ("127.0.0.1", "test.example", "http");
    // The server's settings; what the client sends; For, Host and Proto as the backend receives them.
    let table = [
        ("", "", own),
        ("", sent, ("192.0.2.7, 127.0.0.1", "front.example", "https")),
        ("", two, ("192.0.2.7, unknown, 10.0.0.1, 127.0.0.1", "test.example", "http")),
        ("", "X-Forwarded-For: 127.0.0.1\r\n", ("127.0.0.1, 127.0.0.1", "test.example", "http")),
        ("", "X-Forwarded-Proto: wss\r\n", ("127.0.0.1", "test.example", "https")),
        ("", "X-Forwarded-Proto: ws\r\n", own),
        ("", "X-Forwarded-Proto: gopher\r\n", own),
        ("xForwardedFor: true", "", own),
        ("xForwardedFor: true", sent, ("192.0.2.7, 127.0.0.1", "front.example", "https")),
        (TRUSTED, "", own),
        (TRUSTED, sent, ("192.0.2.7, 127.0.0.1", "front.example", "https")),
        (TRUSTED, two, ("192.0.2.7, unknown, 10.0.0.1, 127.0.0.1", "test.example", "http")),
        (OTHERS, sent, own),
        (OTHERS, two, own),
        (NOBODY, sent, own),
    ];
    let backend = Backend::listen();
    for (server, lines, (forwarded_for, host, proto)) in table {
        let gateway = Setup { server, ..Setup::default() }.to(&[backend.address]);
        let head = forwarded_with(&gateway, &backend, lines);
        let found = (values(&head, FOR), values(&head, HOST), values(&head, PROTO));
        assert_eq!(found, (vec![forwarded_for], vec![host], vec![proto]), "{server:?} and {lines:?}");
    }
}

/// A name expects itself, an address the client's `Host`, unless the user says otherwise.
#[test]
fn host_by_the_kind_of_server() {
    let backend = Backend::listen();
    let port = backend.address.port();
    let named = format!("localhost:{port}");
    let table = [
        (format!("url: 'ws://127.0.0.1:{port}'"), "test.example"),
        (format!("url: 'ws://127.0.0.1:{port}', keepHost: true"), "test.example"),
        (format!("url: 'ws://localhost:{port}'"), &*named),
        (format!("url: 'http://localhost:{port}/ignored'"), &*named),
        (format!("url: 'ws://localhost:{port}', keepHost: true"), "test.example"),
        (format!("url: 'ws://localhost:{port}', keepHost: false"), &*named),
    ];
    for (server, host) in table {
        let gateway = Setup::default().start(std::slice::from_ref(&server));
        let head = forwarded_with(&gateway, &backend, "");
        assert_eq!(values(&head, "host"), [host], "{server}");
        assert_eq!(values(&head, HOST), ["test.example"], "{server}");
    }
}

#[test]
fn origins_pass_and_a_default_fills_the_gap() {
    let backend = Backend::listen();
    let default = "defaultOrigin: \"http://127.0.0.1/hello?x=1\"";
    let table: &[(&str, &str, &[&str])] = &[
        ("", "", &[]),
        ("", "Origin: HTTP://Test.example\r\n", &["HTTP://Test.example"]),
        (default, "", &["http://127.0.0.1/hello?x=1"]),
        (default, "Origin: http://test.example\r\n", &["http://test.example"]),
    ];
    for (filter, lines, expected) in table {
        let gateway = Setup { filter, ..Setup::default() }.to(&[backend.address]);
        let head = forwarded_with(&gateway, &backend, lines);
        assert_eq!(values(&head, "origin"), *expected, "{filter:?} and {lines:?}");
    }
}

/// What comes behind the head of a handshake that is still open is not a request, whatever it looks like.
#[test]
fn one_request_and_no_other_reaches_the_backend() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let head = format!("GET /ws HTTP/1.1\r\nHost: t\r\n{UPGRADE}\r\n");
    let mut client = Peer::connect(gateway.address);
    client.send(format!("{head}GET /ws/admin HTTP/1.1\r\nHost: t\r\n{UPGRADE}\r\n").as_bytes());
    let mut server = backend.accept();
    server.head();
    server.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(Answer::read(&mut client).status(), 403);
    assert_eq!(server.rest(), b"", "only the handshake goes to the backend");
    assert_eq!(client.rest(), b"", "only the handshake is answered");
    assert!(backend.try_accept().is_none(), "no second connection");
}
