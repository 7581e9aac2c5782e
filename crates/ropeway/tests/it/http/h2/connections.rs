//! Connections: how many requests they carry, and how they end.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use ropeway::supervisor::drains::Kind;
use testkit::h2::{END, END_HEADERS, H2Peer, INITIAL_WINDOW, h2_frame, h2_request, kind};
use testkit::{Authority, Backend, Demand, Initiator, Peer, eventually, free_port};

use super::{Front, answer, frames, path, paths};
use crate::tls::shows;

const NO_ERROR: &[u8] = &[0; 4];

#[test]
fn many_requests_share_a_connection() {
    const AT_ONCE: u32 = 100;
    let together = Barrier::new(AT_ONCE as usize);
    let backend = Backend::listen().serve(move |mut server| {
        let path = path(&server.head());
        // All of them wait at once.
        together.wait();
        answer(&mut server, &path);
        paths(server);
    });
    let front = Front::to(backend.address, "");
    let mut client = front.connect();
    for round in 0..3 {
        let streams = || (0..AT_ONCE).map(|number| 1 + 2 * (round * AT_ONCE + number));
        streams().for_each(|stream| client.get(stream, &format!("/{stream}")));
        let mut left: Vec<_> = streams().collect();
        while !left.is_empty() {
            let data = client.next(kind::DATA).unwrap();
            if !data.payload.is_empty() {
                assert_eq!(data.payload, format!("/{}", data.stream).as_bytes());
                left.retain(|stream| *stream != data.stream);
            }
        }
    }
    assert_eq!(backend.connections(), AT_ONCE as usize);
}

#[test]
fn one_request_too_many_is_refused_and_the_others_go_on() {
    const REFUSED_STREAM: u32 = 7;
    let backend = Backend::listen();
    let front = Front::to(backend.address, "");
    let mut client = front.connect();
    (0..=100).for_each(|number| client.get(1 + 2 * number, "/"));
    let refused = client.next(kind::RST_STREAM).unwrap();
    assert_eq!((refused.stream, &*refused.payload), (201, &REFUSED_STREAM.to_be_bytes()[..]));
    let mut server = backend.accept();
    let path = path(&server.head());
    answer(&mut server, &path);
    assert!(client.next(kind::DATA).is_some());
}

/// What waits is told at once, and who comes anew with the refusal.
#[test]
fn a_drain_ends_connections() {
    let backend = Backend::listen().serve(paths);
    for (object, behind, idle_ends) in [(Kind::Listener, "", true), (Kind::Route, "/0/0", false)] {
        let mut front = Front::to(backend.address, "");
        let mut idle = front.connect();
        idle.get(1, "/one");
        assert_eq!(idle.answer(1).unwrap().body, b"/one");
        front.drain(object, behind);
        let mut new = front.connect();
        for client in if idle_ends { vec![&mut new] } else { vec![&mut idle, &mut new] } {
            client.get(3, "/two");
            // In any order.
            let (mut refusal, mut goaway) = (Vec::new(), None);
            while refusal.is_empty() || goaway.is_none() {
                let frame = client.frame().unwrap();
                match frame.kind {
                    kind::DATA => refusal = frame.payload,
                    kind::GOAWAY => goaway = Some(frame.payload),
                    _ => {}
                }
            }
            assert_eq!(refusal, b"what is asked for is drained: try again later\n", "{object:?}");
            assert_eq!(&goaway.unwrap()[4..8], NO_ERROR, "{object:?}");
        }
        if idle_ends {
            assert_eq!(&idle.next(kind::GOAWAY).unwrap().payload[4..8], NO_ERROR);
        }
    }
}

#[test]
fn an_idle_connection_is_told_and_ends() {
    let backend = Backend::listen().serve(paths);
    let front = Front::to(backend.address, "keepAliveTimeout: 1s\n");
    for asks in [false, true] {
        let mut client = front.connect();
        if asks {
            client.get(1, "/one");
            assert_eq!(client.answer(1).unwrap().body, b"/one");
        }
        let goaway = client.next(kind::GOAWAY).unwrap();
        assert_eq!(&goaway.payload[4..8], NO_ERROR, "{asks}");
        // The client behaves as if it had not heard.
        while client.frame().is_some() {}
    }
}

/// A head that never comes to its end holds nothing for long.
#[test]
fn a_head_that_does_not_end_is_not_waited_for() {
    let backend = Backend::listen().serve(paths);
    let front = Front::to(backend.address, "keepAliveTimeout: 1s\n");
    let mut client = front.connect();
    client.send(kind::HEADERS, 0, 1, &[0]);
    assert!(client.next(kind::GOAWAY).is_some());
    while client.frame().is_some() {}
}

#[test]
fn a_body_that_pauses_for_too_long_is_refused() {
    let backend = Backend::listen();
    let front = Front::to(backend.address, "keepAliveTimeout: 1s\n");
    let mut client = front.connect();
    let headers = h2_request("POST", "/", &[("content-length", "10")]);
    client.send(kind::HEADERS, END_HEADERS, 1, &headers);
    client.send(kind::DATA, 0, 1, b"half");
    let answer = client.answer(1).unwrap();
    assert_eq!(answer.body, b"the body of the request did not come in time\n");
}

