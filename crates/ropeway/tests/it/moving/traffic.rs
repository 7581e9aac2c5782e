//! Hundreds of tunnels that move from one gateway to the other and back under traffic of both sides.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fastrand::Rng;
use ropeway::tunnel::Side;
use testkit::side::{close, mask};
use testkit::{Peer, TestGateway, eventually, frame, op, records};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::{JoinSet, LocalSet};

use super::{open, totals, twins};

const TUNNELS: usize = 200;

const MOVES: usize = 10;

/// Payload that passes between two moves, in bytes.
const BETWEEN: u64 = 4 << 20;

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// What one side has sent, or got.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Sent {
    bytes: u64,
    hash: u64,
    messages: u64,
    payload: u64,
}

#[test]
fn nothing_is_lost_altered_or_counted_twice() {
    let pool = ", validateUtf8: true, clientMaxMsgSize: -1, serverMaxMsgSize: -1";
    let (backend, gateway, twin) = twins(pool);
    let tunnels: Vec<_> = (0..TUNNELS)
        .map(|number| {
            let extensions = if number % 2 == 0 { DEFLATE } else { "" };
            open(&gateway, &backend, extensions, extensions)
        })
        .collect();
    let stop = Arc::<AtomicBool>::default();
    let traffic = thread::spawn({
        let stop = stop.clone();
        move || drive(tunnels, &stop)
    });
    for round in 0..MOVES {
        let (from, to) = if round % 2 == 0 { (&gateway, &twin) } else { (&twin, &gateway) };
        let moved = moved(from);
        eventually("traffic", || (self::moved(from) > moved + BETWEEN).then_some(()));
        if round % 3 == 1 {
            // Called off, all goes on as it did.
            assert_eq!(from.freeze().len(), TUNNELS);
            from.registries().resume();
        }
        assert_eq!(from.move_to(to), TUNNELS, "move {round}");
        assert_eq!(live(to), [TUNNELS; 2], "move {round}");
        eventually("all have left", || (live(from) == [0; 2]).then_some(()));
    }
    stop.store(true, Ordering::Relaxed);
    let mut expected: Vec<_> = traffic.join().unwrap();
    let mut logged =
        eventually("all records", || Some(records(&gateway.name)).filter(|records| records.len() >= TUNNELS));
    assert!(logged.iter().all(|record| record["cause"] == "closed" && record["client_close"] == "1000"));
    let figure = |record: &testkit::Record, name: &str| record[name].parse::<u64>().unwrap();
    let mut logged: Vec<_> = logged
        .drain(..)
        .map(|record| {
            ["client_messages", "client_bytes", "server_messages", "server_bytes"]
                .map(|name| figure(&record, name))
        })
        .collect();
    logged.sort();
    expected.sort();
    assert_eq!(logged, expected);
    // What the two gateways together say of messages is what there was.
    let sum = totals(&gateway).1 + totals(&twin).1;
    let messages: u64 = expected.iter().map(|record| record[0] + record[2]).sum();
    assert_eq!(sum.to_server.messages + sum.to_client.messages, messages);
}

/// How many tunnels there are, and how many their server has.
fn live(gateway: &TestGateway) -> [usize; 2] {
    let status = crate::reload::status(gateway);
    let connections = status["pools"][0]["servers"][0]["connections"].as_u64().unwrap();
    [gateway.registries().tunnels(), connections as usize]
}

fn moved(gateway: &TestGateway) -> u64 {
    let progress = totals(gateway).1;
    progress.to_server.bytes + progress.to_client.bytes
}

/// Talks on all tunnels until `stop`; what the client and the server of each have sent, in messages and payload.
fn drive(tunnels: Vec<(Peer, Peer)>, stop: &Arc<AtomicBool>) -> Vec<[u64; 4]> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut all = JoinSet::new();
        for (number, (client, server)) in tunnels.into_iter().enumerate() {
            all.spawn_local(talk(number, [client, server].map(stream), stop.clone()));
        }
        all.join_all().await
    })
}

fn stream(peer: Peer) -> TcpStream {
    peer.tcp.set_nonblocking(true).unwrap();
    TcpStream::from_std(peer.tcp).unwrap()
}

