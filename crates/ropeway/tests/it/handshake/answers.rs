//! What a client receives of a backend's 101.

use testkit::{Backend, Peer, UPGRADE, op};

use super::{Answer, Setup, meet, values};

const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Order, letter case and repetition as they came, without what concerns only the connection to the backend.
#[test]
fn the_client_receives_the_backends_head() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let mut client = Peer::shake(gateway.address, "/ws", "Sec-WebSocket-Protocol: chat.v2, chat.v1\r\n");
    let mut server = meet(&mut client, &backend, "a handshake");
    server.head();
    server.send(
        format!(
            "HTTP/1.1 101 Web Socket Protocol Handshake\r\n\
             SERVER: Test/1.0\r\n\
             Set-Cookie: a=1; Path=/; HttpOnly\r\n\
             connection: X-Named, upgrade\r\n\
             X-Named: 1\r\n\
             upgrade: WebSocket\r\n\
             Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             sec-websocket-ACCEPT: {ACCEPT}\r\n\
             Keep-Alive: timeout=5\r\n\
             X-Custom-ID: 7\r\n\
             Set-Cookie: b=2\r\n\
             Sec-WebSocket-Protocol: chat.v1\r\n\
             Content-Length: 0\r\n\
             Transfer-Encoding: chunked\r\n\
             X-Ropeway-Error: connect_failed\r\n\
             \r\n"
        )
        .as_bytes(),
    );
    let expected = format!(
        "HTTP/1.1 101 Web Socket Protocol Handshake\r\n\
         SERVER: Test/1.0\r\n\
         Set-Cookie: a=1; Path=/; HttpOnly\r\n\
         Set-Cookie: b=2\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         sec-websocket-ACCEPT: {ACCEPT}\r\n\
         X-Custom-ID: 7\r\n\
         Sec-WebSocket-Protocol: chat.v1\r\n\
         connection: Upgrade\r\n\
         upgrade: websocket\r\n\
         \r\n"
    );
    assert_eq!(client.head(), expected);
    check_tunnel(&mut client, &mut server, "a handshake");
}

/// Answers that are unusual, and valid.
#[test]
fn lenient_forms_of_a_101_are_taken() {
    let proper =
        format!("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
    let many: String = (0..60).map(|number| format!("X-{number}: {}\r\n", "x".repeat(400))).collect();
    let table = [
        ("no reason", format!("HTTP/1.1 101 \r\n{proper}")),
        ("no reason and no space", format!("HTTP/1.1 101\r\n{proper}")),
        ("of HTTP/1.0", format!("HTTP/1.0 101 Switching Protocols\r\n{proper}")),
        ("bare line feeds", format!("HTTP/1.1 101 Switching Protocols\r\n{proper}").replace('\r', "")),
        ("behind a 100", format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 X\r\n{proper}")),
        (
            "behind a 102 and two 103s",
            format!(
                "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                 HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 101 X\r\n{proper}"
            ),
        ),
        ("a head of 24 KiB", format!("HTTP/1.1 101 X\r\n{many}{proper}")),
        (
            "lists",
            format!(
                "HTTP/1.1 101 X\r\nConnection: keep-alive, uPGRADE\r\nUpgrade: foo, WebSocket\r\n\
                 sec-websocket-accept:{ACCEPT} \r\nSec-WebSocket-Extensions:\r\n\r\n"
            ),
        ),
    ];
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    for (name, answer) in table {
        let mut client = Peer::shake(gateway.address, "/ws", "");
        let mut server = meet(&mut client, &backend, name);
        server.head();
        server.send(answer.as_bytes());
        let answer = Answer::without_body(&mut client);
        assert_eq!(answer.status(), 101, "{name}");
        assert_eq!(answer.values("connection"), ["Upgrade"], "{name}");
        assert_eq!(answer.values("upgrade"), ["websocket"], "{name}");
        assert_eq!(answer.values("sec-websocket-accept"), [ACCEPT], "{name}");
        check_tunnel(&mut client, &mut server, name);
    }
}

fn check_tunnel(client: &mut Peer, server: &mut Peer, name: &str) {
    client.send(&testkit::masked(op::TEXT, b"up"));
    assert_eq!(server.frame().payload, b"up", "{name}");
    server.send(&testkit::frame(0x82, None, b"down"));
    assert_eq!(client.frame().payload, b"down", "{name}");
}

/// One negotiation of compression and subprotocols.
struct Talk {
    pool: &'static str,
    offered: &'static str,
    /// As the backend receives it.
    received: &'static [&'static str],
    answered: &'static str,
    /// As the client receives it.
    agreed: &'static [&'static str],
}

