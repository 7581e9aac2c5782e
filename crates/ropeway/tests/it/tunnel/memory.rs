//! What a gateway holds: memory for messages of any size, and descriptors after tunnels of all kinds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use ropeway::tunnel::Side::{self, Client, Server};
use testkit::{Backend, Peer, eventually, op};

use super::child::ChildGateway;
use super::{by_role, close, part, whole};

const NO_LIMITS: &str = "clientMaxMsgSize: -1\nserverMaxMsgSize: -1";

/// 64 MiB, or 1 GiB with `ROPEWAY_LONG` set.
fn large() -> u64 {
    if std::env::var_os("ROPEWAY_LONG").is_some() { 1 << 30 } else { 64 << 20 }
}

#[test]
fn a_message_of_any_size_costs_no_memory() {
    let backend = Backend::listen();
    let gateway = ChildGateway::to(&backend, NO_LIMITS);
    let (mut client, mut server) = gateway.tunnel(&backend);
    // Once before measuring, for what is allocated only once.
    for size in [8 << 20, large()] {
        gateway.usage().forget_peak();
        let before = gateway.usage().peak_memory();
        for by in [Client, Server] {
            let (sender, receiver) = by_role(by, &mut client, &mut server);
            one_frame(by, &sender.tcp, &receiver.tcp, size);
        }
        fragments(&mut client, &mut server, size / 100);
        let grown = gateway.usage().peak_memory() - before;
        eprintln!("{} MiB in one frame each way: {grown} KiB more", size >> 20);
        assert!(size == 8 << 20 || grown < 2 << 10, "{size} bytes cost {grown} KiB");
    }
}

fn one_frame(by: Side, mut sender: &TcpStream, mut receiver: &TcpStream, size: u64) {
    let masked = if by == Client { 0x80 } else { 0 };
    let mut header = vec![0x82, masked | 127];
    header.extend(size.to_be_bytes());
    header.extend(super::mask(by).into_iter().flatten());
    thread::scope(|scope| {
        scope.spawn(|| {
            sender.write_all(&header).unwrap();
            let piece = vec![0xa5; 1 << 20];
            (0..size >> 20).for_each(|_| sender.write_all(&piece).unwrap());
        });
        let mut got = vec![0; header.len()];
        receiver.read_exact(&mut got).unwrap();
        assert_eq!(got, header);
        let mut piece = vec![0; 1 << 20];
        for _ in 0..size >> 20 {
            receiver.read_exact(&mut piece).unwrap();
            assert!(piece.iter().all(|byte| *byte == 0xa5));
        }
    });
}

/// A message of `count` fragments of one byte each.
fn fragments(client: &mut Peer, server: &mut Peer, count: u64) {
    let middle = part(Client, op::CONTINUATION, b"x").repeat(1 << 12);
    let mut sender = client.tcp.try_clone().unwrap();
    client.send(&part(Client, op::BINARY, b""));
    server.bytes(part(Client, op::BINARY, b"").len());
    thread::scope(|scope| {
        scope.spawn(|| (0..count >> 12).for_each(|_| sender.write_all(&middle).unwrap()));
        for _ in 0..count >> 12 {
            assert!(server.bytes(middle.len()) == middle);
        }
    });
    client.send(&whole(Client, op::CONTINUATION, b""));
    assert_eq!(server.bytes(6), whole(Client, op::CONTINUATION, b""));
}

#[test]
fn descriptors_return_after_tunnels_that_ended_in_all_ways() {
    let backend = Backend::listen();
    let gateway = ChildGateway::to(&backend, "closeTimeout: 20ms\nvalidateUtf8: true");
    let end: [fn(Peer, Peer); 10] = [
        |mut client, mut server| {
            client.send(&close(Client, 1000, ""));
            server.frame();
            server.send(&close(Server, 1000, ""));
            client.frame();
        },
        |mut client, _server| client.send(&close(Client, 1000, "")),
        |_client, mut server| server.send(&close(Server, 1000, "")),
        |client, _server| drop(client),
        |_client, server| drop(server),
        |client, mut server| {
            client.reset();
            server.rest();
        },
        |mut client, server| {
            server.reset();
            client.rest();
        },
        |mut client, mut server| {
            client.send(&whole(Client, 3, b"reserved"));
            client.rest();
            server.rest();
        },
        |mut client, mut server| {
            server.send(&whole(Server, op::TEXT, &[b'a'; 40_000]));
            client.rest();
            server.rest();
        },
        |mut client, mut server| {
            client.send(&whole(Client, op::TEXT, &[b'a'; 500])[..100]);
            server.bytes(100);
            server.send(&whole(Server, 3, b"reserved"));
            client.rest();
            server.rest();
        },
    ];
    // Once before counting, for what is opened only once.
    let first = gateway.tunnel(&backend);
    let before = gateway.usage().descriptors() - 2;
    drop(first);
    eventually("the first tunnel is over", || (gateway.usage().descriptors() == before).then_some(()));
    let live: Vec<_> = (0..20).map(|_| gateway.tunnel(&backend)).collect();
    assert_eq!(gateway.usage().descriptors(), before + 40, "two for each tunnel");
    drop(live);
    for end in end.iter().cycle().take(200) {
        let (client, server) = gateway.tunnel(&backend);
        end(client, server);
    }
    eventually("all descriptors are closed", || (gateway.usage().descriptors() == before).then_some(()));
}
