//! Clients that do not take their answers, and servers that do not go on with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;
use testkit::h2::{H2Peer, INITIAL_WINDOW, kind};
use testkit::{Backend, Peer, eventually};

use super::h2::Front;
use super::{Setup, ask, get};

const SHORT: &str = "sendTimeout: 300ms\nanswerPauseTimeout: 300ms\n";

/// Sends an answer without an end until nobody takes it any more: how long that took.
fn answer_for_ever(server: &mut Peer) -> Duration {
    let began = Instant::now();
    server.head();
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
    while server.try_send(&[b'x'; 64 * 1024]) {}
    began.elapsed()
}

fn pass(time: Duration) {
    let began = Instant::now();
    eventually("the time has passed", || (began.elapsed() >= time).then_some(()));
}

#[test]
fn a_client_that_does_not_read_loses_its_connection_and_its_servers_place() {
    let backend = Backend::listen();
    let setup = Setup { server: SHORT, pool: "maxConnections: 1", ..Setup::default() };
    let gateway = setup.to(&[backend.address]);
    let mut lazy = ask(&gateway, &get("/", ""));
    let took = answer_for_ever(&mut backend.accept());
    assert!(took < Duration::from_secs(10), "{took:?}");
    // Its place is free.
    let mut next = ask(&gateway, &get("/", ""));
    let mut server = backend.accept();
    server.head();
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(next.head().starts_with("HTTP/1.1 200 "));
    lazy.rest();
}

/// It takes ten times as long as a client may take nothing.
#[test]
fn a_client_that_reads_slowly_gets_everything() {
    const PART: usize = 1 << 20;
    let backend = Backend::listen().serve(|mut server| {
        server.head();
        server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 60 * PART).as_bytes());
        (0..60).all(|_| server.try_send(&[b'x'; PART]));
    });
    let gateway = Setup { server: "sendTimeout: 500ms", ..Setup::default() }.to(&[backend.address]);
    let mut client = ask(&gateway, &get("/", ""));
    client.head();
    for part in 0..60 {
        pass(Duration::from_millis(50));
        assert!(client.bytes_or_end(PART).is_some(), "cut after {part} MiB");
    }
}

/// It takes 320 KiB within the time in which it may take nothing: less than the kernel, left to itself, waits for before it
/// reports that there is room.
#[test]
fn a_client_that_reads_very_slowly_is_not_cut() {
    const PART: usize = 64 << 10;
    let cut = Arc::new(AtomicBool::new(false));
    let noticed = cut.clone();
    let backend = Backend::listen().serve(move |mut server| {
        server.head();
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        while server.try_send(&[b'x'; PART]) {}
        noticed.store(true, Ordering::Relaxed);
    });
    let gateway = Setup { server: "sendTimeout: 1s", ..Setup::default() }.to(&[backend.address]);
    let mut client = ask(&gateway, &get("/", ""));
    SockRef::from(&client.tcp).set_recv_buffer_size(PART).unwrap();
    for part in 0..420 {
        // At first as fast as it can: the kernel's buffers grow.
        pass(Duration::from_millis(if part < 400 { 0 } else { 200 }));
        assert!(client.bytes_or_end(PART).is_some() && !cut.load(Ordering::Relaxed), "after {part}");
    }
}

#[test]
fn a_server_that_does_not_go_on_is_not_waited_for() {
    let backend = Backend::listen();
    let gateway = Setup { server: SHORT, ..Setup::default() }.to(&[backend.address]);
    for (name, head) in [
        ("of known length", "Content-Length: 10"),
        ("in chunks", "Transfer-Encoding: chunked"),
        ("to the end", "Content-Type: text/plain"),
    ] {
        let mut client = ask(&gateway, &get("/", ""));
        let mut server = backend.accept();
        server.head();
        server.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nabcd\r\n").as_bytes());
        client.head();
        let rest = client.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{name}: looks whole: {rest:?}");
        assert!(server.bytes_or_end(1).is_none(), "{name}");
    }
}

#[test]
fn events_may_be_far_between() {
    let backend = Backend::listen();
    for (lines, kind) in [
        (SHORT, "text/event-stream"),
        (SHORT, "Text/Event-Stream; charset=utf-8"),
        ("answerPauseTimeout: 0s", "text/plain"),
    ] {
        let gateway = Setup { server: lines, ..Setup::default() }.to(&[backend.address]);
        let mut client = ask(&gateway, &get("/", ""));
        let mut server = backend.accept();
        server.head();
        server.send(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n").as_bytes());
        client.head();
        for event in ["a", "b"] {
            pass(Duration::from_millis(700));
            server.send(event.as_bytes());
            assert_eq!(client.bytes(6), format!("1\r\n{event}\r\n").as_bytes(), "{kind}");
        }
    }
}

#[test]
fn a_stream_without_a_window_is_reset_and_others_go_on() {
    const CANCEL: u32 = 8;
    let backend = Backend::listen();
    let front = Front::to(backend.address, SHORT);
    let mut client = H2Peer::connect(front.tls.address, &[(INITIAL_WINDOW, 0)]);
    client.get(1, "/");
    let mut server = backend.accept();
    answer_for_ever(&mut server);
    let reset = client.next(kind::RST_STREAM).unwrap();
    assert_eq!((reset.stream, &*reset.payload), (1, &CANCEL.to_be_bytes()[..]));
    client.get(3, "/");
    client.send(kind::WINDOW_UPDATE, 0, 3, &1000_u32.to_be_bytes());
    let mut server = backend.accept();
    server.head();
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer(3).unwrap().body, b"ok");
}

#[test]
fn a_connection_that_is_not_read_is_lost_with_all_its_streams() {
    let backend = Backend::listen();
    let front = Front::to(backend.address, SHORT);
    let mut client = H2Peer::connect(front.tls.address, &[(INITIAL_WINDOW, i32::MAX as u32)]);
    client.send(kind::WINDOW_UPDATE, 0, 0, &(i32::MAX as u32 - 65_535).to_be_bytes());
    client.get(1, "/");
    client.get(3, "/");
    let (mut one, mut other) = (backend.accept(), backend.accept());
    std::thread::scope(|scope| {
        scope.spawn(|| answer_for_ever(&mut one));
        scope.spawn(|| answer_for_ever(&mut other));
    });
    while client.frame().is_some() {}
}

#[test]
fn a_server_that_does_not_go_on_costs_its_stream_alone() {
    let backend = Backend::listen();
    let front = Front::to(backend.address, SHORT);
    let mut client = front.connect();
    client.get(1, "/");
    let mut server = backend.accept();
    server.head();
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let answer = client.answer(1).unwrap();
    assert!(answer.reset.is_some() && answer.body == b"half", "{answer:?}");
    assert!(server.bytes_or_end(1).is_none());
    client.get(3, "/");
    let mut server = backend.accept();
    server.head();
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer(3).unwrap().body, b"ok");
}
