//! `ropeway echo`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use testkit::{Peer, close, masked, op};

use super::process::{Process, ropeway};

/// `ropeway echo` on free ports, and where it listens.
fn echo(listeners: usize, flags: &[&str]) -> (Process, Vec<SocketAddr>) {
    let mut command = ropeway(&["echo", "--listen"]);
    let process = Process::start(command.args(vec!["127.0.0.1:0"; listeners]).args(flags));
    let all = process.outs("echo on ws://", listeners);
    let addresses = all.iter().map(|line| line["echo on ws://".len()..].parse().unwrap());
    (process, addresses.collect())
}

fn open(address: SocketAddr, headers: &str) -> (Peer, String) {
    let mut peer = Peer::shake(address, "/any/path", headers);
    let head = peer.head();
    (peer, head)
}

#[test]
fn every_listener_sends_messages_back() {
    let (_echo, addresses) = echo(3, &[]);
    for address in addresses {
        let (mut peer, head) = open(address, "Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert!(head.contains("sec-websocket-protocol: chat.v1\r\n"), "{head}");
        for (opcode, payload) in
            [(op::TEXT, &b"over the valley"[..]), (op::BINARY, &[7; 100_000]), (op::TEXT, b"")]
        {
            peer.send(&masked(opcode, payload));
            let echoed = peer.frame();
            assert_eq!((echoed.fin, echoed.opcode, echoed.mask), (true, opcode, None));
            assert!(echoed.payload == payload, "{echoed:?}");
        }
        peer.send(&masked(op::PING, b"there?"));
        let pong = peer.frame();
        assert_eq!((pong.opcode, &*pong.payload), (op::PONG, &b"there?"[..]));
        peer.send(&masked(op::CLOSE, &close(4001, "bye")));
        assert_eq!(peer.frame().close(), (4001, "bye".into()));
        assert_eq!(peer.rest(), b"");
    }
}

#[test]
fn it_refuses_what_is_no_handshake() {
    let (_echo, addresses) = echo(1, &[]);
    let mut peer = Peer::connect(addresses[0]);
    peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = peer.head();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[test]
fn refusing() {
    for status in [401, 403, 503, 599] {
        let (_echo, addresses) = echo(1, &["--refuse", &status.to_string()]);
        let (_, head) = open(addresses[0], "");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

#[test]
fn closing_after_the_first_message() {
    let (_echo, addresses) = echo(1, &["--close", "4321"]);
    let (mut peer, _) = open(addresses[0], "");
    peer.send(&masked(op::PING, b""));
    assert_eq!(peer.frame().opcode, op::PONG, "a ping is no message");
    peer.send(&masked(op::TEXT, b"first"));
    assert_eq!(peer.frame().payload, b"first");
    assert_eq!(peer.frame().close(), (4321, "as asked".into()));
    assert_eq!(peer.rest(), b"");
}

#[test]
fn delaying_each_handshake() {
    let (_echo, addresses) = echo(1, &["--delay", "300ms"]);
    let began = Instant::now();
    let (_, head) = open(addresses[0], "");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}
