//! One connection of the echo backend: answers the upgrade, then sends each message back once it is whole.

use crate::client::{field, page};
use crate::fault::Fault;
use crate::load::Io;
use crate::messages::header;
use crate::shape::{MAX_PAYLOAD, PAGE};
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};

/// One connection that the proxy opened.
pub(crate) struct Echo {
    stream: TcpStream,
    phase: Phase,
    /// What came and is not whole yet.
    inbox: Vec<u8>,
    /// What the socket has not taken yet, from `written` on.
    outbox: Vec<u8>,
    written: usize,
}

/// Whether a connection is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alive {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Request,
    Open,
    /// Our Close frame is in the outbox: the server ends TCP first (RFC 6455 7.1.1).
    Closing,
}

impl Echo {
    /// Takes an accepted connection.
    pub(crate) fn new(stream: TcpStream) -> Echo {
        Echo { stream, phase: Phase::Request, inbox: Vec::new(), outbox: Vec::new(), written: 0 }
    }

    /// Takes what the socket has and gives it what it may have. A connection that just ends is left to the client
    /// at the other end to complain about.
    ///
    /// # Errors
    /// When the proxy forwarded what no client sent.
    pub(crate) fn handle_ready(&mut self, peer_closed: bool, io: &mut Io) -> Result<Alive, Fault> {
        loop {
            match self.stream.read(&mut io.input) {
                Ok(0) => return Ok(Alive::No),
                Ok(count) => {
                    self.receive(count, io)?;
                    // A short read emptied the socket: what comes later is a new event (epoll(7), edge-triggered).
                    if count < io.input.len() && !peer_closed {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Ok(Alive::No),
            }
        }
        Ok(self.flush(&mut io.output))
    }

    /// Works on the first `count` bytes of the shared input, or on what is kept with them behind it.
    fn receive(&mut self, count: usize, io: &mut Io) -> Result<(), Fault> {
        let fresh = &io.input[..count];
        io.output.clear();
        if self.inbox.is_empty() {
            let used = self.answer(fresh, &mut io.output)?;
            self.inbox.extend_from_slice(&fresh[used..]);
        } else {
            let mut inbox = std::mem::take(&mut self.inbox);
            inbox.extend_from_slice(fresh);
            let used = self.answer(&inbox, &mut io.output)?;
            inbox.drain(..used);
            self.inbox = inbox;
        }
        if self.outbox.is_empty() {
            std::mem::swap(&mut self.outbox, &mut io.output);
        } else {
            self.outbox.append(&mut io.output);
        }
        Ok(())
    }

    /// Appends the answers to what is whole in `input`, and says how much of it that was.
    fn answer(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut used = 0;
        while self.phase == Phase::Request {
            let Some(end) = input[used..].windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(used);
            };
            let (input, end) = (&input[used..], used + end);
            if input.starts_with(format!("GET {PAGE} ").as_bytes()) {
                out.extend_from_slice(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", page().len()).as_bytes(),
                );
                out.extend_from_slice(page());
                used = end + 4;
                continue;
            }
            let input = &input[..end - used];
            out.extend(accept(&String::from_utf8_lossy(input))?.into_bytes());
            self.phase = Phase::Open;
            used = end + 4;
        }
        while let Some(frame) = Frame::parse(&input[used..])? {
            frame.echo(out);
            used += frame.len;
            if frame.first == CLOSE {
                self.phase = Phase::Closing;
            }
        }
        Ok(used)
    }

    /// Writes what the socket takes. The room of an emptied outbox goes back to `spare`, so that an idle connection
    /// holds none.
    fn flush(&mut self, spare: &mut Vec<u8>) -> Alive {
        while self.written < self.outbox.len() {
            match self.stream.write(&self.outbox[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Alive::Yes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Alive::No,
            }
        }
        if self.written > 0 {
            self.written = 0;
            self.outbox.clear();
            std::mem::swap(&mut self.outbox, spare);
            self.outbox = Vec::new();
        }
        if self.phase == Phase::Closing { Alive::No } else { Alive::Yes }
    }
}

/// A whole masked frame.
struct Frame<'a> {
    /// FIN, reserved bits and opcode as they came.
    first: u8,
    key: [u8; 4],
    payload: &'a [u8],
    /// Bytes with the header.
    len: usize,
}

impl Frame<'_> {
    /// `None` while it is not whole (RFC 6455 5.2).
    fn parse(bytes: &[u8]) -> Result<Option<Frame<'_>>, Fault> {
        let (Some(&first), Some(&second)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(Fault::new("a frame reached the backend without a mask"));
        }
        let (extended, payload) = match second & 0x7f {
            126 => (2, bytes.get(2..4).map(|b| b.iter().fold(0, |sum, &b| sum << 8 | u64::from(b)))),
            127 => (8, bytes.get(2..10).map(|b| b.iter().fold(0, |sum, &b| sum << 8 | u64::from(b)))),
            short => (0, Some(u64::from(short))),
        };
        let Some(payload) = payload else { return Ok(None) };
        if payload > MAX_PAYLOAD as u64 {
            return Err(Fault::new(format!(
                "a frame of {payload} bytes reached the backend, and nobody sent one"
            )));
        }
        let start = 2 + extended + 4;
        let len = start + payload as usize;
        let (Some(key), Some(payload)) = (bytes.get(start - 4..start), bytes.get(start..len)) else {
            return Ok(None);
        };
        let key = key.try_into().expect("the slice is four bytes long");
        Ok(Some(Frame { first, key, payload, len }))
    }

    /// Appends the same frame as a server sends it.
    fn echo(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(header(self.payload.len(), 0));
        out[start] = self.first;
        let payload = out.len();
        out.extend_from_slice(self.payload);
        unmask(&mut out[payload..], self.key);
    }
}

