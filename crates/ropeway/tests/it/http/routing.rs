//! What a request is routed by counts for ordinary requests and for handshakes alike.

#![allow(clippy::too_many_lines, reason = "a table")]

use std::fmt;

use testkit::h2::{END, END_HEADERS, H2Peer, h2_headers, kind};
use testkit::{Authority, Backend, Initiator, TestGateway, UPGRADE};

use super::{Setup, ask, header};
use crate::tls::{demand, shows};

/// What a server is asked for, and under which host; or the status and the code of a refusal.
#[derive(PartialEq, Debug)]
enum Outcome {
    Led { target: String, host: String, forwarded_host: String },
    Refused { status: String, label: String, body: String },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Led { target, .. } => f.write_str(target),
            Outcome::Refused { status, label, .. } => write!(f, "{status} {label}"),
        }
    }
}

#[test]
fn a_page_and_a_handshake_are_led_alike() {
    let backend = Backend::listen();
    let port = backend.address.port();
    let documents = format!(
        "name: NAME
kind: HTTPServer
port: PORT
address: 127.0.0.1
rules:
- host: '*.example.org'
  paths: [{{ path: /only, backend: NAME-p }}]
- hosts: [{{ value: named.example }}]
  paths: [{{ pathPrefix: /, rewriteTarget: /named/, backend: NAME-p }}]
- paths:
  - {{ path: /exact, backend: NAME-p }}
  - {{ pathPrefix: /old/, rewriteTarget: /new/, backend: NAME-p }}
  - {{ pathRegexp: '^/v([0-9]+)/(.*)$', rewriteTarget: '/$2/$1', backend: NAME-p }}
  - {{ path: /header, headers: [{{ key: X-Mode, values: [a] }}], backend: NAME-p }}
  - {{ path: /query, queries: [{{ key: q, regexp: '^[0-9]+$' }}], backend: NAME-p }}
  - {{ path: /post, methods: [POST], backend: NAME-p }}
  - {{ path: /blocked, ipFilter: {{ blockIPs: [127.0.0.1] }}, backend: NAME-p }}
  - {{ path: /named-server, backend: NAME-n }}
  - {{ path: /all, matchAllHeader: true, headers: [{{ key: X-A, values: [a] }}, {{ key: X-B, regexp: b }}], backend: NAME-p }}
  - {{ path: /all-queries, matchAllQuery: true, queries: [{{ key: a, values: ['1'] }}, {{ key: b, values: ['2'] }}], backend: NAME-p }}
  - {{ path: /twice, methods: [POST], backend: NAME-p }}
  - {{ path: /twice, headers: [{{ key: X-Mode, values: [a] }}], backend: NAME-p }}
  - {{ path: '/;v=1', backend: NAME-p }}
- ipFilter: {{ allowIPs: [192.0.2.0/24] }}
  host: guarded.example
  paths: [{{ pathPrefix: /, backend: NAME-p }}]
---
name: NAME-p
kind: Pipeline
filters: [{{ name: proxy, kind: Proxy, pools: [{{ servers: [{{ url: 'http://127.0.0.1:{port}' }}] }}] }}]
---
name: NAME-n
kind: Pipeline
filters: [{{ name: proxy, kind: Proxy, pools: [{{ servers: [{{ url: 'http://localhost:{port}/base' }}] }}] }}]
"
    );
    let gateway = TestGateway::start(&documents);
    let authority = Authority::new();
    let shows = shows(&authority.issue(&["localhost"]));
    let secure = TestGateway::start(&documents.replacen("rules:", &format!("{shows}rules:"), 1));
    let tls = Initiator::speaking(secure.address, demand("localhost", &authority), "h2");
    let path_invalid = "400 path_invalid";
    let mismatch = "400 route_mismatch";
    let (method, address) = ("405 method_not_allowed", "403 address_refused");
    let nowhere = "404 route_not_found";
    // Host, target and headers; and what a server is asked for, or the refusal.
    let rows = [
        ("a.example", "/exact", "", "/exact"),
        ("a.example:81", "/exact?a=b&c", "", "/exact?a=b&c"),
        ("a.example", "/exact/", "", nowhere),
        ("a.example", "/EXACT", "", nowhere),
        ("a.example", "/ex%61ct", "", "/ex%61ct"),
        ("a.example", "/old/x%20y?z", "", "/new/x%20y?z"),
        ("a.example", "/old", "", nowhere),
        ("a.example", "/v12/x/y", "", "/x/y/12"),
        ("a.example", "/header", "X-Mode: a\r\n", "/header"),
        ("a.example", "/header", "X-Mode: b\r\n", mismatch),
        ("a.example", "/header", "", mismatch),
        ("a.example", "/query?q=12", "", "/query?q=12"),
        ("a.example", "/query?q=x", "", mismatch),
        ("a.example", "/post", "", method),
        ("a.example", "/blocked", "", address),
        ("a.example", "/nowhere", "", nowhere),
        ("a.example", "/a%2fb", "", path_invalid),
        ("a.example", "/a/../exact", "", path_invalid),
        ("b.example.org", "/only", "", "/only"),
        ("B.Example.ORG:8080", "/only", "", "/only"),
        ("example.org", "/only", "", nowhere),
        ("named.example", "/exact", "", "/named/exact"),
        ("a.example", "http://named.example/x", "", "/named/x"),
        ("a.example", "/named-server?x", "", "/base/named-server?x"),
        ("a.example", "/exact", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: b\r\n", "/exact"),
        ("a.example", "/all", "X-A: a\r\nX-B: b\r\n", "/all"),
        ("a.example", "/all", "X-A: a\r\n", mismatch),
        ("a.example", "/all-queries?b=2&a=1", "", "/all-queries?b=2&a=1"),
        ("a.example", "/all-queries?b=2&a=2&a=1", "", mismatch),
        ("a.example", "/twice", "", mismatch),
        ("a.example", "/twice", "X-Mode: a\r\n", "/twice"),
        ("guarded.example", "/exact", "", "/exact"),
        ("guarded.example", "/nowhere", "", address),
        ("a.example", "/;v=1", "", "/;v=1"),
        ("a.example", "/%3bv=1", "", "/%3bv=1"),
        ("a.example", "/a\\b", "", path_invalid),
        ("a.example", "/a%5cb", "", path_invalid),
        ("a.example", "/..;/exact", "", path_invalid),
        ("a.example.", "/exact", "", "/exact"),
        ("[::1]:80", "/exact", "", "/exact"),
        ("", "/exact", "", "400 host_invalid"),
        ("a b", "/exact", "", "400 host_invalid"),
    ];
    for (host, target, headers, expected) in rows {
        let outcome = |more: &str| {
            let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}{more}\r\n");
            let mut client = ask(&gateway, &request);
            outcome(&backend, &mut client)
        };
        let row = format!("{host} {target} {headers}");
        let page = outcome("Connection: close\r\n");
        assert_eq!(page, outcome(UPGRADE), "{row}");
        assert_eq!(page.to_string(), expected, "{row}");
        // In HTTP/2 a target has another form, and what is no host is no request.
        if target.starts_with('/') && !["", "a b"].contains(&host) {
            over_http2(&tls, &backend, (host, target, headers), &page);
        }
    }
}

