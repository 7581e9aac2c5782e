//! Nothing stays open behind a handshake that failed.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Backend, Peer, Refusing, Serving, TestGateway, Usage, eventually, free_port, masked, op};

use super::{Answer, meet};

/// A second, and one for a busy machine.
const SOON: Duration = Duration::from_secs(2);

/// Whoever failed, and though neither side closes its end by itself.
#[test]
fn both_legs_are_closed_after_every_failure() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let table: &[(&str, &str, Option<&str>)] = &[
        ("no route", "/other", None),
        ("a bad path", "/ws/%2f", None),
        ("a refusal", "/ws", Some("HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\nno")),
        (
            "a refusal of which more comes",
            "/ws",
            Some("HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\nno and more"),
        ),
        ("a 503", "/ws", Some("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")),
        ("a 101 that agrees to nothing", "/ws", Some("HTTP/1.1 101 X\r\n\r\n")),
        ("not HTTP", "/ws", Some("\0\0\0\0\r\n\r\n")),
    ];
    for (name, path, answer) in table {
        let mut client = Peer::shake(gateway.address, path, "");
        client.send(&masked(op::TEXT, b"behind"));
        let server = answer.map(|answer| {
            let mut server = meet(&mut client, &backend, name);
            server.head();
            server.send(answer.as_bytes());
            server
        });
        Answer::read(&mut client);
        let began = Instant::now();
        assert_eq!(client.rest(), b"", "{name}");
        if let Some(mut server) = server {
            assert_eq!(server.rest(), b"", "{name}");
        }
        eventually("a reset for what is sent to nobody", || (!client.try_send(b"x")).then_some(()));
        assert!(began.elapsed() < SOON, "{name}: closed after {:?}", began.elapsed());
    }
}

/// A gateway in a process of its own, so that its descriptors can be counted.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(backends: &[SocketAddr], dead: SocketAddr) -> Process {
        loop {
            let port = free_port();
            let file = format!("{}/leaks-{}-{port}.yaml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
            fs::write(&file, documents(port, backends, dead)).unwrap();
            let mut child = Command::new(env!("CARGO_BIN_EXE_ropeway"))
                .args(["run", &file, "--workers", "2"])
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let listens = eventually("a gateway", || {
                let ended = child.try_wait().unwrap().is_some();
                (ended || TcpStream::connect(address).is_ok()).then_some(!ended)
            });
            fs::remove_file(&file).unwrap();
            if listens {
                return Process { child, address };
            } // Else somebody took the port: another one.
        }
    }

    fn descriptors(&self) -> usize {
        Usage { pid: self.child.id() }.descriptors()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn documents(port: u16, backends: &[SocketAddr], dead: SocketAddr) -> String {
    let servers: String = backends.iter().map(|address| format!("    - url: ws://{address}\n")).collect();
    format!(
        "name: leaks\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\nrules:\n- paths:\n\
         \x20 - {{pathPrefix: /ws, backend: live}}\n  - {{pathPrefix: /dead, backend: dead}}\n---\n\
         name: live\nkind: Pipeline\nfilters:\n- kind: WebSocketProxy\n  name: proxy\n  pools:\n\
         \x20 - handshakeTimeout: 300ms\n    maxRetries: 1\n    servers:\n{servers}---\n\
         name: dead\nkind: Pipeline\nfilters:\n- kind: WebSocketProxy\n  name: proxy\n  pools:\n\
         \x20 - servers:\n    - url: ws://{dead}\n"
    )
}

/// Fails in the way that the path names.
fn failing() -> Serving {
    Backend::listen().serve(|mut server| {
        let head = server.head();
        let answer: &[u8] = match head.split(' ').nth(1).and_then(|path| path.strip_prefix("/ws/")) {
            Some("refuse") => b"HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\nno",
            Some("trouble") => b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n",
            Some("endless") => b"HTTP/1.1 401 X\r\n\r\nbegin",
            Some("garbage") => b"SSH-2.0-OpenSSH\r\n\r\n",
            Some("invalid") => b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
            Some("half") => b"HTTP/1.1 101 X\r\nUpgr",
            Some("close") => return,
            _ => b"",
        };
        server.send(answer);
        if !answer.ends_with(b"Upgr") {
            server.rest();
        }
    })
}

/// One way for a handshake to fail: the path, lines in its head, whether the client waits for an answer.
const WAYS: &[(&str, &str, bool)] = &[
    ("/other", "", true),
    ("/ws/%2f", "", true),
    ("/ws", "Sec-WebSocket-Key: second\r\n", true),
    ("/ws", "Content-Length: 7\r\n", true),
    ("/ws", "Origin: http://other.example\r\n", true),
    ("/ws", "Not a header\r\n", true),
    ("/dead", "", true),
    ("/ws/refuse", "", true),
    ("/ws/trouble", "", true),
    ("/ws/garbage", "", true),
    ("/ws/invalid", "", true),
    ("/ws/half", "", true),
    ("/ws/close", "", true),
    ("/ws/endless", "", false),
    ("/ws/silent", "", false),
    ("/ws/refuse", "", false),
];

fn fail(gateway: SocketAddr, number: usize) {
    let (path, lines, waits) = WAYS[number % WAYS.len()];
    let mut client = Peer::shake(gateway, path, lines);
    let round = number / WAYS.len();
    if round % 3 == 1 {
        client.try_send(&masked(op::TEXT, b"behind"));
    }
    // In some rounds silence and endless bodies are waited for to their deadline, too.
    if waits || round.is_multiple_of(20) {
        let head = client.head();
        assert!(!head.starts_with("HTTP/1.1 101"), "{path} with {lines:?} is to fail: {head}");
        client.rest();
    } else if round % 2 == 1 {
        client.reset();
    }
}

#[test]
fn no_descriptor_is_left_behind() {
    let count = if env::var_os("ROPEWAY_LONG").is_some() { 10_000 } else { 500 };
    let (servers, dead) = ([failing(), failing()], Refusing::new());
    let gateway = Process::start(&servers.each_ref().map(|server| server.address), dead.address);
    // The connection that found it listening has to go first.
    let idle = eventually("a gateway without connections", || {
        let before = gateway.descriptors();
        thread::park_timeout(Duration::from_millis(50));
        (gateway.descriptors() == before).then_some(before)
    });
    thread::scope(|scope| {
        for share in 0..4 {
            let address = gateway.address;
            scope.spawn(move || (share..count).step_by(4).for_each(|number| fail(address, number)));
        }
    });
    eventually("the end of all connections", || (gateway.descriptors() <= idle).then_some(()));
}
