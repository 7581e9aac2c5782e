//! Listeners that come, go and change.

use std::net::{TcpListener, TcpStream};

use ropeway::app::{Gateway, Options};
use ropeway::spec::Source;
use ropeway::supervisor::load::{Objects, load};
use testkit::{Peer, TestGateway, eventually, free_port};

use super::{documents, echo, echoes, open, pool};

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// A server on each of `ports`, all of them with one route.
fn servers(ports: &[u16]) -> Objects {
    let (_, addresses) = echoes(1);
    let server = |port| {
        format!(
            "name: server-{port}\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\nrules:\n\
             - paths: [{{ backend: ws }}]\n---\n"
        )
    };
    let text = ports.iter().map(server).collect::<String>()
        + &format!(
            "name: ws\nkind: Pipeline\nfilters:\n- {{ kind: WebSocketProxy, name: proxy, pools: [{}] }}\n",
            pool(&addresses, "")
        );
    let loaded = load(&[Source::new("test.yaml", text)]);
    assert!(!loaded.diagnostics.has_errors(), "{}", loaded.diagnostics.render(false));
    loaded.objects
}

#[test]
fn listeners_come_and_go() {
    let [one, two] = [free_port(), free_port()];
    let mut gateway = Gateway::start(servers(&[one]), &Options { workers: 2, ..Options::default() }).unwrap();
    for ports in [vec![one, two], vec![two], vec![], vec![two, one]] {
        gateway.reload(servers(&ports)).unwrap();
        for port in [one, two] {
            let what = format!("port {port} as {ports:?} want it");
            eventually(&what, || (is_open(port) == ports.contains(&port)).then_some(()));
        }
    }
    gateway.stop();
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let one = free_port();
    let mut gateway = Gateway::start(servers(&[one]), &Options { workers: 1, ..Options::default() }).unwrap();
    let error = gateway.reload(servers(&[port])).unwrap_err().to_string();
    assert!(error.starts_with(&format!("listening on 127.0.0.1:{port}: ")), "{error}");
    assert!(is_open(one));
    assert_eq!(gateway.addresses(), [([127, 0, 0, 1], one).into()]);
    gateway.stop();
}

#[test]
fn tunnels_outlive_their_listener() {
    let (_servers, addresses) = echoes(1);
    let before = documents(&[pool(&addresses, "")], "", "");
    let mut gateway = TestGateway::start(&before);
    let mut client = open(&gateway);
    let mut idle = Peer::connect(gateway.address);
    idle.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(idle.head().starts_with("HTTP/1.1 404 "));
    let elsewhere = before.replacen("PORT", &free_port().to_string(), 1);
    gateway.reload(&elsewhere);
    eventually("the old port to be closed", || (!is_open(gateway.address.port())).then_some(()));
    echo(&mut client, b"still here");
}

#[test]
fn the_number_of_seats_changes_under_those_who_sit() {
    let (_servers, addresses) = echoes(1);
    let of = |seats: u32| {
        documents(&[pool(&addresses, "")], "", "").replacen(
            "rules:",
            &format!("maxConnections: {seats}\nrules:"),
            1,
        )
    };
    let mut gateway = TestGateway::start(&of(2));
    let mut clients = vec![open(&gateway), open(&gateway)];
    let mut waiting = Peer::shake(gateway.address, "/ws", "");
    gateway.reload(&of(3));
    assert!(waiting.head().starts_with("HTTP/1.1 101 "), "there is a third seat");
    clients.push(waiting);
    gateway.reload(&of(1));
    clients.iter_mut().for_each(|client| echo(client, b"still here"));
    let mut waiting = Peer::shake(gateway.address, "/ws", "");
    clients.truncate(1);
    echo(&mut clients[0], b"the one that may stay");
    assert!(!waiting.is_readable(), "one seat, and it is taken");
    clients.clear();
    assert!(waiting.head().starts_with("HTTP/1.1 101 "));
}
