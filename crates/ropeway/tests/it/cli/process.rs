//! Programs that a test starts: what they print, what they are told, how they end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::Usage;

/// How long a program may take for anything: starting a browser on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    out: Lines,
    err: Lines,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// All of standard output.
    pub(crate) out: String,
    /// All of standard error.
    pub(crate) err: String,
}

impl Process {
    /// Starts a program.
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped());
        Self::start_with_stdin(command)
    }

    /// Starts a program whose standard input is set already.
    pub(crate) fn start_with_stdin(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let out = Lines::of(child.stdout.take().unwrap());
        let err = Lines::of(child.stderr.take().unwrap());
        Process { name, stdin: child.stdin.take(), child, out, err }
    }

    /// Where the kernel tells of a thread.
    pub(crate) fn thread(&self, name: &str) -> PathBuf {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let mut threads = threads.map(|thread| thread.unwrap().path());
        let is_named = |thread: &PathBuf| fs::read_to_string(thread.join("comm")).unwrap().trim() == name;
        threads.find(is_named).unwrap_or_else(|| panic!("{}: no thread {name}", self.name))
    }

    /// What stands in a line of standard output, once such a line is there.
    pub(crate) fn out(&self, what: &str) -> String {
        self.line(&self.out, what)
    }

    /// The lines of standard output with `what` in them, once there are `count`.
    pub(crate) fn outs(&self, what: &str, count: usize) -> Vec<String> {
        let began = Instant::now();
        loop {
            let lines = self.out.lines.lock().unwrap();
            let found: Vec<_> = lines.iter().filter(|line| line.contains(what)).cloned().collect();
            if found.len() >= count {
                return found;
            }
            drop(lines);
            self.check_patience(began, PATIENCE, &format!("print `{what}` {count} times"));
        }
    }

    /// What stands in a line of standard error, once such a line is there.
    pub(crate) fn err(&self, what: &str) -> String {
        self.line(&self.err, what)
    }

    /// The lines of standard error so far with `what` in them.
    pub(crate) fn errs(&self, what: &str) -> Vec<String> {
        let lines = self.err.lines.lock().unwrap();
        lines.iter().filter(|line| line.contains(what)).cloned().collect()
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it uses.
    pub(crate) fn usage(&self) -> Usage {
        Usage { pid: self.child.id() }
    }

    /// All lines of standard error so far, each a JSON object.
    pub(crate) fn log(&self) -> Vec<Value> {
        let lines = self.err.lines.lock().unwrap();
        lines.iter().map(|line| json(line)).collect()
    }

    /// All lines of standard output so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.out.lines.lock().unwrap().clone()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Writes to standard input, and ends it.
    pub(crate) fn feed(&mut self, text: &str) {
        std::io::Write::write_all(&mut self.stdin.take().unwrap(), text.as_bytes()).unwrap();
    }

    /// Ends standard input and waits for the end of the program.
    pub(crate) fn wait(self) -> Ended {
        self.wait_for(PATIENCE)
    }

    /// The same, where it may take this long.
    pub(crate) fn wait_for(mut self, patience: Duration) -> Ended {
        drop(self.stdin.take());
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.check_patience(began, patience, "end");
        };
        Ended { code: status.code(), out: self.out.whole(), err: self.err.whole() }
    }

    fn line(&self, lines: &Lines, what: &str) -> String {
        let began = Instant::now();
        loop {
            if let Some(line) = lines.lines.lock().unwrap().iter().find(|line| line.contains(what)) {
                return line.clone();
            }
            self.check_patience(began, PATIENCE, &format!("print `{what}`"));
        }
    }

    fn check_patience(&self, began: Instant, patience: Duration, what: &str) {
        let so_far = |lines: &Lines| lines.lines.lock().unwrap().join("\n");
        assert!(
            began.elapsed() < patience,
            "{} did not {what}; it printed:\n{}\n{}",
            self.name,
            so_far(&self.out),
            so_far(&self.err)
        );
        thread::park_timeout(Duration::from_millis(5));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `ropeway` with these arguments.
pub(crate) fn ropeway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ropeway"));
    // Tests run side by side: none takes the socket of the user.
    command.args(arguments).env_remove("RUST_LOG").env("ROPEWAY_CONTROL", "off");
    command
}

/// Runs `ropeway` to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    Process::start(&mut ropeway(arguments)).wait()
}

/// `ropeway run` of these documents, with JSON logs.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The program.
    pub(crate) process: Process,
    /// Where its first server listens.
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Starts it and waits until it listens.
    pub(crate) fn start(documents: &str) -> Self {
        Self::start_with(documents, |command| command)
    }

    /// The same, with a command that was changed.
    pub(crate) fn start_with(documents: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = ropeway(&["run", "-", "--log-format", "json"]);
        let mut process = Process::start(change(&mut command));
        process.feed(documents);
        let listening = json(&process.err("\"message\":\"listening\""));
        process.err("\"message\":\"ready for tunnels\"");
        Gateway { process, address: listening["address"].as_str().unwrap().parse().unwrap() }
    }
}

/// A line of JSON.
pub(crate) fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON: {error}: {line}"))
}

/// The lines of a stream, read by a thread of their own so that the program is never held up.
#[derive(Debug)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Arc::default();
        let reader = thread::spawn({
            let lines: Arc<Mutex<Vec<String>>> = Arc::clone(&lines);
            move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line);
                    lines.lock().unwrap().push(line.trim_end_matches('\r').to_owned());
                }
            }
        });
        Lines { lines, reader: Some(reader) }
    }

    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
