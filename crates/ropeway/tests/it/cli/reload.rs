//! A running gateway whose files change.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;
use testkit::{Backend, Peer, eventually, frame, free_port, masked, op};

use super::process::{Process, json, ropeway};
use super::{Folder, documents, open};

/// A gateway that reads a folder.
struct Running {
    folder: Folder,
    process: Process,
    port: u16,
    backend: Backend,
}

impl Running {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let (port, backend) = (free_port(), Backend::listen());
        let folder = Folder::new(name, &[("main.yaml", &documents(port, &[backend.address], ""))]);
        let path = folder.path("");
        let arguments =
            [&["run", &path, "--log-format", "json", "--admin", "127.0.0.1:0"], arguments].concat();
        let process = Process::start(&mut ropeway(&arguments));
        process.err("ready for tunnels");
        Running { folder, process, port, backend }
    }

    fn tunnel(&self) -> (Peer, Peer) {
        open(([127, 0, 0, 1], self.port).into(), &self.backend, "")
    }

    /// Writes the file anew, with these lines in the pool.
    fn write(&self, pool: &str) {
        self.folder.write("main.yaml", &documents(self.port, &[self.backend.address], pool));
    }

    /// The messages at `level` so far.
    fn messages(&self, level: &str) -> Vec<String> {
        let log = self.process.log();
        let lines = log.iter().filter(|line| line["level"] == level);
        lines.filter_map(|line| line["message"].as_str().map(str::to_owned)).collect()
    }

    /// The figure behind `name` in what administration says.
    fn figure(&self, name: &str) -> String {
        let address =
            json(&self.process.err("\"administration\""))["address"].as_str().unwrap().parse().unwrap();
        let mut peer = Peer::connect(address);
        peer.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let text = String::from_utf8(peer.rest()).unwrap();
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned())).unwrap_or_default()
    }
}

#[test]
fn a_changed_file_is_in_force_and_live_tunnels_obey() {
    let running = Running::start("changes", &[]);
    let (mut client, mut server) = running.tunnel();
    running.write("clientMaxMsgSize: 5");
    running.process.err("configuration changed: 1 changed, 1 kept");
    let change = json(&running.process.err("\"message\":\"changed\""));
    assert_eq!((&change["kind"], &change["name"]), (&Value::from("Pipeline"), &Value::from("chat")));
    client.send(&masked(op::TEXT, b"short"));
    assert_eq!(server.frame().payload, b"short");
    client.send(&masked(op::TEXT, b"longer"));
    assert_eq!(client.frame().close().0, 1009);
    assert_eq!(running.figure("ropeway_reloads_total{result=\"ok\"}"), "1");
}

#[test]
fn a_faulty_file_changes_nothing_and_every_fault_is_told() {
    let running = Running::start("faults", &[]);
    let (mut client, mut server) = running.tunnel();
    running.write("clientMaxMsgSize: much\nconnectTimeout: 5");
    running.process.err("the configuration has faults: what was in force stays in force");
    let errors = running.messages("ERROR");
    let place = |line: usize| format!("main.yaml:{line}:");
    assert!(
        errors.iter().any(|error| error.contains(&place(19)) && error.contains("`clientMaxMsgSize`")),
        "{errors:?}"
    );
    assert!(
        errors.iter().any(|error| error.contains(&place(20)) && error.contains("`connectTimeout`")),
        "{errors:?}"
    );
    client.send(&masked(op::TEXT, b"message"));
    assert_eq!(server.frame().payload, b"message");
    assert_eq!(running.figure("ropeway_reloads_total{result=\"failed\"}"), "1");

    running.write("");
    running.process.err("configuration read again: nothing has changed");
    running.folder.write("main.yaml", "");
    running.process.err("the configuration has no HTTPServer: what was in force stays in force");
    fs::remove_file(running.folder.path("main.yaml")).unwrap();
    running.process.err("there is no *.yaml, *.yml or *.json file to read: what was in force stays in force");
    running.tunnel();
}

#[test]
fn the_files_are_read_again_at_a_signal() {
    let running = Running::start("signal", &["--no-watch"]);
    running.process.signal(Signal::HUP);
    running.process.err("configuration read again: nothing has changed");
    running.write("clientMaxMsgSize: 5");
    running.process.signal(Signal::HUP);
    running.process.err("configuration changed: 1 changed, 1 kept");
    let mut process = Process::start(&mut ropeway(&["run", "-", "--log-format", "json"]));
    process.feed(&documents(free_port(), &[running.backend.address], ""));
    process.err("ready for tunnels");
    process.signal(Signal::HUP);
    process.err("standard input cannot be read again: what was in force stays in force");
}

/// A new server takes over, and the old one's tunnels are told, from one edit.
#[test]
fn a_backend_is_replaced_by_an_edit() {
    let running = Running::start("replaced", &[]);
    let (mut client, mut server) = running.tunnel();
    let next = Backend::listen();
    let text = documents(running.port, &[next.address], "onRemoved: { action: close }\ndrainCode: 4001");
    running.folder.write("main.yaml", &text);
    assert_eq!(client.frame().close(), (4001, "server removed".into()));
    assert_eq!(server.frame().close(), (1001, "server removed".into()));
    client.send(&frame(0x88, Some([0; 4]), &4001_u16.to_be_bytes()));
    server.send(&frame(0x88, None, &1001_u16.to_be_bytes()));
    drop((client, server));
    let line = json(&running.process.err("drain:server_removed"));
    assert_eq!((&line["sent_to_client"], &line["ended_by"]), (&"4001".into(), &"gateway".into()));
    eventually("the next server", || {
        let mut client = Peer::shake(([127, 0, 0, 1], running.port).into(), "/ws", "");
        let (_server, _) = next.accept_websocket("");
        client.head().starts_with("HTTP/1.1 101 ").then_some(())
    });
}
