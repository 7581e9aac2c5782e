//! One tunnel, and what becomes of it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use ropeway::supervisor::thaw::ThawError;
use ropeway::tunnel::Movable;
use ropeway::tunnel::Side::{Client, Server};
use ropeway::tunnel::drain::Whose;
use ropeway::tunnel::frozen::Unreadable;
use testkit::side::{close, part, whole};
use testkit::{Authority, Backend, End, Initiator, Peer, eventually, masked, op, opened, record, records};

use super::{documents, open, start, totals, twins};
use crate::tls;

/// Moves as the first thing that the tunnel meets, then says this.
fn check_alive(client: &mut Peer, server: &mut Peer) {
    for text in ["one", "two"] {
        client.send(&masked(op::TEXT, text.as_bytes()));
        assert_eq!(server.frame().payload, text.as_bytes());
        server.send(&whole(Server, op::TEXT, text.as_bytes()));
        assert_eq!(client.frame().payload, text.as_bytes());
    }
}

/// Nothing passes while it is frozen, and all of it afterwards, here or there.
#[test]
fn what_comes_meanwhile_waits() {
    for moves in [false, true] {
        let (backend, gateway, twin) = twins("");
        let (mut client, mut server) = open(&gateway, &backend, "", "");
        let half = &part(Client, op::TEXT, b"half a message")[..9];
        client.send(half);
        assert_eq!(server.bytes(half.len()), half);

        let frozen = gateway.freeze();
        assert_eq!((frozen.len(), gateway.registries().tunnels()), (1, 1));
        client.send(&part(Client, op::TEXT, b"half a message")[9..]);
        server.send(&whole(Server, op::PING, b"meanwhile"));
        // Another tunnel is opened and used meanwhile.
        let (mut other, mut others_server) = open(&gateway, &backend, "", "");
        check_alive(&mut other, &mut others_server);
        assert!(!server.is_readable() && !client.is_readable(), "it holds still");
        if moves {
            twin.thaw(frozen).unwrap();
            check_alive(&mut other, &mut others_server);
            assert!(!server.is_readable() && !client.is_readable(), "it still holds still");
            gateway.registries().release();
            twin.registries().resume();
        } else {
            drop(frozen);
            gateway.registries().resume();
        }
        assert_eq!(server.bytes(14 + 6 - 9), part(Client, op::TEXT, b"half a message")[9..]);
        assert_eq!(client.frame().payload, b"meanwhile");
        client.send(&whole(Client, op::CONTINUATION, b""));
        assert_eq!(server.frame().payload, b"");
        check_alive(&mut client, &mut server);
    }
}

/// The record of the end says what it would have said.
#[test]
fn the_line_at_close_is_that_of_one_tunnel() {
    let (backend, gateway, twin) = twins(", closeTimeout: 60s");
    let (mut client, mut server) = open(&gateway, &backend, "", "");
    check_alive(&mut client, &mut server);
    let frozen = gateway.freeze();
    let begin = std::time::Instant::now();
    eventually("a while", || (begin.elapsed() > Duration::from_millis(50)).then_some(()));
    twin.thaw(frozen).unwrap();
    let (_, there) = totals(&twin);
    assert_eq!((there.to_server.messages, there.to_client.bytes), (2, 6), "it counts from the first moment");
    gateway.registries().release();
    twin.registries().resume();
    eventually("it has left", || (gateway.registries().tunnels() == 0).then_some(()));
    assert_eq!(records(&gateway.name).len(), 0, "a tunnel that moves has not ended");

    client.send(&close(Client, 4001, "bye"));
    assert_eq!(server.frame().close(), (4001, "bye".into()));
    assert_eq!(twin.move_to(&gateway), 1, "in the middle of its end");
    server.send(&close(Server, 4001, ""));
    server.finish();
    assert_eq!(client.frame().close().0, 4001);
    assert_eq!(client.end(), End::Fin);
    drop(client);
    let record = record(&gateway.name);
    for (field, expected) in [
        ("cause", "closed"),
        ("ended_by", "client"),
        ("client_close", "4001"),
        ("server_close", "4001"),
        ("sent_to_client", "-"),
        ("client_messages", "2"),
        ("client_bytes", "6"),
        ("server_messages", "2"),
        ("client", "127.0.0.1"),
    ] {
        assert_eq!(record[field], expected, "{field}");
    }
    assert!(record["route"].starts_with(&format!("{}/", gateway.name)), "{record:?}");
    assert!(record["pool"].starts_with(&format!("{}-ws/proxy", gateway.name)), "{record:?}");
    let duration: u64 = record["duration_ms"].parse().unwrap();
    assert!((50..60_000).contains(&duration), "{duration}");
    assert_eq!(record["id"], opened(&gateway.name)[0]["id"]);
}

