//! What happened, added up.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::ledger::{Ledger, Tunnel};
use crate::{World, locked};

/// What happened to all tunnels. Where figures are of one direction, those of both are added.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Handshakes that succeeded.
    pub opened: u64,
    /// Handshakes that did not.
    pub failed_handshakes: u64,
    /// Why, of the first few.
    pub failures: Vec<String>,
    /// Tunnels that were closed though nobody here asked for it, by how that was said.
    pub closes: BTreeMap<Close, u64>,
    /// When each of those was closed, from the beginning, in order of time.
    pub closed_at: Vec<Duration>,
    /// Messages that were sent as a whole.
    pub sent: u64,
    /// Messages that arrived, wrong ones with them.
    pub received: u64,
    /// Messages that did not arrive though a later one did, or though the tunnel was closed properly.
    pub lost: u64,
    /// Messages that arrived again.
    pub doubled: u64,
    /// Messages that arrived behind a later one.
    pub reordered: u64,
    /// Messages that are not what was sent.
    pub altered: u64,
    /// Messages of another tunnel or direction.
    pub strayed: u64,
    /// Messages on their way when their tunnel was closed unexpectedly: what is told to go cannot deliver all.
    pub cut_off: u64,
    /// What broke the protocol, of the first few.
    pub malformed: Vec<String>,
    /// The longest time in which nothing arrived on any tunnel.
    pub silence: Duration,
    /// The longest time between two arrivals in one direction of a tunnel: of each tunnel, in order of size. Tunnels
    /// that come and go are not among them.
    pub gaps: Vec<Duration>,
    /// The longest time from the beginning of sending a message until it had arrived.
    pub longest_delay: Duration,
}

/// How a client was told to go. Code 1006 stands for not at all, and `reason` then for how TCP or TLS ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Close {
    /// The code; 1005 where the frame has none.
    pub code: u16,
    /// What the frame says beside it.
    pub reason: String,
}

/// There was no Close frame (RFC 6455 7.4.1).
pub(crate) const CUT: u16 = 1006;

impl Close {
    pub(crate) fn cut(how: &str) -> Self {
        Close { code: CUT, reason: how.to_owned() }
    }

    pub(crate) fn read(payload: &[u8]) -> Self {
        let (code, reason) = match payload.split_first_chunk() {
            Some((code, reason)) => (u16::from_be_bytes(*code), reason),
            None => (1005, payload),
        };
        Close { code, reason: String::from_utf8_lossy(reason).into_owned() }
    }
}

impl Report {
    pub(crate) fn of(world: &World) -> Self {
        let mut report = locked(&world.past).clone();
        let tunnels: Vec<_> = locked(&world.tunnels).values().cloned().collect();
        tunnels.iter().for_each(|tunnel| report.add(&locked(tunnel), false));
        report.silence = locked(&world.arrivals).1;
        report.closed_at.sort_unstable();
        report.gaps.sort_unstable();
        report
    }

    /// How many tunnels were closed though nobody here asked for it.
    pub fn unexpected_closes(&self) -> u64 {
        self.closes.values().sum()
    }

    /// Everything that was sent arrived once, in order and unchanged, and nobody was turned away or closed.
    pub fn is_clean(&self) -> bool {
        self.messages_are_clean() && self.failed_handshakes == 0 && self.closes.is_empty() && self.opened > 0
    }

    /// What arrived is right and complete, whoever was closed.
    pub fn messages_are_clean(&self) -> bool {
        let wrong = [self.lost, self.doubled, self.reordered, self.altered, self.strayed];
        wrong == [0; 5] && self.malformed.is_empty() && self.received > 0
    }

    /// How far the pace of the closes is from an even one over `window` from `began` on, as a share of the window:
    /// the largest distance of a close from when it would have been. None without closes.
    pub fn unevenness(&self, began: Duration, window: Duration) -> Option<f64> {
        let count = self.closed_at.len() as f64;
        let distance = |(index, at): (usize, &Duration)| {
            let even = (index as f64 + 0.5) / count;
            (at.saturating_sub(began).as_secs_f64() / window.as_secs_f64() - even).abs()
        };
        self.closed_at.iter().enumerate().map(distance).max_by(f64::total_cmp)
    }

    pub(crate) fn handshake_failed(&mut self, why: String) {
        self.failed_handshakes += 1;
        if self.failures.len() < FEW {
            self.failures.push(why);
        }
    }

    /// Adds a tunnel; `over` if its ends parted as they should, so that nothing is on its way any more.
    pub(crate) fn add(&mut self, tunnel: &Tunnel, over: bool) {
        self.opened += 1;
        if let Some((close, at)) = &tunnel.closed {
            *self.closes.entry(close.clone()).or_default() += 1;
            self.closed_at.push(*at);
        }
        for ledger in [&tunnel.up, &tunnel.down] {
            self.add_direction(ledger);
            self.lost += if over { ledger.on_their_way() } else { 0 };
            self.cut_off += if tunnel.closed.is_some() { ledger.on_their_way() } else { 0 };
        }
        if tunnel.stays {
            self.gaps.push(tunnel.up.longest_gap.max(tunnel.down.longest_gap));
        }
    }

    fn add_direction(&mut self, ledger: &Ledger) {
        self.sent += u64::from(ledger.sent);
        self.received += ledger.received;
        self.lost += ledger.skipped();
        self.doubled += ledger.doubled;
        self.reordered += ledger.reordered;
        self.altered += ledger.altered;
        self.strayed += ledger.strayed;
        self.longest_delay = self.longest_delay.max(ledger.longest_delay);
        if self.malformed.len() < FEW {
            self.malformed.extend(ledger.malformed.clone());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { opened, sent, received, lost, doubled, reordered, altered, strayed, cut_off, .. } = self;
        writeln!(f, "tunnels: {opened} opened, {} handshakes failed", self.failed_handshakes)?;
        self.failures.iter().try_for_each(|why| writeln!(f, "  failed: {why}"))?;
        writeln!(f, "messages: {sent} sent, {received} received")?;
        writeln!(
            f,
            "  {lost} lost, {doubled} doubled, {reordered} reordered, {altered} altered, {strayed} strayed, \
             {cut_off} cut off"
        )?;
        self.malformed.iter().try_for_each(|what| writeln!(f, "  malformed: {what}"))?;
        writeln!(f, "closed unexpectedly: {}", self.unexpected_closes())?;
        for (Close { code, reason }, count) in &self.closes {
            writeln!(f, "  {count} x {code} {reason:?}")?;
        }
        if let [first, .., last] = self.closed_at.as_slice() {
            let spread = [1, 2, 3].map(|quarter| self.closed_at[self.closed_at.len() * quarter / 4]);
            writeln!(f, "  from {first:.1?} to {last:.1?}, quarters at {spread:.1?}")?;
        }
        let middle = self.gaps.get(self.gaps.len() / 2).copied().unwrap_or_default();
        let worst = self.gaps.last().copied().unwrap_or_default();
        writeln!(f, "longest gap of a tunnel: {worst:.1?}, of the median tunnel: {middle:.1?}")?;
        writeln!(
            f,
            "longest delay of a message: {:.1?}; longest silence of all: {:.1?}",
            self.longest_delay, self.silence
        )
    }
}

/// How much of what repeats itself is kept.
const FEW: usize = 20;
