//! HTTP/2 by hand: frames as a test wants them, and as they come (RFC 9113).

use std::net::SocketAddr;

use crate::peer::Peer;

/// Types of frames (RFC 9113 6).
#[allow(missing_docs, reason = "as the RFC has them")]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// On DATA and HEADERS: the last of the stream. On SETTINGS and PING: an acknowledgement.
pub const END: u8 = 1;

/// On HEADERS and CONTINUATION: the last of the list.
pub const END_HEADERS: u8 = 4;

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
pub const INITIAL_WINDOW: u16 = 4;

/// A frame that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct H2Frame {
    /// See [`kind`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The stream.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

/// A client.
#[derive(Debug)]
pub struct H2Peer {
    /// The connection, below frames.
    pub peer: Peer,
}

/// The answer on a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct H2Answer {
    /// The first byte of its headers: 0x88 is 200, 0x8c is 400, 0x8d is 404 (RFC 7541 A).
    pub status: u8,
    /// The body.
    pub body: Vec<u8>,
    /// With which code it was reset instead of an end.
    pub reset: Option<u32>,
}

/// A frame.
pub fn h2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A list of headers, each a literal that is not remembered (RFC 7541 6.2.2).
pub fn h2_headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut list = Vec::new();
    for (name, value) in fields {
        list.push(0);
        for text in [name, value] {
            match text.len() {
                short @ ..127 => list.push(short as u8),
                mut rest => {
                    list.push(127);
                    rest -= 127;
                    while rest >= 128 {
                        list.push((rest % 128) as u8 | 128);
                        rest /= 128;
                    }
                    list.push(rest as u8);
                }
            }
            list.extend(text.as_bytes());
        }
    }
    list
}

/// The headers of a GET.
pub fn h2_get<'a>(path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<u8> {
    h2_request("GET", path, more)
}

/// The headers of a request.
pub fn h2_request<'a>(method: &'a str, path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<u8> {
    let own = [(":method", method), (":scheme", "https"), (":authority", "test.example"), (":path", path)];
    h2_headers(&[&own, more].concat())
}

impl H2Peer {
    /// Connects, with these settings.
    pub fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut peer = Peer::connect(address);
        peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut peer = H2Peer { peer };
        peer.send(kind::SETTINGS, 0, 0, &payload);
        peer
    }

    /// Sends a frame.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.peer.send(&h2_frame(kind, flags, stream, payload));
    }

    /// Sends a whole GET.
    pub fn get(&mut self, stream: u32, path: &str) {
        self.send(kind::HEADERS, END | END_HEADERS, stream, &h2_get(path, &[]));
    }

    /// The next frame; `None` at the end of the connection.
    pub fn frame(&mut self) -> Option<H2Frame> {
        let head = self.peer.bytes_or_end(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        let payload = self.peer.bytes_or_end(length)?;
        Some(H2Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this kind, if any comes before the end.
    pub fn next(&mut self, kind: u8) -> Option<H2Frame> {
        std::iter::from_fn(|| self.frame()).find(|frame| frame.kind == kind)
    }

    /// The whole answer on `stream`; `None` if the connection ends before. Windows are opened as it comes.
    pub fn answer(&mut self, stream: u32) -> Option<H2Answer> {
        let mut answer = H2Answer::default();
        loop {
            let frame = self.frame()?;
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                kind::HEADERS if answer.status == 0 => answer.status = frame.payload[0],
                kind::DATA => {
                    answer.body.extend(&frame.payload);
                    if !frame.payload.is_empty() && frame.flags & END == 0 {
                        let more = (frame.payload.len() as u32).to_be_bytes();
                        self.send(kind::WINDOW_UPDATE, 0, 0, &more);
                        self.send(kind::WINDOW_UPDATE, 0, stream, &more);
                    }
                }
                kind::RST_STREAM => {
                    answer.reset = Some(u32::from_be_bytes(frame.payload[..4].try_into().unwrap()));
                    return Some(answer);
                }
                _ => {}
            }
            if frame.flags & END != 0 && matches!(frame.kind, kind::HEADERS | kind::DATA) {
                return Some(answer);
            }
        }
    }
}
