//! What was sent and what arrived, of one tunnel.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::message::{self, Label, Way};
use crate::report::Close;

/// One tunnel, as both of its ends know it.
#[derive(Debug, Default)]
pub(crate) struct Tunnel {
    pub(crate) id: u32,
    /// It is one of those that stay until the end.
    pub(crate) stays: bool,
    pub(crate) up: Ledger,
    pub(crate) down: Ledger,
    /// How its client saw it end, and when.
    pub(crate) closed: Option<(Close, Duration)>,
}

/// One direction of a tunnel.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Messages that were handed to the socket as a whole.
    pub(crate) sent: u32,
    pub(crate) received: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    pub(crate) altered: u64,
    /// Whole messages of another tunnel or direction.
    pub(crate) strayed: u64,
    /// What breaks the protocol itself.
    pub(crate) malformed: Option<String>,
    pub(crate) longest_gap: Duration,
    pub(crate) longest_delay: Duration,
    last_at: Option<Duration>,
    /// The number that the next message should have.
    next: u32,
    /// Those below it that did not come.
    missing: BTreeSet<u32>,
}

impl Tunnel {
    pub(crate) fn ledger(&mut self, way: Way) -> &mut Ledger {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Takes a message that arrived `now`.
    pub(crate) fn receive(&mut self, way: Way, message: &mut [u8], now: Duration) {
        let id = self.id;
        let ledger = self.ledger(way);
        ledger.arrived(now);
        match message::read(message) {
            Some(label) if label.tunnel == id && label.way == way => ledger.place(&label, now),
            Some(_) => ledger.strayed += 1,
            // It takes the place of whatever it was, so that it does not count as lost as well.
            None => {
                ledger.altered += 1;
                ledger.next += 1;
            }
        }
    }
}

impl Ledger {
    /// Messages that did not come though a later one did.
    pub(crate) fn skipped(&self) -> u64 {
        self.missing.len() as u64
    }

    /// Messages behind the last that came.
    pub(crate) fn on_their_way(&self) -> u64 {
        u64::from(self.sent.saturating_sub(self.next))
    }

    fn arrived(&mut self, now: Duration) {
        self.received += 1;
        let gap = self.last_at.map_or(Duration::ZERO, |last| now.saturating_sub(last));
        self.longest_gap = self.longest_gap.max(gap);
        self.last_at = Some(now);
    }

    fn place(&mut self, label: &Label, now: Duration) {
        self.longest_delay = self.longest_delay.max(now.saturating_sub(label.sent_at));
        if label.number >= self.next {
            self.missing.extend(self.next..label.number);
            self.next = label.number + 1;
        } else if self.missing.remove(&label.number) {
            self.reordered += 1;
        } else {
            self.doubled += 1;
        }
    }
}
