//! A tunnel, polled as a runtime would poll it.

use std::cell::{Ref, RefCell};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ropeway::net::Stream;
use ropeway::tunnel::farewell::{Cause, Why};
use ropeway::tunnel::frozen::{RECORD_MAX, Thaw, Thawing};
use ropeway::tunnel::policy::Policy;
use ropeway::tunnel::registry::Registry;
use ropeway::tunnel::{Account, Claim, Count, Leg, Record, Start, Tunnel, TunnelId};
use tokio::task::yield_now;
use tokio::time::advance;
use ws::CloseCode;

use super::choices::Choices;
use super::scenario::{Scenario, Script};
use super::wire::{InMemory, Wire};

const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a direction may keep: one read, and the beginning of a frame that cannot be judged yet.
const KEPT: usize = 64 * 1024 + 131;

/// More steps than any scenario takes.
const STEPS: usize = 1_000_000;

/// A tunnel, and what it is tied to.
pub struct Machine {
    tunnel: Pin<Box<Tunnel>>,
    registry: Rc<Registry>,
    account: Arc<Account>,
    woken: Arc<Woken>,
    client: Rc<RefCell<Wire>>,
    server: Rc<RefCell<Wire>>,
    choices: Choices,
    /// The gateway is still to be stopped.
    stop: bool,
    orderly: bool,
    waited: bool,
    /// Until then it must have ended.
    patience: Duration,
    /// Now and then it goes on in another process.
    moves: bool,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Machine {
    /// A tunnel in `registry` to which `scenario` is about to happen.
    pub fn new(scenario: &Scenario, registry: &Rc<Registry>, choices: &Choices) -> Self {
        let client = Wire::new(&scenario.client, choices);
        let server = Wire::new(&scenario.server, choices);
        let leg = |wire: &Rc<RefCell<Wire>>, script: &Script| Leg {
            stream: Stream::other(InMemory(wire.clone())),
            early: script.sends[..script.early].to_vec().into(),
        };
        let account = Arc::new(Account::new("pool", "server", &policy(), Count::single()));
        let start = Start {
            address: Ipv4Addr::LOCALHOST.into(),
            id: TunnelId::random(),
            route: "in memory".into(),
            account: Claim::new(account.clone()),
            deflate: false,
            client: leg(&client, &scenario.client),
            server: leg(&server, &scenario.server),
        };
        Machine {
            tunnel: Box::pin(Tunnel::new(start, registry)),
            registry: registry.clone(),
            account,
            woken: Arc::new(Woken(AtomicBool::new(true))),
            client,
            server,
            choices: choices.clone(),
            stop: scenario.stop,
            orderly: scenario.is_orderly(),
            waited: false,
            patience: CLOSE_TIMEOUT + Duration::from_millis(1),
            moves: false,
        }
    }

    /// A tunnel that goes on by a record. Its sides do what `scenario` says.
    pub fn of(thawing: Thawing, scenario: &Scenario, choices: &Choices) -> Self {
        let registry = Rc::default();
        let account = thawing.account().clone();
        let [client, server] = [&scenario.client, &scenario.server].map(|script| Wire::new(script, choices));
        let streams = [&client, &server].map(|wire| Stream::other(InMemory(wire.clone())));
        let tunnel = Box::pin(Tunnel::thaw(thawing, streams, &registry));
        registry.resume();
        Machine {
            tunnel,
            registry,
            account,
            woken: Arc::new(Woken(AtomicBool::new(true))),
            client,
            server,
            choices: choices.clone(),
            stop: false,
            orderly: false,
            waited: false,
            patience: Duration::from_secs(400 * 24 * 3600),
            moves: true,
        }
    }

    /// Has the tunnel go on in another process now and then.
    pub fn moving(self) -> Self {
        Machine { moves: true, ..self }
    }

    /// Polls the tunnel once.
    ///
    /// # Panics
    /// It was released.
    pub fn poll(&mut self) -> Poll<Record> {
        let waker = Waker::from(self.woken.clone());
        let poll = self.tunnel.as_mut().poll(&mut Context::from_waker(&waker));
        poll.map(|record| record.expect("nobody releases it"))
    }

    /// Has the tunnel go on in another process, over the same connections.
    ///
    /// # Panics
    /// The record is not read as it was written.
    pub fn move_on(&mut self) {
        let record = self.tunnel.freeze();
        assert!(record.len() <= RECORD_MAX);
        let account = self.account.clone();
        let mut thaw = Thaw::new(|pool: &str, server: &str| {
            assert_eq!((pool, server), (&*account.pool, &*account.server));
            Some(account.clone())
        });
        let thawing = thaw.read(&record).expect("what was written");
        // Another process has a registry of its own. What the old one was told is in the record.
        self.registry = Rc::default();
        let streams = [&self.client, &self.server].map(|wire| Stream::other(InMemory(wire.clone())));
        self.tunnel.set(Tunnel::thaw(thawing, streams, &self.registry));
        assert!(self.poll().is_pending(), "it holds still");
        self.woken.0.store(false, Ordering::Relaxed);
        self.registry.resume();
        assert!(self.woken.0.load(Ordering::Relaxed), "it is woken");
        assert_eq!(account.live(), 1, "it counts once");
        assert_eq!(without_times(&self.tunnel.freeze()), without_times(&record));
    }

    /// Lets things happen until the tunnel has ended. It is polled only when it was woken.
    ///
    /// Wants a runtime with a paused clock.
    ///
    /// # Panics
    /// It does not end, or keeps more than it may.
    pub async fn drive(&mut self) -> Record {
        for _ in 0..STEPS {
            if self.moves && self.choices.one_in(8) {
                self.move_on();
            }
            if self.woken.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(record) = self.poll() {
                    return record;
                }
                self.check_kept();
            } else if !self.act() && !self.gets_its_turn().await {
                // Nothing more will happen: only time can end it now, and only once.
                assert!(!self.waited, "it does not end");
                self.waited = true;
                advance(self.patience).await;
            }
        }
        panic!("it spins");
    }

