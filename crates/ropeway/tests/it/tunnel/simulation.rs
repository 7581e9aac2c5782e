//! The tunnel's future by itself, over streams in memory that read short, write short, keep it waiting and wake it
//! in an order that a seed decides. Nothing here depends on the kernel or on a clock: a wake that is lost stands
//! still, and is seen to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fastrand::Rng;
use ropeway::net::Stream;
use ropeway::tunnel::farewell::Cause;
use ropeway::tunnel::policy::Policy;
use ropeway::tunnel::registry::Registry;
use ropeway::tunnel::{Account, Leg, Record, Side, Start, Tunnel, TunnelId};
use testkit::{frame, op};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Builder;
use tokio::task::coop::unconstrained;
use tokio::time::advance;
use ws::CloseCode;

use super::{close, mask, whole};

const SEEDS: u64 = 2_000;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a direction may keep: one read, and the beginning of a frame that cannot be judged yet.
const KEPT: usize = 64 * 1024 + 131;

/// What is done to a tunnel in one run.
#[derive(Clone, Debug)]
struct Scenario {
    client: Script,
    server: Script,
    /// The gateway stops somewhere on the way.
    stop: bool,
}

/// What one side does.
#[derive(Clone)]
struct Script {
    sends: Vec<u8>,
    /// So many of the bytes were read with the handshake.
    early: usize,
    finish: Finish,
}

/// What stands behind the bytes of a side.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Finish {
    /// The end of its stream.
    Fin,
    /// The loss of its connection, at any time.
    Lost,
    /// Nothing.
    Silence,
    /// A fault of the stream's own code, when it is read.
    Panic,
}

#[test]
fn bytes_and_ends_are_right_for_every_schedule() {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(unconstrained(async {
        for seed in 0..SEEDS {
            let mut rng = Rng::with_seed(seed);
            let scenario = scenario(&mut rng);
            let run = run(&scenario, &mut rng, seed).await;
            let judged = catch_unwind(AssertUnwindSafe(|| judge(&scenario, &run)));
            assert!(judged.is_ok(), "seed {seed}: {scenario:?} came to {:?}", run.record);
        }
    }));
}

/// A panic ends its own tunnel with 1011 on both sides; the one beside it in the same thread lives on.
#[test]
fn a_panic_ends_one_tunnel_only() {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(unconstrained(async {
        let mut rng = Rng::with_seed(0);
        let hello = |side| Script { sends: whole(side, op::TEXT, b"hello"), early: 0, finish: Finish::Fin };
        let registry = Rc::default();
        let neighbour = Scenario { client: hello(Side::Client), server: hello(Side::Server), stop: false };
        let mut neighbour = Machine::new(&neighbour, &registry, &mut rng);
        assert!(neighbour.poll().is_pending());
        for by in [Side::Client, Side::Server] {
            let mut scenario =
                Scenario { client: hello(Side::Client), server: hello(Side::Server), stop: false };
            match by {
                Side::Client => scenario.client.finish = Finish::Panic,
                Side::Server => scenario.server.finish = Finish::Panic,
            }
            let run = run_in(&scenario, &registry, &mut rng, 0).await;
            assert_eq!(run.record.cause, Cause::Panic);
            let codes = run.record.codes;
            assert_eq!(
                (codes.to_client.to_string(), codes.to_server.to_string()),
                ("1011".into(), "1011".into())
            );
            let fault = |side: Side| close(side, 1011, "fault in the gateway");
            assert!(run.to_client.written.ends_with(&fault(Side::Server)), "{by:?}");
            let (_, own) =
                split_farewell(&run.to_server.written, &scenario.client.sends, Side::Server, false).unwrap();
            assert_eq!(own, Some((1011, "fault in the gateway".into())), "{by:?}");
        }
        let record = neighbour.drive(&mut rng, false, 0).await;
        assert_eq!(record.progress.to_client.messages + record.progress.to_server.messages, 2);
    }));
}

