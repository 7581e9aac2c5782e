//! The programs that take part: the suite as a client and as a server, and those it tests.

use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ropeway::cli::{EchoOptions, serve_echo};
use tokio_util::sync::CancellationToken;

use super::verdicts::Verdicts;
use crate::cli::process::{Process, json};
use crate::real::peers::python;

/// Cases at a time: most of their time they wait for what should not come.
const PARALLEL: &str = "8";

/// For one run, all cases together. The programs keep no time of their own.
const PATIENCE: Duration = Duration::from_secs(300);
const UNTIMED: [&str; 2] = ["--timeout", "0"];

/// Runs the suite as a client of `server`.
pub(super) fn fuzz(server: SocketAddr, cases: &[&str]) -> Verdicts {
    let mut suite = python("autobahn.py");
    suite
        .args(["client", &format!("ws://{server}/ws")])
        .args(cases)
        .args(["--parallel", PARALLEL])
        .args(UNTIMED);
    Verdicts::read(&output(Process::start(&mut suite)))
}

/// The suite as a server, until its client has been through all cases.
pub(super) struct FuzzingServer {
    suite: Process,
    pub(super) address: SocketAddr,
}

impl FuzzingServer {
    pub(super) fn start(cases: &[&str]) -> Self {
        let suite = Process::start(python("autobahn.py").arg("server").args(cases).args(UNTIMED));
        FuzzingServer { address: ready(&suite), suite }
    }

    pub(super) fn verdicts(self) -> Verdicts {
        let output = output(self.suite);
        // The first line said where it listens.
        Verdicts::read(output.split_once('\n').unwrap().1)
    }
}

/// A client that sends every message back.
#[derive(Clone, Copy)]
pub(super) enum Client {
    /// On the library `websockets`.
    Strict,
    /// On plain sockets.
    Lenient,
}

impl Client {
    /// Goes through the cases of the suite at `address`.
    pub(super) fn visit(self, address: SocketAddr) {
        let mut client = python("client_autobahn.py");
        client.args([&format!("ws://{address}"), "--parallel", PARALLEL]).args(UNTIMED);
        if let Client::Lenient = self {
            client.arg("--lenient");
        }
        output(Process::start(&mut client));
    }
}

/// `ropeway echo`, until it is dropped.
pub(super) struct Echo {
    pub(super) address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(super) fn strict() -> Self {
        Self::start(EchoOptions::default())
    }

    pub(super) fn lenient() -> Self {
        Self::start(EchoOptions { lenient: true, ..EchoOptions::default() })
    }

    fn start(options: EchoOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = thread::spawn(move || serve_echo(vec![listener], &options, &stopped).unwrap());
        Echo { address, stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Where a program of `peers/` listens, once it does.
fn ready(process: &Process) -> SocketAddr {
    let port = json(&process.out("\"ready\""))["port"].as_u64().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port.try_into().unwrap()))
}

/// What it printed until it ended, which must be well and in time.
fn output(process: Process) -> String {
    let ended = process.wait_for(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out
}
