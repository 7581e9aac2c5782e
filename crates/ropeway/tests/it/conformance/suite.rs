//! The programs that take part: the suite as a client and as a server, and those it tests.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

use ropeway::cli::{EchoOptions, serve_echo};
use tokio_util::sync::CancellationToken;

use super::verdicts::Verdicts;

/// Cases at a time: most of their time they wait for what should not come.
const PARALLEL: &str = "8";

/// For one run, all cases together.
const SECONDS: &str = "1200";

/// Runs the suite as a client of `server`.
pub(super) fn fuzz(server: SocketAddr, cases: &[&str]) -> Verdicts {
    let url = format!("ws://{server}/ws");
    let arguments = [&["client", &url], cases, &["--parallel", PARALLEL, "--timeout", SECONDS]].concat();
    Verdicts::read(&Program::python("autobahn.py", &arguments).output())
}

/// The suite as a server, until its client has been through all cases.
pub(super) struct FuzzingServer {
    suite: Program,
    pub(super) address: SocketAddr,
}

impl FuzzingServer {
    pub(super) fn start(cases: &[&str]) -> Self {
        let mut suite =
            Program::python("autobahn.py", &[&["server"], cases, &["--timeout", SECONDS]].concat());
        FuzzingServer { address: suite.ready(), suite }
    }

    pub(super) fn verdicts(mut self) -> Verdicts {
        Verdicts::read(&self.suite.output())
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
        let url = format!("ws://{address}");
        let lenient: &[&str] = match self {
            Client::Strict => &[],
            Client::Lenient => &["--lenient"],
        };
        Program::python(
            "client_autobahn.py",
            &[&[&url, "--parallel", PARALLEL, "--timeout", SECONDS], lenient].concat(),
        )
        .output();
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

/// An echo backend that takes each message whole, and permessage-deflate.
pub(super) struct Library {
    _program: Program,
    pub(super) address: SocketAddr,
}

impl Library {
    pub(super) fn websockets() -> Self {
        let mut program = Program::python("echo_websockets.py", &[]);
        let address = program.ready();
        program.ignore_output();
        Library { _program: program, address }
    }
}

/// A peer of `peers/`, killed when dropped.
struct Program {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Program {
    fn python(name: &str, arguments: &[&str]) -> Self {
        let python = peers().join("../.venv/bin/python3");
        assert!(python.exists(), "the Python peers are not installed: run scripts/test");
        Self::start(Command::new(python).arg(peers().join("python").join(name)).args(arguments))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Program { child, stdout }
    }

    /// Waits for the line `{"event": "ready", "port": N}`, and says where that is.
    fn ready(&mut self) -> SocketAddr {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        SocketAddr::from(([127, 0, 0, 1], event["port"].as_u64().unwrap().try_into().unwrap()))
    }

    /// What it prints until it ends, which must be well and in its own time.
    fn output(&mut self) -> String {
        let mut output = String::new();
        self.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {output}");
        output
    }

    /// Nobody reads what it prints from now on, and it does not wait for anyone.
    fn ignore_output(&mut self) {
        let mut stdout = self.stdout.take().unwrap();
        thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended: either way there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn peers() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../peers"))
}
