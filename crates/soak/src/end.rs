//! One end of a tunnel: says its messages at its own pace, and checks what the other end says.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::ready;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::frames::{self, Frame};
use crate::ledger::Tunnel;
use crate::message::{self, Label, SHORTEST, Way};
use crate::report::{CUT, Close};
use crate::{World, locked};

/// How long a goodbye may take to be answered.
const PATIENCE: Duration = Duration::from_secs(10);
const NORMAL: u16 = 1000;
const READ: usize = 16 << 10;

pub(crate) struct End {
    pub(crate) world: Arc<World>,
    pub(crate) tunnel: Arc<Mutex<Tunnel>>,
    /// Which way its own messages go.
    pub(crate) way: Way,
    notes: Mutex<VecDeque<Note>>,
    noted: Notify,
    leaving: AtomicBool,
}

/// What the reader wants written.
enum Note {
    Pong(Vec<u8>),
    Close(Vec<u8>),
}

/// What the writer does next.
enum Step {
    Answer(Note),
    Message,
    Leave,
}

impl End {
    pub(crate) fn new(world: Arc<World>, tunnel: Arc<Mutex<Tunnel>>, way: Way) -> Self {
        End {
            world,
            tunnel,
            way,
            notes: Mutex::default(),
            noted: Notify::new(),
            leaving: AtomicBool::new(false),
        }
    }

