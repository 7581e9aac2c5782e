//! WebSocket tunnels: from the two handshaken connections to the record of how it ended.
//!
//! A tunnel is one task and one future that polls both directions on every wake. `relay` moves the bytes,
//! [`farewell`] says how it ends, [`registry`] is where others find it, [`frozen`] how it goes on in another process.

pub mod drain;
pub mod farewell;
pub mod frozen;
pub mod policy;
pub mod registry;
mod account;
mod count;
mod hold;
mod kept;
mod record;
mod relay;

use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};
use ws::{Inspector, Role, Rules};

use self::farewell::Cause;
use self::frozen::FrozenEnding;
use self::hold::Hold;
use self::policy::Policy;
use self::record::{CloseSeen, Codes};
use self::registry::{Entry, Identity, Moved, Progress, Registry};
use self::relay::{Direction, News};
use crate::net::Stream;

pub use self::account::{Account, Claim, Observer, Outlook, Word};
pub use self::count::{Count, Counts};
pub use self::hold::Movable;
pub use self::record::Record;

/// One end of a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Who connected to the gateway.
    Client,
    /// The backend the gateway connected to.
    Server,
}

/// 128 random bits that name a tunnel in every log line. A name, no secret: who has seen some can foresee others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TunnelId(u128);

const HEX: [u8; 16] = *b"0123456789abcdef";

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Leg {
    /// The connection.
    pub stream: Stream,
    /// What was read behind the handshake; at most 64 KiB.
    pub early: Bytes,
}

/// Two legs that have agreed, and what they agreed on.
#[derive(Debug)]
pub struct Start {
    /// Names the tunnel.
    pub id: TunnelId,
    /// `server/rule/path`.
    pub route: Arc<str>,
    /// Who the client is.
    pub address: IpAddr,
    /// Identity and rules.
    pub account: Claim,
    /// Whether permessage-deflate was negotiated.
    pub deflate: bool,
    /// The connection to the client.
    pub client: Leg,
    /// The connection to the server.
    pub server: Leg,
}

/// A live tunnel. Resolves to the record of its end, once both sides were told and both connections are over; to none
/// when it was [released](registry::Registries::release) and goes on in another process.
///
/// Cancel safe between polls in that no byte is lost; dropped, it cuts both connections without a word.
pub struct Tunnel {
    client: Stream,
    server: Stream,
    to_server: Direction,
    to_client: Direction,
    entry: Rc<Entry>,
    /// Boxed: a tunnel lives for hours and ends in milliseconds.
    ending: Option<Box<Ending>>,
}

const _: () = assert!(size_of::<Tunnel>() <= 352, "there are thousands of them, and most are idle");

/// From the first sign of the end on.
struct Ending {
    /// When it came.
    began: Instant,
    /// Unknown while a receiver is lost and its last words may still come.
    cause: Option<Cause>,
    codes: Codes,
    deadline: Pin<Box<Sleep>>,
}

impl Ending {
    /// Of a tunnel that was opened at `opened`.
    fn thaw(frozen: FrozenEnding, opened: std::time::Instant) -> Self {
        let FrozenEnding { until_end, left, cause, codes } = frozen;
        let now = Instant::now();
        let began = opened.checked_add(until_end).map_or(now, Instant::from_std);
        Ending { began, cause, codes, deadline: Box::pin(sleep_until(now + left)) }
    }
}

impl Leg {
    /// Ends a server's side that found no client.
    pub fn decline(mut self, policy: &Policy) {
        if let Some((_, frame)) = Cause::Vanished(Side::Client).farewell(Side::Server, policy) {
            // The connection has sent nothing but a handshake: it has room for a frame, or is lost.
            let mut cx = Context::from_waker(Waker::noop());
            let _ = self.stream.poll_write(&mut cx, frame.as_bytes());
        }
    }
}