/// Tunnels that have ended do not move, but what they had moved is not forgotten.
#[test]
fn what_ended_tunnels_had_moved_is_carried_on() {
    let (backend, gateway, twin) = twins("");
    let (mut client, mut server) = open(&gateway, &backend, "", "");
    check_alive(&mut client, &mut server);
    drop((client, server));
    eventually("its end", || (gateway.registries().tunnels() == 0).then_some(()));
    let (mut client, mut server) = open(&gateway, &backend, "", "");
    check_alive(&mut client, &mut server);
    let before = totals(&gateway).1;
    assert_eq!(before.to_server.messages, 4);
    let ended = ropeway::app::runtime().unwrap().block_on(gateway.registries().ended());
    assert_eq!(ended.to_server.messages, 2);
    twin.registries().carry(ended);
    gateway.move_to(&twin);
    assert_eq!(totals(&twin).1, before);
}

/// What is left of `closeTimeout` is what counts, and the cause is the first one.
#[test]
fn a_deadline_goes_on() {
    let (backend, gateway, twin) = twins(", closeTimeout: 300ms");
    let (mut client, mut server) = open(&gateway, &backend, "", "");
    client.send(&close(Client, 4001, "bye"));
    assert_eq!(server.frame().close().0, 4001);
    assert_eq!(gateway.move_to(&twin), 1);
    // The server never answers.
    let (code, _) = client.frame().close();
    assert_eq!((code, client.end()), (4001, End::Fin));
    let record = record(&gateway.name);
    assert_eq!((&*record["cause"], &*record["ended_by"]), ("closed", "client"));
    assert_eq!((&*record["sent_to_client"], &*record["client_close"]), ("4001", "4001"));
}

/// A message of 1 MiB of which both the gateway and the kernel hold a part, moved again and again.
#[test]
fn a_large_message_is_handed_on_in_pieces() {
    let (backend, gateway, twin) = twins(", serverMaxMsgSize: -1");
    let (mut client, server) = open(&gateway, &backend, "", "");
    let message: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 7) as u8).collect();
    let sent = message.clone();
    let sending = std::thread::spawn(move || {
        let mut server = server;
        for _ in 0..8 {
            server.send(&whole(Server, op::BINARY, &sent));
        }
        server
    });
    let (mut from, mut to) = (&gateway, &twin);
    for number in 0..8 {
        let header = client.bytes(10);
        assert_eq!(header[..2], [0x82, 127]);
        for piece in message.chunks(1 << 18) {
            assert_eq!(from.move_to(to), 1);
            (from, to) = (to, from);
            assert!(client.bytes(piece.len()) == piece, "message {number}");
        }
    }
    let mut server = sending.join().unwrap();
    check_alive(&mut client, &mut server);
}

/// Limits of the pool as it is there count, not those of the record.
#[test]
fn it_obeys_what_is_in_force_where_it_goes_on() {
    let backend = Backend::listen();
    let of =
        |limit| documents(backend.address, "", &format!(", clientMaxMsgSize: {limit}, closeTimeout: 100ms"));
    let gateway = start(&of(1000));
    let twin = gateway.twin(&of(10));
    let (mut client, mut server) = open(&gateway, &backend, "", "");
    client.send(&masked(op::TEXT, &[b'a'; 11]));
    assert_eq!(server.frame().payload.len(), 11);
    gateway.move_to(&twin);
    check_alive(&mut client, &mut server);
    client.send(&masked(op::TEXT, &[b'a'; 11]));
    assert_eq!(client.frame().close(), (1009, "message of at least 11 bytes is over the limit of 10".into()));
}

