//! Before there is a tunnel.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::frame::{frame, masked, op};
use crate::peer::{Peer, UPGRADE};

/// Sends next to nothing, one byte every 20 ms, and holds its place with that.
///
/// - Time: in a request's head, `keepAliveTimeout`, whatever it drips; before the first byte of a connection as long
///   again. In a tunnel none: it is as good as any idle
///   client, until the other side ends the tunnel or the gateway stops; then `closeTimeout`.
/// - Memory: 32 KiB in a head; in a tunnel the bytes of the frame header that is not whole, 13 at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlowLoris {
    /// Its path never ends.
    RequestLine,
    /// Its headers never end.
    Headers,
    /// It sends a ping, and long after that another one.
    BetweenFrames,
    /// The first byte of a frame, and not the second.
    InsideFrameHeader,
    /// A frame of 30,000 bytes, byte by byte.
    InsidePayload,
}

/// Cuts its connection with a reset behind so many bytes of what a good peer would send.
///
/// - Time: at once; the other side hears of it, and has `closeTimeout` to end.
/// - Memory: nothing stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResetsAt(pub usize);

/// Opens connections and holds them without a word.
///
/// - Time: `keepAliveTimeout`.
/// - Memory: a connection's; descriptors above the gateway's room are refused: 503 `no_room`, or the end at once.
#[derive(Debug)]
pub struct ConnectFlood {
    /// What it holds; those that the gateway does not accept are among them.
    pub connections: Vec<Peer>,
}

/// A backend that takes the connection and the request and never says a word.
///
/// - Time: `handshakeTimeout` for each server that is tried; the client hears 504 `handshake_timeout`.
/// - Memory: a connection's.
#[derive(Clone, Copy, Debug)]
pub struct NeverAnswers;

/// A backend that answers the handshake with this.
///
/// - Time: none, the client hears 502 `answer_invalid` when the head is here; `handshakeTimeout` for a head that is
///   not whole.
/// - Memory: 32 KiB of head.
#[derive(Clone, Copy, Debug)]
pub struct WrongAnswer<'a>(pub &'a [u8]);

impl SlowLoris {
    /// Connects for `path` and drips until the gateway ends the connection or `enough`: how long it lived, `None`
    /// when it was not ended.
    pub fn attack(
        self,
        address: SocketAddr,
        path: &str,
        mut enough: impl FnMut() -> bool,
    ) -> Option<Duration> {
        let began = Instant::now();
        let mut peer = Peer::connect(address);
        peer.send(self.opening(path).as_bytes());
        if !self.is_in_head() {
            peer.head();
        }
        peer.send(self.beginning());
        peer.tcp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut room = [0; 4096];
        while !enough() {
            match peer.tcp.read(&mut room) {
                Ok(0) => return Some(began.elapsed()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    peer.try_send(self.drop());
                }
                Err(_) => return Some(began.elapsed()),
            }
        }
        None
    }

    /// Whether it stays in its request's head.
    pub fn is_in_head(self) -> bool {
        matches!(self, SlowLoris::RequestLine | SlowLoris::Headers)
    }

    fn opening(self, path: &str) -> String {
        match self {
            SlowLoris::RequestLine => format!("GET {path}"),
            SlowLoris::Headers => format!("GET {path} HTTP/1.1\r\nHost: test.example\r\nX-Slow: "),
            _ => format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n{UPGRADE}\r\n"),
        }
    }

    fn beginning(self) -> &'static [u8] {
        match self {
            SlowLoris::RequestLine | SlowLoris::Headers => b"a",
            SlowLoris::BetweenFrames => &[0x89, 0x80, 1, 2, 3, 4],
            SlowLoris::InsideFrameHeader => &[0x82],
            SlowLoris::InsidePayload => &[0x82, 0x80 | 126, 0x75, 0x30, 1, 2, 3, 4],
        }
    }

    fn drop(self) -> &'static [u8] {
        match self {
            SlowLoris::BetweenFrames | SlowLoris::InsideFrameHeader => b"",
            _ => b"a",
        }
    }
}

impl ResetsAt {
    /// All that a good client sends: handshake, messages, Close.
    pub fn client(path: &str) -> Vec<u8> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n{UPGRADE}\r\n");
        let frames = [masked(op::TEXT, b"hello"), masked(op::PING, b"?"), masked(op::BINARY, &[7; 130])];
        [head.into_bytes(), frames.concat(), masked(op::CLOSE, &crate::close(1000, "bye"))].concat()
    }

    /// All that a good server answers to this request and sends then.
    pub fn server(request: &str) -> Vec<u8> {
        let frames = [frame(0x81, None, b"hello"), frame(0x89, None, b"?"), frame(0x82, None, &[7; 130])];
        let close = frame(0x88, None, &crate::close(1000, "bye"));
        [Backend::answer(request, "").into_bytes(), frames.concat(), close].concat()
    }

    /// Sends so many bytes of `script`, lets `meanwhile` happen, and resets.
    pub fn attack(self, mut peer: Peer, script: &[u8], meanwhile: impl FnOnce()) {
        peer.try_send(&script[..self.0]);
        meanwhile();
        peer.reset();
    }
}

impl ConnectFlood {
    /// Opens `count` connections.
    pub fn open(address: SocketAddr, count: usize) -> Self {
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok().map(Peer::new);
        ConnectFlood { connections: (0..count).filter_map(|_| connect()).collect() }
    }
}

impl NeverAnswers {
    /// Takes the request off a connection that was accepted.
    pub fn attack(self, peer: &mut Peer) {
        peer.head();
    }
}

impl WrongAnswer<'_> {
    /// Answers the request of a connection that was accepted.
    pub fn attack(self, peer: &mut Peer) {
        peer.head();
        // The gateway may have read enough before all of it is sent.
        peer.try_send(self.0);
    }
}
