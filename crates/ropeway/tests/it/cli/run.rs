//! `ropeway run`: starting, not starting, and stopping.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::{Backend, eventually, frame, free_port, masked, op};

use super::process::{Ended, Gateway, Process, json, ropeway, run};
use super::{Folder, documents, open};

fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

fn documents_on(port: u16) -> String {
    documents(port, &[nowhere()], "")
}

/// Runs to the end with `text` as standard input.
fn fed(arguments: &[&str], text: &str) -> Ended {
    let mut process = Process::start(&mut ropeway(arguments));
    process.feed(text);
    process.wait()
}

#[test]
fn what_cannot_be_run_starts_nothing() {
    let port = free_port();
    let good = documents_on(port);
    let folder = Folder::new(
        "bad",
        &[
            ("good.yaml", &good),
            ("key.yaml", &good.replace("rules:", "rulez:")),
            ("syntax.yaml", "name: [\n"),
            ("backend.yaml", &good.replace("backend: chat", "backend: chats")),
            ("notes.txt", "no configuration"),
        ],
    );
    fs::create_dir_all(folder.0.join("empty")).unwrap();
    let table: &[(&[&str], &[&str])] = &[
        (&["missing.yaml"], &["cannot read", "missing.yaml", "No such file"]),
        (&["empty"], &["there is no *.yaml, *.yml or *.json file to read"]),
        (&["key.yaml"], &["key.yaml:6:1", "rulez", "did you mean `rules`?", "nothing was started"]),
        (&["syntax.yaml"], &["syntax.yaml:", "nothing was started"]),
        (&["backend.yaml"], &["backend.yaml:9:14", "did you mean `chat`?", "nothing was started"]),
        (&["good.yaml", "good.yaml"], &["two objects are called `front`", "nothing was started"]),
        (&["good.yaml", "missing.yaml"], &["missing.yaml"]),
        (&[""], &["two objects are called `front`", "rulez", "syntax.yaml:", "nothing was started"]),
    ];
    for (files, expected) in table {
        let files: Vec<_> = files.iter().map(|file| folder.path(file)).collect();
        let mut arguments = vec!["run"];
        arguments.extend(files.iter().map(String::as_str));
        let ended = run(&arguments);
        assert_eq!((ended.code, &*ended.out), (Some(1), ""), "{files:?}: {}", ended.err);
        for part in *expected {
            assert!(ended.err.contains(part), "{files:?}: `{part}` is not in {}", ended.err);
        }
        assert!(!ended.err.contains("listening"), "{files:?}: {}", ended.err);
    }
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
}

/// What is checked, and how it is told, stands in the tests of the configuration.
#[test]
fn check_says_by_its_exit_code_whether_a_configuration_can_be_run() {
    let good = documents_on(8080);
    let folder =
        Folder::new("check", &[("good.yaml", &good), ("bad.yaml", &good.replace("rules:", "rulez:"))]);
    let warned = good.clone() + "    serverTags: [a]\n";
    let rows = [
        ("good", run(&["check", &folder.path("good.yaml")]), 0, "ok: 1 HTTPServer, 1 Pipeline\n"),
        ("standard input", fed(&["check", "-"], &good), 0, "ok: 1 HTTPServer, 1 Pipeline\n"),
        ("a warning", fed(&["check", "-"], &warned), 0, "1 warning\n"),
        ("bad", run(&["check", &folder.path("bad.yaml")]), 1, "did you mean `rules`?"),
        ("a folder", run(&["check", &folder.path("")]), 1, "did you mean `rules`?"),
        ("missing", run(&["check", &folder.path("missing.yaml")]), 1, "No such file"),
    ];
    for (row, ended, code, expected) in rows {
        assert_eq!((ended.code, &*ended.out), (Some(code), ""), "{row}: {}", ended.err);
        assert!(ended.err.contains(expected), "{row}: {}", ended.err);
    }
}

#[test]
fn the_schema_is_json() {
    let schema = run(&["schema"]);
    assert_eq!((schema.code, &*schema.err), (Some(0), ""));
    assert_eq!(json(&schema.out)["title"], "Ropeway configuration");
}

#[test]
fn a_taken_port_is_named_and_nothing_goes_on_running() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let free = free_port();
    let two = documents_on(free)
        + "---\n"
        + &documents_on(address.port()).replace("front", "side").replace("chat", "talk");
    let rows = [
        ("a server", fed(&["run", "-"], &documents_on(address.port()))),
        ("the second server", fed(&["run", "-"], &two)),
        ("administration", fed(&["run", "-", "--admin", &address.to_string()], &documents_on(free))),
    ];
    for (row, ended) in rows {
        assert_eq!(ended.code, Some(1), "{row}: {}", ended.err);
        assert!(ended.err.contains(&format!("listening on {address}: ")), "{row}: {}", ended.err);
    }
    assert!(TcpListener::bind(("127.0.0.1", free)).is_ok());
}

