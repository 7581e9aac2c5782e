//! What a request is routed by counts for ordinary requests and for handshakes alike.

#![allow(clippy::too_many_lines, reason = "a table")]

use testkit::{Backend, TestGateway, UPGRADE};

use super::{ask, header};

/// What a server is asked for, and under which host; or the status and the code of a refusal.
#[derive(PartialEq, Debug)]
enum Outcome {
    Led { target: String, host: String, forwarded_host: String },
    Refused { status: String, label: String },
}

#[test]
fn a_page_and_a_handshake_are_led_alike() {
    let backend = Backend::listen();
    let port = backend.address.port();
    let gateway = TestGateway::start(&format!(
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
---
name: NAME-p
kind: Pipeline
filters: [{{ name: proxy, kind: Proxy, pools: [{{ servers: [{{ url: 'http://127.0.0.1:{port}' }}] }}] }}]
---
name: NAME-n
kind: Pipeline
filters: [{{ name: proxy, kind: Proxy, pools: [{{ servers: [{{ url: 'http://localhost:{port}/base' }}] }}] }}]
"
    ));
    let rows = [
        ("a.example", "/exact", ""),
        ("a.example:81", "/exact?a=b&c", ""),
        ("a.example", "/exact/", ""),
        ("a.example", "/EXACT", ""),
        ("a.example", "/ex%61ct", ""),
        ("a.example", "/old/x%20y?z", ""),
        ("a.example", "/old", ""),
        ("a.example", "/v12/x/y", ""),
        ("a.example", "/header", "X-Mode: a\r\n"),
        ("a.example", "/header", "X-Mode: b\r\n"),
        ("a.example", "/header", ""),
        ("a.example", "/query?q=12", ""),
        ("a.example", "/query?q=x", ""),
        ("a.example", "/post", ""),
        ("a.example", "/blocked", ""),
        ("a.example", "/nowhere", ""),
        ("a.example", "/a%2fb", ""),
        ("a.example", "/a/../exact", ""),
        ("b.example.org", "/only", ""),
        ("B.Example.ORG:8080", "/only", ""),
        ("example.org", "/only", ""),
        ("named.example", "/exact", ""),
        ("a.example", "http://named.example/x", ""),
        ("a.example", "/named-server?x", ""),
        ("a.example", "/exact", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: b\r\n"),
        ("", "/exact", ""),
        ("a b", "/exact", ""),
    ];
    for (host, target, headers) in rows {
        let outcome = |more: &str| {
            let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}{more}\r\n");
            let mut client = ask(&gateway, &request);
            outcome(&backend, &mut client)
        };
        let row = format!("{host} {target} {headers}");
        assert_eq!(outcome("Connection: close\r\n"), outcome(UPGRADE), "{row}");
    }
    let led = outcome(&backend, &mut ask(&gateway, "GET /old/a HTTP/1.1\r\nHost: a.example\r\n\r\n"));
    assert!(matches!(led, Outcome::Led { target, .. } if target == "/new/a"));
}

fn outcome(backend: &Backend, client: &mut testkit::Peer) -> Outcome {
    let server = testkit::eventually("an answer or a request", || {
        if client.is_readable() { Some(None) } else { backend.try_accept().map(Some) }
    });
    let Some(mut server) = server else {
        let head = client.head();
        let label = header(&head, "x-ropeway-error").unwrap_or("none").to_owned();
        return Outcome::Refused { status: head[9..12].to_owned(), label };
    };
    let head = server.head();
    let value = |name| header(&head, name).unwrap_or_default().to_owned();
    Outcome::Led {
        target: head.split(' ').nth(1).unwrap().to_owned(),
        host: value("host"),
        forwarded_host: value("x-forwarded-host"),
    }
}