    /// Talks over `stream`, behind whose handshake `inbox` was read already, until `until` or until it is closed.
    /// None if it said goodbye and was answered; else how it was closed.
    pub(crate) async fn run<S>(
        &self,
        stream: S,
        inbox: Vec<u8>,
        until: impl Future<Output = ()>,
    ) -> Option<Close>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (input, output) = tokio::io::split(stream);
        let (mut reading, mut writing) = (pin!(self.read(input, inbox)), pin!(self.write(output, until)));
        let close = tokio::select! {
            close = &mut reading => {
                // The answer to a Close is still to be written; without one there is nobody to write to.
                if close.code != CUT {
                    let _ = timeout(PATIENCE, writing).await;
                }
                close
            }
            // Whoever closed the socket may have said why.
            _ = &mut writing => timeout(PATIENCE, reading).await.unwrap_or_else(|_| Close::cut("no answer")),
        };
        (!(self.leaving.load(Ordering::Relaxed) && close.code == NORMAL)).then_some(close)
    }

    async fn write<W: AsyncWrite + Unpin>(
        &self,
        mut out: W,
        until: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let mut until = pin!(until);
        let id = locked(&self.tunnel).id;
        let mut rng = Rng::with_seed(self.world.plan.seed ^ u64::from(id) << 8 ^ self.way as u64);
        let mut due = Instant::now() + self.world.plan.interval.mul_f64(rng.f64());
        for number in 0.. {
            loop {
                let step = tokio::select! {
                    biased;
                    note = self.next_note() => Step::Answer(note),
                    () = &mut until => Step::Leave,
                    () = sleep_until(due) => Step::Message,
                };
                match step {
                    Step::Answer(note) => self.answer(&mut out, note).await?,
                    Step::Leave => return self.leave(&mut out).await,
                    Step::Message => break,
                }
            }
            let label = Label { tunnel: id, way: self.way, number, sent_at: self.world.began.elapsed() };
            self.say(&mut out, &label, &mut rng).await?;
            locked(&self.tunnel).ledger(self.way).sent += 1;
            due = Instant::now().max(due + self.world.plan.interval.mul_f64(2.0 * rng.f64()));
        }
        Ok(())
    }

    /// A message of any size, whole or in pieces, some with pings before them, some a while after the one before.
    async fn say<W: AsyncWrite + Unpin>(&self, out: &mut W, label: &Label, rng: &mut Rng) -> io::Result<()> {
        let plan = &self.world.plan;
        let orders = (plan.largest.max(SHORTEST) as f64 / SHORTEST as f64).log2();
        let message = message::write(label, (SHORTEST as f64 * (orders * rng.f64()).exp2()) as usize);
        let pieces = if rng.bool() { 1 } else { rng.usize(2..=6) };
        let mut begin = 0;
        for piece in 1..=pieces {
            let last = piece == pieces;
            let end = if last { message.len() } else { rng.usize(begin..=message.len()) };
            if piece > 1 && rng.u8(..4) == 0 {
                sleep(plan.interval.min(PAUSE).mul_f64(rng.f64())).await;
            }
            if rng.u8(..6) == 0 {
                self.frame(out, true, frames::PING, &label.number.to_be_bytes(), rng.u32(..)).await?;
            }
            let opcode = if piece == 1 { frames::BINARY } else { frames::CONTINUATION };
            self.frame(out, last, opcode, &message[begin..end], rng.u32(..)).await?;
            begin = end;
        }
        Ok(())
    }

    async fn leave<W: AsyncWrite + Unpin>(&self, out: &mut W) -> io::Result<()> {
        self.leaving.store(true, Ordering::Relaxed);
        self.frame(out, true, frames::CLOSE, &NORMAL.to_be_bytes(), fastrand::u32(..)).await
    }

    /// Ends with an error behind a Close frame: nothing may follow it (RFC 6455 5.5.1).
    async fn answer<W: AsyncWrite + Unpin>(&self, out: &mut W, note: Note) -> io::Result<()> {
        match note {
            Note::Pong(payload) => self.frame(out, true, frames::PONG, &payload, fastrand::u32(..)).await,
            Note::Close(payload) => {
                self.frame(out, true, frames::CLOSE, &payload, fastrand::u32(..)).await?;
                out.shutdown().await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }

    async fn frame<W>(&self, out: &mut W, fin: bool, opcode: u8, payload: &[u8], mask: u32) -> io::Result<()>
    where
        W: AsyncWrite + Unpin,
    {
        let mut bytes = Vec::with_capacity(payload.len() + 14);
        let mask = (self.way == Way::Up).then_some(mask.to_ne_bytes());
        frames::write(&mut bytes, fin, opcode, mask, payload);
        out.write_all(&bytes).await?;
        out.flush().await
    }

    fn note(&self, note: Note) {
        locked(&self.notes).push_back(note);
        self.noted.notify_one();
    }

    async fn next_note(&self) -> Note {
        loop {
            if let Some(note) = locked(&self.notes).pop_front() {
                return note;
            }
            self.noted.notified().await;
        }
    }

    /// Reads until the end, and says how that came.
    async fn read<R: AsyncRead + Unpin>(&self, mut input: R, mut inbox: Vec<u8>) -> Close {
        let mut message = None;
        loop {
            match self.take(&mut inbox, &mut message) {
                Ok(None) => {}
                Ok(Some(close)) => return close,
                Err(why) => {
                    locked(&self.tunnel).ledger(self.other()).malformed = Some(why.clone());
                    return Close::cut(&why);
                }
            }
            match read_some(&mut input, &mut inbox).await {
                Ok(0) => return Close::cut("end of stream"),
                Ok(_) => {}
                Err(error) => return Close::cut(&error.to_string()),
            }
        }
    }

    fn other(&self) -> Way {
        if self.way == Way::Up { Way::Down } else { Way::Up }
    }

    /// Takes all whole frames from the inbox; gives what a Close frame said.
    fn take(&self, inbox: &mut Vec<u8>, message: &mut Option<Vec<u8>>) -> Result<Option<Close>, String> {
        let largest = self.world.plan.largest.max(READ);
        let mut taken = 0;
        while let Some(frame) = frames::read(inbox, taken, largest)? {
            taken = frame.payload.end;
            if frame.masked != (self.way == Way::Down) {
                return Err("a mask where none belongs, or none where one does".into());
            }
            let payload = &inbox[frame.payload.clone()];
            match frame.opcode {
                frames::PING => self.note(Note::Pong(payload.to_vec())),
                frames::PONG => {}
                frames::CLOSE => {
                    if !self.leaving.load(Ordering::Relaxed) {
                        self.note(Note::Close(payload.get(..2).unwrap_or_default().to_vec()));
                    }
                    return Ok(Some(Close::read(payload)));
                }
                _ => self.piece(&frame, payload, message)?,
            }
        }
        inbox.drain(..taken);
        // Thousands of tunnels that had a large message each would hold on to it.
        if inbox.is_empty() && inbox.capacity() > READ {
            *inbox = Vec::new();
        }
        Ok(None)
    }

    fn piece(&self, frame: &Frame, payload: &[u8], message: &mut Option<Vec<u8>>) -> Result<(), String> {
        match (frame.opcode, message.as_mut()) {
            (frames::BINARY, None) => *message = Some(payload.to_vec()),
            (frames::CONTINUATION, Some(begun)) => begun.extend_from_slice(payload),
            (opcode, begun) => return Err(format!("opcode {opcode}, message begun: {}", begun.is_some())),
        }
        if frame.fin
            && let Some(mut whole) = message.take()
        {
            let now = self.world.began.elapsed();
            locked(&self.tunnel).receive(self.other(), &mut whole, now);
            self.world.received.fetch_add(1, Ordering::Relaxed);
            let mut arrivals = locked(&self.world.arrivals);
            arrivals.1 = arrivals.1.max(now.saturating_sub(arrivals.0));
            arrivals.0 = now;
        }
        Ok(())
    }
}

/// The longest time between two pieces of a message.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads what there is, without a buffer that waits with the tunnel.
async fn read_some<R: AsyncRead + Unpin>(input: &mut R, inbox: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut bytes = [0; READ];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *input).poll_read(cx, &mut buffer))?;
        inbox.extend_from_slice(buffer.filled());
        std::task::Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}
