//! A running gateway, asked and told over its control socket.

mod caps;
mod drain;
mod plan;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Signal, kill_process};
use testkit::{Backend, eventually, free_port, masked, op};

use crate::cli::process::{Ended, Process, json, ropeway, run};
use crate::cli::{Folder, documents, open};

/// A gateway with a control socket, and its files.
struct Controlled {
    folder: Folder,
    process: Process,
    port: u16,
    backend: Backend,
}

impl Controlled {
    fn start(name: &str) -> Self {
        Self::start_with(name, |documents| documents)
    }

    /// The same, with documents that were changed.
    fn start_with(name: &str, change: impl FnOnce(String) -> String) -> Self {
        let (port, backend) = (free_port(), Backend::listen());
        let documents = change(documents(port, &[backend.address], ""));
        let folder = Folder::new(name, &[("main.yaml", &documents)]);
        let process = gateway(&folder);
        Controlled { folder, process, port, backend }
    }

    /// Runs a command against it.
    fn command(&self, arguments: &[&str]) -> Ended {
        run(&[arguments, &["--control", &socket(&self.folder)]].concat())
    }
}

/// Starts a gateway that reads the folder's file when it is told to.
fn gateway(folder: &Folder) -> Process {
    let (file, socket) = (folder.path("main.yaml"), socket(folder));
    let arguments = ["run", &file, "--log-format", "json", "--no-watch", "--control", &socket];
    let process = Process::start(&mut ropeway(&arguments));
    process.err("\"message\":\"control socket\"");
    process
}

fn socket(folder: &Folder) -> String {
    folder.path("control/control.sock")
}

#[test]
fn status_tells_of_objects_servers_and_tunnels() {
    let gateway = Controlled::start("control-status");
    let _tunnel = open(([127, 0, 0, 1], gateway.port).into(), &gateway.backend, "");
    let status = eventually("a tunnel in the status", || {
        let ended = gateway.command(&["status", "-o", "json"]);
        assert_eq!((ended.code, &*ended.err), (Some(0), ""));
        let status = json(&ended.out.replace('\n', " "));
        (status["tunnels"] == 1).then_some(status)
    });
    assert_eq!(status["routes"], serde_json::json!([{ "route": "front/0/0", "tunnels": 1 }]));
    assert_eq!(status["objects"][1], serde_json::json!({ "kind": "Pipeline", "name": "chat" }));
    assert_eq!(status["pools"][0]["servers"][0]["connections"], 1);
    let table = gateway.command(&["status"]);
    for part in ["ready\ntunnels: 1\n", "HTTPServer  front\n", "front/0/0  1\n", "chat/proxy#main"] {
        assert!(table.out.contains(part), "no `{part}` in:\n{}", table.out);
    }
}

#[test]
fn reload_says_what_has_changed_and_what_is_wrong() {
    let gateway = Controlled::start("control-reload");
    let write = |pool: &str| {
        let text = documents(gateway.port, &[gateway.backend.address], pool);
        gateway.folder.write("main.yaml", &text);
    };
    write("clientMaxMsgSize: 5");
    let changed = gateway.command(&["reload"]);
    let rows = "KIND        NAME   FATE\nHTTPServer  front  kept\nPipeline    chat   changed\n";
    assert_eq!((changed.code, &*changed.out), (Some(0), rows), "{}", changed.err);
    write("clientMaxMsgSize: much");
    let faulty = gateway.command(&["reload"]);
    assert_eq!((faulty.code, &*faulty.out), (Some(1), ""));
    assert!(
        faulty.err.contains("main.yaml:19:") && faulty.err.contains("`clientMaxMsgSize`"),
        "{}",
        faulty.err
    );
}

