//! Versions, sessions, and clients that do not speak TLS as they should.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use testkit::{Authority, Demand, End, Initiator, Peer, TestGateway, eventually, record};

use super::{demand, documents, echo, gateway, open, shows, try_open};

#[test]
fn messages_pass_in_both_versions() {
    let authority = Authority::new();
    let (gateway, _echo) = gateway(&shows(&authority.issue(&["localhost"])));
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let demand = Demand { version: Some(version), ..demand("localhost", &authority) };
        let tls = Initiator::new(gateway.address, demand);
        let mut client = open(&tls);
        assert_eq!(tls.met()[0].version, Some(expected));
        for length in [0, 1, 125, 126, 16 * 1024, 70_000, 3 << 20] {
            let message: Vec<u8> = (0..length).map(|at: u32| (at / 3) as u8).collect();
            echo(&mut client, &message);
        }
    }
}

#[test]
fn only_the_versions_between_the_bounds_are_spoken() {
    let authority = Authority::new();
    for (bounds, old, new) in [
        ("minTlsVersion: TLSv1.3\n", false, true),
        ("maxTlsVersion: TLSv1.2\n", true, false),
        ("minTlsVersion: TLSv1.2\nmaxTlsVersion: TLSv1.3\n", true, true),
    ] {
        let (gateway, _echo) = gateway(&(shows(&authority.issue(&["localhost"])) + bounds));
        for (version, expected) in [(&TLS12, old), (&TLS13, new)] {
            let demand = Demand { version: Some(version), ..demand("localhost", &authority) };
            let tls = Initiator::new(gateway.address, demand);
            assert_eq!(try_open(&tls).is_some(), expected, "{bounds} {version:?}");
        }
    }
}

/// Also after the certificate has changed: tickets are the listener's.
#[test]
fn sessions_are_resumed() {
    let authority = Authority::new();
    let (mut gateway, backend) = gateway(&shows(&authority.issue(&["localhost"])));
    for version in [&TLS12, &TLS13] {
        let demand = Demand { version: Some(version), ..demand("localhost", &authority) };
        let tls = Initiator::new(gateway.address, demand);
        echo(&mut open(&tls), b"the first");
        echo(&mut open(&tls), b"the second");
        let other = shows(&authority.issue(&["localhost"]));
        gateway.reload(&documents(backend.address, &other));
        echo(&mut open(&tls), b"the third");
        let resumed: Vec<_> = tls.met().iter().map(|met| met.resumed).collect();
        assert_eq!(resumed, [false, true, true], "{version:?}");
    }
}

#[test]
fn who_speaks_plain_http_is_told() {
    let (gateway, _echo) = gateway(&shows(&Authority::new().issue(&["localhost"])));
    let mut plain = Peer::shake(gateway.address, "/ws", "");
    let answer = String::from_utf8(plain.rest()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
    assert!(body.contains("this port speaks TLS"), "{answer}");
}

#[test]
fn a_handshake_that_takes_too_long_is_ended() {
    let (gateway, _echo) =
        gateway(&(shows(&Authority::new().issue(&["localhost"])) + "tlsHandshakeTimeout: 200ms\n"));
    for beginning in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let mut slow = Peer::connect(gateway.address);
        slow.send(beginning);
        let began = Instant::now();
        assert!(matches!(slow.end(), End::Fin | End::Reset));
        assert!(began.elapsed().as_millis() >= 150, "{:?}", began.elapsed());
    }
}

/// So many handshakes are under way on a worker at once; who comes then waits for one of them to end, and who has said
/// nothing yet does not count.
#[test]
fn handshakes_take_turns() {
    const AT_ONCE: usize = 256;
    let authority = Authority::new();
    let echo = testkit::Backend::listen().echo();
    let lines = shows(&authority.issue(&["localhost"])) + "tlsHandshakeTimeout: 60s\n";
    let options = ropeway::app::Options { workers: 1, ..Default::default() };
    let gateway = TestGateway::start_with(&documents(echo.address, &lines), &options);
    let tls = Initiator::new(gateway.address, demand("localhost", &authority));
    let begun = || {
        let mut slow = Peer::connect(gateway.address);
        slow.send(&[22, 3, 1, 2, 0, 1]);
        slow
    };
    let _silent: Vec<_> = (0..10).map(|_| Peer::connect(gateway.address)).collect();
    let mut slow: Vec<_> = (1..AT_ONCE).map(|_| begun()).collect();
    open(&tls);
    slow.push(begun());
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| done.send(try_open(&tls).is_some()));
        let early = is_done.recv_timeout(Duration::from_millis(300));
        assert_eq!(early, Err(RecvTimeoutError::Timeout), "{AT_ONCE} are under way");
        slow.pop();
        assert_eq!(is_done.recv_timeout(Duration::from_secs(20)), Ok(true), "one of them has ended");
    });
}

/// A connection that ends without a word of TLS may have been cut by anybody.
#[test]
fn a_client_that_is_cut_off_has_vanished() {
    let authority = Authority::new();
    let (gateway, _echo) = gateway(&shows(&authority.issue(&["localhost"])));
    let tls = Initiator::new(gateway.address, demand("localhost", &authority));
    let mut client = open(&tls);
    echo(&mut client, b"hello");
    drop(tls);
    drop(client);
    let record = record(&gateway.name);
    assert_eq!((&*record["cause"], &*record["ended_by"]), ("vanished", "client"));
}

#[test]
fn handshakes_are_counted() {
    let authority = Authority::new();
    let echo = testkit::Backend::listen().echo();
    let text = documents(echo.address, &shows(&authority.issue(&["localhost"])));
    let options =
        ropeway::app::Options { workers: 1, admin: Some(([127, 0, 0, 1], 0).into()), ..Default::default() };
    let gateway = TestGateway::start_with(&text, &options);
    let good = Initiator::new(gateway.address, demand("localhost", &authority));
    let stranger = Authority::new();
    let bad = Initiator::new(gateway.address, demand("localhost", &stranger));
    open(&good);
    assert!(try_open(&bad).is_none());
    eventually("both counts", || {
        let figures = gateway.metrics();
        let has = |result, count| {
            figures.contains(&format!("ropeway_tls_handshakes_total{{result=\"{result}\"}} {count}\n"))
        };
        (has("ok", 1) && has("failed", 1)).then_some(())
    });
}
