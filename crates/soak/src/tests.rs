//! The soak itself is tried: whatever a bridge does to one message must be told as exactly that.
#![allow(clippy::unwrap_used, reason = "a fault of the test's own surroundings ends the test")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::message::Way;
use crate::{Backends, Plan, Report, Soak, Target, frames};

/// What happens to the third message of the first tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trick {
    Nothing,
    Lose,
    Double,
    /// It comes behind the next one.
    Reorder,
    Alter,
    /// It comes through another tunnel.
    Stray,
    /// It never comes, nor does anything behind it.
    Cut,
    /// A Close frame comes in its place.
    Close,
    /// A frame without a meaning comes in its place.
    Nonsense,
    /// There is no tunnel at all.
    Refuse,
}

const TRICKED: usize = 3;

/// Passes connections on, and plays the trick on the first one.
fn bridge(backend: SocketAddr, trick: Trick, way: Way) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let strayed = Arc::<Mutex<Vec<u8>>>::default();
        for (index, client) in listener.incoming().enumerate() {
            let (mut client, server) = (client.unwrap(), TcpStream::connect(backend).unwrap());
            let of = |this| if index == 0 && way == this { trick } else { Trick::Nothing };
            if index == 0 && trick == Trick::Refuse {
                client.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
                continue;
            }
            for (from, to, trick) in [(&client, &server, of(Way::Up)), (&server, &client, of(Way::Down))] {
                let (from, to, strayed) =
                    (from.try_clone().unwrap(), to.try_clone().unwrap(), strayed.clone());
                // Only one direction may take up what strayed: the mask must fit.
                let takes = trick == Trick::Nothing && index > 0;
                let mask = from.local_addr().unwrap() == address;
                let takes = takes && mask == (way == Way::Up);
                thread::spawn(move || Pass { from, to, trick, strayed, takes }.run());
            }
        }
    });
    address
}

struct Pass {
    from: TcpStream,
    to: TcpStream,
    trick: Trick,
    strayed: Arc<Mutex<Vec<u8>>>,
    takes: bool,
}

impl Pass {
    /// Whatever fails is the end of it, for both sides to see.
    fn run(mut self) {
        let _ = self.pass();
        let _ = (self.from.shutdown(Shutdown::Both), self.to.shutdown(Shutdown::Both));
    }

    fn pass(&mut self) -> std::io::Result<()> {
        let mut inbox = Vec::new();
        let head = loop {
            self.read(&mut inbox)?;
            if let Some(end) = inbox.windows(4).position(|four| four == b"\r\n\r\n") {
                break inbox.drain(..end + 4).collect::<Vec<_>>();
            }
        };
        self.to.write_all(&head)?;
        let (mut message, mut count, mut held) = (Vec::new(), 0, Vec::new());
        loop {
            while let Ok(Some(frame)) = frames::read(&mut inbox.clone(), 0, usize::MAX) {
                let raw: Vec<u8> = inbox.drain(..frame.payload.end).collect();
                if frame.opcode >= frames::CLOSE {
                    self.to.write_all(&raw)?;
                    continue;
                }
                // Whole messages are moved, so that the protocol stays right.
                message.push((raw, !frame.payload.is_empty()));
                if frame.fin {
                    count += 1;
                    self.message(&std::mem::take(&mut message), count, &mut held)?;
                }
            }
            self.read(&mut inbox)?;
        }
    }

    fn message(
        &mut self,
        frames: &[(Vec<u8>, bool)],
        count: usize,
        held: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let mut bytes: Vec<u8> = frames.iter().flat_map(|(raw, _)| raw).copied().collect();
        let trick = if count == TRICKED { self.trick } else { Trick::Nothing };
        match trick {
            Trick::Nothing | Trick::Refuse => {}
            Trick::Lose => return Ok(()),
            Trick::Double => bytes.extend(bytes.clone()),
            Trick::Reorder => {
                held.append(&mut bytes);
                return Ok(());
            }
            Trick::Alter => {
                let upto = frames.iter().position(|(_, filled)| *filled).unwrap();
                let end: usize = frames[..=upto].iter().map(|(raw, _)| raw.len()).sum();
                bytes[end - 1] ^= 1;
            }
            Trick::Stray => {
                *self.strayed.lock().unwrap() = bytes;
                return Ok(());
            }
            Trick::Cut => return Err(std::io::ErrorKind::ConnectionReset.into()),
            Trick::Close => bytes = b"\x88\x06\x0f\xa1gone".to_vec(),
            Trick::Nonsense => {
                bytes = if bytes[1] & 0x80 == 0 { vec![0x80, 0] } else { vec![0x80, 0x80, 1, 2, 3, 4] }
            }
        }
        if self.takes {
            bytes.append(&mut self.strayed.lock().unwrap());
        }
        bytes.append(held);
        self.to.write_all(&bytes)
    }

