//! `validateUtf8`: texts that are not UTF-8 end the tunnel where it is on, and pass as they are where it is off.

use ropeway::tunnel::Side::{self, Client, Server};
use testkit::{Backend, Peer, TestGateway, frame, op};

use super::{by_role, close, mask, part, whole};

const VALID: &str = "a \u{e9} \u{20ac} \u{1f600} \u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff} z";

const INVALID: [(&str, &[u8]); 8] = [
    ("a byte that never occurs", b"ab\xffcd"),
    ("a continuation byte by itself", b"ab\x80cd"),
    ("an overlong form", b"ab\xc0\x80cd"),
    ("a surrogate", b"ab\xed\xa0\x80cd"),
    ("beyond the last character", b"ab\xf4\x90\x80\x80cd"),
    ("the end inside two bytes", b"ab\xc3"),
    ("the end inside three bytes", b"ab\xe2\x82"),
    ("the end inside four bytes", b"ab\xf0\x9f\x98"),
];

/// `text` in two fragments with a ping between them.
fn split(by: Side, text: &[u8], at: usize) -> Vec<u8> {
    let (first, last) = text.split_at(at);
    [part(by, op::TEXT, first), whole(by, op::PING, b"\xff"), whole(by, op::CONTINUATION, last)].concat()
}

#[test]
fn valid_texts_pass_however_they_are_split() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "validateUtf8: true");
    for by in [Client, Server] {
        let (mut client, mut server) = gateway.tunnel(&backend);
        let (sender, receiver) = by_role(by, &mut client, &mut server);
        let expect = |what: &str, bytes: &[u8], receiver: &mut Peer| {
            assert!(receiver.bytes(bytes.len()) == bytes, "{by:?} sends {what}");
        };
        for at in 0..=VALID.len() {
            let message = split(by, VALID.as_bytes(), at);
            sender.send(&message);
            expect(&format!("fragments split at {at}"), &message, receiver);
        }
        let message = whole(by, op::TEXT, VALID.as_bytes());
        for at in 1..message.len() {
            // What has settled is awaited before the rest is sent: the gateway sees two reads.
            let (first, last) = message.split_at(at);
            let settled = if at < message.len() - VALID.len() { 0 } else { at };
            sender.send(first);
            expect(&format!("segments split at {at}"), &first[..settled], receiver);
            sender.send(last);
            expect(&format!("segments split at {at}"), &message[settled..], receiver);
        }
        let binary = whole(by, op::BINARY, &[0xff; 300]);
        sender.send(&binary);
        expect("what is no text", &binary, receiver);
    }
}

#[test]
fn invalid_texts_end_the_tunnel_where_they_are_looked_at() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "validateUtf8: true");
    for (by, (name, text)) in [Client, Server].into_iter().flat_map(|by| INVALID.map(|row| (by, row))) {
        for at in 0..=text.len() {
            let (mut client, mut server) = gateway.tunnel(&backend);
            let (sender, receiver) = by_role(by, &mut client, &mut server);
            sender.send(&split(by, text, at));
            let name = format!("{by:?}: {name}, split at {at}");
            let mut got = Vec::new();
            let told = loop {
                match receiver.frame() {
                    frame if frame.opcode == op::CLOSE => break frame.close(),
                    frame if frame.opcode == op::PING => assert_eq!(frame.payload, b"\xff", "{name}"),
                    frame => got.extend(frame.payload),
                }
            };
            assert_eq!(told, (1001, "the other side broke a rule".into()), "{name}");
            receiver.send(&close(by.other(), 1001, ""));
            assert_eq!(sender.frame().close(), (1007, "text message is not utf-8".into()), "{name}");
            assert!(text[..at].starts_with(&got), "{name}: {got:x?} passed");
        }
    }
}

#[test]
fn invalid_texts_pass_where_they_are_not_looked_at() {
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    // Where compression was negotiated, RSV1 says that a message is compressed: what it holds is no text yet.
    for (pool, headers, first) in [("", "", 0x01), ("validateUtf8: true", deflate, 0x41)] {
        let backend = Backend::listen();
        let gateway = TestGateway::to(&[backend.address], pool);
        for by in [Client, Server] {
            let mut client = Peer::shake(gateway.address, "/ws", headers);
            let (mut server, _) = backend.accept_websocket(headers);
            assert!(client.head().starts_with("HTTP/1.1 101 "));
            let (sender, receiver) = by_role(by, &mut client, &mut server);
            for (name, text) in INVALID {
                let sent = [
                    frame(first, mask(by), text),
                    whole(by, op::CONTINUATION, text),
                    frame(first | 0x80, mask(by), text),
                ]
                .concat();
                sender.send(&sent);
                assert!(receiver.bytes(sent.len()) == sent, "{pool:?} {by:?}: {name}");
            }
        }
    }
}