impl Tunnel {
    /// Enters the tunnel in `registry`, where it stays until it has resolved or is dropped.
    pub fn new(start: Start, registry: &Rc<Registry>) -> Self {
        let [from_client, from_server] = inspectors(&start.account.policy(), start.deflate);
        let is_movable = start.client.stream.can_move() && start.server.stream.can_move();
        let entry = registry.enter(Identity {
            id: start.id,
            route: start.route,
            client: start.address,
            account: start.account,
            opened: std::time::Instant::now(),
            is_movable,
        });
        Tunnel {
            to_server: Direction::new(from_client, &start.client.early, false),
            to_client: Direction::new(from_server, &start.server.early, true),
            client: start.client.stream,
            server: start.server.stream,
            entry,
            ending: None,
        }
    }

    /// Moves bytes both ways until neither direction can go on for now.
    fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(cause) = self.entry.hear() {
            self.end(cause);
        }
        if self.entry.obeyed.get() != self.entry.account.generation() {
            self.obey_anew();
        }
        loop {
            let to_server = self.to_server.poll_forward(&mut self.client, &mut self.server, cx);
            let to_client = self.to_client.poll_forward(&mut self.server, &mut self.client, cx);
            if to_server.is_pending() && to_client.is_pending() {
                break;
            }
            if let Poll::Ready(news) = to_server {
                self.hear(Side::Client, news);
            }
            if let Poll::Ready(news) = to_client {
                self.hear(Side::Server, news);
            }
        }
        if self.to_server.lost_sink() || self.to_client.lost_sink() {
            self.ending();
        }
        self.poll_end(cx)
    }

    /// Takes up a policy that was set since the last wake.
    fn obey_anew(&mut self) {
        // First the generation: a policy that is set meanwhile is taken up at the next wake.
        self.entry.obeyed.set(self.entry.account.generation());
        let policy = self.entry.account.policy().clone();
        self.to_server.obey(policy.max_client_message, policy.validate_utf8);
        self.to_client.obey(policy.max_server_message, policy.validate_utf8);
    }

    /// Draws the consequences of what came from `from`.
    fn hear(&mut self, from: Side, news: News) {
        match news {
            News::Closed(code) => {
                self.ending().codes.received(from, code);
                self.settle(Cause::Closed(from, code));
            }
            News::Violated => {
                let rule = self.direction_to(from.other()).inspector().violation();
                self.end(Cause::Violation(from, rule.expect("the inspector has told of it")));
            }
            News::Ended => self.vanished(from),
            News::Lost => {
                self.direction_to(from).lose_sink();
                self.vanished(from);
            }
        }
    }

    /// Nothing more will come from `from`. The other side is told; what it still sends is passed on, until it
    /// ends too or time is up.
    fn vanished(&mut self, from: Side) {
        let cause = self.settle(Cause::Vanished(from));
        self.tell(from.other(), cause);
    }

    /// Ends the tunnel: both sides are told.
    fn end(&mut self, cause: Cause) {
        let cause = self.settle(cause);
        self.tell(Side::Client, cause);
        self.tell(Side::Server, cause);
    }

    /// Has `to` told that it is over, unless it knows.
    fn tell(&mut self, to: Side, cause: Cause) {
        if self.direction_to(to).is_told() {
            return;
        }
        let farewell = cause.farewell(to, &self.entry.account.policy());
        let (code, frame) = farewell.unzip();
        self.direction_to(to).end(frame, cause.comes_last(to));
        self.ending().codes.sent(to, code.unwrap_or_default());
    }

    /// The first cause stays.
    fn settle(&mut self, cause: Cause) -> Cause {
        *self.ending().cause.get_or_insert(cause)
    }

    fn ending(&mut self) -> &mut Ending {
        self.ending.get_or_insert_with(|| {
            let timeout = self.entry.account.policy().close_timeout;
            let began = Instant::now();
            let deadline = Box::pin(sleep_until(began + timeout));
            Box::new(Ending { began, cause: None, codes: Codes::default(), deadline })
        })
    }

    fn direction_to(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Client => &mut self.to_client,
            Side::Server => &mut self.to_server,
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(ending) = &mut self.ending else { return Poll::Pending };
        // A client that has sent its Close and got the server's has nothing to do but to end its stream: nobody waits for it.
        let is_left = ending.codes.are_exchanged() && self.client.can_be_left() && self.to_server.is_silent();
        if self.to_client.is_over() && (self.to_server.is_over() || is_left) {
            return Poll::Ready(());
        }
        if ending.deadline.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.last_words(cx);
        Poll::Ready(())
    }

    /// Time is up: who was not told yet is told, if that can be done at once.
    fn last_words(&mut self, cx: &mut Context<'_>) {
        let lost = if self.to_client.lost_sink() { Side::Client } else { Side::Server };
        self.end(Cause::Vanished(lost));
        self.to_server.end_source();
        self.to_client.end_source();
        // Pending or not, this was the last try.
        let _ = self.to_server.poll_forward(&mut self.client, &mut self.server, cx);
        let _ = self.to_client.poll_forward(&mut self.server, &mut self.client, cx);
    }

    /// After a panic nothing is read any more: both sides are told, where a Close frame can still begin.
    fn poll_after_panic(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.to_server.end_source();
        self.to_client.end_source();
        self.end(Cause::Panic);
        self.poll_relay(cx)
    }

    fn note_progress(&self) {
        let moved = |inspector: &Inspector| Moved {
            messages: inspector.messages(),
            bytes: inspector.payload_bytes(),
        };
        self.entry.progress.set(Progress {
            to_server: moved(self.to_server.inspector()),
            to_client: moved(self.to_client.inspector()),
        });
    }

    /// A farewell that found no frame border in time was not sent.
    fn codes(&self, ending: &Ending) -> Codes {
        let mut codes = ending.codes;
        for (side, direction) in [(Side::Client, &self.to_client), (Side::Server, &self.to_server)] {
            if direction.was_cut() {
                codes.sent(side, CloseSeen::None);
            }
        }
        codes
    }

    fn record(&self) -> Record {
        let ending = self.ending.as_ref();
        Record {
            id: self.entry.id,
            route: self.entry.route.clone(),
            client: self.entry.client,
            account: self.entry.account.account().clone(),
            duration: self.entry.opened.elapsed(),
            until_end: ending.map(|ending| ending.began.into_std() - self.entry.opened).unwrap_or_default(),
            progress: self.entry.progress.get(),
            codes: ending.map(|ending| self.codes(ending)).unwrap_or_default(),
            cause: ending.and_then(|ending| ending.cause).unwrap_or(Cause::Panic),
        }
    }
}

