//! Servers that fail their clients are ejected and come back; nobody else can make that happen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ropeway::app::Options;
use testkit::{Backend, BlackHole, Peer, Refusing, Serving, TestGateway, close, eventually, masked, op};

/// A gateway with two workers and administration, and a pool with these lines.
pub(super) fn gateway(servers: &[SocketAddr], pool: &str) -> TestGateway {
    let options = Options { workers: 2, admin: Some(([127, 0, 0, 1], 0).into()), ..Options::default() };
    TestGateway::start_with(&TestGateway::documents_to(servers, pool), &options)
}

/// A figure of a server.
pub(super) fn figure(gateway: &TestGateway, name: &str, server: SocketAddr) -> u64 {
    let (start, end) = (format!("ropeway_server_{name}{{"), format!("server=\"ws://{server}\"}} "));
    let metrics = gateway.metrics();
    let line = metrics.lines().find(|line| line.starts_with(&start) && line.contains(&end));
    let line = line.unwrap_or_else(|| panic!("no {name} of {server} in {metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The status of one handshake, whose tunnel ends at once in good order.
pub(super) fn handshake(gateway: SocketAddr) -> u16 {
    let mut client = Peer::shake(gateway, "/ws", "");
    let head = client.head();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 101 {
        client.send(&masked(op::CLOSE, &close(1000, "")));
    }
    client.rest();
    status
}

/// A server that does `act` with each connection behind the head of its request.
fn server(act: impl Fn(&mut Peer, &str) + Send + Sync + 'static) -> Serving {
    Backend::listen().serve(move |mut peer| {
        let head = peer.head();
        act(&mut peer, &head);
    })
}

fn says(answer: &'static str) -> Serving {
    server(move |peer, _| {
        peer.try_send(answer.as_bytes());
    })
}

#[test]
fn each_kind_of_failure_ejects() {
    let (refusing, hole) = (Refusing::new(), BlackHole::new());
    let silent = server(|peer, _| peer.discard());
    let half = server(|peer, _| {
        peer.try_send(b"HTTP/1.1 101 Swi");
        peer.discard();
    });
    let leaves = server(|_, _| {});
    let babbles = says("SSH-2.0\r\n\r\n");
    let lies = server(|peer, head| {
        peer.try_send(Backend::answer(head, "").replace("Accept: ", "Accept: x").as_bytes());
    });
    let (broken, full) = (
        says("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"),
        says("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"),
    );
    let cuts = server(|peer, head| {
        peer.try_send(Backend::answer(head, "").as_bytes());
    });
    let breaks = server(|peer, head| {
        peer.try_send(Backend::answer(head, "").as_bytes());
        peer.try_send(b"\xf1\x00");
        peer.discard();
    });
    for (name, bad) in [
        ("refuses", refusing.address),
        ("takes no connection", hole.address),
        ("says nothing", silent.address),
        ("says half an answer", half.address),
        ("leaves", leaves.address),
        ("says no HTTP", babbles.address),
        ("an invalid 101", lies.address),
        ("500", broken.address),
        ("503", full.address),
        ("a tunnel that is lost", cuts.address),
        ("a tunnel with a frame that cannot be", breaks.address),
    ] {
        let good = Backend::listen().echo();
        let rules = "passive: {failures: 3, eject: 1h}\nconnectTimeout: 200ms\nhandshakeTimeout: 200ms\n\
                     closeTimeout: 200ms";
        let gateway = gateway(&[bad, good.address], rules);
        let mut handshakes = 0;
        eventually(name, || {
            handshake(gateway.address);
            handshakes += 1;
            (figure(&gateway, "ejected", bad) == 1).then_some(())
        });
        assert!(handshakes >= 5, "{name}: ejected after {handshakes} handshakes, half of which it got");
        assert_eq!(figure(&gateway, "failures_total", bad), 3, "{name}");
        assert_eq!((figure(&gateway, "usable", bad), figure(&gateway, "ejections_total", bad)), (0, 1));
        let before = good.connections();
        let statuses: Vec<_> = (0..10).map(|_| handshake(gateway.address)).collect();
        assert_eq!((statuses, good.connections() - before), (vec![101; 10], 10), "{name}: it is left out");
        assert_eq!(figure(&gateway, "failures_total", good.address), 0, "{name}");
    }
}

#[test]
fn no_more_are_ejected_than_may_be() {
    let refusing = [0; 4].map(|_| Refusing::new());
    let good = Backend::listen().echo();
    let servers: Vec<_> = refusing.iter().map(|server| server.address).chain([good.address]).collect();
    let gateway = gateway(&servers, "passive: {failures: 1, eject: 1h, maxEjected: 50%}\nmaxRetries: 10");
    assert_eq!([0; 50].map(|_| handshake(gateway.address)), [101; 50]);
    let ejected = servers.iter().filter(|server| figure(&gateway, "ejected", **server) == 1).count();
    assert_eq!(ejected, 2, "of five");

    let alone = super::passive::gateway(&servers[..1], "passive: {failures: 1, eject: 1h, maxEjected: 100%}");
    assert_eq!([0; 5].map(|_| handshake(alone.address)), [502; 5], "and not 503: it is still asked");
    assert_eq!(figure(&alone, "ejected", servers[0]), 0);
}

/// A client that does harm, or nothing at all, by its number.
fn misbehave(gateway: SocketAddr, kind: usize) {
    let early = |path: &str| Peer::shake(gateway, path, "");
    let open = || {
        let mut client = early("/ws");
        client.head();
        client
    };
    let say = |bytes: &[u8]| {
        let mut client = open();
        client.try_send(bytes);
        client.rest();
    };
    match kind {
        // Leaves in the middle of the handshake: the server takes its time there.
        0 => drop(early("/ws/slow")),
        1 => early("/ws/slow").reset(),
        // Does not see its 101, or its first message.
        2 => early("/ws").reset(),
        3 => open().reset(),
        4 => drop(open()),
        5 => open().finish(),
        // Breaks rules.
        6 => say(b"\x81\x05hello"),
        7 => say(b"\xf2\x80\x00\x00\x00\x00"),
        8 => say(b"GET / HTTP/1.1\r\n\r\n"),
        9 => say(&masked(op::TEXT, &[b'a'; 1001])),
        10 => say(&masked(op::TEXT, b"\xff")),
        11 => say(&masked(op::CLOSE, b"\x03")),
        // Asks for what brings its server down, or has it say too much.
        12 => say(&masked(op::TEXT, b"die")),
        13 => say(&masked(op::TEXT, b"much")),
        14 => say(&masked(op::TEXT, b"odd")),
        // Wants what it may not have.
        15 => drop(early("/ws/forbidden").rest()),
        16 => drop(Peer::shake(gateway, "/ws", "Sec-WebSocket-Extensions: \x01\r\n").rest()),
        17 => {
            let mut client = Peer::connect(gateway);
            client.try_send(b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
            client.rest();
        }
        _ => drop(Peer::connect(gateway)),
    }
}

const MISDEEDS: usize = 19;

/// A server as good as can be, that clients can bring to do anything.
fn obedient() -> Serving {
    server(|peer, head| {
        if head.starts_with("GET /ws/forbidden") {
            peer.try_send(b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        if head.starts_with("GET /ws/slow") {
            // Says nothing until the client has left.
            return peer.discard();
        }
        peer.try_send(Backend::answer(head, "").as_bytes());
        if head.starts_with("GET /ws/bye") {
            peer.try_send(&testkit::frame(0x88, None, &close(1011, "not today")));
        }
        while let Some(got) = peer.frame_or_end() {
            match (got.opcode, &*got.payload) {
                (op::CLOSE, code) => {
                    peer.try_send(&testkit::frame(0x88, None, code));
                    return;
                }
                (_, b"die") => return,
                (_, b"much") => drop(peer.try_send(&testkit::frame(0x82, None, &[0; 1001]))),
                (_, b"odd") => drop(peer.try_send(b"\xf1\x00")),
                _ => {}
            }
        }
    })
}

/// Each rule is as strict as can be: one failure would eject. 2,000 tunnels that close in order, half of them at the wish of
/// the server with an error's code, and 1,000 clients that misbehave in every way; ten times as many with `ROPEWAY_LONG`
/// set.
#[test]
fn no_close_and_no_client_ejects_anybody() {
    let servers = [obedient(), obedient()];
    let addresses = servers.each_ref().map(|server| server.address);
    let rules = "passive: {failures: 1, within: 1h, eject: 1h, maxEjected: 100%}\nclientMaxMsgSize: 1000\n\
                 serverMaxMsgSize: 1000\nvalidateUTF8: true\nhandshakeTimeout: 60s";
    let gateway = gateway(&addresses, rules);
    let next = AtomicUsize::new(0);
    let all = if std::env::var_os("ROPEWAY_LONG").is_some() { 30_000 } else { 3000 };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    match number % 3 {
                        _ if number >= all => return,
                        0 => assert_eq!(handshake(gateway.address), 101),
                        1 => {
                            let mut client = Peer::shake(gateway.address, "/ws/bye", "");
                            client.head();
                            assert_eq!(client.frame().close(), (1011, "not today".into()));
                            client.try_send(&masked(op::CLOSE, &close(1011, "")));
                            client.rest();
                        }
                        _ => misbehave(gateway.address, number / 3 % MISDEEDS),
                    }
                }
            });
        }
    });
    eventually("the ends of all tunnels", || {
        gateway.metrics().contains("\nropeway_tunnels 0\n").then_some(())
    });
    for address in addresses {
        assert_eq!(figure(&gateway, "failures_total", address), 0);
        assert_eq!(figure(&gateway, "usable", address), 1);
    }
    assert!(servers.iter().all(|server| server.connections() > 1000));
}