/// Sends a request over HTTP/2, which has to come to the same as `page`.
fn over_http2(tls: &Initiator, backend: &Backend, request: (&str, &str, &str), page: &Outcome) {
    let (host, target, headers) = request;
    let headers = headers.to_lowercase();
    let more = headers.lines().map(|line| line.split_once(": ").unwrap());
    let own = [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", target)];
    let fields: Vec<_> = own.into_iter().chain(more).collect();
    let mut client = H2Peer::connect(tls.address, &[]);
    client.send(kind::HEADERS, END | END_HEADERS, 1, &h2_headers(&fields));
    match page {
        Outcome::Led { .. } => assert_eq!(led(&backend.accept().head()), *page, "{request:?}"),
        Outcome::Refused { body, .. } => {
            let answer = client.answer(1).unwrap();
            assert_eq!(String::from_utf8_lossy(&answer.body), *body, "{request:?}: {answer:?}");
        }
    }
}

/// What `outcome` tells of a page and of a handshake, which have to be the same.
fn alike(gateway: &TestGateway, backend: &Backend, target: &str, headers: &str) -> String {
    let outcome = |more: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{headers}{more}\r\n");
        outcome(backend, &mut ask(gateway, &request)).to_string()
    };
    let found = outcome("Connection: close\r\n");
    assert_eq!(found, outcome(UPGRADE), "{target}");
    found
}

