//! Frames pass byte for byte, in both directions at once, however they are made and cut.

use std::io::Write;
use std::net::TcpStream;
use std::thread;

use fastrand::Rng;
use ropeway::tunnel::Side::{self, Client, Server};
use testkit::{Backend, Peer, TestGateway, frame, op};

use super::{by_role, close, whole};

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

#[test]
fn random_streams_pass_in_both_directions_at_once() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "clientMaxMsgSize: -1\nserverMaxMsgSize: -1");
    for (seed, headers) in (0..24).zip(["", DEFLATE].into_iter().cycle()) {
        let mut rng = Rng::with_seed(seed);
        let mut client = Peer::shake(gateway.address, "/ws", headers);
        let (mut server, _) = backend.accept_websocket(headers);
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        let up = stream(&mut rng, Client, !headers.is_empty());
        let down = stream(&mut rng, Server, !headers.is_empty());
        let (to_gateway, to_other) = (client.tcp.try_clone().unwrap(), server.tcp.try_clone().unwrap());
        let seeds = (rng.u64(..), rng.u64(..));
        thread::scope(|scope| {
            scope.spawn(|| send_in_pieces(to_gateway, &up, seeds.0));
            scope.spawn(|| send_in_pieces(to_other, &down, seeds.1));
            scope.spawn(|| assert!(server.bytes(up.len()) == up, "seed {seed}: to the server"));
            scope.spawn(|| assert!(client.bytes(down.len()) == down, "seed {seed}: to the client"));
        });
        client.send(&close(Client, 1000, "bye"));
        assert_eq!(server.bytes(close(Client, 1000, "bye").len()), close(Client, 1000, "bye"));
    }
}

#[test]
fn every_form_of_length_and_every_kind_of_frame_passes() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "clientMaxMsgSize: -1\nserverMaxMsgSize: -1");
    let (mut client, mut server) = gateway.tunnel(&backend);
    for len in [0, 1, 125, 126, 127, 16_383, 16_384, 32_769, 65_535, 65_536, 65_537, 131_072, 300_000] {
        for (by, key) in [(Client, Some([0; 4])), (Client, Some([1, 2, 3, 4])), (Server, None)] {
            let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let (sender, receiver) = by_role(by, &mut client, &mut server);
            let sent = [
                frame(0x02, key, &payload),
                frame(0x89, key, b"\xff in the middle"),
                frame(0x00, key, b""),
                frame(0x8a, key, &[0; 125]),
                frame(0x80, key, &payload),
                frame(0x81, key, b""),
            ]
            .concat();
            let tcp = sender.tcp.try_clone().unwrap();
            thread::scope(|scope| {
                scope.spawn(|| send_in_pieces(tcp, &sent, 7));
                assert!(receiver.bytes(sent.len()) == sent, "{by:?} sends frames of {len} bytes");
            });
        }
    }
}

/// Half-closes and ends of streams lose nothing of what was sent before them.
#[test]
fn nothing_is_lost_at_the_end() {
    let pool = "closeTimeout: 60s\nclientMaxMsgSize: -1\nserverMaxMsgSize: -1";
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], pool);
    for (by, with_close, size) in [Client, Server]
        .into_iter()
        .flat_map(|by| [(by, true), (by, false)])
        .flat_map(|(by, with_close)| [1, 100_000, 3 << 20].map(|size| (by, with_close, size)))
    {
        let name = format!("{by:?} sends {size} bytes, a Close {with_close}, and ends its stream");
        let (mut client, mut server) = gateway.tunnel(&backend);
        let (sender, receiver) = by_role(by, &mut client, &mut server);
        let mut sent = whole(by, op::BINARY, &vec![5; size]);
        if with_close {
            sent.extend(close(by, 1000, "bye"));
        }
        let mut tcp = sender.tcp.try_clone().unwrap();
        let writing = thread::spawn({
            let sent = sent.clone();
            move || {
                tcp.write_all(&sent).unwrap();
                tcp.shutdown(std::net::Shutdown::Write).unwrap();
            }
        });
        assert!(receiver.bytes(sent.len()) == sent, "{name}");
        if !with_close {
            assert_eq!(receiver.frame().opcode, op::CLOSE, "{name}");
        }
        // The other side still has as much to say.
        let answer = whole(by.other(), op::BINARY, &vec![6; size]);
        let answer = [answer, close(by.other(), 1000, "")].concat();
        let mut tcp = receiver.tcp.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| tcp.write_all(&answer).unwrap());
            assert!(sender.bytes(answer.len()) == answer, "{name}: the answer");
        });
        writing.join().unwrap();
    }
}

/// Valid frames of all kinds, half a megabyte or so.
fn stream(rng: &mut Rng, side: Side, deflate: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut in_message = false;
    for _ in 0..rng.usize(50..200) {
        let key = (side == Client).then(|| rng.u32(..).to_be_bytes());
        if rng.u8(..4) == 0 {
            let opcode = if rng.bool() { op::PING } else { op::PONG };
            let payload = random(rng, 126);
            bytes.extend(frame(0x80 | opcode, key, &payload));
            continue;
        }
        let len = [0, 2, 126, 128, 4_000, 70_000][rng.usize(..6)];
        let payload = random(rng, len + 1);
        let fin = rng.bool();
        let opcode = match in_message {
            true => op::CONTINUATION,
            false => [op::TEXT, op::BINARY][rng.usize(..2)],
        };
        let rsv1 = deflate && !in_message && rng.bool();
        in_message = !fin;
        bytes.extend(frame(u8::from(fin) << 7 | u8::from(rsv1) << 6 | opcode, key, &payload));
    }
    if in_message {
        bytes.extend(whole(side, op::CONTINUATION, b""));
    }
    bytes
}

fn random(rng: &mut Rng, below: usize) -> Vec<u8> {
    let mut payload = vec![0; rng.usize(..below)];
    rng.fill(&mut payload);
    payload
}

fn send_in_pieces(mut tcp: TcpStream, bytes: &[u8], seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = [3, 200, 5_000, 200_000][rng.usize(..4)];
        let (piece, after) = rest.split_at(rng.usize(1..=most).min(rest.len()));
        tcp.write_all(piece).unwrap();
        rest = after;
    }
}
