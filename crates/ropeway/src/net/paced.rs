//! Answers whose parts come in time, and are taken in time.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::reply::{BodyError, ReplyBody};

/// A body that fails when its server pauses for too long.
pub struct Paced {
    body: ReplyBody,
    patience: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

/// A body whose [`Taker`] is known.
pub struct Watched {
    body: ReplyBody,
    taker: Taker,
}

/// Who takes a body: whether something was handed out, and nothing more was asked for since.
#[derive(Clone, Debug, Default)]
pub struct Taker(Rc<Cell<Option<Instant>>>);

impl Paced {
    /// `body`, whose server may pause for `patience`.
    pub fn new(body: ReplyBody, patience: Duration) -> Self {
        Paced { body, patience, pause: None }
    }
}

impl Watched {
    /// `body`, which `taker` is to take.
    pub fn new(body: ReplyBody, taker: Taker) -> Self {
        Watched { body, taker }
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

impl Body for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.pause = None;
            return frame;
        }
        let patience = self.patience;
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(patience)));
        pause.as_mut().poll(cx).map(|()| Some(Err("the server pauses for too long within its answer".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.taker.0.set(frame.is_ready().then(Instant::now));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