/// Of what comes from the client, and from the server.
fn inspectors(policy: &Policy, deflate: bool) -> [Inspector; 2] {
    let limits = [(Role::Client, policy.max_client_message), (Role::Server, policy.max_server_message)];
    limits.map(|(sender, max_message)| {
        Inspector::new(Rules { sender, deflate, max_message, validate_utf8: policy.validate_utf8 })
    })
}

impl Future for Tunnel {
    type Output = Option<Record>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Record>> {
        let tunnel = &mut *self;
        if tunnel.entry.waker.borrow().is_none() {
            *tunnel.entry.waker.borrow_mut() = Some(cx.waker().clone());
        }
        if tunnel.entry.hold.get() != Hold::None {
            return tunnel.poll_held();
        }
        let poll = catch_unwind(AssertUnwindSafe(|| tunnel.poll_relay(cx))).unwrap_or_else(|_| {
            tracing::error!(id = %tunnel.entry.id, "fault in the gateway: this tunnel ends");
            catch_unwind(AssertUnwindSafe(|| tunnel.poll_after_panic(cx))).unwrap_or(Poll::Ready(()))
        });
        tunnel.note_progress();
        poll.map(|()| Some(tunnel.record()))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.entry.leave();
    }
}

impl Side {
    /// The opposite end.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    /// `client` or `server`.
    pub fn label(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }
}

impl TunnelId {
    /// A new one.
    pub fn random() -> Self {
        TunnelId(fastrand::u128(..))
    }
}

impl fmt::Display for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not `{:032x}`, which takes ten times as long: it is on every line.
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
        }
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
