//! Heads, statuses and framing.

use std::net::SocketAddr;

use testkit::{Backend, Peer, TestGateway};

use super::{Setup, ask, chunked, get, header, to};

#[test]
fn a_request_and_its_answer_pass_with_what_is_end_to_end() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    let mut client =
        ask(&gateway, &get("/a%20b?c=d&e", "X-mine: 1\r\nConnection: X-Hop\r\nX-Hop: 2\r\nTE: gzip\r\n"));
    let mut server = backend.accept();
    let head = server.head();
    assert!(head.starts_with("GET /a%20b?c=d&e HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("X-Mine: 1\r\n"), "{head}");
    let expected = [
        ("host", Some("test.example")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("test.example")),
        ("x-hop", None),
        ("connection", None),
        ("te", None),
        ("content-length", None),
        ("transfer-encoding", None),
    ];
    for (name, value) in expected {
        assert_eq!(header(&head, name), value, "{name} in {head}");
    }
    server.send(
        b"HTTP/1.1 203 Whatever\r\nServer: mine\r\nDate: then\r\nset-Cookie: a\r\nset-Cookie: b\r\n\
                  Keep-Alive: timeout=5\r\nConnection: X-Own\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\nhello",
    );
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 203 "), "{head}");
    assert_eq!(head.matches("Set-Cookie: ").count(), 2, "{head}");
    let expected = [
        ("server", Some("mine")),
        ("date", Some("then")),
        ("content-length", Some("5")),
        ("keep-alive", None),
        ("x-own", None),
        ("connection", None),
        ("x-ropeway-error", None),
    ];
    for (name, value) in expected {
        assert_eq!(header(&head, name), value, "{name} in {head}");
    }
    assert_eq!(client.bytes(5), b"hello");
}

/// What a server says of its connection stays with it, but for what a 426 says to upgrade to.
#[test]
fn what_an_answer_says_of_the_connection() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    // status, headers of the server, and what the client has of `Connection`, `Upgrade`, `X-Foo` and `Set-Cookie`
    type Row<'a> = (&'a str, &'a str, [Option<&'a str>; 4]);
    let rows: [Row<'_>; 9] = [
        (
            "426",
            "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n",
            [Some("Upgrade"), Some("TLS/1.0"), Some("1"), None],
        ),
        (
            "426",
            "Upgrade: a, b\r\nConnection: Upgrade, X-Foo\r\n",
            [Some("Upgrade"), Some("a, b"), None, None],
        ),
        ("426", "Upgrade: a\r\n", [Some("Upgrade"), Some("a"), Some("1"), None]),
        ("426", "Connection: Upgrade\r\n", [None, None, Some("1"), None]),
        ("200", "Upgrade: a\r\nConnection: Upgrade\r\n", [None, None, Some("1"), None]),
        ("200", "Connection: x-foo\r\n", [None, None, None, None]),
        ("200", "Connection: keep-alive\r\nConnection: a,  X-FOO ,b\r\n", [None, None, None, None]),
        ("200", "Connection: Set-Cookie\r\nSet-Cookie: a\r\n", [None, None, Some("1"), Some("a")]),
        ("200", "Set-Cookie: a\r\n", [None, None, Some("1"), Some("a")]),
    ];
    for (status, headers, expected) in rows {
        let mut client = ask(&gateway, &get("/", ""));
        let mut server = backend.accept();
        server.head();
        server.send(
            format!("HTTP/1.1 {status} Ok\r\n{headers}X-Foo: 1\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        );
        server.finish();
        let head = client.head();
        let found = ["connection", "upgrade", "x-foo", "set-cookie"].map(|name| header(&head, name));
        assert_eq!((&head[9..12], found), (status, expected), "{headers:?}: {head}");
    }
}

/// What stands behind the head of an answer, and what the client gets of it.
#[test]
fn every_framing_of_an_answer() {
    let rows: &[(&str, &str, &str, &str, &str)] = &[
        // method, version, answer, the client's framing, the client's body
        ("GET", "1.1", "200 OK\r\nContent-Length: 3\r\n\r\nabc", "content-length: 3", "abc"),
        ("GET", "1.1", "200 OK\r\nContent-Length: 0\r\n\r\n", "content-length: 0", ""),
        ("GET", "1.1", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "chunked", "abc"),
        ("GET", "1.1", "200 OK\r\n\r\nabc", "chunked", "abc"),
        (
            "GET",
            "1.1",
            "200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "chunked",
            "abc",
        ),
        ("GET", "1.0", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "close", "abc"),
        ("GET", "1.0", "200 OK\r\nContent-Length: 3\r\n\r\nabc", "content-length: 3", "abc"),
        ("HEAD", "1.1", "200 OK\r\nContent-Length: 3\r\n\r\n", "content-length: 3", ""),
        ("GET", "1.1", "204 No Content\r\n\r\n", "none", ""),
        ("GET", "1.1", "304 Not Modified\r\nETag: x\r\nContent-Length: 3\r\n\r\n", "none", ""),
        (
            "GET",
            "1.1",
            "103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "content-length: 3",
            "abc",
        ),
    ];
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    for (method, version, answer, framing, body) in rows {
        let row = format!("{method} {version} {answer:?}");
        let mut client = Peer::connect(gateway.address);
        client.send(
            format!("{method} / HTTP/{version}\r\nHost: test.example\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        );
        let mut server = backend.accept();
        assert!(server.head().starts_with(&format!("{method} / HTTP/1.1\r\n")), "{row}");
        server.send(format!("HTTP/1.1 {answer}").as_bytes());
        server.finish();
        let head = client.head().to_lowercase();
        let found = match *framing {
            "chunked" => head.contains("transfer-encoding: chunked") && !head.contains("content-length"),
            "close" | "none" => !head.contains("transfer-encoding") && !head.contains("content-length"),
            length => head.contains(length) && !head.contains("transfer-encoding"),
        };
        assert!(found, "{row}: {head}");
        let found = if *framing == "chunked" { chunked(&mut client).0 } else { client.rest() };
        assert_eq!(found, body.as_bytes(), "{row}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    for (framing, sent) in [("Content-Length: 9", "abc"), ("Transfer-Encoding: chunked", "3\r\nabc\r\n")] {
        let mut client = ask(&gateway, &get("/", ""));
        let mut server = backend.accept();
        server.head();
        server.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{sent}").as_bytes());
        let head = client.head();
        drop(server);
        let rest = String::from_utf8(client.rest()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && rest.contains("abc"), "{framing}: {head}{rest}");
        assert!(!rest.contains("0\r\n\r\n"), "{framing}: {rest}");
    }
}

#[test]
fn statuses_of_servers_that_fail() {
    let backend = Backend::listen();
    let gateway = Setup { pool: "timeout: 300ms\nmaxRetries: 0\nserverMaxBodySize: 5", ..Setup::default() }
        .to(&[backend.address]);
    let rows: &[(&str, &str, &str)] = &[
        ("", "502", "no_answer"),
        ("junk\r\n\r\n", "502", "answer_invalid"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
            "502",
            "answer_invalid",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "502", "answer_invalid"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "502", "answer_invalid"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef", "502", "answer_too_large"),
        ("wait", "504", "answer_timeout"),
    ];
    for (answer, status, label) in rows {
        let mut client = ask(&gateway, &get("/", ""));
        let mut server = backend.accept();
        server.head();
        if *answer != "wait" {
            server.send(answer.as_bytes());
            server.finish();
        }
        let head = client.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}: {head}");
        assert_eq!(header(&head, "x-ropeway-error"), Some(*label), "{answer:?}");
    }
    drop(backend);
    let head = ask(&gateway, &get("/", "")).head();
    assert_eq!(header(&head, "x-ropeway-error"), Some("connect_failed"), "{head}");
}

#[test]
fn the_path_of_a_server_stands_before_that_of_the_request() {
    let backend = Backend::listen();
    for (base, asked, expected) in [
        ("/base", "/x?y", "/base/x?y"),
        ("/base/", "/", "/base/"),
        ("/base?q", "/x", "/base/x"),
        ("/", "/x", "/x"),
        ("", "http://test.example?q", "/?q"),
        ("/b", "*", "*"),
    ] {
        let url = format!("http://{}{base}", backend.address);
        // Of every path, that without a slash included.
        let text = Setup::default().documents(&[url]).replace("pathPrefix: /\n    backend", "backend");
        let gateway = testkit::TestGateway::start(&text);
        let method = if asked == "*" { "OPTIONS" } else { "GET" };
        let _client = ask(&gateway, &format!("{method} {asked} HTTP/1.1\r\nHost: test.example\r\n\r\n"));
        let head = backend.accept().head();
        assert!(head.starts_with(&format!("{method} {expected} HTTP/1.1\r\n")), "{base} {asked}: {head}");
    }
}

#[test]
fn one_route_carries_both() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    let mut client = ask(&gateway, &get("/page", ""));
    let mut server = backend.accept();
    server.head();
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    let (mut client, mut server) = gateway.tunnel(&backend);
    // Longer than a WebSocketProxy lets pass.
    let large = vec![b'x'; 100_000];
    server.send(&testkit::frame(0x82, None, &large));
    assert_eq!(client.frame().payload, large);
}

#[test]
fn wishes_for_other_protocols_are_not_passed_on() {
    let backend = Backend::listen();
    let websocket = to(&[backend.address]);
    let none = Setup { filter: "websocket: false", ..Setup::default() }.to(&[backend.address]);
    let h2c =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
    for (gateway, headers) in [(&websocket, h2c), (&none, h2c), (&none, testkit::UPGRADE)] {
        let mut client = ask(gateway, &get("/", headers));
        let mut server = backend.accept();
        let head = server.head();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(header(&head, name), None, "{name} in {head}");
        }
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let head = client.head();
        assert_eq!(header(&head, "connection"), Some("close"), "{head}");
        assert_eq!(client.rest(), b"ok");
    }
}

/// Pools are those of a `WebSocketProxy`: a page and a handshake come to the same one, and servers take turns.
#[test]
fn pages_and_handshakes_share_pools() {
    let backends = [0, 1, 2, 3].map(|name| {
        Backend::listen().serve(move |mut peer| {
            let head = peer.head();
            let answer = match header(&head, "upgrade") {
                Some(_) => Backend::answer(&head, &format!("X-Server: {name}\r\n")),
                None => format!("HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Length: 0\r\n\r\n"),
            };
            peer.try_send(answer.as_bytes());
        })
    });
    let pool = |servers: &[usize], more: &str| {
        let servers: Vec<_> =
            servers.iter().map(|at| format!("{{ url: 'http://{}' }}", backends[*at].address)).collect();
        format!("  - {{ servers: [{}]{more} }}\n", servers.join(", "))
    };
    let pools = [
        pool(&[0, 1], ""),
        pool(&[2], ", filter: { headers: { X-Stage: { exact: canary } } }"),
        pool(&[3], ", filter: { policy: ipHash, permil: 1000 }, loadBalance: { policy: ipHash }"),
    ];
    let documents = |pools: &[String]| {
        format!(
            "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\nrules: [{{ paths: [{{ backend: NAME-p }}] }}]\n---\n\
             name: NAME-p\nkind: Pipeline\nfilters:\n- name: proxy\n  kind: Proxy\n  pools:\n{}",
            pools.concat()
        )
    };
    let reached = |gateway: &TestGateway, headers: &str| {
        let head = ask(gateway, &get("/", headers)).head();
        header(&head, "x-server")
            .and_then(|name| name.parse::<usize>().ok())
            .unwrap_or_else(|| panic!("{head}"))
    };
    let stage = "X-Stage: canary\r\n";
    let two = TestGateway::start_with(
        &documents(&pools[..2]),
        &ropeway::app::Options { workers: 1, ..Default::default() },
    );
    for more in ["Connection: close\r\n", testkit::UPGRADE] {
        assert_eq!(reached(&two, &format!("{stage}{more}")), 2, "{more}");
        let others = [(); 4].map(|()| reached(&two, more));
        assert!(others == [0, 1, 0, 1] || others == [1, 0, 1, 0], "{more}: {others:?}");
        let all = TestGateway::start(&documents(&[pools[0].clone(), pools[2].clone()]));
        assert_eq!(reached(&all, more), 3, "{more}");
    }
}

/// A server is believed only if an authority that is trusted has issued its certificate, for pages and handshakes.
#[test]
fn servers_are_not_believed_by_default() {
    let (authority, backend) = (testkit::Authority::new(), Backend::listen());
    let terminator =
        testkit::Terminator::new(backend.address, &authority.issue(&["127.0.0.1"]), Default::default());
    let url = format!("https://{}", terminator.address);
    for (pool, passes) in [("", false), ("tls: { insecure: true }", true)] {
        let setup = Setup { pool, ..Setup::default() };
        let gateway = TestGateway::start(&setup.documents(std::slice::from_ref(&url)));
        for more in ["Connection: close\r\n", testkit::UPGRADE] {
            let mut client = ask(&gateway, &get("/", more));
            if passes {
                backend.accept().head();
            } else {
                let head = client.head();
                assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
                assert_eq!(header(&head, "x-ropeway-error"), Some("server_tls"), "{head}");
            }
        }
    }
}

/// A body goes to one server: there is nothing left of it for a filter behind.
#[test]
fn a_body_is_not_promised_to_a_second_filter() {
    let (refusing, other) = (testkit::Refusing::new(), Backend::listen());
    let proxy = |name: &str, server: SocketAddr| {
        format!("- {{ kind: Proxy, name: {name}, pools: [{{ servers: [{{ url: 'http://{server}' }}] }}] }}\n")
    };
    let gateway = TestGateway::start(&format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\nrules:\n- paths: [{{ backend: NAME-p }}]\n---\n\
         name: NAME-p\nkind: Pipeline\nflow:\n- {{ filter: a, jumpIf: {{ serverError: b }} }}\n- {{ filter: b }}\n\
         filters:\n{}{}",
        proxy("a", refusing.address),
        proxy("b", other.address)
    ));
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let head = ask(&gateway, post).head().to_lowercase();
    assert!(head.starts_with("http/1.1 500 ") && head.contains("x-ropeway-error: body_spent"), "{head}");
    assert!(other.try_accept().is_none(), "a head without its body");
    let mut client = ask(&gateway, &get("/", ""));
    let mut server = other.accept();
    assert!(server.head().starts_with("GET / "));
    server.send(b"HTTP/1.1 204 X\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 204 "));
}
