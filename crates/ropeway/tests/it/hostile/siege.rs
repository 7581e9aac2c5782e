//! A gateway in a process of its own, a hundred good tunnels on it, and room for somebody bad.

use std::cell::Cell;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ropeway::tunnel::Side;
use rustix::process::Signal;
use serde_json::Value;
use testkit::hostile::Hostile;
use testkit::{Backend, Peer, Serving, Usage, eventually, free_port, masked, op};

use crate::cli::process::{Gateway, json};

/// `closeTimeout` of every pool here.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);

/// What a busy machine may add to any bound in time.
pub(super) const SLACK: Duration = Duration::from_secs(5);

/// How many tunnels behave.
const GOOD: usize = 100;

/// A gateway with one worker, so that whoever holds it up holds up everybody.
///
/// Its routes: `/good` to an echo for the good ones, `/echo` and `/sink` to backends of those names for bad clients,
/// and `/bad` to a backend that the test plays.
pub(super) struct Siege {
    pub(super) gateway: Gateway,
    pub(super) bad: Backend,
    good: Good,
    _backends: [Serving; 2],
}

/// Tunnels that send a message at a time and wait until it is back.
struct Good {
    clients: Vec<Peer>,
    /// The median of the rounds they made alone.
    alone: Duration,
}

/// A bad peer, and what becomes of it.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) hostile: &'static dyn Hostile,
    /// The part it plays.
    pub(super) side: Side,
    /// The route of its tunnel, where it is the client; a client that it meets as a server is of the same kind.
    pub(super) path: &'static str,
    /// The cause with which the gateway ends it; else it goes on until it leaves.
    pub(super) cause: Option<&'static str>,
}

impl Siege {
    /// Starts it; `pool` holds further lines of the pools.
    pub(super) fn start(pool: &str) -> Self {
        Self::start_with(pool, |command| command)
    }

    /// The same, with a command that was changed.
    pub(super) fn start_with(pool: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let (echo, sink, bad) = (Backend::listen().echo(), Backend::listen().sink(), Backend::listen());
        let servers =
            [("good", echo.address), ("echo", echo.address), ("sink", sink.address), ("bad", bad.address)];
        let documents = documents(pool, &servers);
        let gateway = Gateway::start_with(&documents, |command| change(command.args(["--workers", "1"])));
        let good = Good::settle(&gateway);
        Siege { gateway, bad, good, _backends: [echo, sink] }
    }

    /// Lets `attack` happen while the good ones go on: every message comes back, in their usual time, and the gateway
    /// takes no more than `memory` KiB for it.
    pub(super) fn beside<T>(&mut self, name: &str, memory: usize, attack: impl FnOnce(&Field) -> T) -> T {
        let began = Instant::now();
        let made = AtomicUsize::new(0);
        let field = Field { gateway: &self.gateway, bad: &self.bad, worst: Cell::new(None), made: &made };
        field.usage().forget_peak();
        let before = field.usage().peak_memory();
        let (over, good) = (AtomicBool::new(false), &mut self.good);
        let (result, rounds) = thread::scope(|scope| {
            let _over = SetOnDrop(&over);
            let rounds = scope.spawn(|| good.rounds_until(&over, &made));
            let result = attack(&field);
            over.store(true, Ordering::Relaxed);
            (result, rounds.join())
        });
        let rounds = rounds.unwrap_or_else(|_| panic!("{name}: a good tunnel suffered"));
        let (from, until) = field.worst.get().unwrap_or((began, Instant::now()));
        let within = rounds.into_iter().filter(|(began, took)| *began < until && *began + *took > from);
        self.good.check_pace(name, within.map(|(_, took)| took).collect());
        let grown = field.usage().peak_memory() - before;
        eprintln!("{name}: {grown} KiB more");
        assert!(grown <= memory, "{name}: {grown} KiB more, and not at most {memory}");
        result
    }

    /// The same with one bad peer on a tunnel.
    pub(super) fn attack(&mut self, row: &Row) {
        let name = format!("{} of the {}", row.name, row.side.label());
        self.beside(&name, 2 << 10, |field| field.play(&name, row));
    }

    /// Has the gateway stop, which must be done soon.
    pub(super) fn stop(self) {
        let began = Instant::now();
        self.gateway.process.signal(Signal::TERM);
        let ended = self.gateway.process.wait_for(CLOSE_TIMEOUT + SLACK);
        assert_eq!(ended.code, Some(0), "after {:?}: {}", began.elapsed(), ended.err);
    }
}

/// What an attack can look at.
pub(super) struct Field<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) bad: &'a Backend,
    /// From when to when the attack was at its height, if not all the time: that is when the pace counts.
    worst: Cell<Option<(Instant, Instant)>>,
    /// How many rounds the good ones have made.
    made: &'a AtomicUsize,
}

