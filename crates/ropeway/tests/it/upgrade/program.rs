//! The real program is told to upgrade.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testkit::soak::{Backends, Plan};
use testkit::{Authority, free_port};

use crate::cli::process::{Process, json, ropeway};
use crate::reload::soak::{target, trusting};

/// A folder with a configuration, removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str, port: u16) -> Self {
        let folder = std::env::temp_dir().join(format!("ropeway-upgrade-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let folder = Folder(folder);
        folder.write("main.yaml", &document(port));
        folder
    }

    pub(super) fn write(&self, file: &str, text: &str) -> String {
        fs::write(self.0.join(file), text).unwrap();
        self.file(file)
    }

    pub(super) fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A program in the language of the shell that stands for the new process.
    fn script(&self, text: &str) -> String {
        let path = self.write("new.sh", &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that this test did not start itself, but its predecessor. Killed at the end.
pub(super) struct Successor(pub(super) Pid);

impl Successor {
    pub(super) fn of(process: &Process, number: usize) -> Self {
        let pids = || process.errs("\"pid\":");
        assert!(eventually(|| pids().len() > number), "{:#?}", process.errs(""));
        let pid = json(&pids()[number])["pid"].as_i64().unwrap();
        Successor(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap())
    }
}

/// Has the last of these processes upgrade, and adds the one that follows.
pub(super) fn upgrade(process: &Process, successors: &mut Vec<Successor>) {
    match successors.last() {
        None => process.signal(Signal::USR2),
        Some(Successor(pid)) => kill_process(*pid, Signal::USR2).unwrap(),
    }
    successors.push(Successor::of(process, successors.len()));
}

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

fn document(port: u16) -> String {
    format!(
        "name: front\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\ndrain: {{ window: 0 }}\nrules: []\n"
    )
}

pub(super) fn start(folder: &Folder, arguments: &[&str]) -> Process {
    let path = folder.file("main.yaml");
    let process =
        Process::start(&mut ropeway(&[&["run", &path, "--log-format", "json"], arguments].concat()));
    process.err("ready for tunnels");
    process
}

/// Waits until it holds; a panic says that it never did.
fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    testkit::eventually("the condition to hold", || holds().then_some(true))
}

/// Whether a request is answered.
pub(super) fn ask(port: u16) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn three_upgrades_in_a_row_refuse_and_lose_nobody() {
    let port = free_port();
    let folder = Folder::new("three", port);
    let process = start(&folder, &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (stop, answered) = (stop.clone(), answered.clone());
            thread::spawn(move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match ask(port) {
                        Ok(answer) if answer.starts_with("HTTP/1.1 404") => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        other => failed.push(format!("{other:?}")),
                    }
                }
                failed
            })
        })
        .collect();
    let mut successors: Vec<Successor> = Vec::new();
    for _ in 0..3 {
        let before = answered.load(Ordering::Relaxed);
        assert!(eventually(|| answered.load(Ordering::Relaxed) > before + 20));
        upgrade(&process, &mut successors);
    }
    let before = answered.load(Ordering::Relaxed);
    assert!(eventually(|| answered.load(Ordering::Relaxed) > before + 20));
    stop.store(true, Ordering::Relaxed);
    let failed: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    drop(successors);
    assert_eq!(process.wait().code, Some(0), "the first process has ended well");
}

