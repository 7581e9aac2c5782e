//! The hot path: one direction of a tunnel.
//!
//! ```text
//! Tunnel::poll -> Direction::poll_forward:   read -> judge -> write
//! ```
//!
//! A direction reads only when the receiver has taken all that was read before, and keeps 64 KiB at most, whatever
//! a peer declares. Bytes go from the worker's scratch buffer to the receiver as they came; only what the receiver
//! did not take at once, or what cannot be judged yet, is kept in memory of its own. An idle direction keeps
//! nothing.
//!
//! Nothing is lost when a poll is dropped: between two polls all state is in the struct.

mod frozen;

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::task::yield_now;
use ws::{CloseCode, CloseFrame, Inspector, OpCode, Outcome};

use super::kept::Kept;
use crate::net::Stream;

/// Bytes read at once: a tunnel begins with the first figure and doubles up to the second while its receiver
/// takes everything at once.
const CHUNK: (u32, u32) = (16 * 1024, 256 * 1024);

/// The most a direction keeps. Of a read that is larger, no more is taken from the sender than the receiver takes
/// now, and this.
const KEPT_MAX: usize = 64 * 1024;

/// Reads per wake, so that one busy tunnel lets the others of its worker have their turn.
const READS_PER_WAKE: usize = 8;

/// Bytes that are read and thrown away behind a Close or a violation. More than the kernels of both ends hold by default
/// (4 MiB and 6 MiB on Linux): who stops when it hears of the end is read to its end, and a flood stands.
const WASTE: u32 = 16 << 20;

thread_local! {
    /// Every read of a worker goes here first. Room for a chunk behind whatever was kept for judgement: the
    /// beginning of a frame, or what came with a handshake.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; 2 * CHUNK.1 as usize].into_boxed_slice());
}

/// Bytes from one peer, the source, to the other, the sink.
pub(super) struct Direction {
    inspector: Inspector,
    source: Source,
    sink: Sink,
    /// The stream to the receiver ends behind the last Close: the server of a WebSocket closes TCP first (RFC 6455
    /// 7.1.1), and to the client the server is us.
    shut_after_close: bool,
    /// The stream to the receiver ended, or is to end, without a Close frame.
    cut: bool,
    /// The tail of what is kept was never judged: it came with the handshake.
    fresh: bool,
    /// Bytes to read at most: at once from an open source, in all from one that is spent.
    chunk: u32,
    kept: Kept,
}

/// What may still come from the sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Open,
    /// It sent its Close frame (RFC 6455 5.5.1) or broke a rule: what follows does not count, and is thrown away.
    Spent,
    /// Too much followed: the rest stays with the kernel, which stops the sender.
    Unread,
    /// It will send no more, or is lost.
    Ended,
}

/// What may still go to the receiver.
enum Sink {
    Open,
    /// A Close frame of ours is to be written behind all that the sender still says, in the place of its own Close.
    FarewellLast(Box<CloseFrame>),
    /// A Close frame of ours is to be written at the next frame border.
    FarewellDue(Box<CloseFrame>),
    /// No Close frame can be written any more: end the stream.
    CutDue,
    /// The last frame, a Close, is written or kept.
    Closed,
    /// The stream to the receiver is ended.
    Shut,
    /// The receiver is lost.
    Lost,
}

/// What a direction met that concerns the whole tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    /// The sender's Close frame came, and was passed on if it is the last word for the receiver.
    Closed(Option<CloseCode>),
    /// The sender broke a rule, which the inspector names: news are the answer to every read, and so are small.
    Violated,
    /// The sender ended its stream.
    Ended,
    /// The connection to the sender is lost in both directions.
    Lost,
}

impl Direction {
    /// `early` was read by whoever took the handshake from the sender, behind the handshake.
    pub(super) fn new(inspector: Inspector, early: &[u8], shut_after_close: bool) -> Self {
        Direction {
            inspector,
            source: Source::Open,
            sink: Sink::Open,
            shut_after_close,
            cut: false,
            fresh: !early.is_empty(),
            chunk: CHUNK.0,
            kept: Kept::early(early),
        }
    }

