//! Servers that die, stop, or are lost, under live traffic: what clients see of it, and how long it takes.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::{Backend, BlackHole, Peer, Refusing, Serving, TestGateway, eventually, masked, op};

use super::passive::{figure, gateway, handshake};
use crate::cli::process::{Process, ropeway};

/// What a busy machine may add to any handshake: as the issue of the gateway's promise has it.
const SLACK: Duration = Duration::from_millis(500);

/// `ropeway echo` in a process of its own.
struct Echo {
    process: Process,
    address: SocketAddr,
}

impl Echo {
    fn start(listen: &str) -> Self {
        let process = Process::start(&mut ropeway(&["echo", "--listen", listen]));
        let address = process.out("echo on ws://")["echo on ws://".len()..].parse().unwrap();
        Echo { process, address }
    }
}

/// A tunnel through the gateway.
fn open(gateway: &TestGateway) -> Peer {
    let mut client = Peer::shake(gateway.address, "/ws", "");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

fn echo(client: &mut Peer) {
    client.send(&masked(op::TEXT, b"still here"));
    assert_eq!(client.frame().payload, b"still here");
}

/// Has clients come without a pause while `act` happens: each must be let in. How long each handshake took.
fn under_traffic(gateway: &TestGateway, act: impl FnOnce()) -> Vec<Duration> {
    let (enough, times) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    drop(open(gateway));
                    times.lock().unwrap().push(began.elapsed());
                }
            });
        }
        // A client that is not let in must not leave the others running.
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        enough.store(true, Ordering::Relaxed);
        if let Err(panic) = acted {
            std::panic::resume_unwind(panic);
        }
    });
    times.into_inner().unwrap()
}

/// The time within which 99 of 100 were let in.
fn percentile_99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// One of three servers is killed and started again, and stopped and continued, again and again. Those who come are all
/// let in, and those whom the others have notice nothing.
#[test]
fn a_server_that_is_killed_or_stopped_costs_nobody_a_handshake() {
    let mut echoes = [0; 3].map(|_| Echo::start("127.0.0.1:0"));
    let addresses = echoes.each_ref().map(|echo| echo.address);
    let flapping = addresses[0];
    let rules = "passive: {failures: 3, eject: 100ms}\nhandshakeTimeout: 1s\ncloseTimeout: 100ms";
    let gateway = gateway(&addresses, rules);
    let ejections = || figure(&gateway, "ejections_total", flapping);
    let is_back = || (figure(&gateway, "usable", flapping) == 1).then_some(());
    // Of three that follow each other two are others'.
    let mut tunnels = [0; 6].map(|_| open(&gateway));
    tunnels.iter_mut().for_each(echo);
    under_traffic(&gateway, || {
        for _ in 0..2 {
            let before = ejections();
            echoes[0].process.signal(Signal::STOP);
            eventually("an ejection", || (ejections() > before).then_some(()));
            echoes[0].process.signal(Signal::CONT);
            eventually("the return of who was stopped", is_back);

            let before = ejections();
            echoes[0].process.signal(Signal::KILL);
            eventually("an ejection", || (ejections() > before).then_some(()));
            echoes[0] = Echo::start(&flapping.to_string());
            eventually("the return of who was killed", is_back);
        }
    });
    let lives = tunnels.iter_mut().filter_map(|client| (!client.is_readable()).then(|| echo(client))).count();
    assert_eq!(lives, 4, "the tunnels of the other servers live on");
    for other in &addresses[1..] {
        assert_eq!(figure(&gateway, "failures_total", *other), 0);
    }
}

/// Servers that are lost in a way that takes time to see. 99 of 100 clients wait for one of them at most, until it is
/// left out, by `passive` or by its health check; then nobody does.
#[test]
fn what_a_lost_server_costs() {
    let hole = BlackHole::new();
    let silent = Backend::listen().serve(|mut peer| peer.discard());
    let half = Backend::listen().serve(|mut peer| {
        peer.head();
        peer.try_send(b"HTTP/1.1 101 Switching");
        peer.discard();
    });
    let passive = "passive: {eject: 1h}";
    let check = "healthCheck: {interval: 300ms, timeout: 300ms, ws: {}}";
    for (name, lost, rules, is_slow) in [
        ("a black hole, by its failures", hole.address, passive, true),
        ("a black hole, by its check", hole.address, check, true),
        ("silence, by its failures", silent.address, passive, true),
        ("silence, by its check", silent.address, check, true),
        ("half an answer, by its failures", half.address, passive, true),
        ("half an answer, by its check", half.address, check, true),
        ("nobody there, by its failures", Refusing::new().address, passive, false),
    ] {
        let timeout = Duration::from_millis(400);
        let others = [0; 2].map(|_| Backend::listen().echo());
        let rules = format!("{rules}\nconnectTimeout: 400ms\nhandshakeTimeout: 400ms");
        let gateway = gateway(&[lost, others[0].address, others[1].address], &rules);
        let times = under_traffic(&gateway, || {
            eventually(name, || (figure(&gateway, "usable", lost) == 0).then_some(()));
        });
        let cost = percentile_99(times.clone());
        assert!(cost < timeout + SLACK, "{name}: {cost:?}");
        // Those that are on their way there are let in as well; who comes now goes elsewhere.
        let times: Vec<_> = (0..100)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(handshake(gateway.address), 101);
                began.elapsed()
            })
            .collect();
        let cost = percentile_99(times);
        assert!(cost < timeout / 2, "{name}: {cost:?}, though it is left out");
        assert!(is_slow || cost < timeout);
    }
}