/// An ejected server comes back by a trial that succeeds. One handshake at a time is risked, and loses nothing.
#[test]
fn back_by_a_trial() {
    let (bad, good) = (Backend::listen(), Backend::listen().echo());
    let rules = "passive: {failures: 1, eject: 50ms}\nhandshakeTimeout: 60s\nmaxRetries: 0\n\
                 loadBalance: {policy: leastConnections}";
    let gateway = gateway(&[bad.address, good.address], rules);
    // A handshake that reaches the bad server.
    let risk = || {
        eventually("a handshake at the bad server", || {
            let mut client = Peer::shake(gateway.address, "/ws", "");
            let peer = eventually("an answer, or the bad server's turn", || {
                bad.try_accept().map(Some).or_else(|| client.is_readable().then_some(None))
            });
            peer.map(|peer| (client, peer))
        })
    };
    let (mut client, server) = risk();
    drop(server);
    assert!(client.head().starts_with("HTTP/1.1 502 "), "without retries the first failure is seen");
    eventually("its ejection", || (figure(&gateway, "ejected", bad.address) == 1).then_some(()));
    let began = Instant::now();
    for trial in 1..=3_u32 {
        let (mut client, server) = risk();
        let least = Duration::from_millis(50) * ((1 << trial) - 1);
        assert!(began.elapsed() >= least, "trial {trial} after {:?}", began.elapsed());
        assert_eq!([0; 20].map(|_| handshake(gateway.address)), [101; 20], "beside a trial");
        assert!(bad.try_accept().is_none(), "one at a time");
        drop(server);
        assert!(client.head().starts_with("HTTP/1.1 101 "), "a trial that fails is not seen");
        eventually("its ejection", || {
            (figure(&gateway, "ejections_total", bad.address) == u64::from(trial) + 1).then_some(())
        });
    }
    // Who leaves while it tries has nobody's result: the next one tries.
    let (client, mut server) = risk();
    drop(client);
    server.head();
    assert_eq!(server.rest(), b"");
    let (mut client, mut server) = risk();
    assert_eq!(figure(&gateway, "ejections_total", bad.address), 4);
    let head = server.head();
    server.send(Backend::answer(&head, "").as_bytes());
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    eventually("its return", || (figure(&gateway, "ejected", bad.address) == 0).then_some(()));
    assert_eq!(figure(&gateway, "usable", bad.address), 1);
    // With a tunnel there, the other server would nearly always have fewer.
    drop((client, server));
    drop(risk());
}