fn scenario(rng: &mut Rng) -> Scenario {
    let mut scenario = Scenario {
        client: script(rng, Side::Client),
        server: script(rng, Side::Server),
        stop: rng.u8(..8) == 0,
    };
    let silent = |script: &Script| script.finish == Finish::Silence;
    if silent(&scenario.client) && silent(&scenario.server) {
        scenario.client.finish = Finish::Fin;
    }
    scenario
}

fn script(rng: &mut Rng, side: Side) -> Script {
    let mut sends = frames(rng, side);
    match rng.u8(..8) {
        // Ends with a Close frame, behind which nothing counts,
        0..4 => {
            sends.extend(close(side, rng.u16(4000..5000), &"reason".repeat(rng.usize(..20))));
            sends.extend(vec![0xff; rng.usize(..3) * 20]);
        }
        // breaks a rule,
        4 => sends.extend([whole(side, 3, b"reserved opcode"), whole(side, op::PING, b"behind")].concat()),
        // ends at a frame border,
        5 => {}
        // or anywhere.
        _ => sends.truncate(rng.usize(..=sends.len())),
    }
    let early = if rng.bool() { 0 } else { rng.usize(..=sends.len().min(64 * 1024)) };
    let finish = match rng.u8(..8) {
        0 => Finish::Lost,
        1 => Finish::Silence,
        _ => Finish::Fin,
    };
    Script { sends, early, finish }
}

fn frames(rng: &mut Rng, side: Side) -> Vec<u8> {
    let (mut bytes, mut in_message) = (Vec::new(), false);
    let large = rng.u8(..20) == 0;
    for _ in 0..rng.usize(..12) {
        let key = mask(side).map(|_| rng.u32(..).to_be_bytes());
        let most = if large { 100_000 } else { 300 };
        let control = rng.u8(..3) == 0;
        let payload = vec![rng.u8(..); rng.usize(..if control { 126 } else { most })];
        let fin = control || rng.bool();
        let opcode = match (control, in_message) {
            (true, _) => [op::PING, op::PONG][rng.usize(..2)],
            (false, true) => op::CONTINUATION,
            (false, false) => [op::TEXT, op::BINARY][rng.usize(..2)],
        };
        if !control {
            in_message = !fin;
        }
        bytes.extend(frame(u8::from(fin) << 7 | opcode, key, &payload));
    }
    bytes
}

/// What a run came to.
struct Run {
    record: Record,
    /// The time it had to wait for.
    waited: bool,
    to_client: Wire,
    to_server: Wire,
}

async fn run(scenario: &Scenario, rng: &mut Rng, seed: u64) -> Run {
    run_in(scenario, &Rc::default(), rng, seed).await
}

async fn run_in(scenario: &Scenario, registry: &Rc<Registry>, rng: &mut Rng, seed: u64) -> Run {
    let mut machine = Machine::new(scenario, registry, rng);
    let record = machine.drive(rng, scenario.stop, seed).await;
    let Machine { waited, client, server, .. } = machine;
    Run { record, waited, to_client: client.take(), to_server: server.take() }
}

