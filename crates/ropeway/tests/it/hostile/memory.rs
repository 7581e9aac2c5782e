//! A thousand clients that never read.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use socket2::SockRef;
use testkit::hostile::NeverReads;
use testkit::{Peer, frame, op};

use super::siege::Siege;

const CLIENTS: usize = 1000;

/// Handshakes at a time.
const AT_ONCE: usize = 10;

/// What one of them may cost, in KiB: the bytes that are kept for it, and the tunnel itself.
const EACH: usize = 64 + 6;

#[test]
fn a_thousand_clients_that_never_read_cost_what_is_kept_for_each() {
    let mut siege = Siege::start("clientMaxMsgSize: -1\nserverMaxMsgSize: -1");
    let tunnels = siege.beside("a thousand that never read", CLIENTS * EACH, |field| {
        let (mut clients, mut servers) = (Vec::new(), Vec::new());
        for _ in 0..CLIENTS / AT_ONCE {
            let mut shaken = [(); AT_ONCE].map(|()| NeverReads::shake(field.gateway.address, "/bad"));
            servers.extend(shaken.iter().map(|_| field.bad.accept_websocket("").0));
            for client in &mut shaken {
                let head = client.head();
                assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            }
            clients.extend(shaken);
        }
        let pushed = push(&mut servers);
        assert!(pushed > 2 * CLIENTS * EACH, "only {pushed} KiB were pushed");
        (clients, servers)
    });
    siege.stop();
    drop(tunnels);
}

/// Pushes messages to all, until for a while nobody has taken a byte, or what was taken is far more than may be kept.
/// How many KiB were taken.
fn push(servers: &mut [Peer]) -> usize {
    let message = frame(0x80 | op::BINARY, None, &vec![7; 1 << 20]);
    for server in &mut *servers {
        SockRef::from(&server.tcp).set_send_buffer_size(4 << 10).unwrap();
        server.tcp.set_nonblocking(true).unwrap();
    }
    let (mut taken, mut last) = (vec![0; servers.len()], Instant::now());
    while last.elapsed() < Duration::from_millis(200)
        && taken.iter().sum::<usize>() >> 10 < 15 * CLIENTS * EACH
    {
        for (server, taken) in servers.iter_mut().zip(&mut taken) {
            match server.tcp.write(&message[*taken % message.len()..]) {
                Ok(count) => {
                    *taken += count;
                    last = Instant::now();
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
    }
    taken.iter().sum::<usize>() >> 10
}
