//! One WebSocket client: connects, upgrades, sends messages and holds every byte that comes back to account.

use crate::fault::Fault;
use crate::load::{Io, Target};
use crate::messages::{MASK_KEY, Messages};
use crate::shape::PAGE;
use crate::wire::Wire;
use mio::net::TcpStream;
use rustls::ClientConfig;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// What all clients of a measurement say and expect to hear.
pub(crate) struct Script {
    /// The upgrade, or what is asked again and again.
    request: Vec<u8>,
    /// Ordinary requests, and no tunnel.
    is_http: bool,
    tls: Option<Arc<ClientConfig>>,
    accept: String,
    sends: Messages,
    hears: Messages,
}

/// One connection to the proxy.
pub(crate) struct Client {
    pub(crate) stream: Wire,
    id: u32,
    phase: Phase,
    born: Instant,
    /// The answer to the upgrade as far as it came, or how much of the Close frame did.
    head: Vec<u8>,
    /// Bytes of messages: written, to be written, and come back.
    sent: u64,
    goal: u64,
    received: u64,
    /// When each message that is on its way was asked for.
    asked_at: VecDeque<Instant>,
}

/// What one wake of a client brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) upgraded: bool,
    /// Messages that came back whole.
    pub(crate) replies: usize,
    /// The close handshake is over and the connection has ended.
    pub(crate) ended: bool,
    pub(crate) bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Upgrading,
    Open,
    Closing,
    Ended,
}

impl Script {
    /// What `target` asks for.
    pub(crate) fn new(target: &Target<'_>) -> Script {
        let (path, payload) = (target.path, target.size);
        let host = if target.tls.is_some() { "localhost".to_owned() } else { target.proxy.to_string() };
        let request = if target.is_http {
            format!("GET {PAGE} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n")
        } else {
            format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
        };
        let accept = ws::handshake::accept_key(KEY.as_bytes()).iter().copied().map(char::from).collect();
        Script {
            request: request.into_bytes(),
            is_http: target.is_http,
            tls: target.tls.clone(),
            accept,
            sends: Messages::from_client(payload),
            hears: Messages::from_server(payload),
        }
    }
}

impl Client {
    /// Begins to connect; `id` (below 2^24) marks its messages.
    pub(crate) fn connect(proxy: SocketAddr, id: u32, script: &Script) -> Result<Client, Fault> {
        let stream = TcpStream::connect(proxy).map_err(Fault::io(format!("connect to {proxy}")))?;
        stream.set_nodelay(true).map_err(Fault::io("set TCP_NODELAY"))?;
        Ok(Client {
            stream: Wire::new(stream, script.tls.as_ref())?,
            id,
            phase: Phase::Connecting,
            born: Instant::now(),
            head: Vec::new(),
            sent: 0,
            goal: 0,
            received: 0,
            asked_at: VecDeque::new(),
        })
    }

    /// When it began to connect.
    pub(crate) fn born(&self) -> Instant {
        self.born
    }