/// The commands go on working over the same socket, which one process takes over from the other.
#[test]
fn an_upgrade_by_command_says_what_has_moved() {
    let gateway = Controlled::start("control-upgrade");
    let address = ([127, 0, 0, 1], gateway.port).into();
    let (mut client, mut server) = open(address, &gateway.backend, "");
    let status = || {
        eventually("the status of a gateway with the tunnel", || {
            // Between two processes there is none for a moment.
            let ended = gateway.command(&["status", "-o", "json"]);
            (ended.code == Some(0) && json(&ended.out.replace('\n', " "))["tunnels"] == 1).then_some(())
        });
    };
    status();
    gateway.folder.write("main.yaml", "kind: HTTPServer\n");
    let faulty = gateway.command(&["upgrade"]);
    assert_eq!(
        (faulty.code, &*faulty.out),
        (Some(1), "1 of 1 tunnels can move; others drain in the old process\n")
    );
    assert!(faulty.err.contains("everything is as before"), "{}", faulty.err);
    status();
    gateway.folder.write("main.yaml", &documents(gateway.port, &[gateway.backend.address], ""));
    let mut successors: Vec<Killed> = Vec::new();
    for force in [&[][..], &["--force"]] {
        // Where nobody forces it, an older process may still be at its end.
        let upgraded = eventually("an upgrade", || {
            let ended = gateway.command(&[&["upgrade", "-o", "json"], force].concat());
            (ended.code == Some(0)).then(|| json(&ended.out.replace('\n', " ")))
        });
        assert_eq!((&upgraded["tunnels"], &upgraded["listeners"]), (&1.into(), &1.into()), "{upgraded}");
        successors.push(Killed(upgraded["pid"].as_i64().unwrap()));
        client.send(&masked(op::TEXT, b"still here"));
        assert_eq!(server.frame().opcode, op::TEXT);
        status();
    }
}

#[test]
fn what_is_known_of_servers_outlives_an_upgrade() {
    let gateway = Controlled::start("control-knowledge");
    let servers = [([127, 0, 0, 1], free_port()).into(), gateway.backend.address];
    let pool = "passive: { failures: 1, within: 60s, eject: 1h }\nclientMaxMsgSize: 5";
    gateway.folder.write("main.yaml", &documents(gateway.port, &servers, pool));
    assert_eq!(gateway.command(&["reload"]).code, Some(0));
    let conduct = || {
        let ended = gateway.command(&["status", "-o", "json"]);
        (ended.code == Some(0)).then(|| {
            let status = json(&ended.out.replace('\n', " "));
            status["pools"][0]["servers"][0]["conduct"].clone()
        })
    };
    let before = eventually("an ejection", || {
        let _tunnel = open(([127, 0, 0, 1], gateway.port).into(), &gateway.backend, "");
        conduct().filter(|conduct| conduct["ejected"].is_object())
    });
    let upgraded = gateway.command(&["upgrade", "-o", "json"]);
    assert_eq!(upgraded.code, Some(0), "{}", upgraded.err);
    let _successor = Killed(json(&upgraded.out.replace('\n', " "))["pid"].as_i64().unwrap());
    let after = eventually("the status of the new process", || {
        conduct().filter(|_| gateway.process.errs("taken over from").len() == 1)
    });
    for field in ["failures", "ejections"] {
        assert_eq!(after[field], before[field], "{after}");
    }
    assert_eq!(after["ejected"]["reason"], before["ejected"]["reason"], "{after}");
}

/// A process that the gateway has started. Killed at the end.
struct Killed(i64);

impl Drop for Killed {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[test]
fn a_socket_is_private_and_that_of_one_gateway() {
    let gateway_one = Controlled::start("control-one");
    let (folder, path) = (&gateway_one.folder, socket(&gateway_one.folder));
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&folder.path("control"))), (0o600, 0o700));
    let second = run(&["run", &folder.path("main.yaml"), "--control", &path]);
    assert_eq!(second.code, Some(1), "{}", second.err);
    assert!(second.err.contains("another gateway is controlled there"), "{}", second.err);
    let Controlled { folder, process, .. } = gateway_one;
    // Killed, it leaves its socket behind.
    drop(process);
    assert!(fs::exists(&path).unwrap());
    let gone = run(&["status", "--control", &path]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.err.contains("is a gateway running"), "{}", gone.err);
    let _next = gateway(&folder);
    assert_eq!(run(&["status", "--control", &path]).code, Some(0));
}