impl Field<'_> {
    pub(super) fn usage(&self) -> Usage {
        self.gateway.process.usage()
    }

    pub(super) fn shake(&self, path: &str) -> Peer {
        Peer::shake(self.gateway.address, path, "")
    }

    /// A tunnel of which the bad side is left to the caller; the other one behaves by itself.
    pub(super) fn tunnel(&self, side: Side, path: &str) -> Peer {
        match side {
            Side::Client => {
                let mut client = self.shake(path);
                assert!(client.head().starts_with("HTTP/1.1 101 "));
                client
            }
            Side::Server => {
                let mut client = self.shake("/bad");
                let (server, _) = self.bad.accept_websocket("");
                assert!(client.head().starts_with("HTTP/1.1 101 "));
                let sink = path == "/sink";
                thread::spawn(move || if sink { client.discard() } else { client.behave(false) });
                server
            }
        }
    }

    /// The records of bad tunnels that have ended.
    pub(super) fn records(&self) -> Vec<Value> {
        let closed = self.gateway.process.errs("\"message\":\"tunnel closed\"");
        closed.iter().filter(|line| !line.contains("\"front/0/0\"")).map(|line| json(line)).collect()
    }

    /// The record of the next tunnel to end when `before` have; it must end within `bound`.
    pub(super) fn next_record(&self, name: &str, before: usize, bound: Duration) -> Value {
        let began = Instant::now();
        let record = eventually(&format!("{name}: a record"), || self.records().get(before).cloned());
        let took = began.elapsed();
        assert!(took <= bound + SLACK, "{name}: it took {took:?} to end, and not {bound:?} at most");
        record
    }

    /// Waits until the good ones have made so many more rounds.
    fn await_rounds(&self, name: &str, count: usize) {
        let made = || self.made.load(Ordering::Relaxed);
        let enough = made() + count;
        eventually(&format!("{name}: rounds of the good ones"), || (made() >= enough).then_some(()));
    }

    fn play(&self, name: &str, row: &Row) {
        let before = self.records().len();
        let mut peer = self.tunnel(row.side, row.path);
        let (enough, began) = (AtomicBool::new(false), Instant::now());
        thread::scope(|scope| {
            let _enough = SetOnDrop(&enough);
            let attacking = scope.spawn(|| row.hostile.attack(&mut peer, row.side, &enough));
            if row.cause.is_some() {
                // It does not leave by itself.
                self.next_record(name, before, CLOSE_TIMEOUT);
                self.await_rounds(name, 1);
            } else {
                // The first may have begun before, the others began and ended in the midst of it.
                self.await_rounds(name, 3);
                assert_eq!(self.records().len(), before, "{name}: the gateway ended it");
            }
            self.worst.set(Some((began, Instant::now())));
            enough.store(true, Ordering::Relaxed);
            attacking.join().unwrap();
        });
        drop(peer);
        let record = self.next_record(name, before, CLOSE_TIMEOUT);
        let cause = row.cause.unwrap_or("vanished");
        assert_eq!(record["cause"], cause, "{name}: {record}");
        assert_eq!(record["ended_by"], row.side.label(), "{name}: {record}");
    }
}

impl Good {
    fn settle(gateway: &Gateway) -> Self {
        let mut clients: Vec<_> = (0..GOOD).map(|_| Peer::shake(gateway.address, "/good", "")).collect();
        for client in &mut clients {
            assert!(client.head().starts_with("HTTP/1.1 101 "));
        }
        let mut good = Good { clients, alone: Duration::ZERO };
        let (enough, made) = (AtomicBool::new(true), AtomicUsize::new(0));
        let mut rounds: Vec<_> =
            (0..5).flat_map(|_| good.rounds_until(&enough, &made)).map(|(_, took)| took).collect();
        rounds.sort();
        good.alone = rounds[rounds.len() / 2];
        good
    }

    /// Rounds of one message on each tunnel, three at least: when each began and how long it took.
    fn rounds_until(&mut self, over: &AtomicBool, made: &AtomicUsize) -> Vec<(Instant, Duration)> {
        let mut rounds = Vec::new();
        while rounds.len() < 3 || !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            let text = |number| format!("{number} says {}", rounds.len());
            for (number, client) in self.clients.iter_mut().enumerate() {
                client.send(&masked(op::TEXT, text(number).as_bytes()));
            }
            for (number, client) in self.clients.iter_mut().enumerate() {
                assert_eq!(client.frame().payload, text(number).as_bytes());
            }
            rounds.push((began, began.elapsed()));
            made.fetch_add(1, Ordering::Relaxed);
        }
        rounds
    }

    /// The slack is for a machine that does other things, too: the bad peer runs on it, and other tests.
    fn check_pace(&self, name: &str, mut rounds: Vec<Duration>) {
        rounds.sort();
        let (median, worst) = (rounds[rounds.len() / 2], rounds[rounds.len() - 1]);
        eprintln!("{name}: {} rounds, {median:?}, at worst {worst:?}; alone {:?}", rounds.len(), self.alone);
        assert!(
            median <= 5 * self.alone + Duration::from_secs(1),
            "{name}: {median:?}, alone {:?}",
            self.alone
        );
        assert!(worst <= SLACK, "{name}: a round of {worst:?}");
    }
}

/// Whatever happens, nobody waits for ever for what did not come.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets time pass where nothing is to happen.
pub(super) fn pass(time: Duration) {
    let began = Instant::now();
    eventually("the time has passed", || (began.elapsed() >= time).then_some(()));
}

fn documents(pool: &str, servers: &[(&str, std::net::SocketAddr)]) -> String {
    let pool: String = pool.lines().map(|line| format!("    {line}\n")).collect();
    let port = free_port();
    let mut documents = format!(
        "name: front\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\nkeepAliveTimeout: 1s\ndrain: {{ window: 0 }}\nrules:\n- paths:\n"
    );
    for (name, _) in servers {
        documents += &format!("  - {{pathPrefix: /{name}, backend: {name}}}\n");
    }
    for (name, address) in servers {
        documents += &format!(
            "---\nname: {name}\nkind: Pipeline\nfilters:\n- kind: WebSocketProxy\n  name: proxy\n  pools:\n\
             \x20 - servers:\n    - url: ws://{address}\n    closeTimeout: 300ms\n{pool}"
        );
    }
    documents
}
