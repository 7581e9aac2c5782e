//! Connections that carry one request after the other, and servers that fail.

use testkit::{Backend, Peer};

use super::{Setup, ask, get, header, to};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers every request with its path.
fn paths(mut peer: Peer) {
    while let Some(path) = request(&mut peer) {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
        if !peer.try_send(answer.as_bytes()) {
            return;
        }
    }
}

/// The path of the next request without a body, if there is one.
fn request(peer: &mut Peer) -> Option<String> {
    let mut head = peer.bytes_or_end(1)?;
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(peer.bytes_or_end(1)?);
    }
    let head = String::from_utf8(head).unwrap();
    Some(head.split(' ').nth(1).unwrap().to_owned())
}

#[test]
fn connections_are_used_again_on_both_sides() {
    let backend = Backend::listen().serve(paths);
    let gateway = to(&[backend.address]);
    let mut client = Peer::connect(gateway.address);
    for number in 0..50 {
        client.send(get(&format!("/{number:02}"), "").as_bytes());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(client.bytes(3), format!("/{number:02}").as_bytes());
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let backend = Backend::listen().serve(paths);
    let gateway = to(&[backend.address]);
    let mut client = Peer::connect(gateway.address);
    let requests: String = (0..20).map(|number| get(&format!("/{number:02}"), "")).collect();
    client.send(requests.as_bytes());
    for number in 0..20 {
        client.head();
        assert_eq!(client.bytes(3), format!("/{number:02}").as_bytes());
    }
}

/// A connection that is closed while it waits is no failure of the server.
#[test]
fn a_connection_that_was_closed_in_the_meantime_is_replaced() {
    let backend = Backend::listen();
    let gateway = Setup { pool: "maxRetries: 0", ..Setup::default() }.to(&[backend.address]);
    for (method, repeated) in [("GET", true), ("DELETE", true), ("POST", false)] {
        let mut client = ask(&gateway, &get("/first", ""));
        let mut server = backend.accept();
        server.head();
        server.send(OK);
        client.head();
        client.bytes(2);
        client.send(
            format!("{method} /second HTTP/1.1\r\nHost: test.example\r\nContent-Length: 0\r\n\r\n")
                .as_bytes(),
        );
        assert!(server.head().starts_with(&format!("{method} /second ")));
        drop(server);
        if repeated {
            let mut server = backend.accept();
            assert!(server.head().starts_with(&format!("{method} /second ")));
            server.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
        let head = client.head();
        let expected = if repeated { "HTTP/1.1 200 " } else { "HTTP/1.1 502 " };
        assert!(head.starts_with(expected), "{method}: {head}");
        assert!(repeated || backend.try_accept().is_none(), "{method} was sent twice");
    }
}

/// Which requests a second server gets when the first fails in some way.
#[test]
fn what_can_be_repeated_is_tried_at_another_server() {
    let ok = |name: &'static str| {
        move |mut peer: Peer| {
            while request(&mut peer).is_some() {
                peer.try_send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}").as_bytes());
            }
        }
    };
    let answers: &[(&str, &[(&str, bool)])] = &[
        (
            "",
            &[
                ("GET", true),
                ("HEAD", true),
                ("OPTIONS", true),
                ("PUT", true),
                ("DELETE", true),
                ("POST", false),
                ("PATCH", false),
            ],
        ),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", &[("GET", true), ("POST", false)]),
        ("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n", &[("GET", false), ("POST", false)]),
        ("HTTP/1.1 404 Nothing\r\nContent-Length: 0\r\n\r\n", &[("GET", false)]),
    ];
    for (answer, methods) in answers {
        let bad = Backend::listen().serve(move |mut peer| {
            peer.head();
            peer.try_send(answer.as_bytes());
        });
        let good = Backend::listen().serve(ok("y"));
        for (method, repeated) in *methods {
            let gateway = to(&[bad.address, good.address]);
            let mut client = ask(
                &gateway,
                &format!("{method} / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 0\r\n\r\n"),
            );
            let status = client.head()[9..12].to_owned();
            let first = answer.get(9..12).unwrap_or("502");
            assert_eq!(status, if *repeated { "200" } else { first }, "{method} {answer:?}");
        }
    }
}