const PASS: &str = "compression: passThrough";
const FORGET: &str = "compression: noContextTakeover";
const OFF: &str = "compression: off";
const DEFLATE: &str = "permessage-deflate";

const TALKS: &[Talk] = &[
    Talk { pool: "", offered: DEFLATE, received: &[DEFLATE], answered: DEFLATE, agreed: &[DEFLATE] },
    Talk { pool: PASS, offered: DEFLATE, received: &[DEFLATE], answered: "", agreed: &[] },
    Talk {
        pool: PASS,
        offered: "permessage-deflate; client_max_window_bits, x-other",
        received: &["permessage-deflate; client_max_window_bits"],
        answered: "permessage-deflate;client_max_window_bits=9;server_max_window_bits=\"10\"",
        agreed: &["permessage-deflate;client_max_window_bits=9;server_max_window_bits=\"10\""],
    },
    Talk {
        pool: FORGET,
        offered: DEFLATE,
        received: &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
        answered: "permessage-deflate; server_no_context_takeover",
        agreed: &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
    },
    Talk {
        pool: FORGET,
        offered: "permessage-deflate; client_no_context_takeover; client_max_window_bits, permessage-deflate",
        received: &["permessage-deflate; client_no_context_takeover; client_max_window_bits; \
                     server_no_context_takeover, \
                     permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
        answered: "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
        agreed: &["permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                   client_max_window_bits=10"],
    },
    Talk { pool: FORGET, offered: DEFLATE, received: &[FORGOTTEN], answered: "", agreed: &[] },
    Talk { pool: FORGET, offered: "x-other", received: &[], answered: "", agreed: &[] },
    Talk { pool: OFF, offered: DEFLATE, received: &[], answered: "", agreed: &[] },
];

const FORGOTTEN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

#[test]
fn compression_as_the_pool_says() {
    let backend = Backend::listen();
    for talk in TALKS {
        let Talk { pool, offered, received, answered, agreed } = talk;
        let name = format!("{pool:?}: {offered:?} and {answered:?}");
        let gateway = Setup { pool, ..Setup::default() }.to(&[backend.address]);
        let mut client =
            Peer::shake(gateway.address, "/ws", &format!("Sec-WebSocket-Extensions: {offered}\r\n"));
        let mut server = meet(&mut client, &backend, &name);
        let head = server.head();
        assert_eq!(values(&head, "sec-websocket-extensions"), *received, "{name}");
        let line = format!("Sec-WebSocket-Extensions: {answered}\r\n");
        let line = if answered.is_empty() { "" } else { &line };
        server.send(Backend::answer(&head, line).as_bytes());
        let answer = Answer::without_body(&mut client);
        assert_eq!(answer.status(), 101, "{name}");
        assert_eq!(answer.values("sec-websocket-extensions"), *agreed, "{name}");
        // RSV1 is a compressed message's, and nobody's without compression (RFC 7692 6).
        client.send(&testkit::frame(0xc1, Some([1, 2, 3, 4]), b"\xaa\0"));
        let frame = server.frame();
        let compressed = (frame.opcode, frame.rsv, &*frame.payload) == (op::TEXT, 4, b"\xaa\0");
        assert_eq!(compressed, !agreed.is_empty(), "{name}: {frame:?}");
    }
}

#[test]
fn subprotocols_that_were_offered_are_agreed_on() {
    let backend = Backend::listen();
    let gateway = Setup::default().to(&[backend.address]);
    let table: &[(&str, Option<&str>)] = &[
        ("Sec-WebSocket-Protocol: a\r\n", Some("a")),
        ("Sec-WebSocket-Protocol: a, b,c\r\n", Some("c")),
        ("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n", Some("b")),
        ("Sec-WebSocket-Protocol: graphql-transport-ws\r\n", None),
        ("", None),
    ];
    for (offered, chosen) in table {
        let mut client = Peer::connect(gateway.address);
        client.send(format!("GET /ws HTTP/1.1\r\nHost: t\r\n{UPGRADE}{offered}\r\n").as_bytes());
        let mut server = meet(&mut client, &backend, offered);
        let head = server.head();
        let line = chosen.map(|chosen| format!("Sec-WebSocket-Protocol: {chosen}\r\n")).unwrap_or_default();
        server.send(Backend::answer(&head, &line).as_bytes());
        let answer = Answer::without_body(&mut client);
        assert_eq!(answer.status(), 101, "{offered}");
        assert_eq!(answer.values("sec-websocket-protocol").first(), chosen.as_ref(), "{offered}");
    }
}
