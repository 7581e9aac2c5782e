//! What is said over a WebSocket to find out whether a server is well.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::time::{Instant, timeout, timeout_at};
use ws::{
    CONTROL_PAYLOAD_MAX, CloseCode, CloseFrame, Control, Header, Inspector, OpCode, Outcome, Role, Rules,
    Violation, apply_mask, control_frame,
};

use super::expected::Comparison;
use crate::spec::health_check::WsCheck;

/// A server that says more in one message breaks a rule of the talk.
const MAX_MESSAGE: u64 = 64 * 1024;

/// How much is read at once, about.
const READ: usize = 4096;

/// How long a server may take to answer a Close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// What is read behind a Close.
const MAX_FAREWELL: u64 = 64 * 1024;

/// What to say, and what must be heard. The message is not shown: it may hold a secret.
pub(super) struct Talk {
    send: Option<String>,
    expect: Option<Comparison>,
    ping: bool,
}

/// Why a talk came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// What did not come in time.
    Late(&'static str),
    /// The server broke a rule.
    Broke(Violation),
    /// The server closed before all was said.
    Closed(Option<CloseCode>),
    /// The connection ended.
    Lost(io::Error),
}

impl Talk {
    /// What `spec` asks for, if anything.
    pub(super) fn new(spec: &WsCheck) -> Option<Self> {
        let send = spec.send.as_ref().map(|send| send.to_string());
        let expect = spec.expect.as_ref().map(|text| Comparison::with_text(text));
        let talk = Talk { send, expect, ping: *spec.ping };
        (talk.send.is_some() || talk.expect.is_some() || talk.ping).then_some(talk)
    }

    /// Holds it over `stream`, of which `early` was read already: until all was heard, or until `deadline`.
    ///
    /// # Errors
    /// Not all was heard.
    pub(super) async fn hold<S>(&self, stream: &mut S, early: Bytes, deadline: Instant) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut listener = Listener::new(self, early);
        let talking = async {
            stream.write_all(&self.opening(listener.ping)).await?;
            loop {
                let replies = listener.listen()?;
                if listener.has_heard_all() {
                    return Ok(());
                }
                stream.write_all(&replies).await?;
                listener.input.reserve(READ);
                if stream.read_buf(&mut listener.input).await? == 0 {
                    return Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        };
        let in_time = timeout_at(deadline, talking).await;
        in_time.unwrap_or_else(|_| Err(Fault::Late(listener.awaits())))
    }

    /// All that this side says by itself.
    fn opening(&self, ping: [u8; 8]) -> BytesMut {
        let mut bytes = BytesMut::new();
        if let Some(text) = &self.send {
            let key = random();
            let len = text.len() as u64;
            let header = Header { fin: true, rsv: 0, opcode: OpCode::Text, mask: Some(key), len };
            let mut head = [0; Header::MAX];
            let head_len = header.encode(&mut head);
            let mut text = text.clone().into_bytes();
            apply_mask(&mut text, key, 0);
            bytes.extend_from_slice(&head[..head_len]);
            bytes.extend_from_slice(&text);
        }
        if self.ping {
            bytes.extend_from_slice(control_frame(OpCode::Ping, &ping, Some(random())).as_bytes());
        }
        bytes
    }
}

/// Closes a WebSocket as it should be (RFC 6455 7.1.2) after what was heard over it, and waits a moment for the server's
/// end of it.
pub(super) async fn part<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, heard: &Result<(), Fault>) {
    let code = match heard {
        Err(Fault::Broke(violation)) => violation.close_code(),
        _ => CloseCode::NORMAL,
    };
    let parting = async {
        stream.write_all(CloseFrame::new(code, "", Some(random())).as_bytes()).await?;
        copy(&mut stream.take(MAX_FAREWELL), &mut sink()).await
    };
    // Heard or not: this is for the server's sake.
    let _ = timeout(CLOSE_PATIENCE, parting).await;
}

/// Hears what a server says.
struct Listener<'t> {
    inspector: Inspector,
    /// Was read, and is not heard yet.
    input: BytesMut,
    message: Message,
    /// What must be heard still.
    expect: Option<&'t Comparison>,
    awaits_pong: bool,
    /// What our ping holds, and its pong has to.
    ping: [u8; 8],
}

