//! What descriptors a process has, and from whom.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use testkit::soak::{Backends, Plan};
use testkit::{eventually, free_port};

use super::program::{Folder, Successor, ask, start, upgrade};
use super::soak;
use crate::cli::process::Process;
use crate::reload::soak::target;

const TUNNELS: usize = 30;
const PATIENCE: Duration = Duration::from_secs(30);

/// What the descriptors of a process are, by kind, and how many there are of each.
fn kinds(process: Pid) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for descriptor in fs::read_dir(format!("/proc/{process}/fd")).unwrap() {
        // It may have been closed meanwhile.
        let Ok(target) = fs::read_link(descriptor.unwrap().path()) else { continue };
        let target = target.display().to_string();
        let kind = target.split_once(":[").map_or(&*target, |(kind, _)| kind);
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    kinds
}

/// Waits until a process has what is expected.
fn has(process: Pid, expected: &BTreeMap<String, usize>) {
    let began = Instant::now();
    loop {
        let found = kinds(process);
        if found == *expected {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "expected: {expected:#?}\nfound: {found:#?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_new_process_has_the_descriptors_that_the_old_one_had_and_no_other() {
    let port = free_port();
    let backends = Backends::listen(&[([127, 0, 0, 1], 0).into()]).unwrap();
    let folder = Folder::new("descriptors", port);
    folder.write("main.yaml", &soak::document(port, backends.addresses[0]));
    let process = start(&folder, &["--control", "off", "--admin", "127.0.0.1:0"]);
    let target = target(([127, 0, 0, 1], port).into(), None);
    let interval = Duration::from_millis(100);
    let plan = Plan { tunnels: TUNNELS, interval, largest: 1 << 10, churn: None, seed: 5 };
    let soak = backends.soak(target, plan).unwrap();
    eventually("all tunnels open", || (soak.settled() >= TUNNELS).then_some(()));
    let mut expected = kinds(process.pid());
    assert!(expected["socket"] > 2 * TUNNELS, "{expected:#?}");
    // Who has come and gone leaves nothing behind.
    (0..20).for_each(|_| drop(ask(port)));
    has(process.pid(), &expected);
    *expected.entry("/dev/null".into()).or_default() += 1; // in the place of a pipe
    *expected.get_mut("pipe").unwrap() -= 1;
    // Twice: what came over the link must not be inherited by the next one.
    let mut successors: Vec<Successor> = Vec::new();
    for number in 0..2 {
        upgrade(&process, &mut successors);
        has(successors[number].0, &expected);
    }
    assert!(soak.finish().is_clean());
}

/// A program to which a service manager hands `listener`, with these variables.
fn activated(folder: &Folder, listener: &TcpListener, variables: &str) -> Process {
    let script =
        format!("exec 3<&0 </dev/null; {variables} exec \"$0\" run \"$1\" --control off --log-format json");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_ropeway"), &folder.file("main.yaml")]);
    command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    Process::start_with_stdin(&mut command)
}

#[test]
fn sockets_of_a_service_manager_are_used_and_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = Folder::new("activated", port);
    let process = activated(&folder, &listener, "export LISTEN_PID=$$ LISTEN_FDS=1;");
    process.err("ready for tunnels");
    assert!(ask(port).unwrap().starts_with("HTTP/1.1 404"));
    process.signal(Signal::USR2);
    let successor = Successor::of(&process, 0);
    assert!(ask(port).unwrap().starts_with("HTTP/1.1 404"));
    drop(successor);
    assert_eq!(process.wait().code, Some(0), "the first process has ended well");
}

#[test]
fn sockets_that_are_for_another_process_are_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new("activated-other", listener.local_addr().unwrap().port());
    for variables in ["export LISTEN_PID=1 LISTEN_FDS=1;", "export LISTEN_FDS=1;", "export LISTEN_PID=$$;"] {
        let ended = activated(&folder, &listener, variables).wait();
        assert_eq!(ended.code, Some(1), "{variables} {}", ended.err);
        assert!(ended.err.contains("Address already in use"), "{variables} {}", ended.err);
    }
}

#[test]
fn a_socket_that_nobody_listens_on_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = Folder::new("activated-unused", free_port());
    // 4 is no descriptor at all.
    let process = activated(&folder, &listener, "export LISTEN_PID=$$ LISTEN_FDS=2;");
    let line = process.err("handed over");
    assert!(line.contains(&address.to_string()) && line.contains("WARN"), "{line}");
    process.err("ready for tunnels");
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code, Some(0));
}