#[test]
fn files_folders_and_standard_input_are_one_configuration() {
    let port = free_port();
    let text = documents_on(port);
    let (server, pipeline) = text.split_once("---\n").unwrap();
    let folder =
        Folder::new("parts", &[("a.yaml", server), ("b.yml", pipeline), ("README.txt", "not read: [")]);
    let rows: &[(&[String], &str)] = &[
        (&[folder.path("")], ""),
        (&[folder.path("a.yaml"), folder.path("b.yml")], ""),
        (&[folder.path("a.yaml"), "-".to_owned()], pipeline),
        (&["-".to_owned()], &text),
    ];
    for (files, stdin) in rows {
        let mut arguments = vec!["run"];
        arguments.extend(files.iter().map(String::as_str));
        let mut process = Process::start(&mut ropeway(&arguments));
        process.feed(stdin);
        process.err("ready for tunnels");
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        process.signal(Signal::TERM);
        let ended = process.wait();
        assert_eq!((ended.code, &*ended.out), (Some(0), ""), "{files:?}: {}", ended.err);
    }
}

/// Both sides hear that the gateway goes away, and it waits for them.
#[test]
fn a_signal_ends_every_tunnel_properly() {
    for signal in [Signal::INT, Signal::TERM] {
        let backend = Backend::listen();
        let gateway = Gateway::start(&documents(free_port(), &[backend.address], ""));
        let mut tunnels: Vec<_> = (0..3).map(|_| open(gateway.address, &backend, "")).collect();
        gateway.process.signal(signal);
        for (client, server) in &mut tunnels {
            for (side, peer) in [("client", client), ("server", server)] {
                let farewell = peer.frame();
                assert_eq!(farewell.close(), (1001, "gateway stops".into()), "{signal:?} {side}");
                let mask = (side == "client").then_some([1, 2, 3, 4]);
                peer.send(&frame(0x80 | op::CLOSE, mask, &farewell.payload));
            }
        }
        drop(tunnels);
        let ended = gateway.process.wait();
        assert_eq!(ended.code, Some(0), "{signal:?}: {}", ended.err);
        let records = ended.err.lines().filter(|line| line.contains("tunnel closed"));
        let records: Vec<_> = records.map(json).collect();
        assert_eq!(records.len(), 3, "{signal:?}");
        for record in records {
            assert_eq!(
                (&record["cause"], &record["ended_by"]),
                (&"drain:shutdown".into(), &"gateway".into())
            );
        }
        assert!(TcpStream::connect(gateway.address).is_err(), "{signal:?}: still listening");
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let backend = Backend::listen();
    let gateway = Gateway::start(&documents(free_port(), &[backend.address], "closeTimeout: 60s"));
    // Its peers do not answer the gateway's Close.
    let _tunnel = open(gateway.address, &backend, "");
    let began = Instant::now();
    gateway.process.signal(Signal::TERM);
    gateway.process.err("a second signal stops at once");
    gateway.process.signal(Signal::INT);
    let ended = gateway.process.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
}

/// It costs what it says, and no more: behind each message the worker looks for others, and then it sleeps.
#[test]
fn a_worker_that_polls_busily_sleeps_in_the_end() {
    let (idle, busy) = (cost_of_messages("0s"), cost_of_messages("1ms"));
    assert!(busy > 2 * idle, "{busy} ns and {idle} ns");
}

/// The CPU time in nanoseconds that a worker takes for 20 messages, each of which finds it asleep.
fn cost_of_messages(busy_poll: &str) -> u64 {
    let backend = Backend::listen();
    let documents = documents(free_port(), &[backend.address], "");
    let documents = documents.replace("port:", &format!("busyPoll: {busy_poll}\nport:"));
    let gateway = Gateway::start_with(&documents, |command| command.args(["--workers", "1"]));
    let (mut client, mut server) = open(gateway.address, &backend, "");
    let worker = gateway.process.thread("worker-0");
    let used = || {
        eventually("the worker's sleep", || {
            let status = fs::read_to_string(worker.join("status")).unwrap();
            status.contains("State:\tS").then_some(())
        });
        let figures = fs::read_to_string(worker.join("schedstat")).unwrap();
        figures.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let before = used();
    for _ in 0..20 {
        client.send(&masked(op::TEXT, b"message"));
        server.frame();
        used();
    }
    used() - before
}
