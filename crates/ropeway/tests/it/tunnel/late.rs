//! Tunnels that begin while the gateway is stopping.

use std::thread;

use testkit::{Backend, End, Peer, TestGateway, eventually, masked, op, record};

use super::scripted::summary;

#[test]
fn a_handshake_that_is_answered_while_the_gateway_stops_gives_a_tunnel_that_is_told_so() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "closeTimeout: 60s");
    let (name, address) = (gateway.name.clone(), gateway.address);
    let mut client = Peer::shake(address, "/ws", "");
    let mut server = backend.accept();
    let request = server.head();
    let stopping = thread::spawn(move || gateway.stop());
    eventually("the listener is closed", || std::net::TcpStream::connect(address).err());
    server.send(Backend::answer(&request, "").as_bytes());
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.frame().close(), (1001, "gateway stops".into()));
    assert_eq!(server.frame().close(), (1001, "gateway stops".into()));
    assert_eq!(client.end(), End::Fin);
    client.finish();
    server.finish();
    assert_eq!(summary(&record(&name)), "gateway drain:shutdown; got - -; sent 1001 1001; 0/0 0/0");
    stopping.join().unwrap();
}

/// Two proxies in one flow: the second one's server is the one that gets the client.
#[test]
fn a_server_that_agreed_and_gets_no_client_is_told_so() {
    let (first, second) = (Backend::listen(), Backend::listen());
    let filter = |name: &str, backend: &Backend| {
        format!(
            "- kind: WebSocketProxy\n  name: {name}\n  pools:\n  - servers:\n    - url: ws://{}\n",
            backend.address
        )
    };
    let gateway = TestGateway::start(&format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\nrules:\n- paths:\n  - path: /ws\n\
         \x20   backend: NAME-ws\n---\nname: NAME-ws\nkind: Pipeline\nfilters:\n{}{}",
        filter("one", &first),
        filter("two", &second)
    ));
    let mut client = Peer::shake(gateway.address, "/ws", "");
    let (mut left, _) = first.accept_websocket("");
    let (mut server, _) = second.accept_websocket("");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    let frame = left.frame();
    assert!(frame.mask.is_some());
    assert_eq!(frame.close(), (1001, "connection to the client lost".into()));
    assert_eq!(left.frame_or_end(), None);
    client.send(&masked(op::TEXT, b"hello"));
    assert_eq!(server.frame().payload, b"hello");
}
