//! What is logged, what is not, and the administration listener.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::Value;
use testkit::{Authority, Backend, Peer, eventually, free_port, masked, op};

use super::process::{Gateway, Process, json, ropeway};
use super::{documents, open};

#[test]
fn json_logs_are_one_object_a_line() {
    let backend = Backend::listen();
    let pool = "serverTags: [a]\n";
    let gateway = Gateway::start(&documents(free_port(), &[backend.address], pool));
    drop(open(gateway.address, &backend, ""));
    gateway.process.err("tunnel closed");
    let log = gateway.process.log();
    for line in &log {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
    }
    let warned = log.iter().filter(|line| line["level"] == "WARN").map(text).collect::<Vec<_>>();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("standard input:19:5") && warned[0].contains("serverTags"), "{warned:?}");
    for expected in ["listening", "ready for tunnels", "tunnel open", "tunnel closed"] {
        assert!(log.iter().any(|line| text(line) == expected), "{expected} in {log:#?}");
    }
}

/// Not even where everything is logged.
#[test]
fn secrets_stay_out_of_logs() {
    let backend = Backend::listen();
    let identity = Authority::new().issue(&["localhost"]);
    let (certificate, key) = (STANDARD.encode(&identity.certificate), STANDARD.encode(&identity.key));
    let secrets = &format!(
        "certBase64: {certificate}\nkeyBase64: {key}\ncerts: {{a: {certificate}}}\nkeys: {{a: {key}}}\nrules:"
    );
    let pool = "healthCheck:\n  http:\n    username: u\n    password: hunter2-password\n    headers: {X-Token: hunter2-token}\n";
    let text = documents(free_port(), &[backend.address], pool).replace("rules:", secrets);
    let gateway = Gateway::start_with(&text, |command| command.env("RUST_LOG", "trace"));
    let headers =
        "Authorization: Bearer hunter2\r\nCookie: id=hunter2\r\nSec-WebSocket-Protocol: hunter2\r\n";
    let (mut client, mut server) = open(gateway.address, &backend, headers);
    client.send(&masked(op::TEXT, b"hunter2"));
    assert_eq!(server.frame().payload, b"hunter2");
    let mut refused = Peer::connect(gateway.address);
    refused.send(format!("GET /?token=hunter2 HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes());
    assert!(refused.head().starts_with("HTTP/1.1 404 "));
    drop((client, server));
    gateway.process.err("tunnel closed");
    gateway.process.signal(rustix::process::Signal::TERM);
    let ended = gateway.process.wait();
    for secret in ["hunter2", &key] {
        assert!(!ended.err.contains(secret), "{}", ended.err);
    }
}

#[test]
fn secrets_stay_out_of_diagnostics() {
    let good = documents(free_port(), &[SocketAddr::from(([127, 0, 0, 1], 9))], "");
    let rows = [
        ("misspelt key", good.replace("rules:", "keyBase46: hunter2\nrules:")),
        ("wrong type", good.replace("rules:", "keyBase64: [hunter2]\nrules:")),
        ("syntax", good.replace("rules:", "keyBase64: \"hunter2\nrules:")),
        ("beside it", good.replace("rules:", "keys: {a: hunter2, a: hunter2}\nrules:")),
    ];
    for (row, text) in rows {
        let mut process = Process::start(&mut ropeway(&["run", "-"]));
        process.feed(&text);
        let ended = process.wait();
        assert_eq!(ended.code, Some(1), "{row}: {}", ended.err);
        assert!(!ended.err.contains("hunter2"), "{row}: {}", ended.err);
    }
}

/// One line for each request, in the form that was asked for and in nothing else, on standard output.
#[test]
fn access_lines() {
    let backend = Backend::listen().serve(|mut peer| {
        peer.head();
        peer.bytes(3);
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    });
    let pool = format!("backendPool: {{ servers: [{{ url: 'http://{}' }}] }}", backend.address);
    let format = "{{Method}} {{URI}} {{Proto}} {{StatusCode}} rx:{{ReqSize}} tx:{{RespSize}} {{RealIP}} [{{Tags}}] {{ReqHeaders}}";
    let text = format!(
        "name: front\nkind: HTTPServer\nport: {}\naddress: 127.0.0.1\ntrustedProxies: [127.0.0.1]\naccessLogFormat: '{format}'\n\
         rules:\n- paths:\n  - path: /page\n    {pool}\n  - path: /ws\n    {pool}\n",
        free_port()
    );
    let gateway = Gateway::start(&text);
    let rows = [
        (
            "POST /page?a=%0a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX-Forwarded-For: 192.0.2.7\r\nCookie: hunter2\r\n\r\nabc",
            "POST /page?a=%0a HTTP/1.1 200 rx:3 tx:5 192.0.2.7 [route: front/0/0] host: [x], content-length: [3], \
             x-forwarded-for: [192.0.2.7], cookie: [***]",
        ),
        (
            "GET /nowhere HTTP/1.1\r\nHost: x\r\nX-A: \"\\\r\n\r\n",
            "GET /nowhere HTTP/1.1 404 rx:0 tx:39 127.0.0.1 [error: route_not_found] host: [x], x-a: [\\\"\\\\]",
        ),
    ];
    for (request, expected) in rows {
        let mut client = Peer::connect(gateway.address);
        client.send(request.as_bytes());
        client.head();
        let line = gateway.process.out(expected.split(' ').nth(1).unwrap());
        assert_eq!(line, expected);
    }
    let mut refused = Peer::shake(gateway.address, "/ws", "Cookie: hunter2\r\nContent-Length: 1\r\n");
    refused.head();
    gateway.process.out("GET /ws HTTP/1.1 400 rx:0 ");
    assert_eq!(gateway.process.lines().len(), 3, "{:?}", gateway.process.lines());
    gateway.process.signal(Signal::TERM);
    let ended = gateway.process.wait();
    assert!(!ended.out.contains("hunter2") && !ended.err.contains("hunter2"), "{}", ended.out);
}

/// A gateway, and where its administration listens.
fn administered(text: &str) -> (Gateway, SocketAddr) {
    let gateway = Gateway::start_with(text, |command| command.args(["--admin", "127.0.0.1:0"]));
    let line = gateway.process.err("administration");
    let admin = json(&line)["address"].as_str().unwrap().parse().unwrap();
    (gateway, admin)
}

#[test]
fn administration() {
    let backend = Backend::listen();
    let text = documents(free_port(), &[backend.address], "");
    let (gateway, admin) = administered(&text);
    let (mut client, mut server) = open(gateway.address, &backend, "");
    client.send(&masked(op::TEXT, b"12345"));
    server.frame();

    let table = [
        ("GET /livez", "200", "ok\n"),
        ("GET /readyz", "200", "ok\n"),
        ("GET /metrics", "200", "ropeway_tunnels 1\n"),
        ("GET /metrics", "200", "ropeway_messages_total{direction=\"to_server\"} 1\n"),
        ("GET /metrics", "200", "ropeway_payload_bytes_total{direction=\"to_server\"} 5\n"),
        ("GET /metrics", "200", "# EOF\n"),
        ("GET /", "404", "there are /livez, /readyz, /metrics and /status\n"),
        ("POST /livez", "405", "only GET can be used here\n"),
    ];
    for (request, status, expected) in table {
        let answer = ask(admin, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains(expected), "{request}: {answer}");
    }
    drop((client, server));
    gateway.process.err("tunnel closed");
    let ended = ask(admin, "GET /metrics");
    assert!(ended.contains("ropeway_tunnels 0\n"), "{ended}");
    assert!(ended.contains("ropeway_tunnels_ended_total{ended_by="), "{ended}");
    assert!(ended.contains("ropeway_requests_total{status=\"101\",error=\"\"} 1\n"), "{ended}");
}

/// While tunnels end the gateway is alive, and not ready.
#[test]
fn readiness_while_it_stops() {
    let backend = Backend::listen();
    let text = documents(free_port(), &[backend.address], "closeTimeout: 60s");
    let (gateway, admin) = administered(&text);
    let (client, server) = open(gateway.address, &backend, "");
    gateway.process.signal(Signal::TERM);
    eventually("it is not ready", || ask(admin, "GET /readyz").starts_with("HTTP/1.1 503 ").then_some(()));
    assert!(ask(admin, "GET /livez").starts_with("HTTP/1.1 200 "));
    drop((client, server));
    assert_eq!(gateway.process.wait().code, Some(0));
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut peer = Peer::connect(address);
    peer.send(format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    String::from_utf8(peer.rest()).unwrap()
}

fn text(line: &Value) -> &str {
    line["message"].as_str().unwrap()
}