    /// What the client has got so far.
    pub fn client(&self) -> Ref<'_, Wire> {
        self.client.borrow()
    }

    /// What the server has got so far.
    pub fn server(&self) -> Ref<'_, Wire> {
        self.server.borrow()
    }

    /// Whether time had to pass.
    pub(super) fn has_waited(&self) -> bool {
        self.waited
    }

    /// Lets the runtime look around, and then wake a tunnel that left others their turn; whether it did.
    async fn gets_its_turn(&self) -> bool {
        yield_now().await;
        self.woken.0.load(Ordering::Relaxed)
    }

    /// Lets the next thing happen; `false` when nothing can.
    fn act(&mut self) -> bool {
        if self.stop && self.choices.one_in(10) {
            self.stop = false;
            self.registry.end_all(Cause::Drain(Why::Shutdown));
            return true;
        }
        let client_first = self.choices.one_in(2);
        let (one, other) =
            if client_first { (&self.client, &self.server) } else { (&self.server, &self.client) };
        one.borrow_mut().act() || other.borrow_mut().act() || self.stop
    }

    /// A direction never holds more than it may.
    fn check_kept(&self) {
        let (client, server) = (self.client(), self.server());
        for (from, to) in [(&client, &server), (&server, &client)] {
            let kept = from.taken.min(from.counts).saturating_sub(to.written.len());
            assert!(!self.orderly || kept <= KEPT, "{kept} bytes are kept");
        }
    }
}

/// The record without when it was written, and what is left of deadlines.
fn without_times(record: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut fields, mut rest) = (Vec::new(), &record[1..]);
    while let Some((&[tag, a, b, c, d], behind)) = rest.split_first_chunk() {
        let (value, behind) = behind.split_at(u32::from_be_bytes([a, b, c, d]) as usize);
        rest = behind;
        match tag {
            0x87 => {}
            0x8b => fields.push((tag, value[16..].to_vec())),
            _ => fields.push((tag, value.to_vec())),
        }
    }
    fields
}

fn policy() -> Policy {
    Policy {
        max_client_message: u64::MAX,
        max_server_message: u64::MAX,
        validate_utf8: false,
        vanished_code: CloseCode::INTERNAL_ERROR,
        drain_code: CloseCode::GOING_AWAY,
        close_timeout: CLOSE_TIMEOUT,
    }
}