#[test]
fn a_tree_of_patterns() {
    let backend = Backend::listen();
    let address = backend.address;
    let gateway = TestGateway::start(&format!(
        "name: NAME
kind: HTTPServer
port: PORT
address: 127.0.0.1
routerKind: RadixTree
cacheSize: 100
rules:
- paths:
  - {{ path: /*, rewriteTarget: '/rest/{{EG_WILDCARD}}', backendPool: &pool {{ servers: [{{ url: 'http://{address}' }}] }} }}
  - {{ path: '/rooms/{{id}}', rewriteTarget: '/room/{{id}}', backendPool: *pool }}
  - {{ path: '/rooms/{{id:[0-9]+}}', rewriteTarget: '/number/{{id}}', backendPool: *pool }}
  - {{ path: /rooms/new, backendPool: *pool }}
  - {{ path: '/rooms/{{id}}/post', methods: [POST], backendPool: *pool }}
"
    ));
    let rows = [
        ("/rooms/new", "/rooms/new"),
        ("/rooms/7?q", "/number/7?q"),
        ("/rooms/a%20b", "/room/a%20b"),
        ("/rooms/a/b", "/rest/rooms/a/b"),
        ("/rooms/", "/rest/rooms/"),
        ("/rooms/a/post", "/rest/rooms/a/post"),
        ("/", "/rest/"),
    ];
    for (target, expected) in rows {
        assert_eq!(alike(&gateway, &backend, target, ""), expected, "{target}");
    }
}

#[test]
fn escaped_slashes_that_are_kept() {
    let backend = Backend::listen();
    let address = backend.address;
    let documents = |slashes: &str| {
        format!(
            "name: NAME
kind: HTTPServer
port: PORT
address: 127.0.0.1
encodedSlashes: {slashes}
rules:
- paths:
  - {{ pathPrefix: /old/, rewriteTarget: /new/, backendPool: &pool {{ servers: [{{ url: 'http://{address}' }}] }} }}
  - {{ path: /projects/a%2Fb, rewriteTarget: /exact, backendPool: *pool }}
  - {{ pathPrefix: /projects/, backendPool: *pool }}
"
        )
    };
    let refused = "400 path_invalid";
    let rows = [
        ("/projects/x%2fy", "/projects/x%2fy"),
        ("/projects/a%2fb", "/exact"),
        ("/projects/x%5Cy", "/projects/x%5Cy"),
        ("/old/x%2fy", "/new/x%2Fy"),
        ("/projects%2fx", "404 route_not_found"),
        ("/projects/..%2fy", refused),
        ("/projects/x%252fy", refused),
        ("/projects/x%00", refused),
        ("/projects/x\\y", refused),
    ];
    let (keeping, rejecting) =
        (TestGateway::start(&documents("keep")), TestGateway::start(&documents("reject")));
    for (target, expected) in rows {
        assert_eq!(alike(&keeping, &backend, target, ""), expected, "{target}");
        if !target.contains("%252f") && !target.contains("%2fx") {
            assert_eq!(alike(&rejecting, &backend, target, ""), refused, "{target}");
        }
    }
}

#[test]
fn a_route_sets_headers() {
    let backend = Backend::listen();
    let address = backend.address;
    let gateway = TestGateway::start(&format!(
        "name: NAME
kind: HTTPServer
port: PORT
address: 127.0.0.1
routerKind: RadixTree
rules:
- paths:
  - path: /rooms/{{room}}
    setHeaders:
      X-Room: 'room-${{room}}'
      X-User: '${{arg_user:nobody}}'
      X-Secret: ''
      X-Broken: '$arg_broken'
      Authorization: 'Bearer $cookie_token'
    backendPool: {{ servers: [{{ url: 'http://{address}' }}] }}
"
    ));
    for more in ["Connection: close\r\n", UPGRADE] {
        let request = format!(
            "GET /rooms/a%20b?user=&broken=%0d%0aX-Forged:+1 HTTP/1.1\r\nHost: a.example\r\nx-room: forged\r\n\
             X-Secret: forged\r\nX-Broken: forged\r\nX-User: forged\r\nX-User: twice\r\nCookie: a=b; token=t\r\n{more}\r\n"
        );
        let _client = ask(&gateway, &request);
        let head = backend.accept().head();
        let value = |name| header(&head, name);
        assert_eq!(value("x-room"), Some("room-a b"), "{head}");
        assert_eq!(value("x-user"), Some("nobody"), "{head}");
        assert_eq!(value("authorization"), Some("Bearer t"), "{head}");
        assert!(value("x-secret").is_none() && value("x-broken").is_none(), "{head}");
        assert!(!head.contains("forged") && !head.contains("twice") && !head.contains("Forged: 1"), "{head}");
    }
}

/// What servers are told of a client, by the proxies that are trusted and by what it says itself.
#[test]
fn a_page_and_a_handshake_tell_the_same_of_the_client() {
    const TRUSTED: &str = "trustedProxies: [127.0.0.0/8]";
    const NOBODY: &str = "trustedProxies: []";
    const NAMES: [&str; 5] =
        ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded"];
    let sent = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: front.example\r\nX-Forwarded-Proto: wss\r\n\
                X-Real-IP: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n";
    let lines = "X-Forwarded-For: 192.0.2.7\r\nX-FORWARDED-FOR: 192.0.2.8, 192.0.2.9\r\n";
    let own = "127.0.0.1|a.example|http||";
    let passed = "192.0.2.7, 127.0.0.1|front.example|https|192.0.2.7|for=192.0.2.7";
    let backend = Backend::listen();
    for (server, said, expected) in [
        ("", "", own),
        ("", sent, passed),
        ("xForwardedFor: true", sent, passed),
        (TRUSTED, "", own),
        (TRUSTED, sent, passed),
        (TRUSTED, lines, "192.0.2.7, 192.0.2.8, 192.0.2.9, 127.0.0.1|a.example|http||"),
        (NOBODY, "", own),
        (NOBODY, sent, own),
        (NOBODY, lines, own),
        ("", "X_Forwarded_For: 192.0.2.7\r\nClient-Cert: :YQ==:\r\nX-Forwarded-Proto: gopher\r\n", own),
    ] {
        let gateway = Setup { server, ..Setup::default() }.to(&[backend.address]);
        for more in ["Connection: close\r\n", UPGRADE] {
            let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{said}{more}\r\n");
            let _client = ask(&gateway, &request);
            let head = backend.accept().head();
            let told = NAMES.map(|name| header(&head, name).unwrap_or_default()).join("|");
            assert_eq!(told, expected, "{server}, {said}{more}: {head}");
            let lower = head.to_lowercase();
            let count = lower.matches("forwarded-for:").count() + lower.matches("forwarded_for").count();
            assert_eq!(count, 1, "{server}, {said}{more}: {head}");
            assert!(!lower.contains("client-cert"), "{head}");
        }
    }
}

/// The limit of the path, or else of the server; a handshake has no body that could be too long.
#[test]
fn bodies_may_be_as_long_as_their_path_says() {
    let backend = Backend::listen().serve(|mut peer| {
        while let Some(first) = peer.bytes_or_end(1) {
            let head = String::from_utf8(first).unwrap() + &peer.head();
            peer.bytes(header(&head, "content-length").map_or(0, |length| length.parse().unwrap()));
            peer.try_send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let address = backend.address;
    let gateway = TestGateway::start(&format!(
        "name: NAME
kind: HTTPServer
port: PORT
address: 127.0.0.1
clientMaxBodySize: 3
rules:
- paths:
  - {{ path: /server, backendPool: &pool {{ servers: [{{ url: 'http://{address}' }}] }} }}
  - {{ path: /zero, clientMaxBodySize: 0, backendPool: *pool }}
  - {{ path: /more, clientMaxBodySize: 5, backendPool: *pool }}
  - {{ path: /less, clientMaxBodySize: 1, backendPool: *pool }}
  - {{ path: /any, clientMaxBodySize: -1, backendPool: *pool }}
"
    ));
    let rows = [
        ("/server", "abc", "200"),
        ("/server", "abcd", "413"),
        ("/zero", "abcd", "413"),
        ("/more", "abcde", "200"),
        ("/more", "abcdef", "413"),
        ("/less", "ab", "413"),
        ("/any", "abcdefgh", "200"),
    ];
    for (path, body, expected) in rows {
        let length = body.len();
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        assert_eq!(&ask(&gateway, &request).head()[9..12], expected, "{path} {body}");
    }
}

fn outcome(backend: &Backend, client: &mut testkit::Peer) -> Outcome {
    let server = testkit::eventually("an answer or a request", || {
        if client.is_readable() { Some(None) } else { backend.try_accept().map(Some) }
    });
    let Some(mut server) = server else {
        let head = client.head();
        let label = header(&head, "x-ropeway-error").unwrap_or("none").to_owned();
        let body = String::from_utf8(client.rest()).unwrap();
        return Outcome::Refused { status: head[9..12].to_owned(), label, body };
    };
    led(&server.head())
}

fn led(head: &str) -> Outcome {
    let value = |name| header(head, name).unwrap_or_default().to_owned();
    Outcome::Led {
        target: head.split(' ').nth(1).unwrap().to_owned(),
        host: value("host"),
        forwarded_host: value("x-forwarded-host"),
    }
}