/// A tunnel, and what it is tied to.
struct Machine {
    tunnel: Pin<Box<Tunnel>>,
    registry: Rc<Registry>,
    woken: Arc<Woken>,
    client: Rc<RefCell<Wire>>,
    server: Rc<RefCell<Wire>>,
    orderly: bool,
    waited: bool,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Machine {
    fn new(scenario: &Scenario, registry: &Rc<Registry>, rng: &mut Rng) -> Self {
        let client = Wire::new(&scenario.client, rng.fork());
        let server = Wire::new(&scenario.server, rng.fork());
        let leg = |wire: &Rc<RefCell<Wire>>, script: &Script| Leg {
            stream: Stream::Other(Box::new(InMemory(wire.clone()))),
            early: script.sends[..script.early].to_vec().into(),
        };
        let policy = Policy {
            max_client_message: u64::MAX,
            max_server_message: u64::MAX,
            validate_utf8: false,
            vanished_code: CloseCode::INTERNAL_ERROR,
            close_timeout: CLOSE_TIMEOUT,
        };
        let start = Start {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            id: TunnelId::random(),
            route: "in memory".into(),
            account: Arc::new(Account { pool: String::new(), server: String::new(), policy }),
            deflate: false,
            client: leg(&client, &scenario.client),
            server: leg(&server, &scenario.server),
        };
        Machine {
            tunnel: Box::pin(Tunnel::new(start, registry)),
            registry: registry.clone(),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            client,
            server,
            orderly: is_orderly(scenario),
            waited: false,
        }
    }

    fn poll(&mut self) -> Poll<Record> {
        let waker = Waker::from(self.woken.clone());
        self.tunnel.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Lets things happen until the tunnel has ended. It is polled only when it was woken.
    async fn drive(&mut self, rng: &mut Rng, mut stop: bool, seed: u64) -> Record {
        for _ in 0..1_000_000 {
            if self.woken.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(record) = self.poll() {
                    return record;
                }
                self.check_kept(seed);
                continue;
            }
            if stop && rng.u8(..10) == 0 {
                stop = false;
                self.registry.end_all(Cause::Shutdown);
                continue;
            }
            let first = rng.bool();
            let (one, other) =
                if first { (&self.client, &self.server) } else { (&self.server, &self.client) };
            if one.borrow_mut().act() || other.borrow_mut().act() || stop {
                continue;
            }
            // Nothing more will happen: only time can end it now, and only once.
            assert!(!self.waited, "seed {seed}: it does not end");
            self.waited = true;
            advance(CLOSE_TIMEOUT + Duration::from_millis(1)).await;
        }
        panic!("seed {seed}: it spins");
    }

    /// A direction never holds more than it may.
    fn check_kept(&self, seed: u64) {
        let (client, server) = (self.client.borrow(), self.server.borrow());
        for (from, to) in [(&client, &server), (&server, &client)] {
            let kept = from.taken.min(from.counts).saturating_sub(to.written.len());
            assert!(!self.orderly || kept <= KEPT, "seed {seed}: {kept} bytes are kept");
        }
    }
}

/// One leg as its peer sees it.
#[derive(Default)]
struct Wire {
    coming: VecDeque<u8>,
    /// So many of the bytes that are coming are there.
    here: usize,
    /// Bytes that the tunnel has, those of the handshake included.
    taken: usize,
    /// So many of all bytes may be passed on.
    counts: usize,
    finish: Option<Finish>,
    finished: bool,
    /// So many bytes can be written at once.
    room: usize,
    written: Vec<u8>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    rng: Option<Rng>,
}

impl Wire {
    fn new(script: &Script, rng: Rng) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Wire {
            coming: script.sends[script.early..].iter().copied().collect(),
            taken: script.early,
            counts: walk(&script.sends).settled,
            finish: Some(script.finish),
            rng: Some(rng),
            ..Wire::default()
        }))
    }

    fn rng(&mut self) -> &mut Rng {
        self.rng.as_mut().expect("every wire has one")
    }

    fn is_lost(&self) -> bool {
        self.finished && self.finish == Some(Finish::Lost)
    }

    /// Lets the next thing happen; `false` when nothing can.
    fn act(&mut self) -> bool {
        let more = self.coming.len() - self.here;
        if self.writer.is_some() && (more == 0 || self.rng().bool()) {
            self.room = [1, 20, 5_000, 200_000][self.rng().usize(..4)];
            self.writer.take().into_iter().for_each(Waker::wake);
            return true;
        }
        let lost = self.finish == Some(Finish::Lost) && !self.finished && self.rng().u8(..6) == 0;
        if more > 0 && !lost {
            let most = [1, 8, 5_000, 200_000][self.rng().usize(..4)];
            self.here += self.rng().usize(1..=most).min(more);
        } else if !self.finished && self.finish != Some(Finish::Silence) {
            self.finished = true;
        } else {
            return false;
        }
        if self.is_lost() {
            (self.coming, self.here) = (VecDeque::new(), 0);
            self.writer.take().into_iter().for_each(Waker::wake);
        }
        self.reader.take().into_iter().for_each(Waker::wake);
        true
    }

    /// Waits for no reason now and then, as a runtime may make it do.
    fn hesitates(&mut self, cx: &Context<'_>) -> bool {
        let hesitates = self.rng().u8(..8) == 0;
        if hesitates {
            cx.waker().wake_by_ref();
        }
        hesitates
    }
}

