//! The event loop that drives all clients and the echo backend on one thread.

use crate::client::{Client, Progress, Script};
use crate::echo::{Alive, Echo};
use crate::fault::Fault;
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Registry, Token};
use rustls::ClientConfig;
use slab::Slab;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Clients on one side of a proxy and the echo backend on its other side.
pub(crate) struct Load {
    poll: Poll,
    events: Events,
    ends: Ends,
    interrupted: Arc<AtomicBool>,
    spin: bool,
}

/// What the load is pointed at.
pub(crate) struct Target<'a> {
    /// Where the proxy listens.
    pub(crate) proxy: SocketAddr,
    /// The path that it forwards.
    pub(crate) path: &'a str,
    /// Where the backend listens; port 0 takes a free one.
    pub(crate) backend: SocketAddr,
    /// Payload bytes of each message.
    pub(crate) size: usize,
    /// Ordinary requests, and no tunnels.
    pub(crate) is_http: bool,
    /// How clients speak TLS, if they do.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// Buffers that all connections share, and the latencies that they measured.
pub(crate) struct Io {
    pub(crate) input: Box<[u8]>,
    pub(crate) output: Vec<u8>,
    /// Nanoseconds of each round trip.
    pub(crate) latencies: Vec<u32>,
}

/// What was done since the load began.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) round_trips: u64,
    /// Connections that went from connecting to the end of their close handshake.
    pub(crate) cycles: u64,
    bytes: u64,
}

/// What a client does next when something came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Each new tunnel sends one message.
    Open,
    /// Each reply is followed by a message.
    Run,
    /// Nothing new is sent.
    Drain,
    /// Each tunnel closes after its first reply, and another one is opened.
    Cycle,
    /// The same, but no other one is opened.
    LastCycle,
}

struct Ends {
    registry: Registry,
    listener: TcpListener,
    proxy: SocketAddr,
    script: Script,
    clients: Vec<Client>,
    echoes: Slab<Echo>,
    io: Io,
    mode: Mode,
    tally: Tally,
    /// Nanoseconds of each connection from its first segment to its last.
    cycle_times: Vec<u32>,
    /// Tunnels that had their first message echoed.
    settled: usize,
    next_id: u32,
}

impl Load {
    /// Binds the backend. `spin` looks for events without ever sleeping.
    pub(crate) fn new(target: &Target<'_>, spin: bool, interrupted: &Arc<AtomicBool>) -> Result<Load, Fault> {
        let poll = Poll::new().map_err(Fault::io("make an epoll instance"))?;
        let registry = poll.registry().try_clone().map_err(Fault::io("copy an epoll instance"))?;
        let mut listener =
            TcpListener::bind(target.backend).map_err(Fault::io(format!("listen on {}", target.backend)))?;
        registry
            .register(&mut listener, LISTENER, Interest::READABLE)
            .map_err(Fault::io("watch the backend's socket"))?;
        let ends = Ends {
            registry,
            listener,
            proxy: target.proxy,
            script: Script::new(target),
            clients: Vec::new(),
            echoes: Slab::new(),
            io: Io { input: vec![0; INPUT].into(), output: Vec::new(), latencies: Vec::new() },
            mode: Mode::Open,
            tally: Tally::default(),
            cycle_times: Vec::new(),
            settled: 0,
            next_id: 0,
        };
        let events = Events::with_capacity(1024);
        Ok(Load { poll, events, ends, interrupted: Arc::clone(interrupted), spin })
    }

    /// Where the backend listens.
    pub(crate) fn backend(&self) -> Result<SocketAddr, Fault> {
        self.ends.listener.local_addr().map_err(Fault::io("ask for the backend's address"))
    }

