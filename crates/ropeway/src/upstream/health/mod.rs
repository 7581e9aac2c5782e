//! Which servers are well.
//!
//! ```text
//! Watch::run        waits, checks, tells the server's Health
//! Passive::failed   counts what went wrong with clients; too often, the server is ejected
//! Health            is used or not; where that changes, all generations of the pool see it by Changes
//! ```

mod changes;
mod check;
mod expected;
mod knowledge;
mod passive;
mod question;
mod talk;
mod watch;

pub use changes::Changes;
pub(super) use changes::millis;
pub use knowledge::Knowledge;
pub use passive::{Conduct, Ejected, Passive, Trial};
pub use watch::{Watch, Watches};

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::spec::health_check::{HealthCheck as Spec, Initial};

/// A server is not used: by its health check, or until its first.
const UNWELL: u8 = 1;

/// A server is not used: it is ejected.
const EJECTED: u8 = 2;

/// A server is not used: it is drained by command.
const DRAINED: u8 = 4;

/// What a server gets that has just come into use, in hundredths of its share.
const LEAST: u64 = 10;

/// What is known of a server's health. Any thread may look at it and change it.
#[derive(Debug)]
pub struct Health {
    /// What speaks against using it.
    against: AtomicU8,
    /// When it came into use, by the clock of `changes`; 0: with its pool.
    since: AtomicU64,
    changes: Arc<Changes>,
    known: Mutex<Known>,
}

/// A server's health in full.
#[derive(Clone, Debug)]
pub struct Known {
    /// The verdict.
    pub condition: Condition,
    /// When it came to this verdict.
    pub since: Instant,
    /// What the last check found wrong.
    pub reason: Option<String>,
    /// How long the last check took that passed.
    pub latency: Option<Duration>,
    /// Checks in a row with the result of the last one.
    streak: u32,
}

/// Whether a server is well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Not enough checks yet.
    Unknown,
    /// It is used.
    Healthy,
    /// It gets no new connections.
    Unhealthy,
}

/// How many checks in a row make a verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    fails: u32,
    passes: u32,
}

impl Health {
    /// Nothing is known; until then it counts as `initial`.
    pub fn new(initial: Initial, changes: &Arc<Changes>) -> Self {
        let known = Known {
            condition: Condition::Unknown,
            since: Instant::now(),
            reason: None,
            latency: None,
            streak: 0,
        };
        let against = if initial == Initial::Healthy { 0 } else { UNWELL };
        Health {
            against: against.into(),
            since: 0.into(),
            changes: changes.clone(),
            known: Mutex::new(known),
        }
    }

    /// Whether it may get new connections.
    pub fn is_usable(&self) -> bool {
        self.against.load(Ordering::Relaxed) == 0
    }

    /// Whether its checks say so.
    pub fn is_well(&self) -> bool {
        self.against.load(Ordering::Relaxed) & UNWELL == 0
    }

    /// Whether it is ejected.
    pub fn is_ejected(&self) -> bool {
        self.against.load(Ordering::Relaxed) & EJECTED != 0
    }

    /// Whether it is drained by command.
    pub fn is_drained(&self) -> bool {
        self.against.load(Ordering::Relaxed) & DRAINED != 0
    }

    /// Whether nothing else speaks against using it than that it is drained.
    pub fn is_only_drained(&self) -> bool {
        self.against.load(Ordering::Relaxed) == DRAINED
    }

    /// It is drained by command, or not any more.
    pub fn set_drained(&self, is_drained: bool) {
        self.set(DRAINED, is_drained);
    }

    /// What it is to get of its share, in hundredths, where one that comes into use gets it over `slow_start`.
    pub(super) fn share(&self, slow_start: Duration) -> u32 {
        let since = self.since.load(Ordering::Relaxed);
        if !self.is_usable() {
            return 0;
        }
        if since == 0 || slow_start.is_zero() {
            return 100;
        }
        let passed = self.changes.now().saturating_sub(since);
        let grown = passed.saturating_mul(100 - LEAST) / millis(slow_start).max(1);
        (LEAST + grown).min(100) as u32
    }

    /// It comes into use now, in a pool that was in use before.
    pub(super) fn begins(&self) {
        self.since.store(self.changes.now(), Ordering::Relaxed);
    }

    fn set_ejected(&self, is_ejected: bool) {
        self.set(EJECTED, is_ejected);
    }

    /// Adds to what speaks against using it, or takes away from it.
    fn set(&self, reason: u8, holds: bool) {
        let before = match holds {
            true => self.against.fetch_or(reason, Ordering::Relaxed),
            false => self.against.fetch_and(!reason, Ordering::Relaxed),
        };
        let after = if holds { before | reason } else { before & !reason };
        if before != 0 && after == 0 {
            self.begins();
        }
        if (before == 0) != (after == 0) {
            self.changes.note();
        }
    }

