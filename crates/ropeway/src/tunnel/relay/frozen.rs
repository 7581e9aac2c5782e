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

#[cfg(test)]
mod tests {
    use ws::{CloseCode, Rules, Violation};

    use super::*;

    fn direction(source: Source, sink: Sink, chunk: u32) -> Direction {
        let rules = Rules { sender: Role::Client, deflate: false, max_message: 9, validate_utf8: true };
        let mut direction = Direction::new(Inspector::new(rules), &[], false);
        (direction.source, direction.sink, direction.chunk) = (source, sink, chunk);
        direction
    }

    fn keeping(bytes: usize, owed: usize, fresh: bool) -> Direction {
        let mut direction = direction(Source::Open, Sink::Open, CHUNK.0);
        (direction.kept, direction.fresh) = (Kept::with_owed(&vec![7; bytes], owed), fresh);
        direction
    }

    fn farewell(mask: Option<[u8; 4]>) -> Sink {
        Sink::FarewellDue(Box::new(CloseFrame::new(CloseCode::NORMAL, "bye", mask)))
    }

    /// What stands in a record is what can be; nothing else is read from it.
    #[test]
    fn what_cannot_be_is_refused() {
        let open = |chunk| direction(Source::Open, Sink::Open, chunk);
        let spent = |chunk| direction(Source::Spent, Sink::Closed, chunk);
        for (what, direction, is_fine) in [
            ("the first read", open(CHUNK.0), true),
            ("the largest read", open(CHUNK.1), true),
            ("a read too small", open(CHUNK.0 - 1), false),
            ("a read too large", open(CHUNK.1 + 1), false),
            ("all waste", spent(WASTE), true),
            ("no waste left", spent(0), false),
            ("too much waste", spent(WASTE + 1), false),
            ("nothing unread", direction(Source::Unread, Sink::Lost, 0), true),
            ("the beginning of a frame", keeping(UNJUDGED_MAX, 0, false), true),
            ("more than a beginning", keeping(UNJUDGED_MAX + 1, 0, false), false),
            ("what came with a handshake", keeping(KEPT_MAX, 0, true), true),
            ("as much as is owed", keeping(BYTES_MAX, BYTES_MAX, false), true),
            ("more than is kept", keeping(BYTES_MAX + 1, BYTES_MAX + 1, false), false),
            ("a farewell to a server", direction(Source::Open, farewell(Some([1; 4])), CHUNK.0), true),
            ("one to a client", direction(Source::Open, farewell(None), CHUNK.0), false),
        ] {
            let mut bytes = Vec::new();
            direction.put(&mut bytes);
            assert!(bytes.len() <= direction.frozen_len() + ws::ControlFrame::MAX);
            let read = Direction::read(&mut &*bytes);
            assert_eq!(read.is_ok(), is_fine, "{what}");
            let mut again = Vec::new();
            read.iter().for_each(|direction| direction.put(&mut again));
            assert!(!is_fine || again == bytes, "{what}");
        }
    }

    /// Each value of a list has a number of its own, and what is read is what was written.
    #[test]
    fn every_state_comes_back() {
        let sinks: [fn() -> Sink; 6] = [
            || Sink::Open,
            || Sink::FarewellLast(Box::new(CloseFrame::empty(Some([1; 4])))),
            || Sink::CutDue,
            || Sink::Closed,
            || Sink::Shut,
            || Sink::Lost,
        ];
        let mut all = Vec::new();
        for source in [Source::Open, Source::Spent, Source::Unread, Source::Ended] {
            for sink in sinks {
                let mut bytes = Vec::new();
                direction(source, sink(), CHUNK.0).put(&mut bytes);
                let read = Direction::read(&mut &*bytes).ok().unwrap();
                assert_eq!(read.source, source);
                assert_eq!(std::mem::discriminant(&read.sink), std::mem::discriminant(&sink()));
                all.push(bytes);
            }
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 24);
        let mut broken = direction(Source::Spent, Sink::Closed, 1);
        broken.inspector.advance(&[0x83, 0]);
        let mut bytes = Vec::new();
        broken.put(&mut bytes);
        let mut read = Direction::read(&mut &*bytes).ok().unwrap();
        assert_eq!(read.judge(&[0; 9]).1, Some(super::super::News::Violated));
        assert_eq!(read.inspector.violation(), Some(Violation::ReservedOpcode));
    }
}
