//! Other servers are tried when one cannot be reached, is too slow, or says that it is in trouble.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use testkit::{Backend, BlackHole, Peer, Refusing, TestGateway, eventually};

use super::{Answer, meet, values};

const IN_TROUBLE: [&str; 3] = ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"];

#[test]
fn the_next_server_gets_the_same_handshake() {
    let (silent, next) = (Backend::listen(), Backend::listen());
    let (refusing, hole) = (Refusing::new(), BlackHole::new());
    let timeouts = "connectTimeout: 300ms\nhandshakeTimeout: 300ms";
    for (name, first, pool) in [
        ("a refused connection", refusing.address, ""),
        ("no connection in time", hole.address, timeouts),
        ("no answer in time", silent.address, timeouts),
    ] {
        let gateway = TestGateway::to(&[first, next.address], pool);
        let mut client = Peer::shake(gateway.address, "/ws?x=1", "Cookie: a=1\r\n");
        let (_server, head) = next.accept_websocket("");
        assert_eq!(Answer::without_body(&mut client).status(), 101, "{name}");
        assert_eq!(values(&head, "cookie"), ["a=1"], "{name}");
    }
    let first_backend = Backend::listen();
    let answers = IN_TROUBLE.map(|status| format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"));
    for answer in answers.iter().map(|answer| &**answer).chain(["", "HTTP/1.1 101 Swi"]) {
        let gateway = TestGateway::to(&[first_backend.address, next.address], "");
        let mut client = Peer::shake(gateway.address, "/ws", "X-Mine: 1\r\n");
        let mut first = meet(&mut client, &first_backend, answer);
        let asked_first = first.head();
        first.send(answer.as_bytes());
        drop(first);
        let (_server, asked_next) = next.accept_websocket("");
        assert_eq!(asked_next, asked_first, "after {answer:?}");
        assert_eq!(Answer::without_body(&mut client).status(), 101, "after {answer:?}");
    }
}

/// Has each server answer with `status` in its turn; gives how many were asked, and the client's answer.
fn asked(servers: &[Backend], pool: &str, status: &str) -> (usize, Answer) {
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let gateway = TestGateway::to(&addresses, pool);
    let mut client = Peer::shake(gateway.address, "/ws", "");
    let mut count = 0;
    for server in servers {
        let peer = eventually("an answer, or the next server's turn", || {
            server.try_accept().map(Some).or_else(|| client.is_readable().then_some(None))
        });
        let Some(mut peer) = peer else { break };
        peer.head();
        peer.send(
            format!("HTTP/1.1 {status}\r\nX-Server: {count}\r\nContent-Length: 2\r\n\r\nno").as_bytes(),
        );
        count += 1;
    }
    let answer = Answer::read(&mut client);
    assert!(servers.iter().all(|server| server.try_accept().is_none()), "nobody is asked twice");
    (count, answer)
}

#[test]
fn at_most_max_retries_further_servers_are_asked() {
    let servers: Vec<_> = (0..6).map(|_| Backend::listen()).collect();
    for (pool, expected) in
        [("", 4), ("maxRetries: 0", 1), ("maxRetries: 1", 2), ("maxRetries: 5", 6), ("maxRetries: 100", 6)]
    {
        for status in IN_TROUBLE {
            let name = format!("{pool:?} with {status}");
            let (count, answer) = asked(&servers, pool, status);
            assert_eq!(count, expected, "{name}");
            assert_eq!(
                (answer.status().to_string().as_str(), answer.error()),
                (&status[..3], None),
                "{name}"
            );
            assert_eq!(
                answer.values("x-server"),
                [(count - 1).to_string()],
                "{name}: the last server's own answer"
            );
        }
    }
}

#[test]
fn refusals_for_a_reason_are_final() {
    let servers = [Backend::listen(), Backend::listen()];
    for status in
        ["400 X", "401 X", "403 X", "404 X", "408 X", "429 X", "500 X", "501 X", "505 X", "200 X", "302 X"]
    {
        let (count, answer) = asked(&servers, "", status);
        assert_eq!((count, answer.status().to_string().as_str()), (1, &status[..3]));
    }
}

#[test]
fn with_no_server_left_the_client_is_told_why() {
    let (refusing, other) = (Refusing::new(), Refusing::new());
    let (hole, silent) = (BlackHole::new(), Backend::listen());
    let table: &[(&str, &[SocketAddr], u16, &str)] = &[
        ("refused", &[refusing.address, other.address], 502, "connect_failed"),
        ("one refused", &[refusing.address], 502, "connect_failed"),
        ("no connection", &[hole.address], 504, "connect_timeout"),
        ("no answer", &[silent.address], 504, "handshake_timeout"),
        ("refused and no connection", &[refusing.address, hole.address], 504, "connect_timeout"),
        ("no answer and refused", &[silent.address, refusing.address], 502, "connect_failed"),
    ];
    for (name, servers, status, error) in table {
        let gateway = TestGateway::to(servers, "connectTimeout: 200ms\nhandshakeTimeout: 200ms");
        let began = Instant::now();
        let answer = Answer::read(&mut Peer::shake(gateway.address, "/ws", ""));
        assert_eq!((answer.status(), answer.error()), (*status, Some(*error)), "{name}: {answer:?}");
        assert_eq!(answer.values("connection"), ["close"], "{name}");
        assert!(began.elapsed() < Duration::from_secs(3), "{name}: after {:?}", began.elapsed());
    }
}

/// A server's own words are worth more than ours.
#[test]
fn an_answer_that_came_is_relayed_though_the_last_server_gave_none() {
    let (troubled, refusing) = (Backend::listen(), Refusing::new());
    let gateway = TestGateway::to(&[troubled.address, refusing.address], "");
    let mut client = Peer::shake(gateway.address, "/ws", "");
    let mut server = meet(&mut client, &troubled, "the first server");
    server.head();
    server.send(b"HTTP/1.1 503 X\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n");
    let answer = Answer::read(&mut client);
    assert_eq!((answer.status(), answer.error()), (503, None), "{answer:?}");
    assert_eq!(answer.values("retry-after"), ["9"]);
}

#[test]
fn retries_stay_within_a_budget() {
    let in_trouble = |mut peer: Peer| {
        peer.head();
        peer.send(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n");
    };
    let servers = [Backend::listen().serve(in_trouble), Backend::listen().serve(in_trouble)];
    let gateway = TestGateway::to(&servers.each_ref().map(|server| server.address), "");
    let began = Instant::now();
    const HANDSHAKES: usize = 100;
    for _ in 0..HANDSHAKES {
        let answer = Answer::read(&mut Peer::shake(gateway.address, "/ws", ""));
        assert_eq!((answer.status(), answer.error()), (503, None));
    }
    let retries = servers.iter().map(|server| server.connections()).sum::<usize>() - HANDSHAKES;
    // In each second that was touched, a fifth of the handshakes, and ten in any case.
    let most = HANDSHAKES / 5 + 10 * (began.elapsed().as_secs() as usize + 1);
    assert!((10..=most).contains(&retries), "{retries} retries, at most {most} are allowed");
}

#[test]
fn refused_connections_cost_no_budget() {
    let refusing = Refusing::new();
    let server = Backend::listen().serve(|mut peer| {
        let head = peer.head();
        peer.send(Backend::answer(&head, "").as_bytes());
    });
    let gateway = TestGateway::to(&[refusing.address, server.address], "");
    for number in 0..100 {
        let answer = Answer::without_body(&mut Peer::shake(gateway.address, "/ws", ""));
        assert_eq!(answer.status(), 101, "handshake {number}");
    }
    assert_eq!(server.connections(), 100);
}

/// The last of three is reached though the budget is spent: the way there led over a refused connection.
#[test]
fn a_refused_connection_behind_a_503_costs_no_further_budget() {
    let troubled = Backend::listen().serve(|mut peer: Peer| {
        peer.head();
        peer.send(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n");
    });
    let (refusing, last) = (
        Refusing::new(),
        Backend::listen().serve(|mut peer: Peer| {
            let head = peer.head();
            peer.send(Backend::answer(&head, "").as_bytes());
        }),
    );
    // 9 handshakes that begin at each server: 3 of them take one retry from the budget of 10, not two.
    let gateway = TestGateway::to(&[troubled.address, refusing.address, last.address], "");
    for number in 0..27 {
        let answer = Answer::without_body(&mut Peer::shake(gateway.address, "/ws", ""));
        assert_eq!(answer.status(), 101, "handshake {number}");
    }
}

#[test]
fn a_client_that_leaves_ends_the_dial() {
    let hole = BlackHole::new();
    let gateway = TestGateway::to(&[hole.address], "connectTimeout: 60s");
    let client = Peer::shake(gateway.address, "/ws", "");
    eventually("the dial", || dials(hole.address).then_some(()));
    drop(client);
    eventually("the end of the dial", || (!dials(hole.address)).then_some(()));
}

/// Whether a connection to `address` is being opened.
fn dials(address: SocketAddr) -> bool {
    const SYN_SENT: &str = "02";
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", address.port());
    sockets.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|remote| remote.ends_with(&port)) && fields.next() == Some(SYN_SENT)
    })
}

#[test]
fn a_client_that_leaves_ends_the_handshake() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "handshakeTimeout: 60s");
    for reset in [false, true] {
        let mut client = Peer::shake(gateway.address, "/ws", "");
        let mut server = meet(&mut client, &backend, "a handshake");
        server.head();
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        assert_eq!(server.rest(), b"", "the backend's connection ends");
        assert!(backend.try_accept().is_none(), "no other try is made for nobody");
    }
}

/// What a client sent behind its handshake hides that it has left: its own deadline ends the handshake then.
#[test]
fn a_client_that_leaves_with_bytes_behind_it_ends_the_handshake_in_time() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "handshakeTimeout: 500ms");
    let mut client = Peer::shake(gateway.address, "/ws", "");
    client.send(&testkit::masked(testkit::op::TEXT, b"early"));
    let mut server = meet(&mut client, &backend, "a handshake");
    let began = Instant::now();
    drop(client);
    server.head();
    assert_eq!(server.rest(), b"");
    assert!(began.elapsed() < Duration::from_secs(3), "after {:?}", began.elapsed());
}
