//! The real program takes over from a process that the test plays, and that is lost at each step.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ropeway::supervisor::handover::link::Link;
use ropeway::supervisor::handover::{Hello, Names, VARIABLE, tag};
use testkit::soak::{Backends, Plan};
use testkit::{eventually, free_port};

use super::program::{Folder, Successor, ask, start};
use crate::cli::process::{Process, ropeway};
use crate::reload::soak::target;

/// What a process does that hands over, in its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum Step {
    Start,
    Hello,
    Listeners,
    State,
    All,
    Commit,
}

/// The old side.
struct Old {
    link: Link,
    listener: TcpListener,
    deadline: Instant,
}

impl Old {
    /// Goes up to `last`, and is then gone without a word.
    fn play(mut self, last: Step) {
        let hello = serde_json::to_vec(&Hello::own()).unwrap();
        let address = self.listener.local_addr().unwrap();
        let names = Names { names: vec![format!("http {address}")], more: false };
        let names = serde_json::to_vec(&names).unwrap();
        let listener = self.listener.try_clone().unwrap();
        for (step, tag, body, answers) in [
            (Step::Hello, tag::HELLO, hello, [Some(tag::HELLO), Some(tag::LOADED)]),
            (Step::Listeners, tag::LISTENERS, names, [None, None]),
            (Step::State, tag::STATE, Vec::new(), [Some(tag::BUILT), None]),
            (Step::All, tag::ALL, vec![0; 8], [Some(tag::READY), None]),
            (Step::Commit, tag::COMMIT, Vec::new(), [Some(tag::RUNNING), None]),
        ] {
            if step > last {
                return;
            }
            let descriptors = if step == Step::Listeners { vec![listener.as_fd()] } else { Vec::new() };
            self.link.send(tag, &body, &descriptors, self.deadline).unwrap();
            for answer in answers.into_iter().flatten() {
                let came = self.link.receive(self.deadline).unwrap().expect("the new process lives");
                assert_eq!(came.tag, answer, "after {step:?}");
            }
        }
    }
}

/// The real program as the new one, and who plays the old one.
fn pair(folder: &Folder, port: u16) -> (Process, Old) {
    let (here, there) = Link::pair().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut command = ropeway(&["run", &folder.file("main.yaml"), "--log-format", "json"]);
    command.env(VARIABLE, "stdin").stdin(Stdio::from(OwnedFd::from(there)));
    let new = Process::start_with_stdin(&mut command);
    (new, Old { link: here, listener, deadline: Instant::now() + Duration::from_secs(60) })
}

#[test]
fn an_old_process_that_is_lost_before_commit_takes_the_new_one_with_it() {
    for last in [Step::Start, Step::Hello, Step::Listeners, Step::State, Step::All] {
        let port = free_port();
        let folder = Folder::new(&format!("lost-{last:?}"), port);
        let (new, old) = pair(&folder, port);
        let listener = old.listener.try_clone().unwrap();
        let waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();
        old.play(last);
        let ended = new.wait();
        assert_eq!(ended.code, Some(1), "{last:?}: {}", ended.err);
        assert!(ended.err.contains("the old process"), "{last:?}: {}", ended.err);
        // Who waits in the queue was not taken by a process that then ended.
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer, waiting.local_addr().unwrap(), "{last:?}");
    }
}

#[test]
fn an_old_process_that_is_lost_after_commit_is_not_missed() {
    let port = free_port();
    let folder = Folder::new("lost-after", port);
    let (new, old) = pair(&folder, port);
    old.play(Step::Commit);
    new.err("taken over from the older process");
    assert!(ask(port).unwrap().starts_with("HTTP/1.1 404"));
    drop(new);
}

#[test]
fn messages_that_make_no_sense_end_the_new_process_alone() {
    for (name, tag, body) in [
        ("a step that is not its turn", tag::COMMIT, &b""[..]),
        ("a tag that there is not", 200, b""),
        ("a hello that is no JSON", tag::HELLO, b"{"),
        ("a refusal", tag::REFUSE, b"not now"),
    ] {
        let port = free_port();
        let folder = Folder::new(&format!("nonsense-{tag}"), port);
        let (new, mut old) = pair(&folder, port);
        old.link.send(tag, body, &[], old.deadline).unwrap();
        let ended = new.wait();
        assert_eq!(ended.code, Some(1), "{name}: {}", ended.err);
        assert!(!ended.err.contains("panicked"), "{name}: {}", ended.err);
    }
}

/// Killed as soon as the tunnels have moved: while it waits for handshakes, and sends what follows.
#[test]
fn tunnels_that_have_moved_do_not_need_the_old_process() {
    let port = free_port();
    let backends = Backends::listen(&[([127, 0, 0, 1], 0).into()]).unwrap();
    let folder = Folder::new("killed", port);
    folder.write("main.yaml", &super::soak::document(port, backends.addresses[0]));
    let process = start(&folder, &[]);
    let target = target(([127, 0, 0, 1], port).into(), None);
    let interval = Duration::from_millis(100);
    let plan = Plan { tunnels: 50, interval, largest: 1 << 16, churn: None, seed: 3 };
    let soak = backends.soak(target, plan).unwrap();
    eventually("all tunnels open", || (soak.settled() >= 50).then_some(()));
    // Somebody whose handshake is not done keeps the old process waiting.
    let _slow = TcpStream::connect(("127.0.0.1", port)).unwrap();
    process.signal(rustix::process::Signal::USR2);
    let _successor = Successor::of(&process, 0);
    process.signal(rustix::process::Signal::KILL);
    // Not waited for: the successor has its standard error.
    let before = soak.received();
    eventually("some traffic", || (soak.received() > before + 500).then_some(()));
    let report = soak.finish();
    assert!(report.is_clean() && report.closes.is_empty(), "{report}");
}