async fn talk(number: usize, [client, server]: [TcpStream; 2], stop: Arc<AtomicBool>) -> [u64; 4] {
    let ((client_reads, client_writes), (server_reads, server_writes)) =
        (client.into_split(), server.into_split());
    let deflate = number.is_multiple_of(2);
    let script = |side| Script {
        side,
        deflate,
        rng: Rng::with_seed(number as u64),
        text: VecDeque::new(),
        open: None,
    };
    let stop = Rc::new(move || stop.load(Ordering::Relaxed));
    let (from_client, from_server, at_server, at_client) = tokio::join!(
        write(client_writes, script(Side::Client), stop.clone()),
        write(server_writes, script(Side::Server), stop),
        read(server_reads, number.is_multiple_of(5)),
        read(client_reads, number.is_multiple_of(7)),
    );
    let arrived = |sent: Sent| Sent { messages: 0, payload: 0, ..sent };
    assert_eq!(at_server, arrived(from_client), "tunnel {number}, to the server");
    assert_eq!(at_client, arrived(from_server), "tunnel {number}, to the client");
    [from_client.messages, from_client.payload, from_server.messages, from_server.payload]
}

/// Writes until it is to stop, then a Close.
async fn write(mut half: OwnedWriteHalf, mut script: Script, stop: Rc<impl Fn() -> bool>) -> Sent {
    let (mut sent, mut hash) = (Sent::default(), DefaultHasher::new());
    loop {
        let (bytes, last) = script.next(stop(), &mut sent);
        hash.write(&bytes);
        sent.bytes += bytes.len() as u64;
        half.write_all(&bytes).await.unwrap();
        if last {
            break;
        }
        if script.rng.u8(..) < 32 {
            tokio::task::yield_now().await;
        }
    }
    if script.side == Side::Server {
        half.shutdown().await.unwrap();
    } else {
        half.forget();
    }
    Sent { hash: hash.finish(), ..sent }
}

/// Reads to the end, in small pieces with pauses if it is `slow`.
async fn read(mut half: OwnedReadHalf, slow: bool) -> Sent {
    let (mut got, mut hash) = (Sent::default(), DefaultHasher::new());
    let mut buffer = vec![0; if slow { 4 << 10 } else { 256 << 10 }];
    loop {
        let count = half.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        hash.write(&buffer[..count]);
        got.bytes += count as u64;
        if slow {
            tokio::task::yield_now().await;
        }
    }
    Sent { hash: hash.finish(), ..got }
}

/// What a side says.
struct Script {
    side: Side,
    deflate: bool,
    rng: Rng,
    /// What is left of the text under way: the fragments of a text cut its characters.
    text: VecDeque<u8>,
    /// The message under way: whether it is a text that is looked into.
    open: Option<bool>,
}

impl Script {
    /// The next frame, and whether it is the last.
    fn next(&mut self, stop: bool, sent: &mut Sent) -> (Vec<u8>, bool) {
        if stop && self.open.is_none() {
            return (close(self.side, 1000, "done"), true);
        }
        let key = mask(self.side).map(|_| self.rng.u32(..).to_be_bytes());
        if self.rng.u8(..) < 20 {
            let payload = vec![1; self.rng.usize(..126)];
            return (frame(0x80 | op::PING, key, &payload), false);
        }
        let (mut first, is_text) = match self.open {
            Some(is_text) => (op::CONTINUATION, is_text),
            None => match self.rng.u8(..if self.deflate { 4 } else { 3 }) {
                0 => (op::TEXT, true),
                1 | 2 => (op::BINARY, false),
                _ => (0x40 | op::TEXT, false),
            },
        };
        let most = match self.rng.u16(..) {
            0..60 => 1 << 20,
            60..2000 => 70_000,
            _ => 300,
        };
        let fin = stop || self.rng.bool();
        let payload = self.payload(is_text, fin, most);
        if fin {
            first |= 0x80;
        }
        self.open = (!fin).then_some(is_text);
        sent.messages += u64::from(fin);
        sent.payload += payload.len() as u64;
        (frame(first, key, &payload), false)
    }

    fn payload(&mut self, is_text: bool, fin: bool, most: usize) -> Vec<u8> {
        let length = self.rng.usize(..most);
        if !is_text {
            return vec![self.rng.u8(..); length];
        }
        self.text.extend("Grüße, 世界 🌍: ".repeat(length / 16).bytes());
        let length = if fin { self.text.len() } else { self.rng.usize(..=self.text.len()) };
        self.text.drain(..length).collect()
    }
}