#[test]
fn a_request_that_was_never_sent_goes_to_another_server_whatever_it_is() {
    let gone = Backend::listen().address;
    let backend = Backend::listen();
    let gateway = to(&[gone, backend.address]);
    let mut client = ask(&gateway, "POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 3\r\n\r\nabc");
    let mut server = backend.accept();
    server.head();
    assert_eq!(server.bytes(3), b"abc");
    server.send(OK);
    assert!(client.head().starts_with("HTTP/1.1 200 "));
}

#[test]
fn codes_that_count_as_failures_have_a_result() {
    let failing = |answer: &'static str| {
        Backend::listen().serve(move |mut peer| {
            peer.head();
            peer.try_send(answer.as_bytes());
        })
    };
    let limited = failing("HTTP/1.1 429 Slow\r\nContent-Length: 4\r\n\r\nslow");
    let broken = failing("HTTP/1.1 500 Broken\r\nContent-Length: 4\r\n\r\noops");
    for (address, pool, mocked) in [
        (limited.address, "", false),
        (limited.address, "failureCodes: [429]", true),
        (limited.address, "failureCodes: [500, 400-428]", false),
        (limited.address, "failureCodes: [500, 400-429]", true),
        (limited.address, "failureCodes: [429-599]", true),
        (limited.address, "failureCodes: [430-599]", false),
        (broken.address, "", true),
        (broken.address, "failureCodes: [429]", false),
    ] {
        let text = Setup { pool, ..Setup::default() }.documents(&[format!("http://{address}")]);
        let text = text.replace("filters:\n", "flow:\n- filter: proxy\n  jumpIf: {failureCode: sorry}\n- filter: END\n- filter: sorry\nfilters:\n- kind: Mock\n  name: sorry\n  rules: [{code: 299}]\n");
        let gateway = testkit::TestGateway::start(&text);
        let head = ask(&gateway, &get("/", "")).head();
        assert_eq!(head.starts_with("HTTP/1.1 299 "), mocked, "{address} {pool}: {head}");
    }
}