    /// Opens tunnels until there are `count`, a few at a time, and sends one message through each.
    pub(crate) fn open(&mut self, count: usize) -> Result<(), Fault> {
        self.ends.mode = Mode::Open;
        while self.ends.clients.len() < count {
            self.ends.connect_another()?;
            self.until("open tunnels", |ends| ends.clients.len() - ends.settled < OPENING)?;
        }
        self.until("open tunnels", |ends| ends.settled == ends.clients.len())
    }

    /// Sends `in_flight` messages on each tunnel, and one more for each that comes back.
    pub(crate) fn start(&mut self, in_flight: usize) -> Result<(), Fault> {
        self.ends.mode = Mode::Run;
        self.ends.ask_all(in_flight)
    }

    /// Opens and closes tunnels, `parallel` at a time.
    pub(crate) fn cycle(&mut self, parallel: usize) -> Result<(), Fault> {
        self.ends.mode = Mode::Cycle;
        (0..parallel).try_for_each(|_| self.ends.connect_another())
    }

    /// Lets the load go on for that long.
    pub(crate) fn run_for(&mut self, time: Duration) -> Result<(), Fault> {
        let end = Instant::now() + time;
        self.until("keep messages going", |_| Instant::now() >= end)
    }

    /// Sends nothing new, and waits until all that was sent has come back.
    pub(crate) fn drain(&mut self) -> Result<(), Fault> {
        self.ends.mode = Mode::Drain;
        self.until("get all messages back", |ends| ends.clients.iter().all(|client| client.in_flight() == 0))
    }

    /// Opens no further tunnels, and waits until those of [`Load::cycle`] are closed.
    pub(crate) fn finish_cycle(&mut self) -> Result<(), Fault> {
        self.ends.mode = Mode::LastCycle;
        self.until("close all tunnels", |ends| ends.clients.iter().all(Client::has_ended))
    }

    /// Leaves every connection, whatever it is doing.
    pub(crate) fn clear(&mut self) {
        self.ends.clients.clear();
        self.ends.echoes.clear();
        self.ends.settled = 0;
    }

    /// What was done so far.
    pub(crate) fn tally(&self) -> Tally {
        self.ends.tally
    }

    /// Nanoseconds of each handshake since the last call where there were any, else of each round trip.
    pub(crate) fn take_latencies(&mut self) -> Vec<u32> {
        let round_trips = std::mem::take(&mut self.ends.io.latencies);
        let cycles = std::mem::take(&mut self.ends.cycle_times);
        if cycles.is_empty() { round_trips } else { cycles }
    }

    /// Turns until `done`, and gives up when nothing at all arrives for a while.
    fn until(&mut self, doing: &str, done: impl Fn(&Ends) -> bool) -> Result<(), Fault> {
        let mut bytes = self.ends.tally.bytes;
        let mut moved_at = Instant::now();
        while !done(&self.ends) {
            self.turn()?;
            if bytes != self.ends.tally.bytes {
                bytes = self.ends.tally.bytes;
                moved_at = Instant::now();
            } else if moved_at.elapsed() > QUIET {
                return Err(Fault::new(format!(
                    "could not {doing}: nothing came back for {} s",
                    QUIET.as_secs()
                )));
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Fault> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Fault::Interrupted);
        }
        let timeout = if self.spin { Duration::ZERO } else { TURN };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => self.events.iter().try_for_each(|event| self.ends.handle_event(event)),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(Fault::io("wait for events")(error)),
        }
    }
}

impl Tally {
    /// Handshakes where there were any, else round trips.
    pub(crate) fn operations_since(&self, before: &Tally) -> u64 {
        match self.cycles - before.cycles {
            0 => self.round_trips - before.round_trips,
            cycles => cycles,
        }
    }
}

impl Ends {
    /// Tokens: even ones are clients, odd ones connections of the backend, by their places in `clients` and `echoes`.
    /// An event of a connection that is gone may find its place empty or taken by another one: that does no harm.
    fn handle_event(&mut self, event: &Event) -> Result<(), Fault> {
        let peer_closed = event.is_read_closed() || event.is_error();
        match event.token() {
            LISTENER => self.accept_all(),
            Token(token) if token % 2 == 0 => self.handle_client(token / 2, peer_closed),
            Token(token) => self.handle_echo(token / 2, peer_closed),
        }
    }