/// Even a refusal shows that a server works, if it is not about itself; and the client hears it.
#[test]
fn a_refusal_passes_a_trial() {
    let answers = Arc::new(AtomicBool::new(false));
    let told = answers.clone();
    let moody = server(move |peer, _| {
        if told.load(Ordering::Relaxed) {
            peer.try_send(b"HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let good = Backend::listen().echo();
    let gateway = gateway(&[moody.address, good.address], "passive: {failures: 1, eject: 10ms}");
    let ejected = |is: u64| (figure(&gateway, "ejected", moody.address) == is).then_some(());
    eventually("an ejection", || {
        assert_eq!(handshake(gateway.address), 101);
        ejected(1)
    });
    answers.store(true, Ordering::Relaxed);
    eventually("a trial", || (handshake(gateway.address) == 401).then_some(()));
    ejected(0).unwrap();
}

/// A changed pool keeps what is known; without `passive` everybody is used again.
#[test]
fn ejections_outlive_a_change_of_the_pool() {
    let (refusing, good) = (Refusing::new(), Backend::listen().echo());
    let servers = [refusing.address, good.address];
    let documents = |pool: &str| TestGateway::documents_to(&servers, pool);
    let rules = "passive: {failures: 1, eject: 1h}\n";
    let mut gateway = gateway(&servers, rules);
    let ejected = |gateway: &TestGateway| (figure(gateway, "ejected", refusing.address) == 1).then_some(());
    eventually("an ejection", || {
        assert_eq!(handshake(gateway.address), 101);
        ejected(&gateway)
    });
    gateway.reload(&documents(&format!("{rules}maxRetries: 0")));
    assert_eq!([0; 20].map(|_| handshake(gateway.address)), [101; 20], "it is still left out");
    ejected(&gateway).unwrap();
    gateway.reload(&documents("maxRetries: 0"));
    assert!((0..4).any(|_| handshake(gateway.address) == 502), "it is used again");
}
