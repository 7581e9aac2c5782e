//! Limits on the size of messages: n passes, n + 1 does not, whatever the frames look like.

use ropeway::tunnel::Side::{self, Client, Server};
use testkit::{Backend, TestGateway, eventually, op, records};

use super::scripted::summary;
use super::{by_role, close, part, whole};

/// A message of `size` bytes: its frames, each with the bytes it adds to the message.
type Shape = fn(Side, usize) -> Vec<(Vec<u8>, usize)>;

const SHAPES: [(&str, Shape); 4] = [
    ("one frame", |side, size| vec![(whole(side, op::BINARY, &vec![1; size]), size)]),
    ("fragments", |side, size| {
        let half = size / 2;
        vec![
            (part(side, op::TEXT, &vec![b'a'; half]), half),
            (part(side, op::CONTINUATION, &vec![b'b'; size - half]), size - half),
            (whole(side, op::CONTINUATION, b""), 0),
        ]
    }),
    ("the last byte by itself", |side, size| {
        vec![
            (part(side, op::TEXT, b""), 0),
            (part(side, op::CONTINUATION, &vec![b'a'; size - 1]), size - 1),
            (whole(side, op::CONTINUATION, b"z"), 1),
        ]
    }),
    ("fragments and control frames", |side, size| {
        let half = size / 2;
        vec![
            (part(side, op::BINARY, &vec![1; half]), half),
            (whole(side, op::PING, &[7; 125]), 0),
            (whole(side, op::PONG, b""), 0),
            (part(side, op::CONTINUATION, b""), 0),
            (whole(side, op::PING, b"again"), 0),
            (whole(side, op::CONTINUATION, &vec![2; size - half]), size - half),
        ]
    }),
];

#[test]
fn n_passes_and_one_more_does_not() {
    let both = |limit: i64| format!("clientMaxMsgSize: {limit}\nserverMaxMsgSize: {limit}");
    let pools =
        [(String::new(), 32_769), (both(0), 32_769), (both(126), 126), (both(1), 1), (both(70_000), 70_000)];
    for (pool, limit) in pools {
        let backend = Backend::listen();
        let gateway = TestGateway::to(&[backend.address], &pool);
        for (by, (shape, frames)) in
            [Client, Server].into_iter().flat_map(|by| SHAPES.map(|shape| (by, shape)))
        {
            for size in [limit - 1, limit, limit + 1].into_iter().filter(|size| *size > 0) {
                let name = format!("{pool:?}, {by:?} sends {size} in {shape}");
                exchange(&gateway, &backend, by, &frames(by, size), limit, &name);
            }
        }
    }
}

fn exchange(
    gateway: &TestGateway,
    backend: &Backend,
    by: Side,
    frames: &[(Vec<u8>, usize)],
    limit: usize,
    name: &str,
) {
    let (mut client, mut server) = gateway.tunnel(backend);
    let (sender, receiver) = by_role(by, &mut client, &mut server);
    let before = records(&gateway.name).len();
    let (passes, excess) = judge(frames, limit);
    // Twice: the count begins anew with each message.
    let repeat = if excess.is_some() { 1 } else { 2 };
    let sent: Vec<u8> = frames.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    sender.send(&sent.repeat(repeat));
    let expected = passes.repeat(repeat);
    assert!(receiver.bytes(expected.len()) == expected, "{name}: what passes is not what was sent");
    if let Some(size) = excess {
        assert_eq!(receiver.frame().close(), (1001, "the other side broke a rule".into()), "{name}");
        receiver.send(&close(by.other(), 1001, ""));
        let (code, reason) = sender.frame().close();
        assert_eq!(code, 1009, "{name}");
        assert_eq!(
            reason,
            format!("message of at least {size} bytes is over the limit of {limit}"),
            "{name}"
        );
    }
    client.finish();
    server.finish();
    client.rest();
    server.rest();
    let record = eventually(name, || records(&gateway.name).get(before).map(summary));
    assert_eq!(record.contains("too_big"), excess.is_some(), "{name}: {record}");
}

/// The frames that pass, and the size of the message as known at the header of the one that does not.
fn judge(frames: &[(Vec<u8>, usize)], limit: usize) -> (Vec<u8>, Option<usize>) {
    let (mut passes, mut size) = (Vec::new(), 0);
    for (bytes, adds) in frames {
        size += adds;
        if size > limit {
            return (passes, Some(size));
        }
        passes.extend(bytes);
    }
    (passes, None)
}

#[test]
fn each_side_has_a_limit_of_its_own_and_minus_one_is_none() {
    let rows = [
        ("clientMaxMsgSize: 10", [(Client, 10), (Server, 32_769)]),
        ("serverMaxMsgSize: 10", [(Client, 32_769), (Server, 10)]),
        ("clientMaxMsgSize: -1", [(Client, usize::MAX), (Server, 32_769)]),
        ("serverMaxMsgSize: -1", [(Client, 32_769), (Server, usize::MAX)]),
    ];
    for (pool, limits) in rows {
        let backend = Backend::listen();
        let gateway = TestGateway::to(&[backend.address], pool);
        for (by, limit) in limits {
            let sizes = if limit == usize::MAX { vec![2 << 20] } else { vec![limit, limit + 1] };
            for size in sizes {
                let frames = [(whole(by, op::BINARY, &vec![1; size]), size)];
                exchange_apart(
                    &gateway,
                    &backend,
                    by,
                    &frames,
                    limit,
                    &format!("{pool}, {by:?} sends {size}"),
                );
            }
        }
    }
}

/// As [`exchange`] for what the kernel's buffers cannot hold.
fn exchange_apart(
    gateway: &TestGateway,
    backend: &Backend,
    by: Side,
    frames: &[(Vec<u8>, usize)],
    limit: usize,
    name: &str,
) {
    if limit != usize::MAX {
        return exchange(gateway, backend, by, frames, limit, name);
    }
    let (mut client, mut server) = gateway.tunnel(backend);
    let (sender, receiver) = by_role(by, &mut client, &mut server);
    let (expected, _) = judge(frames, limit);
    let mut tcp = sender.tcp.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut tcp, &expected).unwrap());
        assert!(receiver.bytes(expected.len()) == expected, "{name}");
    });
}

/// A header is enough: not one byte of the payload has to come before the verdict.
#[test]
fn a_size_is_judged_when_it_is_declared() {
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], "");
    for by in [Client, Server] {
        let (mut client, mut server) = gateway.tunnel(&backend);
        let (sender, receiver) = by_role(by, &mut client, &mut server);
        let masked = if by == Client { 0x80 } else { 0 };
        let mut header = vec![0x82, masked | 127];
        header.extend((1_u64 << 62).to_be_bytes());
        header.extend(super::mask(by).into_iter().flatten());
        sender.send(&header);
        let size = 1_u64 << 62;
        let reason = format!("message of at least {size} bytes is over the limit of 32769");
        assert_eq!(receiver.frame().close().0, 1001, "{by:?}");
        receiver.send(&close(by.other(), 1001, ""));
        assert_eq!(sender.frame().close(), (1009, reason), "{by:?}");
    }
}