    fn accept_all(&mut self) -> Result<(), Fault> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(Fault::io("accept a connection of the proxy")(error)),
            };
            // A connection that is already reset refuses the option, and its client will tell.
            let _ = stream.set_nodelay(true);
            let entry = self.echoes.vacant_entry();
            let token = Token(entry.key() * 2 + 1);
            self.registry
                .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
                .map_err(Fault::io("watch a connection"))?;
            entry.insert(Echo::new(stream));
        }
    }

    fn handle_echo(&mut self, index: usize, peer_closed: bool) -> Result<(), Fault> {
        let Some(echo) = self.echoes.get_mut(index) else { return Ok(()) };
        if echo.handle_ready(peer_closed, &mut self.io)? == Alive::No {
            self.echoes.remove(index);
        }
        Ok(())
    }

    fn handle_client(&mut self, index: usize, peer_closed: bool) -> Result<(), Fault> {
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        let progress = client.handle_ready(peer_closed, &self.script, &mut self.io)?;
        self.tally.round_trips += progress.replies as u64;
        self.tally.bytes += progress.bytes as u64;
        self.react(index, &progress)
    }

    /// What the client does next.
    fn react(&mut self, index: usize, progress: &Progress) -> Result<(), Fault> {
        let client = &mut self.clients[index];
        let replied = progress.replies > 0;
        match self.mode {
            Mode::Open if replied => self.settled += 1,
            Mode::Run if replied => client.ask(progress.replies, &self.script, &mut self.io)?,
            Mode::Cycle | Mode::LastCycle if replied => client.close()?,
            Mode::Open | Mode::Cycle | Mode::LastCycle if progress.upgraded => {
                client.ask(1, &self.script, &mut self.io)?;
            }
            Mode::Cycle | Mode::LastCycle if progress.ended => self.end_cycle(index)?,
            _ => {}
        }
        Ok(())
    }

    /// Counts a tunnel that came and went, and opens another one in its place.
    fn end_cycle(&mut self, index: usize) -> Result<(), Fault> {
        let time = self.clients[index].born().elapsed();
        self.cycle_times.push(u32::try_from(time.as_nanos()).unwrap_or(u32::MAX));
        self.tally.cycles += 1;
        if self.mode == Mode::Cycle {
            self.clients[index] = self.connect(index)?;
        }
        Ok(())
    }

    fn connect_another(&mut self) -> Result<(), Fault> {
        let client = self.connect(self.clients.len())?;
        self.clients.push(client);
        Ok(())
    }

    fn connect(&mut self, index: usize) -> Result<Client, Fault> {
        self.next_id = (self.next_id + 1) % MAX_ID;
        let mut client = Client::connect(self.proxy, self.next_id, &self.script)?;
        self.registry
            .register(client.stream.tcp(), Token(index * 2), Interest::READABLE | Interest::WRITABLE)
            .map_err(Fault::io("watch a connection"))?;
        Ok(client)
    }

    fn ask_all(&mut self, count: usize) -> Result<(), Fault> {
        self.clients.iter_mut().try_for_each(|client| client.ask(count, &self.script, &mut self.io))
    }
}

const LISTENER: Token = Token(usize::MAX);
/// Tunnels that are being opened at the same time.
const OPENING: usize = 64;
/// Bytes that one read may bring.
const INPUT: usize = 256 << 10;
/// Messages are marked with 24 bits of their connection's number.
const MAX_ID: u32 = 1 << 24;
/// The longest sleep: how late an end of the time or an interrupt is seen.
const TURN: Duration = Duration::from_millis(5);
/// Without a byte for that long, what is on its way is lost.
const QUIET: Duration = Duration::from_secs(10);
