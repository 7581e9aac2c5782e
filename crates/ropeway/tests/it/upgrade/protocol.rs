//! Both sides of the protocol in one process; tunnels are stood for by sockets that echo.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use ropeway::supervisor::handover::incoming::Incoming;
use ropeway::supervisor::handover::link::Link;
use ropeway::supervisor::handover::outgoing::{Holder, Outgoing, judge_process};
use ropeway::supervisor::handover::{Frozen, Listener, UpgradeError};

/// Holds pairs of sockets as if they were tunnels.
#[derive(Default)]
struct Sockets {
    frozen: Vec<Frozen>,
    went_on: usize,
}

impl Holder for Sockets {
    fn listeners(&self) -> io::Result<Vec<Listener>> {
        // More than one message can carry.
        (0..300).map(|number| Ok((format!("other {number}"), UnixStream::pair()?.0.into()))).collect()
    }

    fn state(&self) -> Vec<u8> {
        b"{\"a\":1}".to_vec()
    }

    fn freeze(&mut self) -> Vec<Frozen> {
        std::mem::take(&mut self.frozen)
    }

    fn go_on(&mut self, tunnels: Vec<Frozen>) {
        self.went_on = tunnels.len();
        self.frozen = tunnels;
    }
}

/// So many tunnels, and the far ends of their sockets.
fn sockets(count: usize) -> (Sockets, Vec<[UnixStream; 2]>) {
    let mut holder = Sockets::default();
    let mut far = Vec::new();
    for number in 0..count {
        let (client, near_client) = UnixStream::pair().unwrap();
        let (server, near_server) = UnixStream::pair().unwrap();
        let record = number.to_string().repeat(1 + number % 50).into_bytes();
        holder.frozen.push(Frozen { sockets: [near_client.into(), near_server.into()], record });
        far.push([client, server]);
    }
    (holder, far)
}

#[test]
fn tunnels_arrive_in_order_with_their_records_and_work() {
    let (here, there) = Link::pair().unwrap();
    let (mut holder, mut far) = sockets(300);
    let old = thread::spawn(move || {
        let moved = Outgoing::over(here).run(&mut holder).unwrap();
        assert_eq!((moved.listeners, moved.tunnels, holder.went_on), (300, 300, 0));
    });
    let mut incoming = Incoming::over(there);
    incoming.greet().unwrap();
    let given = incoming.loaded().unwrap();
    assert_eq!(given.listeners.len(), 300);
    assert_eq!(given.listeners[299].0, "other 299");
    assert_eq!(given.state, b"{\"a\":1}");
    let tunnels = incoming.take_over(|tunnels| {
        assert_eq!(tunnels.len(), 300);
        Ok(())
    });
    let tunnels = tunnels.unwrap();
    let mut predecessor = incoming.running();
    old.join().unwrap();
    assert!(predecessor.later_tunnels().is_none(), "the old process is gone");
    for (number, (tunnel, far)) in tunnels.into_iter().zip(&mut far).enumerate() {
        assert_eq!(tunnel.record, number.to_string().repeat(1 + number % 50).into_bytes());
        let [client, server] = tunnel.sockets.map(|socket: OwnedFd| UnixStream::from(socket));
        for (near, far) in [client, server].into_iter().zip(far) {
            let mut byte = [0];
            far.write_all(&[number as u8]).unwrap();
            (&near).read_exact(&mut byte).unwrap();
            assert_eq!(byte, [number as u8], "socket of tunnel {number}");
        }
    }
}

/// Where the new side gives up, and whether the tunnels were frozen by then.
#[test]
fn until_commit_the_old_side_keeps_its_tunnels() {
    for (step, expected) in [(0, 0), (1, 0), (2, 0), (3, 5)] {
        let (here, there) = Link::pair().unwrap();
        let (mut holder, _far) = sockets(5);
        let new = thread::spawn(move || {
            let mut incoming = Incoming::over(there);
            if step > 0 {
                incoming.greet().unwrap();
            }
            if step > 1 {
                incoming.loaded().unwrap();
            }
            if step > 2 {
                incoming.take_over(|_| Err("not these".into())).unwrap_err();
            } else {
                incoming.refuse("not these");
            }
        });
        let error = Outgoing::over(here).run(&mut holder).unwrap_err();
        new.join().unwrap();
        assert!(matches!(error, UpgradeError::Refused(why) if why == "not these"), "at step {step}");
        assert_eq!((holder.frozen.len(), holder.went_on), (5, expected), "at step {step}");
    }
}

#[test]
fn process_1_is_told_what_to_do_instead() {
    judge_process(2).unwrap();
    let text = judge_process(1).unwrap_err().to_string();
    assert!(text.contains("start a container of the new version"), "{text}");
}
