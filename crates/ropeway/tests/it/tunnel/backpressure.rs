//! A receiver that does not read stops the sender, and only the sender.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use ropeway::tunnel::Side::{Client, Server};
use socket2::SockRef;
use testkit::{Backend, End, Peer, TestGateway, eventually, op, record, records};

use super::scripted::summary;
use super::{by_role, close, whole};

const NO_LIMITS: &str = "clientMaxMsgSize: -1\nserverMaxMsgSize: -1";

/// Far more than the kernel's buffers of four sockets hold.
const FLOOD: usize = 96 << 20;

#[test]
fn a_receiver_that_does_not_read_stops_the_sender() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], NO_LIMITS);
    for by in [Client, Server] {
        let (mut client, mut server) = gateway.tunnel(&backend);
        buffers(&client, 32 << 10);
        buffers(&server, 32 << 10);
        let (sender, receiver) = by_role(by, &mut client, &mut server);
        let frame = whole(by, op::BINARY, &vec![9; 1 << 20]);
        let accepted = send_until_stopped(&sender.tcp, &frame);
        assert!(accepted < FLOOD / 2, "{by:?}: {accepted} bytes were taken although nobody read");
        // The other direction runs on, past the one that stands.
        let word = whole(by.other(), op::TEXT, b"meanwhile");
        receiver.send(&word);
        assert_eq!(sender.bytes(word.len()), word, "{by:?}");
        // And all that was taken arrives.
        buffers(receiver, 4 << 20);
        let same = receiver.bytes(accepted).chunks(frame.len()).all(|chunk| frame.starts_with(chunk));
        assert!(same, "{by:?}: what arrived is not what was sent");
    }
}

#[test]
fn a_backlog_and_a_close_behind_it_reach_a_slow_receiver() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], &format!("{NO_LIMITS}\ncloseTimeout: 60s"));
    for by in [Client, Server] {
        let (mut client, mut server) = gateway.tunnel(&backend);
        buffers(&client, 32 << 10);
        buffers(&server, 32 << 10);
        let (sender, receiver) = by_role(by, &mut client, &mut server);
        let bytes = [whole(by, op::BINARY, &[8; 1000]).repeat(6_000), close(by, 1000, "done")].concat();
        let mut tcp = sender.tcp.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                tcp.write_all(&bytes).unwrap();
                tcp.shutdown(std::net::Shutdown::Write).unwrap();
            });
            assert!(receiver.bytes(bytes.len()) == bytes, "{by:?}");
        });
    }
}

/// The same for one that broke a rule, and a message that is only looked at before the receiver takes it.
#[test]
fn a_backlog_reaches_an_offender_and_its_verdict_stands_behind() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], &format!("{NO_LIMITS}\ncloseTimeout: 60s"));
    for (by, slow) in [(Client, true), (Client, false), (Server, true), (Server, false)] {
        let (mut client, mut server) = gateway.tunnel(&backend);
        let (offender, other) = by_role(by, &mut client, &mut server);
        if slow {
            buffers(offender, 32 << 10);
        }
        offender.send(&whole(by, 3, b""));
        assert_eq!(other.frame().close().0, 1001);
        let large: Vec<u8> = (0..16 << 20).map(|at: u32| (at / 7) as u8).collect();
        let said =
            [whole(by.other(), op::BINARY, &large), whole(by.other(), op::TEXT, b"and").repeat(5)].concat();
        let sent = [said.clone(), close(by.other(), 4000, "done")].concat();
        thread::scope(|scope| {
            scope.spawn(|| other.send(&sent));
            assert!(offender.bytes(said.len()) == said, "{by:?}, slow: {slow}");
            assert_eq!(offender.frame().close(), (1002, "opcode is reserved".into()), "{by:?}, slow: {slow}");
        });
        client.finish();
        server.finish();
    }
}

/// No Close can be written to a peer that never reads: it is cut when time is up.
#[test]
fn a_peer_that_never_reads_is_cut() {
    /// Gives the gateway back if it still runs.
    type Ends = fn(TestGateway, &mut Peer) -> Option<TestGateway>;
    let ends: [(&str, Ends); 3] = [
        ("client closed; got 1000 -; sent - -; 0/0 ", |gateway, client| {
            client.send(&close(Client, 1000, ""));
            Some(gateway)
        }),
        ("client violation:reserved_opcode; got - -; sent - 1001; 0/0 ", |gateway, client| {
            client.send(&whole(Client, 3, b""));
            Some(gateway)
        }),
        ("gateway drain:shutdown; got - -; sent - 1001; 0/0 ", |gateway, _| {
            gateway.stop();
            None
        }),
    ];
    for (expected, end) in ends {
        let backend = Backend::listen();
        let gateway = TestGateway::to(&[backend.address], &format!("{NO_LIMITS}\ncloseTimeout: 200ms"));
        let name = gateway.name.clone();
        let (mut client, server) = gateway.tunnel(&backend);
        buffers(&client, 32 << 10);
        buffers(&server, 32 << 10);
        send_until_stopped(&server.tcp, &whole(Server, op::BINARY, &vec![9; 1 << 20]));
        let _gateway = end(gateway, &mut client);
        let summary = summary(&record(&name));
        assert!(summary.starts_with(expected), "{summary} is not {expected}");
    }
}