    /// How many messages are on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.asked_at.len()
    }

    /// Whether its close handshake is over and the connection has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Sends `count` further messages, as soon as the socket takes them.
    pub(crate) fn ask(&mut self, count: usize, script: &Script, io: &mut Io) -> Result<(), Fault> {
        let now = Instant::now();
        self.asked_at.extend(std::iter::repeat_n(now, count));
        if script.is_http {
            return (0..count).try_for_each(|_| self.write_at_once(&script.request));
        }
        self.goal += count as u64 * script.sends.frame_len();
        self.flush(script, io)
    }

    /// Begins the close handshake (RFC 6455 7.1.2).
    pub(crate) fn close(&mut self) -> Result<(), Fault> {
        self.phase = Phase::Closing;
        self.head.clear();
        let [high, low] = NORMAL_CLOSURE.to_be_bytes();
        let [a, b, c, d] = MASK_KEY;
        self.write_at_once(&[0x88, 0x82, a, b, c, d, high ^ a, low ^ b])
    }

    /// Takes what the socket has and gives it what it may have. `peer_closed`: nothing will follow what is there,
    /// so it must be read to its end.
    pub(crate) fn handle_ready(
        &mut self,
        peer_closed: bool,
        script: &Script,
        io: &mut Io,
    ) -> Result<Progress, Fault> {
        let is_new = self.phase == Phase::Connecting;
        if self.has_ended() || is_new && !self.finish_connecting(script)? {
            return Ok(Progress::default());
        }
        let mut progress = Progress { upgraded: is_new && script.is_http, ..Progress::default() };
        self.read(peer_closed, script, io, &mut progress)?;
        self.flush(script, io)?;
        self.stream.push().map_err(Fault::io("write to the proxy"))?;
        Ok(progress)
    }

    /// False while the connection is not there yet.
    fn finish_connecting(&mut self, script: &Script) -> Result<bool, Fault> {
        if let Some(error) = self.stream.tcp().take_error().map_err(Fault::io("connect"))? {
            return Err(Fault::io("connect to the proxy")(error));
        }
        if self.stream.tcp().peer_addr().is_err() {
            return Ok(false);
        }
        if script.is_http {
            self.phase = Phase::Open;
            return Ok(true);
        }
        self.phase = Phase::Upgrading;
        self.write_at_once(&script.request)?;
        Ok(true)
    }

    /// The first bytes of a fresh connection, or of one with nothing on its way: a socket that does not take a few
    /// of them is out of order.
    fn write_at_once(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = self.stream.write(bytes).map_err(Fault::io("write to the proxy"))?;
        if written < bytes.len() {
            return Err(Fault::new("the connection did not take a few bytes at once"));
        }
        Ok(())
    }

    fn read(
        &mut self,
        peer_closed: bool,
        script: &Script,
        io: &mut Io,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        loop {
            match self.stream.read(&mut io.input) {
                Ok(0) => return self.handle_end("end of stream", progress),
                Ok(count) => {
                    progress.bytes += count;
                    self.receive(&io.input[..count], script, &mut io.latencies, progress)?;
                    if self.stream.is_emptied(count, io.input.len()) && !peer_closed {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.handle_end(&error.to_string(), progress),
            }
        }
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        script: &Script,
        latencies: &mut Vec<u32>,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        match self.phase {
            Phase::Connecting | Phase::Ended => Err(Fault::new("bytes on a connection that is not there")),
            Phase::Upgrading => {
                let Some(rest) = self.receive_head(bytes, script)? else { return Ok(()) };
                self.phase = Phase::Open;
                progress.upgraded = true;
                if rest == 0 {
                    Ok(())
                } else {
                    Err(Fault::new("bytes behind the 101 before any message was sent"))
                }
            }
            Phase::Open if script.is_http => self.receive_pages(bytes, latencies, progress),
            Phase::Open => self.receive_messages(bytes, script, latencies, progress),
            Phase::Closing => {
                self.head.extend_from_slice(bytes);
                let [high, low] = NORMAL_CLOSURE.to_be_bytes();
                if [0x88, 2, high, low].starts_with(&self.head) {
                    return Ok(());
                }
                Err(Fault::new(format!("expected our Close frame back, got {:02x?}", preview(&self.head))))
            }
        }
    }

    /// How many bytes follow the answer's head, once that is whole and as it must be.
    fn receive_head(&mut self, bytes: &[u8], script: &Script) -> Result<Option<usize>, Fault> {
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
            if self.head.len() > MAX_HEAD {
                return Err(Fault::new("the answer to the upgrade has no end"));
            }
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&self.head[..end]).into_owned();
        let rest = self.head.len() - end - 4;
        self.head = Vec::new();
        let (status, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
        if !status.starts_with("HTTP/1.1 101") {
            return Err(Fault::new(format!("the upgrade was answered with `{status}`")));
        }
        if field(fields, "sec-websocket-accept") != Some(&script.accept) {
            return Err(Fault::new("the 101 has another Sec-WebSocket-Accept than our key asks for"));
        }
        Ok(Some(rest))
    }

    fn receive_messages(
        &mut self,
        bytes: &[u8],
        script: &Script,
        latencies: &mut Vec<u32>,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        if !script.hears.matches(self.id, self.received, bytes) {
            let index = self.received / script.hears.frame_len();
            let got = preview(bytes);
            return Err(Fault::new(format!(
                "message {index} came back altered, lost or twice, in {got:02x?}…"
            )));
        }
        let frame_len = script.hears.frame_len();
        let whole_before = self.received / frame_len;
        self.received += bytes.len() as u64;
        let replies = (self.received / frame_len - whole_before) as usize;
        if replies == 0 {
            return Ok(());
        }
        self.note(replies, latencies, progress)
    }

    /// Answers to ordinary requests, each with the page of the backend.
    fn receive_pages(
        &mut self,
        bytes: &[u8],
        latencies: &mut Vec<u32>,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        self.head.extend_from_slice(bytes);
        let mut replies = 0;
        while let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&self.head[..end]);
            let (status, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
            let length = field(fields, "content-length").and_then(|length| length.parse().ok());
            if !status.starts_with("HTTP/1.1 200") || length != Some(page().len()) {
                return Err(Fault::new(format!(
                    "a request was answered with `{status}` and {length:?} bytes"
                )));
            }
            let Some(body) = self.head.get(end + 4..end + 4 + page().len()) else { break };
            if body != page() {
                return Err(Fault::new("a page came altered"));
            }
            self.head.drain(..end + 4 + page().len());
            replies += 1;
        }
        self.note(replies, latencies, progress)
    }

    /// Counts what came back, and how long that took.
    fn note(
        &mut self,
        replies: usize,
        latencies: &mut Vec<u32>,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        let now = Instant::now();
        for _ in 0..replies {
            let asked =
                self.asked_at.pop_front().ok_or_else(|| Fault::new("more came back than was sent"))?;
            latencies.push(u32::try_from(now.duration_since(asked).as_nanos()).unwrap_or(u32::MAX));
        }
        progress.replies += replies;
        Ok(())
    }

    fn handle_end(&mut self, how: &str, progress: &mut Progress) -> Result<(), Fault> {
        // Once the Close frame is back, how TCP ends is nobody's loss.
        if self.phase == Phase::Closing && self.head.len() == CLOSE_LEN {
            self.phase = Phase::Ended;
            progress.ended = true;
            return Ok(());
        }
        Err(Fault::new(format!("the proxy ended a connection ({how}) while it was {:?}", self.phase)))
    }

    fn flush(&mut self, script: &Script, io: &mut Io) -> Result<(), Fault> {
        while self.sent < self.goal {
            let count = (self.goal - self.sent).min(WRITE_MAX) as usize;
            io.output.clear();
            script.sends.fill(self.id, self.sent, count, &mut io.output);
            match self.stream.write(&io.output) {
                Ok(written) => self.sent += written as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::io("write to the proxy")(error)),
            }
        }
        Ok(())
    }
}

/// What the backend answers to an ordinary request.
pub(crate) fn page() -> &'static [u8] {
    &[b'p'; 1024]
}

/// The value of the first field with this name, which is in lower case.
pub(crate) fn field<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    fields.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn preview(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(16)]
}

/// The example key of RFC 6455 1.3: a proxy must not care which it is.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const NORMAL_CLOSURE: u16 = 1000;
const CLOSE_LEN: usize = 4;
const MAX_HEAD: usize = 16 << 10;
const WRITE_MAX: u64 = 256 << 10;