/// Its pool has its server no more; or there is no such pool, and it lives on by the rules that it had.
#[test]
fn a_tunnel_whose_server_is_gone_meets_its_fate() {
    let (backend, other) = (Backend::listen(), Backend::listen());
    let of = |pool: &str| documents(backend.address, "", &format!(", clientMaxMsgSize: 20{pool}"));
    let removed = documents(other.address, "", ", onRemoved: { window: 50ms }, drainCode: 4100");
    let gateway = start(&of(""));
    let (mut client, mut server) = open(&gateway, &backend, "", "");
    let twin = gateway.twin(&removed);
    assert_eq!(gateway.move_to(&twin), 1);
    assert_eq!(client.frame().close(), (4100, "server removed".into()));
    assert_eq!(server.frame().close().0, 1001);

    let (mut client, mut server) = open(&gateway, &backend, "", "");
    let twin = gateway.twin(&of("").replace("name: proxy", "name: other"));
    assert_eq!(gateway.move_to(&twin), 1);
    check_alive(&mut client, &mut server);
    client.send(&masked(op::TEXT, &[b'a'; 21]));
    assert_eq!(client.frame().close().0, 1009);
}

/// TLS, and nothing else here, stays where it is; a Unix socket moves.
#[test]
fn what_cannot_move_is_known_beforehand() {
    let (backend, gateway, twin) = twins("");
    assert_eq!(gateway.movable(), Movable { tunnels: 0, movable: 0 });
    assert_eq!(gateway.freeze().len(), 0);
    let tunnels: Vec<_> = (0..3).map(|_| open(&gateway, &backend, "", "")).collect();
    assert_eq!(gateway.movable(), Movable { tunnels: 3, movable: 3 });
    assert_eq!(gateway.move_to(&twin), 3);
    assert_eq!(twin.movable(), Movable { tunnels: 3, movable: 3 });
    eventually("they have left", || (gateway.movable().tunnels == 0).then_some(()));
    drop(tunnels);
}

/// Limits of the listener go on to count.
#[test]
fn a_tunnel_keeps_its_seat() {
    let backend = Backend::listen();
    let documents = documents(backend.address, "maxConnections: 2\n", "");
    let gateway = start(&documents);
    let twin = gateway.twin(&documents);
    let tunnel = open(&gateway, &backend, "", "");
    gateway.move_to(&twin);
    let (mut second, mut seconds_server) = open(&twin, &backend, "", "");
    let mut third = Peer::shake(twin.address, "/ws", "");
    check_alive(&mut second, &mut seconds_server);
    assert!(backend.try_accept().is_none() && !third.is_readable(), "there is no seat left");
    drop(tunnel);
    let (_server, _) = backend.accept_websocket("");
    assert!(third.head().starts_with("HTTP/1.1 101 "));
}

/// An asker that leaves before it has its answer, and one that asks for some only.
#[test]
fn who_asked_and_left_has_frozen_nothing() {
    let (backend, gateway, _twin) = twins("");
    let mut tunnels: Vec<_> = (0..6).map(|_| open(&gateway, &backend, "", "")).collect();
    let registries = gateway.registries();
    let runtime = ropeway::app::runtime().unwrap();
    runtime.block_on(async {
        for polls in 0..4 {
            let mut freezing = Box::pin(registries.freeze(&Whose::All, 2));
            for _ in 0..polls {
                let _ = futures_poll(freezing.as_mut()).await;
                tokio::task::yield_now().await;
            }
        }
    });
    for (client, server) in &mut tunnels {
        check_alive(client, server);
    }
    let some = runtime.block_on(registries.freeze(&Whose::All, 2)).unwrap();
    assert_eq!(some.len(), 4, "two of each worker");
    let rest = gateway.freeze();
    assert_eq!(rest.len(), 2, "those that are not frozen yet");
    registries.resume();
    for (client, server) in &mut tunnels {
        check_alive(client, server);
    }
}

/// Polls once.
async fn futures_poll<F: Future + Unpin>(mut future: F) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut future).poll(cx).is_ready()))
        .await
}