/// A violation, or a Close, and then a flood: so much is read and thrown away, and the offender still hears its verdict.
#[test]
fn what_does_not_count_is_not_read_for_ever() {
    const WASTE: usize = 16 << 20;
    let ends = [
        ("violation:reserved_opcode; got - 1001; sent 1002 1001; 0/0 0/0", whole(Client, 3, b"")),
        ("closed; got 1000 1001; sent - -; 0/0 0/0", close(Client, 1000, "")),
    ];
    thread::scope(|scope| {
        for (expected, end) in ends {
            scope.spawn(move || {
                let backend = Backend::listen();
                let gateway = TestGateway::to(&[backend.address], &format!("{NO_LIMITS}\ncloseTimeout: 5s"));
                let (mut client, mut server) = gateway.tunnel(&backend);
                client.send(&end);
                assert_eq!(server.frame().opcode, op::CLOSE);
                let accepted = send_until_stopped(&client.tcp, &vec![9; 1 << 20]);
                assert!((WASTE..FLOOD).contains(&accepted), "{accepted} bytes were taken");
                server.send(&close(Server, 1001, ""));
                server.finish();
                assert_eq!(client.frame().opcode, op::CLOSE);
                assert_eq!(client.end(), End::Fin);
                let record = record(&gateway.name);
                assert_eq!(summary(&record), format!("client {expected}"));
                // A socket that is closed with unread bytes resets: the client has all the time to read its Close.
                assert!(record["duration_ms"].parse::<u64>().unwrap() >= 5_000, "{record:?}");
            });
        }
    });
}

/// What the other side still says without end reaches an offender for `closeTimeout`, and no longer.
#[test]
fn an_offender_is_not_told_for_ever() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], &format!("{NO_LIMITS}\ncloseTimeout: 1s"));
    for by in [Client, Server] {
        let (mut client, mut server) = gateway.tunnel(&backend);
        let before = records(&gateway.name).len();
        let (offender, other) = by_role(by, &mut client, &mut server);
        let flood = whole(by.other(), op::BINARY, &[9; 1000]);
        offender.send(&whole(by, 3, b""));
        thread::scope(|scope| {
            scope.spawn(|| while other.try_send(&flood) {});
            let got = offender.rest();
            let data = got.chunks(flood.len()).take_while(|chunk| *chunk == flood).count();
            let last = &got[data * flood.len()..];
            let cut = flood.starts_with(last);
            assert!(data > 100, "{by:?}: only {data} frames passed");
            assert!(cut || last[0] == 0x80 | op::CLOSE, "{by:?}: {data} frames, then {last:x?}");
            let record = eventually("its record", || records(&gateway.name).get(before).map(summary));
            let sent = if cut { "-" } else { "1002" };
            let sent = if by == Client { format!("{sent} 1001") } else { format!("1001 {sent}") };
            let cause = format!("{} violation:reserved_opcode; got - -; sent {sent};", by.label());
            assert!(record.starts_with(&cause), "{record} is not {cause}");
        });
    }
}

/// Buffers of this size on this end; the gateway's own are what the kernel gives it.
fn buffers(peer: &Peer, size: usize) {
    let socket = SockRef::from(&peer.tcp);
    socket.set_send_buffer_size(size).unwrap();
    socket.set_recv_buffer_size(size).unwrap();
}

/// Sends `frame` again and again until the other end has taken nothing for a while; says how many bytes it took.
fn send_until_stopped(mut tcp: &TcpStream, frame: &[u8]) -> usize {
    let patience = tcp.write_timeout().unwrap();
    tcp.set_write_timeout(Some(Duration::from_millis(400))).unwrap();
    let mut accepted = 0;
    while accepted < FLOOD {
        match tcp.write(&frame[accepted % frame.len()..]) {
            Ok(written) => accepted += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    tcp.set_write_timeout(patience).unwrap();
    accepted
}
