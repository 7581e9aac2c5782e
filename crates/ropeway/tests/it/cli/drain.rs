//! A gateway that is told to stop, and lets go of its tunnels one by one.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::{Backend, Peer, eventually, frame, free_port};

use super::documents;
use super::process::{Gateway, json};

const TUNNELS: usize = 40;

/// A gateway with `TUNNELS` tunnels, its clients, and how it is to drain.
fn gateway(drain: &str) -> (Gateway, Vec<Peer>, testkit::Serving) {
    let server = Backend::listen().echo();
    let documents = documents(free_port(), &[server.address], "").replacen("{ window: 0 }", drain, 1);
    let gateway = Gateway::start_with(&documents, |command| command.args(["--admin", "127.0.0.1:0"]));
    let clients = (0..TUNNELS).map(|_| {
        let mut client = Peer::shake(gateway.address, "/ws", "");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        client
    });
    let clients = clients.collect();
    (gateway, clients, server)
}

/// Has every client answer its Close frame; when each came, from now on.
fn ends(clients: Vec<Peer>) -> Vec<Duration> {
    let began = Instant::now();
    let mut clients: Vec<_> = clients.into_iter().map(Some).collect();
    let mut ends = Vec::new();
    while ends.len() < clients.len() {
        assert!(began.elapsed() < testkit::PATIENCE, "{} of {TUNNELS} have ended", ends.len());
        for slot in &mut clients {
            let Some(client) = slot.as_mut() else { continue };
            if !client.is_readable() {
                continue;
            }
            let close = client.frame();
            assert_eq!(close.close(), (1001, "gateway stops".into()));
            client.send(&frame(0x88, Some([0; 4]), &close.payload));
            ends.push(began.elapsed());
            *slot = None;
        }
    }
    ends
}

/// The status of `path`, as administration gives it.
fn status(gateway: &Gateway, path: &str) -> String {
    let address =
        json(&gateway.process.err("\"administration\""))["address"].as_str().unwrap().parse().unwrap();
    let mut peer = Peer::connect(address);
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
    peer.head().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn tunnels_end_evenly_over_the_window_and_nobody_new_comes_in() {
    let (gateway, clients, _server) = gateway("{ window: 2s }");
    let mut waiting = Peer::connect(gateway.address);
    waiting.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    waiting.head();
    assert_eq!(status(&gateway, "/readyz"), "200");
    gateway.process.signal(Signal::TERM);
    gateway.process.err("draining; a second signal stops at once");
    assert_eq!((status(&gateway, "/readyz"), status(&gateway, "/livez")), ("503".into(), "200".into()));
    eventually("no new connections", || std::net::TcpStream::connect(gateway.address).is_err().then_some(()));
    waiting.rest();
    let ends = ends(clients);
    for (share, end) in [(0.25, ends[TUNNELS / 4]), (0.75, ends[TUNNELS * 3 / 4])] {
        let at = end.as_secs_f64() / 2.0;
        assert!((share - 0.2..share + 0.3).contains(&at), "{share} of them have ended at {at} of the window");
    }
    let ended = gateway.process.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("\"tunnels\":40"), "{}", ended.err);
    assert_eq!(ended.err.matches("\"cause\":\"drain:shutdown\"").count(), TUNNELS);
}

#[test]
fn at_the_deadline_all_that_are_left_end() {
    let (gateway, clients, _server) = gateway("{ window: 500ms, maxRate: 4/s, deadline: 1500ms }");
    gateway.process.signal(Signal::TERM);
    let ends = ends(clients);
    let early = ends.iter().filter(|end| **end < Duration::from_millis(1200)).count();
    assert!((1..=12).contains(&early), "{early} have ended before the deadline");
    assert_eq!(gateway.process.wait().code, Some(0));
}
