//! On a tunnel. Each takes the place of the client or of the server.

use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::thread;

use ropeway::tunnel::Side;
use socket2::{Domain, SockRef, Socket, Type};

use super::{Hostile, flood, frame_of, wait};
use crate::frame::op;
use crate::peer::Peer;

/// Never reads a byte of what the other side sends.
///
/// - Time: none while the tunnel is open: the other side is stopped by TCP. Once it is to end, `closeTimeout`.
/// - Memory: 64 KiB.
#[derive(Clone, Copy, Debug)]
pub struct NeverReads;

/// Breaks a rule, and then neither answers the Close it is told with nor closes its connection.
///
/// - Time: `closeTimeout`.
/// - Memory: nothing stays.
#[derive(Clone, Copy, Debug)]
pub struct NeverCloses;

/// Ends its stream without a Close and goes on reading.
///
/// - Time: the other side is told at once, and `closeTimeout` for it to end.
/// - Memory: nothing stays.
#[derive(Clone, Copy, Debug)]
pub struct HalfCloses;

/// Declares a frame of this many bytes, and sends zeros without end.
///
/// - Time: over the limit of a message, or at 2^63 and more: the tunnel ends at the header, within `closeTimeout`.
///   Where there is no limit: none, it is a message like any other.
/// - Memory: nothing is reserved for it; 64 KiB.
#[derive(Clone, Copy, Debug)]
pub struct DeclaresHuge(pub u64);

/// Sends pings as fast as they are taken, and never reads the pongs.
///
/// - Time: none; each wake of its tunnel does a bounded piece of work, and others have their turn in between.
/// - Memory: 64 KiB for each direction.
#[derive(Clone, Copy, Debug)]
pub struct PingFlood;

/// One message in fragments of one byte, without end.
///
/// - Time: until the limit of a message is reached, then `closeTimeout`. Where there is no limit: as [`PingFlood`].
/// - Memory: 64 KiB; fragments are not put together.
#[derive(Clone, Copy, Debug)]
pub struct OneByteFrames;

/// One message in fragments without a byte, without end: no limit of sizes is ever reached.
///
/// - Time and memory: as [`PingFlood`].
#[derive(Clone, Copy, Debug)]
pub struct EmptyFragments;

/// A Close, and behind it bytes without end that are no frames.
///
/// - Time: `closeTimeout`.
/// - Memory: nothing of it is kept.
#[derive(Clone, Copy, Debug)]
pub struct CloseGarbage;

/// Agrees to speak WebSocket and then sends this, again and again.
///
/// - Time: the tunnel ends at the first rule that is broken, within `closeTimeout`.
/// - Memory: nothing of it is kept.
#[derive(Clone, Copy, Debug)]
pub struct TalksNonsense(pub &'static [u8]);

/// Sends messages without reading until so many bytes are gone, while the other side does the same: neither waits for
/// the other. No harm is meant; a relay that serves one direction at a time stands still for ever.
///
/// - Time: as long as both take to read.
/// - Memory: 64 KiB for each direction.
#[derive(Clone, Copy, Debug)]
pub struct FloodsBothWays {
    /// How many messages of 100 bytes.
    pub messages: usize,
}

impl NeverReads {
    /// Connects with the smallest buffer there is, and so that the gateway's is small, too; gives back a client whose
    /// handshake is under way.
    pub fn shake(address: SocketAddr, path: &str) -> Peer {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Before it connects: afterwards the window that was offered stays.
        socket.set_recv_buffer_size(1).unwrap();
        // A sender's buffer grows with its segments, and those of loopback have 64 KiB.
        socket.set_tcp_mss(536).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut peer = Peer::new(socket.into());
        let upgrade = crate::UPGRADE;
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n{upgrade}\r\n").as_bytes());
        peer
    }
}

impl Hostile for NeverReads {
    fn attack(&self, _: &mut Peer, _: Side, enough: &AtomicBool) {
        wait(enough);
    }
}

impl Hostile for NeverCloses {
    fn attack(&self, peer: &mut Peer, side: Side, enough: &AtomicBool) {
        peer.try_send(&frame_of(side, 0x83, b"reserved"));
        wait(enough);
    }
}

impl Hostile for HalfCloses {
    fn attack(&self, peer: &mut Peer, _: Side, _: &AtomicBool) {
        let _ = peer.tcp.shutdown(Shutdown::Write);
        peer.rest();
    }
}

impl Hostile for DeclaresHuge {
    fn attack(&self, peer: &mut Peer, side: Side, enough: &AtomicBool) {
        let masked = if side == Side::Client { 0x80 } else { 0 };
        let key: &[u8] = if side == Side::Client { &[0; 4] } else { &[] };
        peer.try_send(&[&[0x82, masked | 127][..], &self.0.to_be_bytes(), key].concat());
        flood(peer, &[0; 1 << 16], enough);
    }
}

impl Hostile for PingFlood {
    fn attack(&self, peer: &mut Peer, side: Side, enough: &AtomicBool) {
        flood(peer, &frame_of(side, 0x80 | op::PING, b"?").repeat(10_000), enough);
    }
}

impl Hostile for OneByteFrames {
    fn attack(&self, peer: &mut Peer, side: Side, enough: &AtomicBool) {
        peer.try_send(&frame_of(side, op::BINARY, b"a"));
        flood(peer, &frame_of(side, op::CONTINUATION, b"a").repeat(10_000), enough);
    }
}

impl Hostile for EmptyFragments {
    fn attack(&self, peer: &mut Peer, side: Side, enough: &AtomicBool) {
        peer.try_send(&frame_of(side, op::BINARY, b""));
        flood(peer, &frame_of(side, op::CONTINUATION, b"").repeat(10_000), enough);
    }
}

impl Hostile for CloseGarbage {
    fn attack(&self, peer: &mut Peer, side: Side, enough: &AtomicBool) {
        peer.try_send(&frame_of(side, 0x80 | op::CLOSE, &crate::close(1000, "bye")));
        flood(peer, &[0xff; 1 << 16], enough);
    }
}

impl Hostile for TalksNonsense {
    fn attack(&self, peer: &mut Peer, _: Side, enough: &AtomicBool) {
        flood(peer, self.0, enough);
    }
}

impl FloodsBothWays {
    /// Both ends of a tunnel flood each other over small buffers and then read: what each sent is what the other got.
    ///
    /// # Panics
    /// Other bytes arrive, or none any more.
    pub fn attack(self, client: &mut Peer, server: &mut Peer) {
        let sent = |side| frame_of(side, 0x80 | op::BINARY, &[3; 100]).repeat(self.messages);
        thread::scope(|scope| {
            for (peer, side) in [(client, Side::Client), (server, Side::Server)] {
                let socket = SockRef::from(&peer.tcp);
                socket.set_send_buffer_size(32 << 10).unwrap();
                socket.set_recv_buffer_size(32 << 10).unwrap();
                let mut sender = Peer::new(peer.tcp.try_clone().unwrap());
                scope.spawn(move || sender.send(&sent(side)));
                scope.spawn(move || {
                    let expected = sent(side.other());
                    assert!(peer.bytes(expected.len()) == expected, "to {side:?}");
                });
            }
        });
    }
}