    fn read(&mut self, inbox: &mut Vec<u8>) -> std::io::Result<()> {
        let mut bytes = [0; 4096];
        match self.from.read(&mut bytes)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => {
                inbox.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }
}

fn soak(trick: Trick, way: Way) -> Soak {
    let backends = Backends::listen(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = bridge(backends.addresses[0], trick, way);
    let target = Target { address, host: "soak.example".into(), path: "/ws".into(), tls: None };
    let interval = Duration::from_millis(4);
    backends.soak(target, Plan { tunnels: 3, interval, largest: 4096, churn: None, seed: 5 }).unwrap()
}

fn wait(soak: &Soak, what: &str, condition: impl Fn(&Report) -> bool) {
    let began = Instant::now();
    while !condition(&soak.report()) {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: {}", soak.report());
        thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn what_is_done_to_one_message_is_told_as_exactly_that() {
    // lost, doubled, reordered, altered, strayed, closed unexpectedly, failed handshakes, malformed
    for (trick, expected) in [
        (Trick::Nothing, [0, 0, 0, 0, 0, 0, 0, 0]),
        (Trick::Lose, [1, 0, 0, 0, 0, 0, 0, 0]),
        (Trick::Double, [0, 1, 0, 0, 0, 0, 0, 0]),
        (Trick::Reorder, [0, 0, 1, 0, 0, 0, 0, 0]),
        (Trick::Alter, [0, 0, 0, 1, 0, 0, 0, 0]),
        (Trick::Stray, [1, 0, 0, 0, 1, 0, 0, 0]),
        (Trick::Cut, [0, 0, 0, 0, 0, 1, 0, 0]),
        (Trick::Refuse, [0, 0, 0, 0, 0, 0, 1, 0]),
    ] {
        for way in [Way::Up, Way::Down] {
            let soak = soak(trick, way);
            wait(&soak, "traffic", |report| report.received > 200);
            let report = soak.finish();
            let Report { lost, doubled, reordered, altered, strayed, failed_handshakes, .. } = report;
            let malformed = report.malformed.len() as u64;
            let closed = report.unexpected_closes();
            let found = [lost, doubled, reordered, altered, strayed, closed, failed_handshakes, malformed];
            assert_eq!(found, expected, "{trick:?} {way:?}\n{report}");
            assert_eq!(report.is_clean(), trick == Trick::Nothing, "{trick:?} {way:?}\n{report}");
            if trick == Trick::Nothing {
                assert_eq!(
                    (report.sent, report.opened, report.gaps.len()),
                    (report.received, 3, 3),
                    "{report}"
                );
            }
        }
    }
}

#[test]
fn a_close_is_told_with_its_code_its_reason_and_its_time() {
    let soak = soak(Trick::Close, Way::Down);
    wait(&soak, "the close", |report| !report.closes.is_empty());
    let report = soak.finish();
    let closes: Vec<_> =
        report.closes.iter().map(|(close, count)| (close.code, &*close.reason, *count)).collect();
    assert_eq!(closes, [(4001, "gone", 1)]);
    assert!(report.closed_at.len() == 1 && report.messages_are_clean() && !report.is_clean(), "{report}");
}

#[test]
fn nonsense_is_told_by_either_end() {
    for way in [Way::Up, Way::Down] {
        let soak = soak(Trick::Nonsense, way);
        wait(&soak, "the nonsense", |report| !report.malformed.is_empty());
        assert_eq!(soak.finish().malformed, ["opcode 0, message begun: false"], "{way:?}");
    }
}

#[test]
fn the_last_message_is_missed_too() {
    let soak = soak(Trick::Nothing, Way::Up);
    wait(&soak, "traffic", |report| report.received > 20);
    let tunnel = super::locked(&soak.world.tunnels)[&0].clone();
    super::locked(&tunnel).up.sent += 1;
    assert_eq!(soak.finish().lost, 1);
}

#[test]
fn unevenness_is_the_farthest_from_an_even_pace() {
    let secs = Duration::from_secs;
    let of = |closed_at: &[u64]| Report {
        closed_at: closed_at.iter().map(|at| secs(*at)).collect(),
        ..Report::default()
    };
    let even = of(&[11, 13, 15, 17, 19]).unevenness(secs(10), secs(10)).unwrap();
    assert!(even < 0.001, "{even}");
    let late = of(&[11, 13, 18, 18, 19]).unevenness(secs(10), secs(10)).unwrap();
    assert!((late - 0.3).abs() < 0.001, "{late}");
    assert_eq!(of(&[]).unevenness(secs(0), secs(1)), None);
}
