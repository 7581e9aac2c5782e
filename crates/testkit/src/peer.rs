//! One end of a TCP connection, in the hands of a test.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::PATIENCE;
use crate::frame::{Frame, frame, op};

/// The headers of a handshake, with RFC 6455's example key.
pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A raw client, or one connection of a raw [`Backend`](crate::Backend).
#[derive(Debug)]
pub struct Peer {
    /// The connection.
    pub tcp: TcpStream,
    /// Read, and not yet asked for.
    input: Vec<u8>,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// In order: the other end will send no more.
    Fin,
    /// By a reset.
    Reset,
}

impl Peer {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Peer::new(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn new(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        Peer { tcp, input: Vec::new() }
    }

    /// Connects and sends a handshake for `path` with `headers` (each with its line end) beside those it needs.
    pub fn shake(address: SocketAddr, path: &str, headers: &str) -> Self {
        let mut peer = Peer::connect(address);
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n{UPGRADE}{headers}\r\n").as_bytes());
        peer
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).unwrap();
    }

    /// Sends bytes for as long as the other end takes them: whether it took all.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.tcp.write_all(bytes).is_ok()
    }

    /// Reads the head of a request or an answer, with its empty line.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8(self.take(end + 4)).unwrap();
            }
            assert!(
                self.more(),
                "the connection ended inside a head: {:?}",
                String::from_utf8_lossy(&self.input)
            );
        }
    }

    /// A head; `None` if the connection ends first.
    pub fn head_or_end(&mut self) -> Option<String> {
        while !self.input.windows(4).any(|window| window == b"\r\n\r\n") {
            if !self.more() {
                return None;
            }
        }
        Some(self.head())
    }

    /// Reads exactly `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.input.len() < count {
            assert!(self.more(), "the connection ended after {} of {count} bytes", self.input.len());
        }
        self.take(count)
    }

    /// Reads exactly `count` bytes, or `None` where the connection ends before.
    pub fn bytes_or_end(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.input.len() < count {
            if !self.more() {
                return None;
            }
        }
        Some(self.take(count))
    }

    /// Reads a frame.
    pub fn frame(&mut self) -> Frame {
        self.frame_or_end().expect("a frame, and not the end of the connection")
    }

    /// Reads a frame, or the end of the connection at a frame border.
    pub fn frame_or_end(&mut self) -> Option<Frame> {
        if self.input.is_empty() && !self.more() {
            return None;
        }
        let head = self.bytes(2);
        let len = match head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.bytes(2).try_into().unwrap())),
            127 => u64::from_be_bytes(self.bytes(8).try_into().unwrap()),
            len => u64::from(len),
        };
        let mask: Option<[u8; 4]> = (head[1] & 0x80 != 0).then(|| self.bytes(4).try_into().unwrap());
        let key = mask.unwrap_or_default();
        let payload = self.bytes(len as usize);
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        Some(Frame { fin: head[0] & 0x80 != 0, rsv: head[0] >> 4 & 7, opcode: head[0] & 15, mask, payload })
    }

    /// Reads everything until the connection ends, by FIN or by reset.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        let len = self.input.len();
        self.take(len)
    }

    /// Does what a good peer does until the tunnel is over: answers pings and a Close, ends its stream behind it, and
    /// sends messages back if it is an `echo` server; else it is a client.
    pub fn behave(&mut self, echo: bool) {
        let mask = (!echo).then_some([0x37, 0xfa, 0x21, 0x3d]);
        while let Some(got) = self.frame_or_end() {
            let first = match got.opcode {
                op::PING => 0x80 | op::PONG,
                op::CLOSE => 0x80 | op::CLOSE,
                op::CONTINUATION | op::TEXT | op::BINARY if echo => u8::from(got.fin) << 7 | got.opcode,
                _ => continue,
            };
            if !self.try_send(&frame(first, mask, &got.payload)) || got.opcode == op::CLOSE {
                break;
            }
        }
        // Nobody is told where nobody is left.
        let _ = self.tcp.shutdown(Shutdown::Write);
        self.discard();
    }

    /// Reads and throws away everything until the connection ends, and then ends its own stream.
    pub fn discard(&mut self) {
        // By whichever error it ended.
        let _ = std::io::copy(&mut &self.tcp, &mut std::io::sink());
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Whether a read would give bytes, or the end of the connection, at once.
    pub fn is_readable(&mut self) -> bool {
        if !self.input.is_empty() {
            return true;
        }
        self.tcp.set_nonblocking(true).unwrap();
        let waits = self.tcp.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        self.tcp.set_nonblocking(false).unwrap();
        !waits
    }

    /// Waits for the end of the connection and says how it ended.
    ///
    /// # Panics
    /// More bytes come instead.
    pub fn end(&mut self) -> End {
        let input = &self.input;
        assert!(input.is_empty(), "bytes and not the end: {:x?}", &input[..input.len().min(200)]);
        let mut room = [0; 200];
        match self.tcp.read(&mut room) {
            Ok(0) => End::Fin,
            Ok(read) => panic!("bytes and not the end: {:x?}", &room[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
            Err(error) => panic!("the connection did not end: {error}"),
        }
    }

    /// Ends this end's stream; reading goes on.
    pub fn finish(&mut self) {
        // One that is over has nothing to end.
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Cuts the connection with a reset.
    pub fn reset(self) {
        // With a linger time of zero, closing discards what is in flight and resets.
        socket2::SockRef::from(&self.tcp).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.input.drain(..count).collect()
    }

    /// Reads once; `false` at the end of the connection.
    fn more(&mut self) -> bool {
        let mut room = vec![0; 64 * 1024];
        match self.tcp.read(&mut room) {
            Ok(0) => false,
            Ok(read) => {
                self.input.extend_from_slice(&room[..read]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}
