//! Peers that mean harm, each by its name, with what the gateway promises of it: a bound in time and a bound in memory.
//!
//! `closeTimeout`, `handshakeTimeout` and `keepAliveTimeout` are the pool's and the listener's. Memory is what one such
//! peer can make the gateway keep beside what every connection takes; what the kernel buffers is bounded by the kernel.

mod handshake;
mod tunnel;

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ropeway::tunnel::Side;

use crate::frame::frame;
use crate::peer::Peer;

pub use handshake::{ConnectFlood, NeverAnswers, ResetsAt, SlowLoris, WrongAnswer};
pub use tunnel::{
    CloseGarbage, DeclaresHuge, EmptyFragments, FloodsBothWays, HalfCloses, NeverCloses, NeverReads,
    OneByteFrames, PingFlood, TalksNonsense,
};

/// A peer that does harm on a tunnel.
pub trait Hostile: Sync {
    /// Does its worst on a connection whose handshake is done, as this side of the tunnel, until the gateway takes
    /// nothing more or it is enough.
    fn attack(&self, peer: &mut Peer, side: Side, enough: &AtomicBool);
}

/// How long to wait before looking again whether it is enough.
const GLANCE: Duration = Duration::from_millis(20);

/// A frame as `side` has to send it.
fn frame_of(side: Side, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = (side == Side::Client).then_some([0x37, 0xfa, 0x21, 0x3d]);
    frame(first, mask, payload)
}

/// Sends `bytes` again and again until nobody takes them any more or it is enough.
fn flood(peer: &mut Peer, bytes: &[u8], enough: &AtomicBool) {
    let patience = peer.tcp.write_timeout().unwrap();
    peer.tcp.set_write_timeout(Some(GLANCE)).unwrap();
    let mut at = 0;
    while !enough.load(Ordering::Relaxed) {
        match peer.tcp.write(&bytes[at..]) {
            Ok(written) => at = (at + written) % bytes.len(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    peer.tcp.set_write_timeout(patience).unwrap();
}

/// Holds still until it is enough.
fn wait(enough: &AtomicBool) {
    while !enough.load(Ordering::Relaxed) {
        std::thread::park_timeout(GLANCE);
    }
}
