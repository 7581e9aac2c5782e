//! Answers whose parts come in time, and are taken in time.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::reply::{BodyError, ReplyBody};

/// How long the server of a body may pause.
pub struct Pace {
    patience: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

/// A body whose [`Taker`] is known, and what becomes of its parts.
pub struct Watched {
    body: ReplyBody,
    taker: Taker,
    queue: Queue,
}

/// Who takes a body: whether something was handed out, and nothing more was asked for since.
#[derive(Clone, Debug, Default)]
pub struct Taker(Rc<Cell<Option<Instant>>>);

/// What was handed out of the bodies of a connection, and is not written yet.
#[derive(Clone, Debug, Default)]
pub struct Queue(Rc<Queued>);

#[derive(Debug, Default)]
struct Queued {
    parts: Cell<usize>,
    /// When something of it was written, or added.
    moved: Cell<Option<Instant>>,
}

/// Part of a body, as long as it is not written.
#[derive(Debug)]
pub struct Part {
    bytes: Bytes,
    queue: Queue,
}

impl Pace {
    /// It may pause for `patience`.
    pub fn new(patience: Duration) -> Self {
        Pace { patience, pause: None }
    }

    /// What comes of `body`, which fails when its server pauses for too long.
    pub fn poll_frame(
        &mut self,
        body: Pin<&mut dyn Body<Data = Bytes, Error = BodyError>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = body.poll_frame(cx);
        if frame.is_ready() {
            self.pause = None;
            return frame;
        }
        let patience = self.patience;
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(patience)));
        pause.as_mut().poll(cx).map(|()| Some(Err("the server pauses for too long within its answer".into())))
    }
}

impl Watched {
    /// `body`, which `taker` is to take, and whose parts wait in `queue`.
    pub fn new(body: ReplyBody, taker: Taker, queue: Queue) -> Self {
        Watched { body, taker, queue }
    }
}

impl Queue {
    /// Whether something waits, of which some was written, or to which some was added, within `patience`.
    pub fn moves(&self, patience: Duration) -> bool {
        let moved = self.0.moved.get().filter(|_| self.0.parts.get() > 0);
        moved.is_some_and(|moved| moved.elapsed() < patience)
    }

    /// Something that waits until this is dropped.
    pub fn part(&self, bytes: Bytes) -> Part {
        self.change(self.0.parts.get() + 1);
        Part { bytes, queue: self.clone() }
    }

    fn change(&self, parts: usize) {
        self.0.parts.set(parts);
        self.0.moved.set(Some(Instant::now()));
    }
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.queue.change(self.queue.0.parts.get());
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.queue.change(self.queue.0.parts.get() - 1);
    }
}

impl Taker {
    /// Resolves when nothing was asked for during `patience`, or up to twice that, since something was handed out.
    ///
    /// Cancel safe.
    pub async fn stalls(&self, patience: Duration) {
        loop {
            match self.0.get().map(|since| since + patience) {
                Some(end) if end <= Instant::now() => return,
                Some(end) => sleep_until(end).await,
                None => sleep(patience).await,
            }
        }
    }
}

impl Body for Watched {
    type Data = Part;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Part>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.taker.0.set(frame.is_ready().then(Instant::now));
        frame.map_ok(|frame| frame.map_data(|bytes| self.queue.part(bytes)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