/// What is refused, and that the tunnel goes on where it was.
#[test]
fn a_record_that_is_not_understood_is_refused() {
    let (backend, gateway, twin) = twins("");
    let (mut client, mut server) = open(&gateway, &backend, "", "");
    type Change = fn(&mut Vec<u8>);
    let rows: [(&str, Change, Option<Unreadable>); 8] = [
        ("an unknown field that may be skipped", |record| record.extend([0x7f, 0, 0, 0, 1, 9]), None),
        (
            "an unknown field that must be understood",
            |record| record.extend([0xff, 0, 0, 0, 1, 9]),
            Some(Unreadable::Field(0xff)),
        ),
        ("a later version", |record| record[0] += 1, Some(Unreadable::Version(2))),
        ("a field twice", |record| record.extend([0x88, 0, 0, 0, 1, 0]), Some(Unreadable::Malformed)),
        ("the beginning of a field", |record| record.push(0x7f), Some(Unreadable::Malformed)),
        (
            "a field longer than the record",
            |record| record.extend([0x7f, 0xff, 0xff, 0xff, 0xff]),
            Some(Unreadable::Malformed),
        ),
        ("nothing but the version", |record| record.truncate(1), Some(Unreadable::Missing(0x87))),
        (
            "too much",
            |record| record.extend([&[0x7f, 0, 4, 0, 0][..], &vec![0; 1 << 18]].concat()),
            Some(Unreadable::Malformed),
        ),
    ];
    for (what, change, expected) in rows {
        let mut frozen = gateway.freeze();
        change(&mut frozen[0].record);
        match (twin.thaw(frozen), expected) {
            (Ok(()), None) => twin.registries().release(),
            (Err(ThawError::Record(error)), Some(expected)) => assert_eq!(error, expected, "{what}"),
            (other, _) => panic!("{what}: {other:?}"),
        }
        gateway.registries().resume();
        check_alive(&mut client, &mut server);
        eventually("no tunnel there", || (twin.registries().tunnels() == 0).then_some(()));
    }
}

#[test]
fn a_descriptor_that_is_no_stream_is_refused() {
    let (backend, gateway, twin) = twins("");
    let (mut client, mut server) = open(&gateway, &backend, "", "");
    let datagrams = || OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    for (what, descriptor) in [("datagrams", datagrams()), ("a file", file())] {
        let mut frozen = gateway.freeze();
        frozen[0].sockets[1] = descriptor;
        assert!(matches!(twin.thaw(frozen), Err(ThawError::Socket(_))), "{what}");
        twin.registries().release();
        gateway.registries().resume();
        check_alive(&mut client, &mut server);
    }
}

/// A server that a Unix socket leads to.
#[test]
fn a_unix_socket_moves() {
    let name = format!("{}/ropeway-moving-{}.sock", std::env::temp_dir().display(), std::process::id());
    let listener = UnixListener::bind(&name).unwrap();
    let text =
        documents(([127, 0, 0, 1], 1).into(), "", "").replace("ws://127.0.0.1:1", &format!("unix:{name}"));
    let gateway = start(&text);
    let twin = gateway.twin(&text);
    let mut client = Peer::shake(gateway.address, "/ws", "");
    let mut unix = listener.accept().unwrap().0;
    std::fs::remove_file(&name).unwrap();
    let head = read_head(&mut unix).unwrap();
    io::Write::write_all(&mut unix, Backend::answer(&head, "").as_bytes()).unwrap();
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(gateway.movable(), Movable { tunnels: 1, movable: 1 });
    assert_eq!(gateway.move_to(&twin), 1);
    let hello = masked(op::TEXT, b"hello");
    client.send(&hello);
    let mut got = vec![0; hello.len()];
    io::Read::read_exact(&mut unix, &mut got).unwrap();
    assert_eq!(got, hello);
    io::Write::write_all(&mut unix, &whole(Server, op::TEXT, b"back")).unwrap();
    assert_eq!(client.frame().payload, b"back");
}

fn read_head(unix: &mut UnixStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        io::Read::read_exact(unix, &mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// TLS keeps a tunnel where it is, whichever side speaks it.
#[test]
fn tls_stays() {
    let authority = Authority::new();
    let (gateway, _echo) = tls::gateway(&tls::shows(&authority.issue(&["one.example"])));
    let tls = Initiator::new(gateway.address, tls::demand("one.example", &authority));
    let mut client = Peer::shake(tls.address, "/ws", "");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(gateway.movable(), Movable { tunnels: 1, movable: 0 });
    assert_eq!(gateway.freeze().len(), 0);
    client.send(&masked(op::TEXT, b"hello"));
    assert_eq!(client.frame().payload, b"hello");
}
