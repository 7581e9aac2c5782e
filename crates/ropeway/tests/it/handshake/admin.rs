//! What the administration listener tells of handshakes.

use ropeway::app::Options;
use testkit::{Backend, Peer, TestGateway};

use super::{Answer, Setup, meet};

fn ask(gateway: &TestGateway, method: &str, path: &str) -> Answer {
    let mut peer = Peer::connect(gateway.admin().unwrap());
    peer.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
    Answer::read(&mut peer)
}

#[test]
fn answers_are_counted_by_status_and_error() {
    let backend = Backend::listen();
    let documents = Setup::default().documents(&[format!("url: 'ws://{}'", backend.address)]);
    let options = Options { workers: 2, admin: Some(([127, 0, 0, 1], 0).into()), ..Options::default() };
    let gateway = TestGateway::start_with(&documents, &options);
    for path in ["/livez", "/readyz"] {
        let answer = ask(&gateway, "GET", path);
        assert_eq!((answer.status(), answer.text()), (200, "ok\n"), "{path}");
    }
    assert_eq!(ask(&gateway, "GET", "/").status(), 404);
    assert_eq!(ask(&gateway, "POST", "/livez").status(), 405);

    for path in ["/", "/", "/ws/%2f"] {
        Answer::read(&mut Peer::shake(gateway.address, path, ""));
    }
    Answer::read(&mut Peer::shake(gateway.address, "/ws", "Origin: http://other.example\r\n"));
    for answer in ["HTTP/1.1 403 X\r\nX-Ropeway-Error: made_up\r\nContent-Length: 0\r\n\r\n", "SSH-2.0\r\n"] {
        let mut client = Peer::shake(gateway.address, "/ws", "");
        let mut server = meet(&mut client, &backend, answer);
        server.head();
        server.send(answer.as_bytes());
        Answer::read(&mut client);
    }
    let tunnels = [gateway.tunnel(&backend), gateway.tunnel(&backend)];

    let metrics = ask(&gateway, "GET", "/metrics");
    assert_eq!(
        metrics.values("content-type"),
        ["application/openmetrics-text; version=1.0.0; charset=utf-8"]
    );
    let mut found: Vec<_> =
        metrics.text().lines().filter(|line| line.starts_with("ropeway_requests_total")).collect();
    found.sort_unstable();
    let expected = [
        r#"ropeway_requests_total{status="101",error=""} 2"#,
        r#"ropeway_requests_total{status="400",error="path_invalid"} 1"#,
        r#"ropeway_requests_total{status="403",error=""} 1"#,
        r#"ropeway_requests_total{status="403",error="origin_refused"} 1"#,
        r#"ropeway_requests_total{status="404",error="route_not_found"} 2"#,
        r#"ropeway_requests_total{status="502",error="answer_invalid"} 1"#,
    ];
    assert_eq!(found, expected);
    assert!(metrics.text().contains("\nropeway_tunnels 2\n"), "{}", metrics.text());
    drop(tunnels);
}
