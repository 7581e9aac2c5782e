//! Bad peers before there is a tunnel, and those that are as slow behind it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ropeway::tunnel::Side::Client;
use testkit::hostile::{NeverAnswers, ResetsAt, SlowLoris, WrongAnswer};
use testkit::{Peer, eventually, masked, op};

use super::siege::{Field, SLACK, Siege, pass};
use crate::handshake::Answer;
use crate::handshake::invalid::INVALID;

#[test]
fn slow_lorises_in_heads_are_sent_away() {
    let mut siege = Siege::start("");
    siege.beside("slow heads", 4 << 10, |field| {
        let address = field.gateway.address;
        thread::scope(|scope| {
            for phase in [SlowLoris::RequestLine, SlowLoris::Headers].repeat(10) {
                scope.spawn(move || {
                    let life = phase.attack(address, "/echo", || false).unwrap();
                    assert!(life <= Duration::from_secs(1) + SLACK, "{phase:?} lived for {life:?}");
                });
            }
        });
    });
}

#[test]
fn slow_lorises_in_tunnels_hold_no_more_than_their_place() {
    let mut siege = Siege::start("");
    let (address, enough) = (siege.gateway.address, AtomicBool::new(false));
    let phases = [SlowLoris::BetweenFrames, SlowLoris::InsideFrameHeader, SlowLoris::InsidePayload];
    thread::scope(|scope| {
        for phase in phases.repeat(10) {
            let enough = || enough.load(Ordering::Relaxed);
            scope.spawn(move || phase.attack(address, "/sink", enough));
        }
        siege.beside("slow tunnels", 2 << 10, |field| {
            let open = || field.gateway.process.errs("\"route\":\"front/0/2\"").len();
            eventually("all are there", || (open() == 30).then_some(()));
            pass(Duration::from_millis(500));
            assert_eq!(field.records().len(), 0, "they are as good as idle ones");
        });
        siege.stop();
        enough.store(true, Ordering::Relaxed);
    });
}

#[test]
fn resets_at_every_byte_leave_nothing_behind() {
    let mut siege = Siege::start("");
    let descriptors = siege.gateway.process.usage().descriptors();
    siege.beside("resets of clients", 2 << 10, |field| {
        let mut other = field.tunnel(Client, "/echo");
        let script = ResetsAt::client("/echo");
        for at in 0..=script.len() {
            ResetsAt(at).attack(Peer::connect(field.gateway.address), &script, || {});
            // Here the worker has surely seen what came before the reset.
            ResetsAt(at).attack(Peer::connect(field.gateway.address), &script, || round_trip(&mut other));
        }
    });
    siege.beside("resets of servers", 2 << 10, |field| {
        let mut other = field.tunnel(Client, "/echo");
        let mut at = 0;
        while [false, true].map(|seen| reset_server(field, at, seen.then_some(&mut other))).contains(&true) {
            at += 1;
        }
        assert!(at > 250, "a script of {at} bytes");
    });
    let usage = siege.gateway.process.usage();
    eventually("all descriptors are closed", || (usage.descriptors() == descriptors).then_some(()));
}

/// Has a server reset behind so many bytes, and `other` make sure before that the worker has seen them; `false` where
/// they were all there are.
fn reset_server(field: &Field, at: usize, other: Option<&mut Peer>) -> bool {
    let mut client = field.shake("/bad");
    let mut server = field.bad.accept();
    let script = ResetsAt::server(&server.head());
    ResetsAt(at).attack(server, &script, || other.into_iter().for_each(round_trip));
    client.discard();
    at < script.len()
}

fn round_trip(tunnel: &mut Peer) {
    tunnel.send(&masked(op::TEXT, b"?"));
    assert_eq!(tunnel.frame().payload, b"?");
}

#[test]
fn backends_that_never_answer_are_given_up() {
    let mut siege = Siege::start("handshakeTimeout: 500ms");
    siege.beside("never answers", 4 << 10, |field| {
        let began = Instant::now();
        let mut clients: Vec<_> = (0..50).map(|_| field.shake("/bad")).collect();
        let mut servers: Vec<_> = clients.iter().map(|_| field.bad.accept()).collect();
        servers.iter_mut().for_each(|server| NeverAnswers.attack(server));
        for client in &mut clients {
            let answer = Answer::read(client);
            assert_eq!((answer.status(), answer.error()), (504, Some("handshake_timeout")), "{answer:?}");
        }
        servers.iter_mut().for_each(Peer::discard);
        let took = began.elapsed();
        assert!(took <= Duration::from_millis(500) + SLACK, "{took:?}");
    });
}

#[test]
fn backends_that_answer_wrongly_are_given_up_at_once() {
    let mut siege = Siege::start("");
    for (name, offer, lines, text) in INVALID {
        siege.beside(name, 2 << 10, |field| {
            let began = Instant::now();
            let mut client = Peer::shake(field.gateway.address, "/bad", offer);
            let mut server = field.bad.accept();
            WrongAnswer(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).attack(&mut server);
            let answer = Answer::read(&mut client);
            assert_eq!(
                (answer.status(), answer.error()),
                (502, Some("answer_invalid")),
                "{name}: {answer:?}"
            );
            assert!(answer.text().contains(text), "{name}: {answer:?}");
            server.discard();
            assert!(began.elapsed() <= SLACK, "{name}: it took {:?}", began.elapsed());
        });
    }
}
