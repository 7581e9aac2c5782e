//! Answers of a backend that agree to nothing the client asked for.

use std::time::{Duration, Instant};

use testkit::hostile::WrongAnswer;
use testkit::{Backend, Peer, TestGateway};

use super::{Answer, meet};

const S: &str = "HTTP/1.1 101 Switching Protocols";
const C: &str = "Connection: Upgrade";
const U: &str = "Upgrade: websocket";
const A: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const OFFER: &str = "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n";
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10";

/// What the client offers, the lines of the answer, and what the text says.
pub(crate) type Row = (&'static str, &'static str, &'static [&'static str], &'static str);

pub(crate) const INVALID: &[Row] = &[
    ("no accept", "", &[S, C, U], "no Sec-WebSocket-Accept"),
    ("empty accept", "", &[S, C, U, "Sec-WebSocket-Accept:"], "does not answer the key"),
    (
        "another key's accept",
        "",
        &[S, C, U, "Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk="],
        "does not answer",
    ),
    (
        "accept in other letter case",
        "",
        &[S, C, U, "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO="],
        "does not answer",
    ),
    (
        "accept cut short",
        "",
        &[S, C, U, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo"],
        "does not answer",
    ),
    ("accept twice", "", &[S, C, U, A, A], "more than one Sec-WebSocket-Accept"),
    ("no Upgrade", "", &[S, C, A], "Upgrade lacks websocket"),
    ("Upgrade to something else", "", &[S, C, "Upgrade: h2c", A], "Upgrade lacks websocket"),
    ("no Connection", "", &[S, U, A], "Connection lacks upgrade"),
    ("another Connection", "", &[S, "Connection: keep-alive", U, A], "Connection lacks upgrade"),
    (
        "protocol without an offer",
        "",
        &[S, C, U, A, "Sec-WebSocket-Protocol: a"],
        "subprotocol that was not offered",
    ),
    (
        "protocol not offered",
        OFFER,
        &[S, C, U, A, "Sec-WebSocket-Protocol: c"],
        "subprotocol that was not offered",
    ),
    (
        "protocol in other letter case",
        OFFER,
        &[S, C, U, A, "Sec-WebSocket-Protocol: A"],
        "subprotocol that was not offered",
    ),
    (
        "two protocols in a list",
        OFFER,
        &[S, C, U, A, "Sec-WebSocket-Protocol: a, b"],
        "subprotocol that was not offered",
    ),
    (
        "two protocols",
        OFFER,
        &[S, C, U, A, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"],
        "more than one Sec-WebSocket-Protocol",
    ),
    ("empty protocol", OFFER, &[S, C, U, A, "Sec-WebSocket-Protocol:"], "subprotocol that was not offered"),
    ("extension without an offer", "", &[S, C, U, A, DEFLATE], "extension that was not offered"),
    (
        "extension not offered",
        OFFER,
        &[S, C, U, A, "Sec-WebSocket-Extensions: x-other"],
        "extension that was not offered",
    ),
    (
        "a larger window than offered",
        OFFER,
        &[S, C, U, A, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=11"],
        "parameters fit no offer",
    ),
    (
        "no window",
        OFFER,
        &[S, C, U, A, "Sec-WebSocket-Extensions: permessage-deflate"],
        "parameters fit no offer",
    ),
    (
        "a client window unasked",
        OFFER,
        &[
            S,
            C,
            U,
            A,
            "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10; client_max_window_bits=10",
        ],
        "parameters fit no offer",
    ),
    (
        "an unknown parameter",
        OFFER,
        &[S, C, U, A, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10; x=1"],
        "parameters fit no offer",
    ),
    ("extension twice", OFFER, &[S, C, U, A, DEFLATE, DEFLATE], "parameters fit no offer"),
    (
        "extensions out of form",
        OFFER,
        &[S, C, U, A, "Sec-WebSocket-Extensions: ="],
        "parameters fit no offer",
    ),
    ("not HTTP", "", &["SSH-2.0-OpenSSH_9.6"], "not HTTP"),
    ("HTTP/2", "", &["HTTP/2 101 Switching Protocols", C, U, A], "not HTTP"),
    ("HTTP/0.9", "", &["<html>not found</html>"], "not HTTP"),
    ("a status out of range", "", &["HTTP/1.1 1010 Switching", C, U, A], "not HTTP"),
    ("a header without a colon", "", &[S, C, U, A, "websocket"], "not HTTP"),
    ("a NUL in a header", "", &[S, C, U, A, "X: a\0b"], "not HTTP"),
];

/// Nor is another server tried: the first one would have begun to speak WebSocket.
#[test]
fn an_answer_that_does_not_fit_is_a_502() {
    let (backend, other) = (Backend::listen(), Backend::listen());
    for (name, offer, lines, text) in INVALID {
        let gateway = TestGateway::to(&[backend.address, other.address], "");
        let lines = lines.join("\r\n");
        check(name, &gateway, &backend, offer, format!("{lines}\r\n\r\n").as_bytes(), text);
        assert!(other.try_accept().is_none(), "{name}: another server was tried");
    }
}

#[test]
fn a_long_head_is_a_502() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    let long = format!("{S}\r\n{C}\r\n{U}\r\n{A}\r\nX: {}\r\n\r\n", "x".repeat(100 * 1024));
    let many: String = (0..5000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let many = format!("{S}\r\n{C}\r\n{U}\r\n{A}\r\n{many}\r\n");
    let endless = format!("{S}\r\n{C}\r\nX: {}", "x".repeat(1 << 20));
    let interim = format!("HTTP/1.1 100 Continue\r\nX: {}\r\n\r\n", "x".repeat(60 * 1024));
    for (name, head) in
        [("one long line", long), ("many lines", many), ("no end", endless), ("an interim answer", interim)]
    {
        check(name, &gateway, &backend, "", head.as_bytes(), "over 32 KiB");
    }
}

#[test]
fn no_answer_is_a_502() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    for part in [
        "",
        "HTTP/1.1 101 Switching Pro",
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        for reset in [false, true] {
            let name = format!("{part:?} and {}", if reset { "a reset" } else { "the end" });
            let mut client = Peer::shake(gateway.address, "/ws", "");
            let mut server = meet(&mut client, &backend, &name);
            server.head();
            server.send(part.as_bytes());
            if reset {
                server.reset();
            } else {
                drop(server);
            }
            let answer = Answer::read(&mut client);
            assert_eq!((answer.status(), answer.error()), (502, Some("no_answer")), "{name}: {answer:?}");
            assert!(answer.text().contains("without an answer"), "{name}: {answer:?}");
        }
    }
}

/// The client is told, and both connections are closed at once.
fn check(name: &str, gateway: &TestGateway, backend: &Backend, offer: &str, sent: &[u8], text: &str) {
    let mut client = Peer::shake(gateway.address, "/ws", offer);
    let mut server = meet(&mut client, backend, name);
    WrongAnswer(sent).attack(&mut server);
    let answer = Answer::read(&mut client);
    let began = Instant::now();
    assert_eq!((answer.status(), answer.error()), (502, Some("answer_invalid")), "{name}: {answer:?}");
    assert!(answer.text().contains("the server's answer is invalid"), "{name}: {answer:?}");
    assert!(answer.text().contains(text), "{name}: {answer:?}");
    assert_eq!((client.rest(), server.rest()), (vec![], vec![]), "{name}: something follows");
    assert!(began.elapsed() < Duration::from_secs(2), "{name}: closed after {:?}", began.elapsed());
}
