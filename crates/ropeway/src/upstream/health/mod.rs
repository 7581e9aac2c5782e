//! Which servers are well.
//!
//! ```text
//! Watch::run   waits, checks, tells the server's Health; where its verdict changes, the pool chooses anew among
//!              those that are usable
//! ```

mod check;
mod expected;
mod watch;

pub use watch::{Watch, Watches};

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::spec::health_check::{HealthCheck as Spec, Initial};

/// What is known of a server's health.
#[derive(Debug)]
pub struct Health {
    is_usable: AtomicBool,
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
    pub fn new(initial: Initial) -> Self {
        let known = Known {
            condition: Condition::Unknown,
            since: Instant::now(),
            reason: None,
            latency: None,
            streak: 0,
        };
        Health { is_usable: AtomicBool::new(initial == Initial::Healthy), known: Mutex::new(known) }
    }

    /// Whether it may get new connections.
    pub fn is_usable(&self) -> bool {
        self.is_usable.load(Ordering::Relaxed)
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
        self.is_usable.store(verdict != Condition::Unhealthy, Ordering::Relaxed);
        Some(verdict)
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
        let health = Health::new(Initial::Healthy);
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
        let health = Health::new(Initial::Healthy);
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
    fn thousands_of_changes_leave_it_exact() {
        let row = "-+".repeat(5_000);
        let changes = changes(1, 1, &row);
        assert!(changes.iter().all(Option::is_some));
        assert_eq!(changes.last(), Some(&Some(Condition::Healthy)));
    }
}