/// The gateway's end of a [`Wire`].
struct InMemory(Rc<RefCell<Wire>>);

impl AsyncRead for InMemory {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        if wire.hesitates(cx) {
            return Poll::Pending;
        }
        if wire.here == 0 && wire.finished {
            return match wire.finish {
                Some(Finish::Lost) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Some(Finish::Panic) => panic!("a fault on purpose"),
                _ => Poll::Ready(Ok(())),
            };
        }
        if wire.here == 0 {
            wire.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = wire.here.min(buffer.remaining());
        let count = if wire.rng().bool() { most } else { wire.rng().usize(1..=most) };
        wire.coming.drain(..count).for_each(|byte| buffer.put_slice(&[byte]));
        wire.here -= count;
        wire.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for InMemory {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.borrow_mut();
        if wire.is_lost() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if wire.hesitates(cx) {
            return Poll::Pending;
        }
        if wire.room == 0 {
            wire.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = wire.room.min(bytes.len());
        wire.room -= count;
        wire.written.extend(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let hesitates = self.0.borrow_mut().hesitates(cx);
        if hesitates { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

/// Nobody breaks a rule, is lost, is silent or stops: all that was sent must arrive.
fn is_orderly(scenario: &Scenario) -> bool {
    let orderly = |script: &Script| script.finish == Finish::Fin && !script.breaks_a_rule();
    !scenario.stop && orderly(&scenario.client) && orderly(&scenario.server)
}

impl Script {
    fn breaks_a_rule(&self) -> bool {
        walk(&self.sends).broken
    }
}

fn judge(scenario: &Scenario, run: &Run) {
    let (record, orderly) = (&run.record, is_orderly(scenario));
    let silent = [&scenario.client, &scenario.server].iter().any(|script| script.finish == Finish::Silence);
    assert!(silent || !run.waited, "it had to wait for its deadline");
    let codes = record.codes;
    let directions = [
        (
            Side::Server,
            &scenario.client,
            &run.to_client,
            &run.to_server,
            codes.to_server,
            record.progress.to_server,
        ),
        (
            Side::Client,
            &scenario.server,
            &run.to_server,
            &run.to_client,
            codes.to_client,
            record.progress.to_client,
        ),
    ];
    for (to, script, from_wire, to_wire, sent, progress) in directions {
        let sends = &script.sends[..from_wire.taken];
        let cut_short = to_wire.is_lost() || run.waited;
        let (passed, own) = split_farewell(&to_wire.written, sends, to, cut_short)
            .unwrap_or_else(|| panic!("to {to:?}: {:x?} does not come of {sends:x?}", to_wire.written));
        let all = walk(sends);
        let logged = own.as_ref().map_or("-".into(), |(code, _)| code.to_string().replace("1005", "empty"));
        // A peer that is lost may be gone before it took what it was sent.
        assert_eq!(sent.to_string(), logged, "sent to {to:?}");
        if orderly {
            assert_eq!(passed, all.settled, "to {to:?}: not all that was sent has arrived");
            assert_eq!(progress.messages, all.messages, "messages to {to:?}");
            assert_eq!(progress.bytes, all.payload, "bytes to {to:?}");
            assert_eq!(own.map(|(code, _)| code), expected_code(record.cause, to, &all), "to {to:?}");
        }
    }
    if orderly {
        let from_client = walk(&scenario.client.sends).close;
        let from_server = walk(&scenario.server.sends).close;
        let shown = |code: Option<u16>| code.map_or("-".into(), |code| code.to_string());
        assert_eq!(codes.from_client.to_string(), shown(from_client));
        assert_eq!(codes.from_server.to_string(), shown(from_server));
    }
}

/// The code of the gateway's own Close, when both sides end by Close frames and ends of streams only.
fn expected_code(cause: Cause, to: Side, sent: &Walk) -> Option<u16> {
    if sent.close.is_some() || !sent.at_border {
        return None;
    }
    match cause {
        Cause::Closed(by, code) if by == to => code.map(CloseCode::get),
        Cause::Vanished(side) if side == to => None,
        Cause::Vanished(Side::Server) => Some(1011),
        _ => Some(1001),
    }
}

/// Takes what was written apart: how many bytes came from the other side, and the gateway's own Close behind them,
/// which must stand at a frame border. `None` if it is anything else.
///
/// A receiver that is gone before it took all may have got the beginning of a Close, which counts as none.
fn split_farewell(
    written: &[u8],
    sent: &[u8],
    to: Side,
    cut_short: bool,
) -> Option<(usize, Option<(u16, String)>)> {
    let all = walk(sent);
    if sent[..all.settled].starts_with(written) {
        return Some((written.len(), None));
    }
    all.borders.iter().rev().find_map(|border| {
        let frame = written.strip_prefix(&sent[..*border])?;
        let masked = if to == Side::Server { 4 } else { 0 };
        let begun = frame.len() < 2 || frame.len() < 2 + masked + usize::from(frame[1] & 0x7f);
        if cut_short && frame[0] == 0x88 && begun {
            return Some((*border, None));
        }
        Some((*border, Some(own_close(frame, to)?)))
    })
}

/// Code and reason of one whole Close frame, masked towards a server and only there.
fn own_close(frame: &[u8], to: Side) -> Option<(u16, String)> {
    let (&[0x88, second], rest) = frame.split_first_chunk()? else { return None };
    let masked = second & 0x80 != 0;
    let (key, payload) = if masked { rest.split_at_checked(4)? } else { (&[0; 4][..], rest) };
    if masked != (to == Side::Server) || payload.len() != usize::from(second & 0x7f) {
        return None;
    }
    let clear: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    match clear.split_first_chunk() {
        None => Some((1005, String::new())),
        Some((code, reason)) => Some((u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).ok()?)),
    }
}

/// What a stream of frames amounts to.
#[derive(Default, Debug)]
struct Walk {
    /// Bytes that may be passed on.
    settled: usize,
    /// Where frames begin and end, up to there.
    borders: Vec<usize>,
    at_border: bool,
    messages: u64,
    payload: u64,
    close: Option<u16>,
    broken: bool,
}

/// Walks over frames by hand, independently of `ws`.
fn walk(bytes: &[u8]) -> Walk {
    let mut walk = Walk { borders: vec![0], at_border: true, ..Walk::default() };
    loop {
        let rest = &bytes[walk.settled..];
        let [first, second, ..] = *rest else { return walk };
        let long = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let head = 2 + long + if second & 0x80 != 0 { 4 } else { 0 };
        let opcode = first & 0x0f;
        walk.broken |= opcode == 3;
        if walk.broken || rest.len() < head {
            return walk;
        }
        let len = match long {
            0 => usize::from(second & 0x7f),
            _ => rest[2..2 + long].iter().fold(0, |len, byte| len << 8 | usize::from(*byte)),
        };
        let here = (rest.len() - head).min(len);
        if opcode & 8 != 0 && here < len {
            return walk;
        }
        walk.settled += head + here;
        walk.at_border = here == len;
        if opcode & 8 == 0 {
            walk.payload += here as u64;
            walk.messages += u64::from(first & 0x80 != 0 && here == len);
        }
        if here < len {
            return walk;
        }
        walk.borders.push(walk.settled);
        if opcode == op::CLOSE {
            let key = if second & 0x80 != 0 { &rest[2..6] } else { &[0; 4] };
            walk.close = Some(u16::from_be_bytes([rest[head] ^ key[0], rest[head + 1] ^ key[1]]));
            return walk;
        }
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Walk { borders, close, broken, .. } = walk(&self.sends);
        let len = self.sends.len();
        write!(
            f,
            "{len} bytes ({} early), borders {borders:?}, close {close:?}, broken {broken}, then {:?}",
            self.early, self.finish
        )
    }
}
