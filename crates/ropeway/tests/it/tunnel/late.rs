//! Tunnels that begin while the gateway is stopping.

use std::thread;

use testkit::{Backend, End, Peer, TestGateway, eventually, record};

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
