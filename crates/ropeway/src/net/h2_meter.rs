//! Counts what an HTTP/2 peer asks for beside requests and bodies.
//!
//! hyper bounds what one connection can make it keep, and not how often it is made to work for nothing. Each frame that
//! carries no request and no body costs a peer something of a budget (RFC 9113 10.5). The budget grows with time, and
//! with every frame of an answer: a good peer updates windows as it reads.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Stream;
use super::paced::{Part, Queue};

/// What a peer has at the beginning, and the most it ever has: twice what it takes to give up 100 requests at once, as
/// browsers do when a page is left.
const BUDGET: u32 = 2_000;

/// What it gets each second.
const PER_SECOND: u64 = 100;

/// What it gets for each frame of an answer.
const PER_ANSWER: u32 = 4;

/// What a client says first (RFC 9113 3.4).
const PREFACE: usize = 24;

/// The head of a frame (RFC 9113 4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;

/// A flag of DATA: the first byte behind the head says how many at the end are padding (RFC 9113 6.1).
const PADDED: u8 = 8;

/// A connection with a client that speaks HTTP/2. Reading fails when the client has spent its budget.
#[derive(Debug)]
pub struct H2Meter {
    /// Shared, as hyper does not give it back.
    stream: Rc<RefCell<Stream>>,
    queue: Queue,
    /// For what hyper holds while nothing can be written.
    halted: Option<Part>,
    read: Frames,
    written: Frames,
    budget: u32,
    filled: Instant,
}

/// Where in a sequence of frames we are.
#[derive(Debug, Default)]
struct Frames {
    /// Bytes that are no head of a frame, before the next one.
    skip: usize,
    /// With the length of the padding, where there is one.
    head: [u8; HEAD + 1],
    /// How much of `head` is here.
    have: usize,
}

impl H2Meter {
    /// For `stream`, on which nothing was exchanged yet. What cannot be written waits in `queue`.
    pub fn new(stream: Rc<RefCell<Stream>>, queue: Queue) -> Self {
        H2Meter {
            stream,
            queue,
            halted: None,
            read: Frames { skip: PREFACE, ..Frames::default() },
            written: Frames::default(),
            budget: BUDGET,
            filled: Instant::now(),
        }
    }

    fn charge(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut costs = 0_u32;
        self.read.advance(bytes, |kind, length| costs = costs.saturating_add(cost(kind, length)));
        if costs > self.budget {
            self.fill();
        }
        self.budget = self.budget.checked_sub(costs).ok_or_else(|| {
            io::Error::other("the client sends too many HTTP/2 frames that ask for nothing")
        })?;
        Ok(())
    }

    fn credit(&mut self, bytes: &[u8]) {
        let mut answers = 0_u32;
        self.written.advance(bytes, |kind, _| answers += u32::from(matches!(kind, DATA | HEADERS)));
        self.budget = self.budget.saturating_add(answers.saturating_mul(PER_ANSWER)).min(BUDGET);
    }

    /// Gives what time has brought.
    fn fill(&mut self) {
        let brought = self.filled.elapsed().as_millis() as u64 * PER_SECOND / 1_000;
        let brought = u32::try_from(brought).unwrap_or(BUDGET);
        self.budget = self.budget.saturating_add(brought).min(BUDGET);
        self.filled += Duration::from_millis(u64::from(brought) * 1_000 / PER_SECOND);
    }
}

/// What a frame costs. Those that carry a request, or a part of a body, are what the connection is for.
fn cost(kind: u8, length: usize) -> u32 {
    match kind {
        HEADERS => 0,
        DATA if length > 0 => 0,
        // Work that was begun is thrown away; settings can concern every stream.
        RST_STREAM | SETTINGS => 10,
        _ => 1,
    }
}

impl Frames {
    /// Goes on by `bytes`, and tells `note` the type of each frame that begins in them, and its length without padding.
    fn advance(&mut self, mut bytes: &[u8], mut note: impl FnMut(u8, usize)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                (self.skip, bytes) = (self.skip - skipped, &bytes[skipped..]);
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.head_length() - self.have));
            self.head[self.have..self.have + now.len()].copy_from_slice(now);
            (self.have, bytes) = (self.have + now.len(), later);
            if self.have == self.head_length() {
                let padding = if self.have > HEAD { 1 + usize::from(self.head[HEAD]) } else { 0 };
                note(self.head[3], self.length().saturating_sub(padding));
                (self.skip, self.have) = (self.length() + HEAD - self.have, 0);
            }
        }
    }

    /// Of what has to be here before a frame can be judged; as far as that is known.
    fn head_length(&self) -> usize {
        let [.., kind, flags, _, _, _, _, _] = self.head;
        let is_padded = kind == DATA && flags & PADDED != 0 && self.length() > 0;
        HEAD + usize::from(self.have >= HEAD && is_padded)
    }

    /// Of the frame, without its head.
    fn length(&self) -> usize {
        let [a, b, c, ..] = self.head;
        u32::from_be_bytes([0, a, b, c]) as usize
    }
}