/// A server that takes its time, and stays within it, is nobody's failure.
#[test]
fn a_slow_server_is_not_ejected() {
    let slow = Backend::listen().serve(|mut peer| {
        let head = peer.head();
        thread::park_timeout(Duration::from_millis(100));
        peer.try_send(Backend::answer(&head, "").as_bytes());
        peer.behave(true);
    });
    let good = Backend::listen().echo();
    let gateway = gateway(&[slow.address, good.address], "passive: {failures: 1}\nhandshakeTimeout: 20s");
    let times = under_traffic(&gateway, || {
        eventually("some handshakes", || (slow.connections() > 10).then_some(()));
    });
    assert!(times.len() > 10);
    assert_eq!(figure(&gateway, "failures_total", slow.address), 0);
}

/// A server that says who it is, and answers its checks as it is told.
fn told(name: usize, well: &'static AtomicBool) -> Serving {
    Backend::listen().serve(move |mut peer| {
        let head = peer.head();
        if head.starts_with("GET /health ") {
            let status = if well.load(Ordering::Relaxed) { "204 X" } else { "500 X" };
            peer.try_send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
            return;
        }
        peer.try_send(Backend::answer(&head, &format!("X-Server: {name}\r\n")).as_bytes());
        peer.behave(true);
    })
}

/// A hundred times sick and well again: counts stay exact, as `leastConnections` shows, and no tunnel is touched, be it
/// that server's own.
#[test]
fn a_hundred_flaps_touch_no_tunnel_and_leave_counts_exact() {
    static WELL: [AtomicBool; 3] = [const { AtomicBool::new(true) }; 3];
    let servers = [0, 1, 2].map(|name| told(name, &WELL[name]));
    let addresses = servers.each_ref().map(|server| server.address);
    let rules = "healthCheck: {interval: 10ms, http: {uri: /health}}\npassive: {}\n\
                 loadBalance: {policy: leastConnections}";
    let gateway = gateway(&addresses, rules);
    let reached = || {
        let mut client = Peer::shake(gateway.address, "/ws", "");
        let head = client.head();
        let name = head.lines().find_map(|line| line.strip_prefix("X-Server: ").map(str::to_owned));
        (client, name.unwrap_or_else(|| panic!("{head}")).parse::<usize>().unwrap())
    };
    let spread = |count| {
        let (clients, names): (Vec<_>, Vec<_>) = (0..count).map(|_| reached()).unzip();
        let counts = [0, 1, 2].map(|server| names.iter().filter(|name| **name == server).count());
        (clients, counts)
    };
    let (mut tunnels, counts) = spread(6);
    assert_eq!(counts, [2; 3]);
    for _ in 0..100 {
        for well in [false, true] {
            WELL[0].store(well, Ordering::Relaxed);
            eventually("a verdict", || {
                (figure(&gateway, "usable", addresses[0]) == u64::from(well)).then_some(())
            });
            assert_eq!(handshake(gateway.address), 101);
        }
        echo(&mut tunnels[0]);
    }
    tunnels.iter_mut().for_each(echo);
    eventually("the ends of all other tunnels", || {
        gateway.metrics().contains("\nropeway_tunnels 6\n").then_some(())
    });
    let (_more, counts) = spread(9);
    assert_eq!(counts, [3; 3], "five for each now");
}

/// A server that comes back among many tunnels of others is not given all that come, but its part.
#[test]
fn a_server_that_comes_back_is_not_flooded() {
    static WELL: [AtomicBool; 2] = [AtomicBool::new(true), AtomicBool::new(false)];
    let servers = [0, 1].map(|name| told(name, &WELL[name]));
    let addresses = servers.each_ref().map(|server| server.address);
    let rules = "healthCheck: {interval: 10ms, http: {uri: /health}}\n\
                 loadBalance: {policy: leastConnections, slowStart: 24h}";
    let gateway = gateway(&addresses, rules);
    let is = |usable| (figure(&gateway, "usable", addresses[1]) == usable).then_some(());
    eventually("a verdict", || is(0));
    let mut tunnels: Vec<_> = (0..100).map(|_| open(&gateway)).collect();
    WELL[1].store(true, Ordering::Relaxed);
    eventually("a verdict", || is(1));
    let name = |client: &mut Peer| {
        let head = client.head();
        usize::from(head.contains("X-Server: 1\r\n"))
    };
    let mut reached = 0;
    for _ in 0..98 {
        let mut client = Peer::shake(gateway.address, "/ws", "");
        reached += name(&mut client);
        tunnels.push(client);
    }
    // A tenth of what the other has.
    assert!((17..=19).contains(&reached), "{reached} of 98, where all would be fair");
}

/// Nobody is let in by a pool without servers that are well, and everybody is once one is.
#[test]
fn where_nobody_is_well_nobody_is_let_in() {
    static WELL: AtomicBool = AtomicBool::new(false);
    let server = told(0, &WELL);
    let check = "healthCheck: {initial: unhealthy, interval: 10ms, http: {uri: /health}}\npassive: {}";
    let gateway = gateway(&[server.address], check);
    assert_eq!(handshake(gateway.address), 503);
    WELL.store(true, Ordering::Relaxed);
    eventually("somebody who is well", || (handshake(gateway.address) == 101).then_some(()));
}
