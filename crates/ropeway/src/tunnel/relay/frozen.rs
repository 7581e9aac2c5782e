//! A direction as a part of a record.

use bytes::{Buf, BufMut};
use ws::{CloseFrame, Inspector, Role, Saved};

use super::{CHUNK, Direction, KEPT_MAX, Kept, Sink, Source, WASTE};
use crate::tunnel::frozen::{Unreadable, Value, take_bytes};

/// What is kept at most: a read, and farewells around it.
const BYTES_MAX: usize = KEPT_MAX + 512;

/// What cannot be judged yet of frames, at most (`ws` says so).
const UNJUDGED_MAX: usize = 130;

impl Direction {
    /// About how many bytes [`Value::put`] gives.
    pub(in crate::tunnel) fn frozen_len(&self) -> usize {
        16 + Saved::MAX + self.kept.unpaid().len()
    }

    /// Whether nothing that ends a tunnel has happened here.
    pub(in crate::tunnel) fn is_open(&self) -> bool {
        self.source == Source::Open && matches!(self.sink, Sink::Open) && !self.cut
    }

    /// Who sends what passes here.
    pub(in crate::tunnel) fn sender(&self) -> Role {
        self.inspector.sender()
    }
}

/// Whether the stream ends behind the last Close is not written: the side tells.
impl Value for Direction {
    fn put(&self, out: &mut Vec<u8>) {
        let saved = self.inspector.save();
        out.put_u8(saved.as_bytes().len() as u8);
        out.put_slice(saved.as_bytes());
        out.put_u8(match self.source {
            Source::Open => 0,
            Source::Spent => 1,
            Source::Unread => 2,
            Source::Ended => 3,
        });
        let (sink, farewell) = match &self.sink {
            Sink::Open => (0, None),
            Sink::FarewellLast(frame) => (1, Some(frame)),
            Sink::FarewellDue(frame) => (2, Some(frame)),
            Sink::CutDue => (3, None),
            Sink::Closed => (4, None),
            Sink::Shut => (5, None),
            Sink::Lost => (6, None),
        };
        out.put_u8(sink);
        let farewell = farewell.map(|frame| frame.as_bytes()).unwrap_or_default();
        out.put_u8(farewell.len() as u8);
        out.put_slice(farewell);
        self.cut.put(out);
        self.fresh.put(out);
        out.put_u32(self.chunk);
        out.put_u32(self.kept.owed().len() as u32);
        out.put_slice(self.kept.unpaid());
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        let len = from.try_get_u8()?.into();
        let inspector = Inspector::restore(take_bytes(from, len)?).map_err(|_| Unreadable::Malformed)?;
        let source = match from.try_get_u8()? {
            0 => Source::Open,
            1 => Source::Spent,
            2 => Source::Unread,
            3 => Source::Ended,
            _ => return Err(Unreadable::Malformed),
        };
        let sink = take_sink(from, inspector.sender())?;
        let (cut, fresh) = (bool::read(from)?, bool::read(from)?);
        let chunk = from.try_get_u32()?;
        let owed = from.try_get_u32()? as usize;
        let bytes = std::mem::take(from);

        let least_and_most = match source {
            Source::Open => CHUNK.0..=CHUNK.1,
            Source::Spent => 1..=WASTE,
            Source::Unread | Source::Ended => 0..=WASTE,
        };
        let unjudged = bytes.len().checked_sub(owed).ok_or(Unreadable::Malformed)?;
        if bytes.len() > BYTES_MAX || !(fresh || unjudged <= UNJUDGED_MAX) || !least_and_most.contains(&chunk)
        {
            return Err(Unreadable::Malformed);
        }
        let shut_after_close = inspector.sender() == Role::Server;
        let kept = Kept::with_owed(bytes, owed);
        Ok(Direction { inspector, source, sink, shut_after_close, cut, fresh, chunk, kept })
    }
}

/// A farewell to the server is a client's frame, as all that the server gets.
fn take_sink(from: &mut &[u8], sender: Role) -> Result<Sink, Unreadable> {
    let (sink, len) = (from.try_get_u8()?, from.try_get_u8()?.into());
    let farewell = take_bytes(from, len)?;
    let frame = CloseFrame::from_wire(farewell, sender).map(Box::new);
    Ok(match (sink, frame) {
        (1, Some(frame)) => Sink::FarewellLast(frame),
        (2, Some(frame)) => Sink::FarewellDue(frame),
        _ if !farewell.is_empty() => return Err(Unreadable::Malformed),
        (0, _) => Sink::Open,
        (3, _) => Sink::CutDue,
        (4, _) => Sink::Closed,
        (5, _) => Sink::Shut,
        (6, _) => Sink::Lost,
        _ => return Err(Unreadable::Malformed),
    })
}