impl AsyncRead for H2Meter {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        ready!(AsyncRead::poll_read(Pin::new(&mut *self.stream.borrow_mut()), cx, room))?;
        Poll::Ready(self.charge(&room.filled()[before..]))
    }
}

impl AsyncWrite for H2Meter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = AsyncWrite::poll_write(Pin::new(&mut *self.stream.borrow_mut()), cx, bytes);
        if result.is_pending() && self.halted.is_none() {
            self.halted = Some(self.queue.part(Bytes::new()));
        }
        let written = ready!(result)?;
        self.halted = None;
        self.credit(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut *self.stream.borrow_mut()), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> H2Meter {
        let stream = Stream::other(tokio::io::empty());
        H2Meter::new(Rc::new(RefCell::new(stream)), Queue::default())
    }

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 1]);
        frame.resize(HEAD + length, 0xff);
        frame
    }

    /// DATA of `length` bytes, of which some are padding, and one says how many.
    fn padded(length: usize, padding: u8) -> Vec<u8> {
        let mut frame = frame(DATA, length);
        frame[4] = PADDED;
        if let Some(first) = frame.get_mut(HEAD) {
            *first = padding;
        }
        frame
    }

    #[test]
    fn frames_are_found_however_their_bytes_come() {
        let padded = [padded(20, 5), padded(6, 5), padded(5, 5), padded(0, 0)].concat();
        let bytes = [frame(SETTINGS, 6), frame(DATA, 0), frame(HEADERS, 300), padded, frame(9, 1)].concat();
        let expected =
            [(SETTINGS, 6), (DATA, 0), (HEADERS, 300), (DATA, 14), (DATA, 0), (DATA, 0), (DATA, 0), (9, 1)];
        for piece in [1, 2, 8, 9, 10, 100, bytes.len()] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            bytes
                .chunks(piece)
                .for_each(|piece| frames.advance(piece, |kind, length| found.push((kind, length))));
            assert_eq!(found, expected, "{piece}");
        }
    }

    #[test]
    fn what_carries_something_is_free_and_all_else_has_an_end() {
        for (name, frame, most) in [
            ("requests", frame(HEADERS, 10), None),
            ("bodies", frame(DATA, 10), None),
            ("empty bodies", frame(DATA, 0), Some(2_000)),
            ("padded bodies", padded(10, 8), None),
            ("padding", padded(10, 9), Some(2_000)),
            ("resets", frame(RST_STREAM, 4), Some(200)),
            ("settings", frame(SETTINGS, 0), Some(200)),
            ("pings", frame(6, 8), Some(2_000)),
            ("updates of windows", frame(8, 4), Some(2_000)),
            ("priorities", frame(2, 5), Some(2_000)),
            ("continuations", frame(9, 0), Some(2_000)),
            ("unknown frames", frame(0xbe, 0), Some(2_000)),
        ] {
            let mut meter = meter();
            meter.charge(&[0; PREFACE]).unwrap();
            let passed = (0..5_000).take_while(|_| meter.charge(&frame).is_ok()).count();
            // Time goes on while this runs.
            let expected = most.map_or(5_000..=5_000, |most| most..=most + 200);
            assert!(expected.contains(&passed), "{name}: {passed}");
        }
        let mut meter = meter();
        meter.charge(&[0; PREFACE]).unwrap();
        for _ in 0..5_000 {
            meter.credit(&frame(DATA, 20));
            meter.charge(&[frame(8, 4), frame(8, 4)].concat()).unwrap();
        }
    }

    #[test]
    fn all_requests_can_be_given_up_at_once() {
        let mut meter = meter();
        meter.charge(&[0; PREFACE]).unwrap();
        let (settings, reset, other) = (frame(SETTINGS, 0), frame(RST_STREAM, 4), frame(6, 8));
        let read = [settings.repeat(2), reset.repeat(100), other.repeat(100)].concat();
        assert!(meter.charge(&read).is_ok());
    }
}
