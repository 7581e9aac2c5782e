//! Streams in memory that read short, write short, keep the tunnel waiting and wake it as choices decide.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::choices::Choices;
use super::scenario::{Finish, Script};
use super::walk::Walk;

/// One leg as its peer sees it.
pub struct Wire {
    coming: VecDeque<u8>,
    /// So many of the bytes that are coming are there.
    here: usize,
    /// Bytes that the tunnel has, those of the handshake included.
    pub(super) taken: usize,
    /// So many of all bytes may be passed on.
    pub(super) counts: usize,
    finish: Finish,
    finished: bool,
    /// So many bytes can be written at once.
    room: usize,
    /// What the peer has got.
    pub written: Vec<u8>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    choices: Choices,
}

impl Wire {
    pub(super) fn new(script: &Script, choices: &Choices) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Wire {
            coming: script.sends[script.early..].iter().copied().collect(),
            here: 0,
            taken: script.early,
            counts: Walk::over(&script.sends).settled,
            finish: script.finish,
            finished: false,
            room: 0,
            written: Vec::new(),
            reader: None,
            writer: None,
            choices: choices.clone(),
        }))
    }

    pub(super) fn is_lost(&self) -> bool {
        self.finished && self.finish == Finish::Lost
    }

    /// Lets the next thing happen; `false` when nothing can.
    pub(super) fn act(&mut self) -> bool {
        let more = self.coming.len() - self.here;
        if self.writer.is_some() && (more == 0 || self.choices.one_in(2)) {
            self.room = self.choices.pick(&[1, 20, 5_000, 200_000]);
            self.writer.take().into_iter().for_each(Waker::wake);
            return true;
        }
        let lost = self.finish == Finish::Lost && !self.finished && self.choices.one_in(6);
        if more > 0 && !lost {
            let most = self.choices.pick(&[1, 8, 5_000, 200_000]);
            self.here += more.min(1 + self.choices.below(most));
        } else if !self.finished && self.finish != Finish::Silence {
            self.finished = true;
        } else {
            return false;
        }
        if self.is_lost() {
            (self.coming, self.here) = (VecDeque::new(), 0);
            self.writer.take().into_iter().for_each(Waker::wake);
        }
        self.reader.take().into_iter().for_each(Waker::wake);
        true
    }

    /// Waits for no reason now and then, as a runtime may make it do.
    fn hesitates(&self, cx: &Context<'_>) -> bool {
        let hesitates = self.choices.one_in(8);
        if hesitates {
            cx.waker().wake_by_ref();
        }
        hesitates
    }
}

/// The gateway's end of a [`Wire`].
pub(super) struct InMemory(pub(super) Rc<RefCell<Wire>>);

impl AsyncRead for InMemory {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        if wire.hesitates(cx) {
            return Poll::Pending;
        }
        if wire.here == 0 && wire.finished {
            return match wire.finish {
                Finish::Lost => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Finish::Panic => panic!("a fault on purpose"),
                Finish::Fin | Finish::Silence => Poll::Ready(Ok(())),
            };
        }
        if wire.here == 0 {
            wire.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = wire.here.min(buffer.remaining());
        let count = if wire.choices.one_in(2) { most } else { 1 + wire.choices.below(most) };
        wire.coming.read_exact(buffer.initialize_unfilled_to(count))?;
        buffer.advance(count);
        wire.here -= count;
        wire.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for InMemory {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.borrow_mut();
        if wire.is_lost() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if wire.hesitates(cx) {
            return Poll::Pending;
        }
        if wire.room == 0 {
            wire.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = wire.room.min(bytes.len());
        wire.room -= count;
        wire.written.extend(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let hesitates = self.0.borrow().hesitates(cx);
        if hesitates { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}
