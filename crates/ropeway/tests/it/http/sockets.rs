//! Listeners on Unix sockets.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ropeway::spec::Source;
use ropeway::supervisor::load::load;
use testkit::{Backend, PATIENCE, Serving, TestGateway, UPGRADE, masked, op, record};

use super::{Setup, get, header};

/// A place for a socket that nobody else uses.
fn place(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ropeway-{}-{name}.sock", std::process::id()))
}

/// Documents with one server on TCP, and one on the Unix socket, with these lines.
fn documents(backend: &Backend, socket: &Path, lines: &str) -> String {
    let tcp = Setup::default().documents(&[format!("http://{}", backend.address)]);
    let socket = socket.display();
    format!(
        "{tcp}---\nname: NAME-unix\nkind: HTTPServer\naddress: 'unix:{socket}'\n{lines}rules:\n\
         - paths: [{{ backend: NAME-http }}]\n"
    )
}

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request: what the server is told of its sender.
fn told(socket: &Path, before: &[u8], backend: &Backend) -> Option<String> {
    let mut client = connect(socket);
    client.write_all(&[before, get("/", "Connection: close\r\n").as_bytes()].concat()).unwrap();
    let mut server = backend.accept();
    let head = server.head();
    server.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{answer}");
    header(&head, "x-forwarded-for").map(ToOwned::to_owned)
}

fn mode(socket: &Path) -> u32 {
    fs::metadata(socket).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_client_on_a_socket_is_a_client_on_this_machine() {
    let (backend, socket) = (Backend::listen(), place("client"));
    let gateway = TestGateway::start(&documents(&backend, &socket, ""));
    assert_eq!(told(&socket, b"", &backend).as_deref(), Some("127.0.0.1"));
    gateway.stop();
    assert!(!socket.exists(), "it is removed at the end");
}

#[test]
fn a_proxy_on_a_socket_says_whose_connection_it_is() {
    let (backend, socket) = (Backend::listen(), place("proxied"));
    let _gateway = TestGateway::start(&documents(&backend, &socket, "proxyProtocol: { trustedIPs: [] }\n"));
    let header = b"PROXY TCP6 2001:db8::7 ::1 5555 443\r\n";
    assert_eq!(told(&socket, header, &backend).as_deref(), Some("2001:db8::7"));
    assert_eq!(told(&socket, b"PROXY UNKNOWN\r\n", &backend).as_deref(), Some("127.0.0.1"));
    let mut silent = connect(&socket);
    silent.write_all(get("/", "").as_bytes()).unwrap();
    let mut answer = Vec::new();
    // By its end or by a reset.
    let _ = silent.read_to_end(&mut answer);
    assert!(answer.is_empty() && backend.try_accept().is_none());
}

#[test]
fn a_tunnel_starts_on_a_socket() {
    let (echo, socket): (Serving, _) = (Backend::listen().echo(), place("tunnel"));
    let documents = TestGateway::documents_to(&[echo.address], "clientMaxMsgSize: -1\nserverMaxMsgSize: -1")
        .replacen("port: PORT\naddress: 127.0.0.1\n", &format!("address: 'unix:{}'\n", socket.display()), 1);
    let other = "---\nname: NAME-tcp\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n";
    let gateway = TestGateway::start(&(documents + other));
    let mut client = connect(&socket);
    client.write_all(format!("GET /ws HTTP/1.1\r\nHost: test.example\r\n{UPGRADE}\r\n").as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    for size in [1, 125, 1 << 16, 3 << 20] {
        let message: Vec<u8> = (0..size).map(|at: u32| (at / 7) as u8).collect();
        let (frame, mut to) = (masked(op::BINARY, &message), client.try_clone().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(move || to.write_all(&frame).unwrap());
            let head = if size < 126 {
                2
            } else if size < 1 << 16 {
                4
            } else {
                10
            };
            let mut echo = vec![0; head + message.len()];
            client.read_exact(&mut echo).unwrap();
            assert!(echo[head..] == message, "{size}");
        });
    }
    drop(client);
    assert_eq!(record(&gateway.name)["client"], "127.0.0.1");
}

/// A reload keeps the socket, and whoever waits to be accepted; only who may connect changes.
#[test]
fn a_socket_stays_as_long_as_its_listener() {
    let (backend, socket) = (Backend::listen(), place("reload"));
    let mut gateway = TestGateway::start(&documents(&backend, &socket, ""));
    let inode = fs::metadata(&socket).unwrap().ino();
    assert_eq!(mode(&socket), 0o660);
    gateway.reload(&documents(&backend, &socket, "socketMode: 0600\nmaxConnections: 5\n"));
    assert_eq!((mode(&socket), fs::metadata(&socket).unwrap().ino()), (0o600, inode));
    assert!(told(&socket, b"", &backend).is_some());
    let elsewhere = place("elsewhere");
    gateway.reload(&documents(&backend, &elsewhere, "socketMode: '666'\n"));
    assert!(!socket.exists() && mode(&elsewhere) == 0o666);
    assert!(told(&elsewhere, b"", &backend).is_some());
}

#[test]
fn what_is_wrong_with_a_socket_is_told() {
    let server = |lines: &str| format!("name: a\nkind: HTTPServer\n{lines}");
    let rows = [
        (server("address: unix:/run/a.sock\n"), None),
        (server("address: unix:/run/a.sock\nport: 80\n"), Some("a Unix socket has no port")),
        (server("address: unix:a.sock\n"), Some("no absolute path")),
        (server(&format!("address: unix:/{}\n", "a".repeat(107))), Some("too long for a Unix socket")),
        (server("address: unix:/run/a.sock\nsocketMode: 0888\n"), Some("no mode of a file")),
        (server("address: unix:/run/a.sock\nsocketMode: 1777\n"), Some("no mode of a file")),
        (server("port: 80\nsocketMode: 0600\n"), Some("`socketMode` is for Unix sockets")),
        (server("address: unix:/run/a.sock\nhttps: true\n"), Some("TLS is not spoken on Unix sockets")),
        (server("address: localhost\nport: 80\n"), Some("no Unix socket such as")),
        (server("address: 127.0.0.1\n"), Some("missing field `port`")),
        (
            server("address: unix:/run/a.sock\n---\nname: b\nkind: HTTPServer\naddress: unix:/run/a.sock\n"),
            Some("two servers listen on one Unix socket"),
        ),
    ];
    for (text, expected) in rows {
        let loaded = load(&[Source::new("a.yaml", text.clone())]);
        let rendered = loaded.diagnostics.render(false);
        match expected {
            Some(expected) => assert!(rendered.contains(expected), "{text}\n{rendered}"),
            None => assert!(!loaded.diagnostics.has_errors(), "{text}\n{rendered}"),
        }
    }
}