/// Eight bytes at a time, which the compiler turns into vector instructions.
fn unmask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (eights, rest) = bytes.as_chunks_mut::<8>();
    for eight in eights {
        *eight = (u64::from_ne_bytes(*eight) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The 101 for an upgrade request (RFC 6455 4.2.2).
fn accept(head: &str) -> Result<String, Fault> {
    let key = field(head, "sec-websocket-key")
        .ok_or_else(|| Fault::new("a request without Sec-WebSocket-Key reached the backend"))?;
    let accept: String = ws::handshake::accept_key(key.as_bytes()).iter().copied().map(char::from).collect();
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

/// FIN and the opcode of a Close frame.
const CLOSE: u8 = 0x88;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Messages;

    fn frames(payload: usize, count: u64) -> (Vec<u8>, Messages) {
        let sent = Messages::from_client(payload);
        let mut bytes = Vec::new();
        sent.fill(5, 0, (sent.frame_len() * count) as usize, &mut bytes);
        (bytes, Messages::from_server(payload))
    }

    #[test]
    fn echoed_frames_are_what_the_client_expects() {
        for payload in [8, 64, 125, 126, 1001, 65_535, 65_536] {
            let (bytes, expected) = frames(payload, 2);
            let (mut used, mut out) = (0, Vec::new());
            while let Some(frame) = Frame::parse(&bytes[used..]).unwrap() {
                frame.echo(&mut out);
                used += frame.len;
            }
            assert_eq!(used, bytes.len());
            assert_eq!(out.len() as u64, 2 * expected.frame_len());
            assert!(expected.matches(5, 0, &out), "payload of {payload}");
        }
    }

    #[test]
    fn a_cut_frame_is_not_whole_at_any_byte() {
        for payload in [64, 300, 65_536] {
            let (bytes, _) = frames(payload, 1);
            for cut in (0..bytes.len()).step_by(if payload > 300 { 997 } else { 1 }) {
                assert!(Frame::parse(&bytes[..cut]).unwrap().is_none(), "{cut} of {payload}");
            }
            assert!(Frame::parse(&bytes).unwrap().is_some());
        }
    }

    #[test]
    fn what_no_client_sent_is_a_fault() {
        assert!(Frame::parse(&[0x82, 1, 9]).is_err(), "unmasked");
        assert!(Frame::parse(&[0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]).is_err(), "endless");
        assert!(accept("GET /ws HTTP/1.1\r\nHost: a").is_err());
    }

    #[test]
    fn the_101_answers_the_key_of_the_rfc() {
        let answer = accept("GET /ws HTTP/1.1\r\nsec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    }
}