    /// Moves what can be moved. `Pending` when the source has no more for now or the sink takes no more; both
    /// will wake the task.
    pub(super) fn poll_forward(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<News> {
        for _ in 0..READS_PER_WAKE {
            ready!(self.poll_pay(to, cx));
            let news = match self.source {
                Source::Open => ready!(self.poll_transfer(from, to, cx)),
                Source::Spent => ready!(self.poll_discard(from, cx)),
                Source::Unread | Source::Ended => return Poll::Pending,
            };
            if let Some(news) = news {
                self.heed(news);
                return Poll::Ready(news);
            }
        }
        // Its next turn comes behind all others': with `wake_by_ref` alone it would have dozens before the worker looks
        // at its other connections.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }

    /// Writes `farewell` at the next frame border, or where `last` behind all that the sender still says; without one
    /// ends the stream to the receiver, who must not have been [told](Self::is_told).
    pub(super) fn end(&mut self, farewell: Option<CloseFrame>, last: bool) {
        self.sink = match farewell.map(Box::new) {
            Some(frame) if last => Sink::FarewellLast(frame),
            Some(frame) => Sink::FarewellDue(frame),
            None => Sink::CutDue,
        };
    }

    /// Holds the sender to other rules: to the limit from its next frame on, to the check of text from its next message
    /// on.
    pub(super) fn obey(&mut self, max_message: u64, validate_utf8: bool) {
        self.inspector.set_max_message(max_message);
        self.inspector.set_validate_utf8(validate_utf8);
    }

    /// Whether the receiver has been told that it is over, or will be.
    pub(super) fn is_told(&self) -> bool {
        !matches!(self.sink, Sink::Open)
    }

    /// Reads no more.
    pub(super) fn end_source(&mut self) {
        self.source = Source::Ended;
    }

    /// Takes note that the receiver is lost.
    pub(super) fn lose_sink(&mut self) {
        self.cut = self.was_cut();
        self.sink = Sink::Lost;
        self.kept.forgive();
    }

    pub(super) fn lost_sink(&self) -> bool {
        matches!(self.sink, Sink::Lost)
    }

    /// Whether a farewell was due and is not written.
    pub(super) fn was_cut(&self) -> bool {
        let due = matches!(self.sink, Sink::FarewellLast(_) | Sink::FarewellDue(_));
        self.cut || due || !self.kept.owed().is_empty()
    }

    /// Whether nothing is left to do here.
    pub(super) fn is_over(&self) -> bool {
        self.source == Source::Ended && self.has_told()
    }

    /// Whether the receiver has the sender's last word, and the sender has kept to it so far.
    pub(super) fn is_silent(&self) -> bool {
        self.source == Source::Spent && self.chunk == WASTE && self.has_told()
    }

    /// Whether the receiver has all that it will get.
    fn has_told(&self) -> bool {
        let told = matches!(self.sink, Sink::Closed | Sink::Shut | Sink::Lost);
        told && self.kept.owed().is_empty()
    }

    pub(super) fn inspector(&self) -> &Inspector {
        &self.inspector
    }

    /// Writes what the receiver is owed; `Ready` when it is owed nothing.
    fn poll_pay(&mut self, to: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            while !self.kept.owed().is_empty() {
                match ready!(to.poll_write(cx, self.kept.owed())) {
                    Ok(written) => self.kept.paid(written),
                    Err(_) => self.lose_sink(),
                }
            }
            if !ready!(self.poll_end_sink(to, cx)) {
                return Poll::Ready(());
            }
        }
    }

    /// Takes the next step towards the end of the stream to the receiver; `true` when it took one.
    fn poll_end_sink(&mut self, to: &mut Stream, cx: &mut Context<'_>) -> Poll<bool> {
        match &self.sink {
            Sink::FarewellLast(_) if self.source == Source::Open => return Poll::Ready(false),
            Sink::FarewellLast(frame) | Sink::FarewellDue(frame) if self.inspector.at_frame_border() => {
                self.kept.owe(frame.as_bytes());
                self.sink = Sink::Closed;
            }
            // The rest of the frame will not come, and no frame can begin inside another (RFC 6455 5.4).
            Sink::FarewellLast(_) | Sink::FarewellDue(_) if self.source != Source::Open => {
                self.sink = Sink::CutDue;
                self.cut = true;
            }
            Sink::CutDue => ready!(self.poll_shut(to, cx)),
            Sink::Closed if self.shut_after_close => ready!(self.poll_shut(to, cx)),
            _ => return Poll::Ready(false),
        }
        Poll::Ready(true)
    }

    fn poll_shut(&mut self, to: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        self.sink = if ready!(to.poll_shutdown(cx)).is_ok() { Sink::Shut } else { Sink::Lost };
        Poll::Ready(())
    }

    /// One read, and what follows from it.
    fn poll_transfer(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Option<News>> {
        SCRATCH.with_borrow_mut(|scratch| self.poll_transfer_by(scratch, from, to, cx))
    }

    /// The same. Not in a closure, whose captures would be read from memory again and again.
    fn poll_transfer_by(
        &mut self,
        scratch: &mut [u8],
        from: &mut Stream,
        to: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Option<News>> {
        let held = self.kept.recall(scratch);
        if std::mem::take(&mut self.fresh) {
            return Poll::Ready(self.pass(&scratch[..held], to, cx));
        }
        let looks = self.looks(from);
        let room = &mut scratch[held..held + self.room(looks)];
        let read = match ready!(if looks { from.poll_look(cx, room) } else { from.poll_read(cx, room) }) {
            Ok(0) => return Poll::Ready(Some(News::Ended)),
            Ok(read) => read,
            Err(_) => return Poll::Ready(Some(News::Lost)),
        };
        let bytes = &mut scratch[..held + read];
        let news = if looks { self.pass_seen(bytes, held, from, to, cx) } else { self.pass(bytes, to, cx) };
        self.adapt_chunk(read);
        Poll::Ready(news)
    }

    /// Whether to look at what there is before it is taken: where it is more than may be kept.
    fn looks(&self, from: &Stream) -> bool {
        let flows = matches!(self.sink, Sink::Open | Sink::FarewellLast(_));
        flows && self.chunk as usize > KEPT_MAX && from.can_look()
    }

    /// How much to read at once. Before a farewell only the rest of the frame under way is read, so that what
    /// is passed on ends at its border.
    fn room(&self, looks: bool) -> usize {
        let chunk = if looks { self.chunk as usize } else { KEPT_MAX.min(self.chunk as usize) };
        match self.sink {
            Sink::FarewellDue(_) => self.inspector.frame_remaining().clamp(1, chunk as u64) as usize,
            _ => chunk,
        }
    }

    /// One read of what does not count.
    fn poll_discard(&mut self, from: &mut Stream, cx: &mut Context<'_>) -> Poll<Option<News>> {
        let room = KEPT_MAX.min(self.chunk as usize);
        let read = SCRATCH.with_borrow_mut(|scratch| from.poll_read(cx, &mut scratch[..room]));
        match ready!(read) {
            Ok(0) => return Poll::Ready(Some(News::Ended)),
            Ok(read) => self.chunk -= read as u32,
            Err(_) => return Poll::Ready(Some(News::Lost)),
        }
        if self.chunk == 0 {
            self.source = Source::Unread;
        }
        Poll::Ready(None)
    }

    /// Judges `bytes` and writes what is settled.
    fn pass(&mut self, bytes: &[u8], to: &mut Stream, cx: &mut Context<'_>) -> Option<News> {
        let writable = matches!(self.sink, Sink::Open | Sink::FarewellLast(_) | Sink::FarewellDue(_));
        let passed = (self.inspector.messages(), self.inspector.payload_bytes());
        let (settled, news) = self.judge(bytes);
        let written = match news {
            _ if !writable => {
                // Judged for the sake of its Close only; what is counted is what is passed on.
                self.inspector.count_from(passed.0, passed.1);
                settled
            }
            // The stream is ended behind it in the same poll.
            Some(News::Closed(_)) if self.shut_after_close => {
                self.write(&bytes[..settled], to, cx, Stream::poll_write_last)
            }
            _ => self.write(&bytes[..settled], to, cx, Stream::poll_write),
        };
        let end = if news.is_some() { settled } else { bytes.len() };
        self.kept.keep(&bytes[written..end], settled - written);
        news
    }

    /// The same for bytes of which all but the first `held` are still with the sender.
    fn pass_seen(
        &mut self,
        bytes: &mut [u8],
        held: usize,
        from: &mut Stream,
        to: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Option<News> {
        let before = self.inspector.clone();
        let (mut settled, mut news) = self.judge(bytes);
        let written = self.write(&bytes[..settled], to, cx, Stream::poll_write);
        let end = if news.is_some() { settled } else { bytes.len() };
        let taken = end.min(written + KEPT_MAX);
        if taken < end {
            self.inspector = before;
            (settled, news) = self.judge(&bytes[..taken]);
            self.chunk = KEPT_MAX as u32;
        }
        self.kept.keep(&bytes[written..taken], settled - written);
        match from.take_seen(&mut bytes[held.min(taken)..taken]) {
            Ok(()) => news,
            Err(_) => Some(News::Lost),
        }
    }

    /// How many of `bytes` may be passed on, and what ends the direction behind them.
    fn judge(&mut self, bytes: &[u8]) -> (usize, Option<News>) {
        let mut settled = 0;
        loop {
            let step = self.inspector.advance(&bytes[settled..]);
            settled += step.settled;
            match step.outcome {
                Outcome::More => return (settled, None),
                Outcome::Control(control) if control.opcode == OpCode::Close => {
                    let replaced = matches!(self.sink, Sink::FarewellLast(_));
                    let passes = if replaced { 0 } else { control.wire_len };
                    return (settled + passes, Some(News::Closed(control.close_code)));
                }
                Outcome::Control(control) => settled += control.wire_len,
                Outcome::Violation(_) => return (settled, Some(News::Violated)),
            }
        }
    }

    /// Draws the consequences for this direction.
    fn heed(&mut self, news: News) {
        match news {
            News::Closed(_) | News::Violated => (self.source, self.chunk) = (Source::Spent, WASTE),
            News::Ended | News::Lost => {
                self.source = Source::Ended;
                self.kept.forget_tail();
            }
        }
        // The sender's Close is the last frame for the receiver too.
        if let (News::Closed(_), Sink::Open) = (news, &self.sink) {
            self.sink = Sink::Closed;
        }
    }

    /// Writes by `poll` what the receiver takes at once and says how much that was; a lost receiver takes all.
    fn write(
        &mut self,
        settled: &[u8],
        to: &mut Stream,
        cx: &mut Context<'_>,
        poll: impl Fn(&mut Stream, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> usize {
        let mut written = 0;
        while written < settled.len() {
            match poll(to, cx, &settled[written..]) {
                Poll::Ready(Ok(n)) => written += n,
                Poll::Ready(Err(_)) => {
                    self.lose_sink();
                    return settled.len();
                }
                Poll::Pending => break,
            }
        }
        written
    }

    /// Grows the reads while they are full and their receiver takes all, and looks no further than small
    /// messages reach.
    fn adapt_chunk(&mut self, read: usize) {
        if read >= self.chunk as usize && self.kept.owed().is_empty() {
            self.chunk = (2 * self.chunk).min(CHUNK.1);
        } else if read < KEPT_MAX {
            self.chunk = self.chunk.min(KEPT_MAX as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use ws::{Role, Rules, Violation};

    use super::*;

    #[test]
    fn a_frame_that_began_in_an_earlier_look_is_judged_as_a_whole() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut from, mut sender) = connection().await;
            let (mut to, _receiver) = connection().await;
            let rules =
                Rules { sender: Role::Server, deflate: false, max_message: 1000, validate_utf8: false };
            let mut direction = Direction::new(Inspector::new(rules), &[], false);
            let header = [0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0];

            direction.chunk = CHUNK.1;
            sender.write_all(&header[..3]).await.unwrap();
            poll_fn(|cx| {
                assert!(direction.poll_forward(&mut from, &mut to, cx).is_pending());
                if direction.kept.tail().len() == 3 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;

            direction.chunk = CHUNK.1;
            sender.write_all(&[&header[3..], &[0; 100_000]].concat()).await.unwrap();
            let news = poll_fn(|cx| direction.poll_forward(&mut from, &mut to, cx)).await;
            let rule = Violation::MessageTooBig { limit: 1000, size: 1 << 40 };
            assert_eq!(news, News::Violated);
            assert_eq!(direction.inspector().violation(), Some(rule));
        });
    }

    /// Of what the receiver does not take only so much is taken from the sender as may be kept, and what arrives is
    /// what was sent.
    #[test]
    fn a_look_takes_no_more_than_may_be_kept() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut from, sender) = connection().await;
            let (mut to, receiver) = connection().await;
            let rules =
                Rules { sender: Role::Server, deflate: false, max_message: u64::MAX, validate_utf8: false };
            let mut direction = Direction::new(Inspector::new(rules), &[], false);
            let payload: Vec<u8> = (0..16 << 20).map(|at: u32| (at / 7) as u8).collect();
            let head = [&[0x82, 127][..], &(payload.len() as u64).to_be_bytes()].concat();
            let sent = [head, payload].concat();

            let mut got = vec![0; sent.len()];
            let (mut offered, mut at, mut looked) = (0, 0, false);
            while at < got.len() {
                if let Ok(count) = sender.try_write(&sent[offered..]) {
                    offered += count;
                }
                poll_fn(|cx| {
                    let _ = direction.poll_forward(&mut from, &mut to, cx);
                    Poll::Ready(())
                })
                .await;
                assert!(direction.kept.len() <= KEPT_MAX, "{} bytes are kept", direction.kept.len());
                looked |= direction.chunk as usize > KEPT_MAX;
                // A reader that is slower than the sender.
                let end = (at + 100_000).min(got.len());
                if let Ok(count) = receiver.try_read(&mut got[at..end]) {
                    at += count;
                }
                tokio::task::yield_now().await;
            }
            assert!(looked, "the reads never grew");
            assert!(got == sent, "what arrived is not what was sent");
        });
    }

    async fn connection() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream::Tcp(listener.accept().await.unwrap().0), other)
    }
}
