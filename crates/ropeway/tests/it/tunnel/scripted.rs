//! Scripts for one tunnel: what each side sends and must get, and the record that must come of it.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::thread;

use ropeway::tunnel::Side;
use testkit::{Backend, End, Peer, Record, TestGateway, op, record};

/// Longer than any test waits: a row that ends only because time is up fails.
pub(super) const NEVER: &str = "closeTimeout: 60s";

/// Short enough to wait for.
pub(super) const SOON: &str = "closeTimeout: 200ms";

/// One way to end a tunnel.
pub(super) struct Row {
    pub(super) name: String,
    /// Lines of the pool.
    pub(super) pool: String,
    /// Headers of both handshakes.
    pub(super) headers: &'static str,
    pub(super) steps: Vec<Step>,
    /// As [`summary`] gives it; where the outcome is a race, each possible one.
    pub(super) record: Vec<String>,
}

/// One thing that happens, or must be seen to happen. Steps follow each other.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// This side sends bytes.
    Sends(Side, Vec<u8>),
    /// This side ends its stream, and goes on reading.
    Fin(Side),
    /// This side cuts its connection.
    Reset(Side),
    /// Exactly these bytes reach this side next.
    Gets(Side, Vec<u8>),
    /// A Close frame made by the gateway reaches this side next, masked as it must be; an empty one is 1005.
    GetsClose(Side, u16, String),
    /// The stream to this side ends in order, and nothing comes before.
    Ended(Side),
    /// The connection of this side is over in whichever way, and nothing comes before.
    Gone(Side),
    /// The connection of this side is over; what comes before is not looked at.
    Swept(Side),
    /// Nothing has reached this side so far, not even the end.
    Quiet(Side),
    /// The gateway is told to stop.
    Stop,
}

impl Row {
    pub(super) fn new(name: impl Into<String>, pool: &str, steps: Vec<Step>, record: &str) -> Self {
        let record = record.split(" or ").map(str::to_owned).collect();
        Row { name: name.into(), pool: pool.into(), headers: "", steps, record }
    }
}

/// Plays all rows, some at a time; a row that fails does so in a thread that is named after it.
pub(super) fn play_all(rows: Vec<Row>) {
    let names: HashSet<_> = rows.iter().map(|row| row.name.clone()).collect();
    assert_eq!(names.len(), rows.len(), "names of rows are unique");
    let (rows, keys) = (Mutex::new(rows.into_iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(row) = rows.lock().unwrap().next() else { return };
                    let playing = thread::Builder::new().name(row.name.clone()).spawn(move || row.play());
                    match playing.unwrap().join() {
                        Ok(found) => keys.lock().unwrap().extend(found),
                        Err(panic) => resume_unwind(panic),
                    }
                }
            });
        }
    });
    let keys = keys.into_inner().unwrap();
    let distinct: HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "every frame to a server has a masking key of its own: {keys:x?}");
}

/// What a record says, in one line.
pub(super) fn summary(record: &Record) -> String {
    let field = |name: &str| record[name].as_str();
    format!(
        "{} {}; got {} {}; sent {} {}; {}/{} {}/{}",
        field("ended_by"),
        field("cause"),
        field("client_close"),
        field("server_close"),
        field("sent_to_client"),
        field("sent_to_server"),
        field("client_messages"),
        field("client_bytes"),
        field("server_messages"),
        field("server_bytes"),
    )
}

/// Both ends of the tunnel, while they are there.
struct Stage {
    gateway: Option<TestGateway>,
    stopping: Option<thread::JoinHandle<()>>,
    client: Option<Peer>,
    server: Option<Peer>,
    /// The masking keys of the gateway's own frames.
    keys: Vec<[u8; 4]>,
}

impl Row {
    /// Gives the masking keys of the gateway's own frames.
    fn play(self) -> Vec<[u8; 4]> {
        let backend = Backend::listen();
        let gateway = TestGateway::to(&[backend.address], &self.pool);
        let name = gateway.name.clone();
        let mut client = Peer::shake(gateway.address, "/ws", self.headers);
        let (server, _) = backend.accept_websocket(self.headers);
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        let mut stage = Stage {
            gateway: Some(gateway),
            stopping: None,
            client: Some(client),
            server: Some(server),
            keys: Vec::new(),
        };
        for (number, step) in self.steps.into_iter().enumerate() {
            stage.take(number, step);
        }
        let summary = summary(&record(&name));
        assert!(self.record.contains(&summary), "{}: {summary:?} is not {:?}", self.name, self.record);
        if let Some(stopping) = stage.stopping.take() {
            stopping.join().unwrap();
        }
        stage.keys
    }
}

impl Stage {
    fn peer(&mut self, side: Side) -> &mut Peer {
        let peer = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        peer.as_mut().expect("this side is still there")
    }

    fn take(&mut self, number: usize, step: Step) {
        match step {
            Step::Sends(side, bytes) => self.peer(side).send(&bytes),
            Step::Fin(side) => self.peer(side).finish(),
            Step::Reset(Side::Client) => self.client.take().unwrap().reset(),
            Step::Reset(Side::Server) => self.server.take().unwrap().reset(),
            Step::Gets(side, bytes) => {
                let got = self.peer(side).bytes(bytes.len());
                assert!(got == bytes, "step {number}: {side:?} gets {got:x?}, not {bytes:x?}");
            }
            Step::GetsClose(side, code, reason) => {
                let frame = self.peer(side).frame();
                assert_eq!(frame.opcode, op::CLOSE, "step {number}: {side:?} gets {frame:?}");
                assert!(frame.fin && frame.rsv == 0, "{frame:?}");
                assert_eq!(frame.close(), (code, reason), "step {number}: {side:?}");
                assert_eq!(frame.mask.is_some(), side == Side::Server, "{frame:?} to {side:?}");
                self.keys.extend(frame.mask);
            }
            Step::Ended(side) => assert_eq!(self.peer(side).end(), End::Fin, "step {number}: {side:?}"),
            Step::Gone(side) => drop(self.peer(side).end()),
            Step::Swept(side) => drop(self.peer(side).rest()),
            Step::Quiet(side) => {
                let peer = self.peer(side);
                peer.tcp.set_nonblocking(true).unwrap();
                let peeked = peer.tcp.peek(&mut [0]).map_err(|error| error.kind());
                assert_eq!(peeked, Err(std::io::ErrorKind::WouldBlock), "step {number}: {side:?}");
                peer.tcp.set_nonblocking(false).unwrap();
            }
            Step::Stop => {
                let gateway = self.gateway.take().unwrap();
                self.stopping = Some(thread::spawn(move || gateway.stop()));
            }
        }
    }
}
