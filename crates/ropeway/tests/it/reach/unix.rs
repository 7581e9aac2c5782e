//! Servers on Unix sockets.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::thread;

use ropeway::tunnel::Side::{Client, Server};
use testkit::side::close;
use testkit::{Backend, Peer, masked, op, record};

use super::{gateway, shake};

/// Passes on what comes to the socket of this name, as often as `connections`.
fn forward(name: &str, to: SocketAddr, connections: usize) {
    let listener = match name.strip_prefix('@') {
        Some(name) => UnixListener::bind_addr(&UnixAddress::from_abstract_name(name).unwrap()),
        None => UnixListener::bind(name),
    };
    let listener = listener.unwrap();
    thread::spawn(move || {
        for unix in listener.incoming().take(connections).map(Result::unwrap) {
            pass(unix, TcpStream::connect(to).unwrap());
        }
    });
}

fn pass(unix: UnixStream, tcp: TcpStream) {
    let (from, to) = (unix.try_clone().unwrap(), tcp.try_clone().unwrap());
    thread::spawn(move || {
        // Each way ends when its sender does.
        let _ = io::copy(&mut &from, &mut &to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut &tcp, &mut &unix);
        let _ = unix.shutdown(std::net::Shutdown::Write);
    });
}

fn name(end: &str) -> String {
    format!("{}/{}-{end}.sock", std::env::temp_dir().display(), std::process::id())
}

#[test]
fn a_tunnel_goes_through_a_unix_socket() {
    for name in [name("tunnel"), format!("@ropeway-test-{}", std::process::id())] {
        let backend = Backend::listen();
        forward(&name, backend.address, 1);
        let gateway = gateway(&[format!("url: 'unix:{name}'")], "clientMaxMsgSize: -1");
        let mut client = Peer::shake(gateway.address, "/ws/room?x=1", "");
        let (mut server, head) = backend.accept_websocket("");
        assert!(client.head().starts_with("HTTP/1.1 101 "), "{name}");
        assert!(head.starts_with("GET /ws/room?x=1 HTTP/1.1\r\n"), "{name}: {head}");
        assert!(head.contains("Host: test.example\r\n"), "{name}: the client's Host is kept: {head}");
        let large = vec![7; 1 << 20];
        client.send(&masked(op::BINARY, &large));
        assert!(server.frame().payload == large, "{name}");
        server.send(&close(Server, 4002, "bye"));
        assert_eq!(client.frame().close(), (4002, "bye".into()), "{name}");
        client.send(&close(Client, 4002, "bye"));
        assert_eq!(server.frame().close(), (4002, "bye".into()), "{name}");
        server.finish();
        client.finish();
        let record = record(&gateway.name);
        assert_eq!((&*record["server"], &*record["cause"]), (&*format!("unix:{name}"), "closed"));
    }
    // Whether or not it is there still.
    let _ = std::fs::remove_file(name("tunnel"));
}

#[test]
fn where_no_socket_is_the_next_server_is_tried() {
    let other = Backend::listen().echo();
    let servers = [format!("url: 'unix:{}'", name("none")), format!("url: 'ws://{}'", other.address)];
    shake(&gateway(&servers, "")).unwrap();
    assert_eq!(shake(&gateway(&servers[..1], "")).err().as_deref(), Some("connect_failed"));
}

/// The check has no client whose `Host` it could send.
#[test]
fn a_health_check_through_a_unix_socket_says_localhost() {
    let backend = Backend::listen();
    let name = name("check");
    forward(&name, backend.address, 1);
    let check = "healthCheck:\n  interval: 50ms\n  http: { uri: /well }";
    let _gateway = gateway(&[format!("url: 'unix:{name}'")], check);
    let head = backend.accept().head();
    assert!(head.starts_with("GET /well HTTP/1.1\r\n") && head.contains("Host: localhost\r\n"), "{head}");
    let _ = std::fs::remove_file(name);
}