    /// All that is known.
    pub fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of a check: how long it took, or what was wrong. The new verdict, if this changed it.
    pub fn note(&self, result: Result<Duration, String>, thresholds: Thresholds) -> Option<Condition> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (verdict, needed) = match result {
            Ok(_) => (Condition::Healthy, thresholds.passes),
            Err(_) => (Condition::Unhealthy, thresholds.fails),
        };
        let is_same = known.streak > 0 && known.reason.is_none() == result.is_ok();
        known.streak = if is_same { known.streak.saturating_add(1) } else { 1 };
        match result {
            Ok(latency) => (known.latency, known.reason) = (Some(latency), None),
            Err(reason) => known.reason = Some(reason),
        }
        if known.condition == verdict || known.streak < needed {
            return None;
        }
        (known.condition, known.since) = (verdict, Instant::now());
        self.set(UNWELL, verdict == Condition::Unhealthy);
        Some(verdict)
    }

    /// Makes this the verdict, without a check.
    fn set_verdict(&self, verdict: Condition, since: Instant, reason: Option<String>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Known { condition: verdict, since, reason, latency: None, streak: 0 };
        self.set(UNWELL, verdict == Condition::Unhealthy);
    }
}

impl Thresholds {
    /// As the user set them.
    pub fn new(spec: &Spec) -> Self {
        Thresholds { fails: spec.fails.get(), passes: spec.passes.get() }
    }
}

impl Condition {
    /// `unknown`, `healthy` or `unhealthy`.
    pub fn label(self) -> &'static str {
        match self {
            Condition::Unknown => "unknown",
            Condition::Healthy => "healthy",
            Condition::Unhealthy => "unhealthy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each check of a row changes: `+` passes, `-` fails.
    fn changes(fails: u32, passes: u32, row: &str) -> Vec<Option<Condition>> {
        let health = Health::new(Initial::Healthy, &Arc::<Changes>::default());
        let changed = row.chars().map(|check| {
            let result = if check == '+' { Ok(Duration::ZERO) } else { Err("wrong".into()) };
            let change = health.note(result, Thresholds { fails, passes });
            assert_eq!(health.is_usable(), health.known().condition != Condition::Unhealthy);
            change
        });
        changed.collect()
    }

    #[test]
    fn a_verdict_needs_as_many_checks_in_a_row_as_are_set() {
        use Condition::{Healthy, Unhealthy};
        assert_eq!(changes(1, 1, "+-+"), [Some(Healthy), Some(Unhealthy), Some(Healthy)]);
        assert_eq!(changes(1, 1, "++"), [Some(Healthy), None]);
        assert_eq!(changes(2, 1, "--"), [None, Some(Unhealthy)]);
        assert_eq!(
            changes(3, 2, "--+---++"),
            [None, None, None, None, None, Some(Unhealthy), None, Some(Healthy)]
        );
    }

    #[test]
    fn the_last_reason_and_the_last_latency_are_kept() {
        let health = Health::new(Initial::Healthy, &Arc::<Changes>::default());
        let thresholds = Thresholds { fails: 1, passes: 1 };
        health.note(Ok(Duration::from_millis(7)), thresholds);
        health.note(Err("status 500".into()), thresholds);
        let known = health.known();
        assert_eq!(known.reason.as_deref(), Some("status 500"));
        assert_eq!(known.latency, Some(Duration::from_millis(7)));
        health.note(Ok(Duration::from_millis(9)), thresholds);
        assert_eq!((health.known().reason, health.known().latency), (None, Some(Duration::from_millis(9))));
    }

    #[test]
    fn a_share_rises_from_when_a_server_comes_into_use() {
        let began = Instant::now();
        let changes = Arc::<Changes>::default();
        let health = Health::new(Initial::Healthy, &changes);
        let slow_start = Duration::from_secs(1000);
        assert_eq!(health.share(slow_start), 100, "from the beginning");
        health.set(UNWELL, true);
        assert_eq!(health.share(slow_start), 0);
        health.set(UNWELL, false);
        assert_eq!((health.share(slow_start), health.share(Duration::ZERO)), (10, 100));
        // So many seconds later.
        for (seconds, expected) in [(0, 10), (101, 19), (501, 55), (991, 99), (1001, 100), (5000, 100)] {
            let changes = Arc::new(Changes::begun(began - Duration::from_secs(seconds)));
            let health = Health::new(Initial::Healthy, &changes);
            health.since.store(1, Ordering::Relaxed);
            assert_eq!(health.share(slow_start), expected, "after {seconds} s");
        }
    }

    #[test]
    fn thousands_of_changes_leave_it_exact() {
        let row = "-+".repeat(5_000);
        let changes = changes(1, 1, &row);
        assert!(changes.iter().all(Option::is_some));
        assert_eq!(changes.last(), Some(&Some(Condition::Healthy)));
    }
}