#[test]
fn the_control_socket_answers_all_the_time() {
    let port = free_port();
    let folder = Folder::new("control", port);
    fs::set_permissions(&folder.0, PermissionsExt::from_mode(0o700)).unwrap();
    let path = folder.0.join("control.sock");
    let process = start(&folder, &["--control", path.to_str().unwrap()]);
    let stop = Arc::new(AtomicBool::new(false));
    let asking = {
        let (stop, path) = (stop.clone(), path.clone());
        thread::spawn(move || {
            let mut answered = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut socket = UnixStream::connect(&path).expect("somebody listens");
                socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                socket.write_all(b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                let mut answer = String::new();
                socket.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                answered += 1;
            }
            answered
        })
    };
    let mut successors: Vec<Successor> = Vec::new();
    for number in 0..3 {
        upgrade(&process, &mut successors);
        eventually(|| process.errs("the rest has moved").len() > number);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(asking.join().unwrap() > 10);
    kill_process(successors[2].0, Signal::TERM).unwrap();
    eventually(|| !path.exists());
}

#[test]
fn a_new_process_that_fails_costs_nothing() {
    // Written as octal for the shell: tag, zero, descriptors, length; this HELLO has 0o62 bytes.
    let greet = |protocol: u8, records: u8| {
        let hello = format!(r#"{{"protocol":{protocol},"records":{records},"version":"0123456789a"}}"#);
        assert_eq!(hello.len(), 0o62);
        format!(r"printf '\001\000\000\000\000\000\000\062{hello}' >&0")
    };
    let (hello, newer, older) = (greet(1, 1), greet(9, 1), greet(1, 0));
    let loaded = r"printf '\003\000\000\000\000\000\000\000' >&0";
    let built = r"printf '\006\000\000\000\000\000\000\000' >&0";
    let ready = r"printf '\011\000\000\000\000\000\000\000' >&0";
    let refuse = r"printf '\002\000\000\000\000\000\000\007not now' >&0";
    let rows = [
        ("exits", "exit 3".to_owned(), "exit status: 3"),
        ("is killed", "kill -9 $$".to_owned(), "signal: 9"),
        (
            "talks nonsense",
            "echo nonsense that is long enough >&0; exec sleep 100".into(),
            "no message of an upgrade",
        ),
        ("says another thing first", format!("{loaded}; exec sleep 100"), "message 3 came instead of 1"),
        ("speaks another protocol", format!("{newer}; exec sleep 100"), "do not share a protocol"),
        ("cannot read the records", format!("{older}; exec sleep 100"), "cannot read the tunnels"),
        ("refuses", format!("{hello}; {refuse}; exec sleep 100"), "the new process refuses: not now"),
        ("exits after its hello", format!("{hello}; exit 4"), "exit status: 4"),
        ("exits when loaded", format!("{hello}; {loaded}; exit 5"), "exit status: 5"),
        ("exits when built", format!("{hello}; {loaded}; {built}; exit 6"), "exit status: 6"),
        ("hangs with tunnels", format!("{hello}; {loaded}; {built}; exec sleep 100"), "takes too long"),
    ];
    let port = free_port();
    let folder = Folder::new("fails", port);
    let script = folder.script("exit 3");
    let process = start(&folder, &["--upgrade-binary", &script]);
    for (number, (name, text, expected)) in rows.iter().enumerate() {
        folder.script(text);
        process.signal(Signal::USR2);
        assert!(eventually(|| process.errs("everything is as before").len() > number), "{name}");
        let line = process.errs("everything is as before").remove(number);
        assert!(line.contains(expected), "{name}: {line}");
        assert!(ask(port).unwrap().starts_with("HTTP/1.1 404"), "{name}");
    }
    folder.script(&format!("{hello}; {loaded}; {built}; {ready}; exec sleep 100"));
    process.signal(Signal::USR2);
    process.err("was lost when it had taken over, and 0 tunnels with it");
    assert!(ask(port).unwrap().starts_with("HTTP/1.1 404"));
    fs::remove_file(script).unwrap();
    process.signal(Signal::USR2);
    process.err("the new process cannot be started: No such file");
    assert!(ask(port).unwrap().starts_with("HTTP/1.1 404"));
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code, Some(0));
}

#[test]
fn a_faulty_new_configuration_is_told_and_costs_nothing() {
    let port = free_port();
    let folder = Folder::new("faulty", port);
    let process = start(&folder, &["--no-watch"]);
    folder.write("main.yaml", &document(port).replace("rules", "rulez"));
    process.signal(Signal::USR2);
    let line = process.err("everything is as before");
    assert!(line.contains("rulez") && line.contains("main.yaml:6"), "{line}");
    assert!(ask(port).unwrap().starts_with("HTTP/1.1 404"));
    folder.write("main.yaml", &document(port));
    process.signal(Signal::USR2);
    let _successor = Successor::of(&process, 0);
    assert!(ask(port).unwrap().starts_with("HTTP/1.1 404"));
}

#[test]
fn a_service_manager_is_told_of_each_step() {
    let port = free_port();
    let folder = Folder::new("notify", port);
    let path = folder.0.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let next = || {
        let mut text = [0; 200];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let file = folder.file("main.yaml");
    let process = Process::start(
        ropeway(&["run", &file, "--log-format", "json"]).env("NOTIFY_SOCKET", path.as_os_str()),
    );
    assert_eq!(next(), "READY=1");
    process.signal(Signal::HUP);
    let reloading = next();
    let moment =
        reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
    assert!(moment.parse::<u64>().unwrap() > 0);
    assert_eq!(next(), "READY=1");
    process.signal(Signal::USR2);
    let mut told = [next(), next()];
    told.sort();
    let successor = Successor::of(&process, 0);
    assert_eq!(told, [format!("MAINPID={}\nREADY=1", successor.0.as_raw_nonzero()), "READY=1".into()]);
    kill_process(successor.0, Signal::TERM).unwrap();
    assert_eq!(next(), "STOPPING=1", "the old process, which has ended too, has not said so");
}

/// A tunnel over TLS stays in the old process, which drains for as long as its window says.
#[test]
fn there_is_one_old_process_at_most() {
    let port = free_port();
    let folder = Folder::new("one-old", port);
    fs::set_permissions(&folder.0, PermissionsExt::from_mode(0o700)).unwrap();
    let backends = Backends::listen(&[([127, 0, 0, 1], 0).into()]).unwrap();
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let certificate = folder.write("cert.pem", &identity.certificate);
    let key = folder.write("key.pem", &identity.key);
    let tls = format!("https: true\ncertFiles: {{ a: {certificate} }}\nkeyFiles: {{ a: {key} }}\nrules:");
    let document =
        super::soak::document(port, backends.addresses[0]).replace("window: 0", "window: 1h, deadline: 1h");
    folder.write("main.yaml", &document.replacen("rules:", &tls, 1));
    let path = folder.file("control.sock");
    let process = start(&folder, &["--control", &path]);
    let target = target(([127, 0, 0, 1], port).into(), Some(trusting(&authority)));
    let plan = Plan { tunnels: 2, interval: Duration::from_millis(100), ..Plan::default() };
    let soak = backends.soak(target, plan).unwrap();
    testkit::eventually("all tunnels open", || (soak.settled() >= 2).then_some(()));
    process.signal(Signal::USR2);
    let first = Successor::of(&process, 0);
    process.err("the rest has moved");

    let upgrade = |more: &[&str]| {
        Process::start(&mut ropeway(&[&["upgrade", "--control", &path], more].concat())).wait()
    };
    let refused = upgrade(&[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("still drains") && refused.err.contains("--force"), "{refused:?}");
    kill_process(first.0, Signal::USR2).unwrap();
    process.err("the upgrade waits for the end of the process before this one");
    assert_eq!(process.errs("has taken over").len(), 1);
    assert_eq!(soak.settled(), 2, "nobody was let go");

    let forced = upgrade(&["--force"]);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    process.err("another upgrade is forced");
    let second = Successor::of(&process, 1);
    assert_ne!(first.0, second.0);
    drop((first, second));
    assert_eq!(process.wait().code, Some(0), "the first process has ended well");
    drop(soak);
}