impl<'t> Listener<'t> {
    fn new(talk: &'t Talk, early: Bytes) -> Self {
        let rules =
            Rules { sender: Role::Server, deflate: false, max_message: MAX_MESSAGE, validate_utf8: true };
        Listener {
            inspector: Inspector::new(rules),
            input: early.into(),
            message: Message::default(),
            expect: talk.expect.as_ref(),
            awaits_pong: talk.ping,
            ping: random(),
        }
    }

    fn has_heard_all(&self) -> bool {
        self.expect.is_none() && !self.awaits_pong
    }

    fn awaits(&self) -> &'static str {
        if self.expect.is_some() { "no message as expected" } else { "no pong" }
    }

    /// Hears everything that was read, and gives what is to be said to it. What stands behind the last that must be
    /// heard does not matter.
    fn listen(&mut self) -> Result<BytesMut, Fault> {
        let mut replies = BytesMut::new();
        loop {
            let step = self.inspector.advance(&self.input);
            let data = self.input.split_to(step.settled);
            self.hear_data(data);
            if self.has_heard_all() {
                return Ok(replies);
            }
            match step.outcome {
                Outcome::More => return Ok(replies),
                Outcome::Control(control) => {
                    let frame = self.input.split_to(control.wire_len);
                    self.hear_control(&control, &frame, &mut replies)?;
                }
                Outcome::Violation(violation) => return Err(Fault::Broke(violation)),
            }
        }
    }

    fn hear_data(&mut self, mut data: BytesMut) {
        while !data.is_empty() {
            let Some(text) = self.message.take(&mut data) else { continue };
            if self.expect.is_some_and(|expected| expected.is_met(&String::from_utf8_lossy(&text))) {
                self.expect = None;
            }
        }
    }

    fn hear_control(&mut self, control: &Control, frame: &[u8], replies: &mut BytesMut) -> Result<(), Fault> {
        let mut room = [0; CONTROL_PAYLOAD_MAX];
        let payload = control.payload(frame, &mut room);
        match control.opcode {
            OpCode::Close => return Err(Fault::Closed(control.close_code)),
            OpCode::Pong if payload == self.ping => self.awaits_pong = false,
            OpCode::Ping => {
                replies.extend_from_slice(control_frame(OpCode::Pong, payload, Some(random())).as_bytes());
            }
            _ => {}
        }
        Ok(())
    }
}

/// Puts the frames of a message together. The inspector sees to its size.
#[derive(Default)]
struct Message {
    is_text: bool,
    text: Vec<u8>,
    /// Of the frame under way.
    fin: bool,
    left: u64,
}

impl Message {
    /// Takes the rest of a frame off the front of `data`, which was found to be valid and begins where the last call
    /// ended; the text, where a text message ends with it.
    fn take(&mut self, data: &mut BytesMut) -> Option<Vec<u8>> {
        if self.left == 0 {
            // The inspector lets only whole headers pass.
            let Ok(Some((header, len))) = Header::decode(data) else {
                data.clear();
                return None;
            };
            data.advance(len);
            if header.opcode != OpCode::Continuation {
                self.is_text = header.opcode == OpCode::Text;
            }
            (self.fin, self.left) = (header.fin, header.len);
        }
        let len = self.left.min(data.len() as u64);
        self.left -= len;
        let payload = data.split_to(len as usize);
        if self.is_text {
            self.text.extend_from_slice(&payload);
        }
        (self.is_text && self.fin && self.left == 0).then(|| std::mem::take(&mut self.text))
    }
}

/// Bytes that nobody has to be kept from guessing, but that no proxy on the way may know before (RFC 6455 10.3).
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without them a check still tells what it should.
    let _ = getrandom::fill(&mut bytes);
    bytes
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talk").field("expect", &self.expect).field("ping", &self.ping).finish_non_exhaustive()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Late(what) => write!(f, "{what} in time"),
            Fault::Broke(violation) => write!(f, "the server broke a rule: {violation}"),
            Fault::Closed(Some(code)) => write!(f, "the server closed with {code}"),
            Fault::Closed(None) => f.write_str("the server closed"),
            Fault::Lost(error) => write!(f, "connection lost: {error}"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Lost(error)
    }
}