#[test]
fn a_server_counts_the_requests_that_are_under_way() {
    let backend = Backend::listen();
    let gateway = Setup { pool: "maxConnections: 1", ..Setup::default() }.to(&[backend.address]);
    let mut first = ask(&gateway, &get("/", ""));
    let mut server = backend.accept();
    server.head();
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na");
    first.head();
    let head = ask(&gateway, &get("/", "")).head();
    assert_eq!(header(&head, "x-ropeway-error"), Some("no_capacity"), "{head}");
    server.send(b"bc");
    first.bytes(3);
    // The place is free; which connection is used depends on the worker.
    let mut second = ask(&gateway, &get("/second", ""));
    let mut server = testkit::eventually("the second request", || match backend.try_accept() {
        None if server.is_readable() => Some(None),
        accepted => accepted.map(Some),
    })
    .unwrap_or(server);
    assert!(server.head().starts_with("GET /second "));
    server.send(OK);
    assert!(second.head().starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_server_that_is_not_well_gets_no_requests() {
    let answering = |health: &'static str, name: &'static str| {
        Backend::listen().serve(move |mut peer| {
            while let Some(path) = request(&mut peer) {
                let status = if path == "/health" { health } else { "200 OK" };
                peer.try_send(format!("HTTP/1.1 {status}\r\nContent-Length: 1\r\n\r\n{name}").as_bytes());
            }
        })
    };
    let (sick, well) = (answering("500 Sick", "s"), answering("200 OK", "w"));
    let pool = "healthCheck: {interval: 1s, initial: unhealthy, http: {uri: /health}}";
    let gateway = Setup { pool, ..Setup::default() }.to(&[sick.address, well.address]);
    let answer = || {
        let mut client = ask(&gateway, &get("/", ""));
        let status = client.head()[9..12].to_owned();
        (status == "200").then(|| client.bytes(1))
    };
    testkit::eventually("a server that is well", answer);
    for _ in 0..6 {
        assert_eq!(answer().as_deref(), Some(&b"w"[..]));
    }
}

#[test]
fn a_changed_path_of_a_server_is_a_change() {
    let backend = Backend::listen().serve(paths);
    let documents = |base: &str| Setup::default().documents(&[format!("http://{}{base}", backend.address)]);
    let mut gateway = testkit::TestGateway::start(&documents("/one"));
    for base in ["/one", "/two"] {
        gateway.reload(&documents(base));
        let mut client = ask(&gateway, &get("/x", ""));
        client.head();
        assert_eq!(client.bytes(6), format!("{base}/x").as_bytes());
    }
}

/// One request a connection, where the user wants it so; whatever else is there is not served.
#[test]
fn without_keep_alive_a_connection_carries_one_request() {
    let backend = Backend::listen();
    for (server, carries) in [("keepAlive: false", 1), ("keepAlive: true", 2)] {
        let gateway = Setup { server, path: "", ..Setup::default() }.to(&[backend.address]);
        let mut client = Peer::connect(gateway.address);
        client.send((get("/a%00", "") + &get("/b%00", "Connection: close\r\n")).as_bytes());
        let answers = String::from_utf8(client.rest()).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 400 ").count(), carries, "{server}: {answers}");
    }
}

/// An idle connection is closed after `keepAliveTimeout`.
#[test]
fn an_idle_connection_is_closed() {
    let backend = Backend::listen();
    let gateway = Setup { server: "keepAliveTimeout: 1s", ..Setup::default() }.to(&[backend.address]);
    let mut client = Peer::connect(gateway.address);
    client.send(get("/a%00", "").as_bytes());
    let answer = String::from_utf8(client.rest()).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

/// Byte for byte, so with the order of headers, however the first try ends.
#[test]
fn a_second_try_gets_what_the_first_got() {
    let headers = "X-mine: 1\r\nCOOKIE: a=b\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nx-TWICE: 1\r\nx-TWICE: 2\r\n\
                   Connection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n";
    for (name, answer, waits) in [
        ("no answer", "", false),
        ("503", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", false),
        ("a connection that waited", "", true),
    ] {
        let backends = [Backend::listen(), Backend::listen()];
        let addresses = backends.each_ref().map(|backend| backend.address);
        let gateway = to(&addresses[..if waits { 1 } else { 2 }]);
        let accept = || testkit::eventually(name, || backends.iter().find_map(Backend::try_accept));
        let mut client = Peer::connect(gateway.address);
        let mut first = None;
        if waits {
            client.send(get("/first", "").as_bytes());
            let mut server = accept();
            server.head();
            server.send(OK);
            client.head();
            client.bytes(2);
            first = Some(server);
        }
        client.send(get("/?q", headers).as_bytes());
        let mut first = first.unwrap_or_else(accept);
        let got = first.head();
        for line in ["GET /?q HTTP/1.1", "X-Mine: 1", "Cookie: a=b", "X-Twice: 1", "X-Twice: 2"] {
            assert!(got.contains(&format!("{line}\r\n")), "{name}: no {line} in {got}");
        }
        assert_eq!(header(&got, "x-forwarded-for"), Some("192.0.2.1, 192.0.2.2, 127.0.0.1"), "{name}: {got}");
        first.try_send(answer.as_bytes());
        drop(first);
        let mut second = accept();
        assert_eq!(second.head(), got, "{name}");
        second.send(OK);
        assert!(client.head().starts_with("HTTP/1.1 200 "), "{name}");
    }
}