/// What is under way goes on when a listener closes, and when the gateway stops.
#[test]
fn requests_under_way_come_to_their_end() {
    for stops in [false, true] {
        let backend = Backend::listen();
        let Front { mut gateway, tls, documents } = Front::to(backend.address, "");
        let mut client = H2Peer::connect(tls.address, &[]);
        client.get(1, "/slow");
        let mut server = backend.accept();
        server.head();
        let ending = thread::spawn(move || {
            if stops {
                return gateway.stop();
            }
            gateway.reload(&documents.replacen("port: PORT", &format!("port: {}", free_port()), 1));
        });
        let goaway = client.next(kind::GOAWAY).unwrap();
        assert_eq!(&goaway.payload[4..8], NO_ERROR, "{stops}");
        answer(&mut server, "slow");
        assert_eq!(client.answer(1).unwrap().body, b"slow", "{stops}");
        client.peer.finish();
        while client.frame().is_some() {}
        ending.join().unwrap();
    }
}

/// Reads the GOAWAY of a gateway that has other plans for the listener, and says that it was heard.
fn be_sent_away(front: &mut Front, client: &mut H2Peer) {
    front.gateway.reload(&front.documents.replacen("port: PORT", &format!("port: {}", free_port()), 1));
    client.next(kind::GOAWAY).unwrap();
    let ping = client.next(kind::PING).unwrap();
    client.send(kind::PING, END, 0, &ping.payload);
}

/// Longer than a client that takes nothing is waited for where nothing is left for it.
#[test]
fn what_is_left_of_an_answer_waits_for_a_client_that_takes_it_late() {
    const BODY: usize = 1000;
    let backend = Backend::listen().serve(paths);
    let path = format!("/{}", "a".repeat(BODY - 1));
    let late = |line, expected| {
        let mut front = Front::to(backend.address, line);
        let mut client = H2Peer::connect(front.tls.address, &[(INITIAL_WINDOW, 10)]);
        client.get(1, &path);
        assert_eq!(client.next(kind::DATA).unwrap().payload.len(), 10);
        be_sent_away(&mut front, &mut client);
        let began = Instant::now();
        eventually("it is late", || (began.elapsed() > Duration::from_secs(7)).then_some(()));
        client.peer.try_send(&h2_frame(kind::WINDOW_UPDATE, 0, 1, &(BODY as u32).to_be_bytes()));
        let length: usize = frames(&mut client, 1).iter().map(|frame| frame.payload.len()).sum();
        assert_eq!(10 + length, expected, "{line}");
    };
    thread::scope(|scope| {
        scope.spawn(|| late("", BODY));
        scope.spawn(|| late("sendTimeout: 1s\n", 10));
    });
}

/// A socket that is closed while its peer goes on talking is reset, and takes away what the peer has not read yet.
#[test]
fn a_client_that_goes_on_talking_is_listened_to_for_a_while() {
    let backend = Backend::listen().serve(paths);
    let mut front = Front::to(backend.address, "");
    let mut client = front.connect();
    client.get(1, "/one");
    assert_eq!(client.answer(1).unwrap().body, b"/one");
    be_sent_away(&mut front, &mut client);
    while client.frame().is_some() {}
    let began = Instant::now();
    while client.peer.try_send(&h2_frame(kind::PING, 0, 0, &[0; 8])) {}
    assert!(began.elapsed() > Duration::from_millis(300), "{:?}", began.elapsed());
}

/// What is not offered is not spoken.
#[test]
fn http2_is_offered_where_it_is_wanted() {
    let backend = Backend::listen().serve(paths);
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    for (line, offered) in
        [("", true), ("http2: true\n", true), ("http2: false\n", false), ("keepAlive: false\n", false)]
    {
        let server = format!("{line}{}", shows(&identity));
        let setup = super::Setup { server: &server, ..Default::default() };
        let gateway = setup.to(&[backend.address]);
        let demand = Demand { name: "localhost", authority: &authority, identity: None, version: None };
        for (protocol, expected) in [("h2", offered), ("http/1.1", true)] {
            let tls = Initiator::speaking(gateway.address, demand, protocol);
            let mut peer = Peer::connect(tls.address);
            if expected {
                eventually(protocol, || {
                    tls.met().first().cloned().map(|met| assert_eq!(met.protocol.as_deref(), Some(protocol)))
                });
            } else {
                assert!(peer.rest().is_empty() && tls.met().is_empty(), "{line}");
            }
        }
    }
}

/// On a port without TLS nobody speaks HTTP/2 without being asked.
#[test]
fn a_plain_port_refuses_the_preface() {
    let backend = Backend::listen().serve(paths);
    let gateway = super::super::to(&[backend.address]);
    let mut client = H2Peer::connect(gateway.address, &[]);
    let answer = String::from_utf8(client.peer.rest()).unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 505 "),
        "{answer}"
    );
    assert_eq!(backend.connections(), 0);
}
