//! Bytes that come glued to a handshake, or in pieces, arrive all and in order.

use testkit::{Backend, Peer, TestGateway, UPGRADE, frame, masked, op};

use super::meet;

/// A client whose handshake is under way, and the backend that is to answer it.
struct Ends<'a> {
    client: Peer,
    backend: &'a Backend,
}

fn request() -> Vec<u8> {
    format!("GET /ws HTTP/1.1\r\nHost: t\r\n{UPGRADE}\r\n").into_bytes()
}

fn from_client() -> Vec<u8> {
    [masked(op::TEXT, b"first"), masked(op::BINARY, &[7; 130])].concat()
}

fn from_server() -> Vec<u8> {
    [frame(0x81, None, b"first"), frame(0x89, None, b""), frame(0x82, None, &[7; 130])].concat()
}

impl Ends<'_> {
    /// Does the backend's part; the client has its 101 then.
    fn agree(&mut self, name: &str) -> Peer {
        let mut server = meet(&mut self.client, self.backend, name);
        let head = server.head();
        server.send(Backend::answer(&head, "").as_bytes());
        self.read_101(name);
        server
    }

    fn read_101(&mut self, name: &str) {
        let head = self.client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{name}: {head}");
    }
}

fn check(peer: &mut Peer, expected: &[u8], name: &str) {
    assert!(peer.bytes(expected.len()) == expected, "{name}: other bytes than were sent");
}

#[test]
fn a_request_with_frames_cut_anywhere() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let (request, frames) = (request(), from_client());
    let all = [&*request, &frames].concat();
    for cut in 0..all.len() {
        let name = format!("cut before byte {cut}");
        let mut ends = Ends { client: Peer::connect(gateway.address), backend: &backend };
        ends.client.send(&all[..cut]);
        ends.client.send(&all[cut..]);
        let mut server = ends.agree(&name);
        check(&mut server, &frames, &name);
    }
    // Here the first piece has surely been taken before the second one comes.
    for cut in request.len()..all.len() {
        let name = format!("tunnel open, and cut before byte {cut}");
        let mut ends = Ends { client: Peer::connect(gateway.address), backend: &backend };
        ends.client.send(&all[..cut]);
        let mut server = ends.agree(&name);
        ends.client.send(&all[cut..]);
        check(&mut server, &frames, &name);
    }
}

#[test]
fn an_answer_with_frames_cut_anywhere() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let (answer, frames) = (Backend::answer(&String::from_utf8(request()).unwrap(), ""), from_server());
    let all = [answer.as_bytes(), &frames].concat();
    for (at, open) in
        (0..all.len()).map(|cut| (cut, false)).chain((answer.len()..all.len()).map(|cut| (cut, true)))
    {
        let name = format!("cut before byte {at}, {}", if open { "tunnel open" } else { "at once" });
        let mut ends = Ends { client: Peer::connect(gateway.address), backend: &backend };
        ends.client.send(&request());
        let mut server = meet(&mut ends.client, &backend, &name);
        server.head();
        server.send(&all[..at]);
        if open {
            ends.read_101(&name);
            server.send(&all[at..]);
        } else {
            server.send(&all[at..]);
            ends.read_101(&name);
        }
        check(&mut ends.client, &frames, &name);
    }
}

#[test]
fn both_handshakes_byte_by_byte() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let mut client = Peer::connect(gateway.address);
    for byte in [request(), from_client()].concat() {
        client.send(&[byte]);
    }
    let mut server = meet(&mut client, &backend, "byte by byte");
    let head = server.head();
    for byte in [Backend::answer(&head, "").into_bytes(), from_server()].concat() {
        server.send(&[byte]);
    }
    let mut ends = Ends { client, backend: &backend };
    ends.read_101("byte by byte");
    check(&mut ends.client, &from_server(), "byte by byte");
    check(&mut server, &from_client(), "byte by byte");
}

/// More than any buffer of a handshake holds, in front of and behind the answer.
#[test]
fn a_flood_behind_both_handshakes() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "clientMaxMsgSize: -1\nserverMaxMsgSize: -1");
    let body: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let up = [masked(op::BINARY, &body), masked(op::TEXT, b"last")].concat();
    let down = [frame(0x82, None, &body), frame(0x81, None, b"last")].concat();
    let mut client = Peer::connect(gateway.address);
    client.send(&[&*request(), &up].concat());
    let mut server = meet(&mut client, &backend, "a flood");
    let head = server.head();
    server.send(&[Backend::answer(&head, "").as_bytes(), &down].concat());
    let mut ends = Ends { client, backend: &backend };
    ends.read_101("a flood");
    check(&mut ends.client, &down, "down");
    check(&mut server, &up, "up");
}

/// Frames that came while a first server failed go to the one that agrees.
#[test]
fn frames_behind_a_handshake_survive_a_change_of_servers() {
    let (first, next) = (Backend::listen(), Backend::listen());
    let gateway = TestGateway::to(&[first.address, next.address], "");
    let mut client = Peer::connect(gateway.address);
    client.send(&[request(), from_client()].concat());
    let mut server = meet(&mut client, &first, "the first server");
    server.head();
    server.send(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n");
    let (mut server_2, _) = next.accept_websocket("");
    check(&mut server_2, &from_client(), "the next server");
    assert_eq!(server.rest(), b"", "the first server got no frame");
}
