//! What is known of a server's health, as one process tells it to the next.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Condition, Ejected, Health, Passive};

/// An ejection lasts no longer without being looked at again, whatever the other process says.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What is known of one server of a pool. A field that is missing says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Knowledge {
    /// The pool's identity.
    pub pool: String,
    /// The server's address within the pool.
    pub server: String,
    /// The verdict of its checks, if there is one.
    pub verdict: Option<Verdict>,
    /// How it has behaved towards clients, if that counts.
    pub conduct: Option<Behaviour>,
}

/// A verdict of health checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    healthy: bool,
    age_ms: u64,
    reason: Option<String>,
}

/// How a server has behaved towards clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Behaviour {
    failures: u64,
    ejections: u64,
    strikes: u32,
    ejected: Option<Ejection>,
}

/// An ejection that lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Ejection {
    age_ms: u64,
    left_ms: u64,
    reason: String,
}

impl Health {
    /// What its checks say, if they do.
    pub fn verdict(&self) -> Option<Verdict> {
        let known = self.known();
        (known.condition != Condition::Unknown).then(|| Verdict {
            healthy: known.condition == Condition::Healthy,
            age_ms: age(known.since),
            reason: known.reason,
        })
    }

    /// Goes on from this verdict.
    pub fn resume(&self, verdict: Verdict) {
        let condition = if verdict.healthy { Condition::Healthy } else { Condition::Unhealthy };
        self.set_verdict(condition, ago(verdict.age_ms), verdict.reason);
    }
}

impl Passive {
    /// How `server` has behaved.
    pub fn behaviour(&self, server: &str) -> Option<Behaviour> {
        let conduct = self.conducts().into_iter().find(|conduct| conduct.server == server)?;
        let ejected = conduct.ejected.map(|ejected| Ejection {
            age_ms: age(ejected.since),
            left_ms: millis(ejected.until.saturating_duration_since(Instant::now())),
            reason: ejected.reason,
        });
        let (failures, ejections, strikes) = (conduct.failures, conduct.ejections, conduct.strikes);
        Some(Behaviour { failures, ejections, strikes, ejected })
    }

    /// Goes on from this behaviour of `server`.
    pub fn resume(&self, server: &str, behaviour: Behaviour) {
        let mut state = self.state();
        // Without rules nobody is ejected.
        let counts = state.rules.is_some();
        let Some(conduct) = state.conduct(server) else { return };
        let Behaviour { failures, ejections, strikes, ejected } = behaviour;
        (conduct.failures, conduct.ejections, conduct.strikes) = (failures, ejections, strikes);
        conduct.ejected = ejected.filter(|_| counts).map(|ejected| Ejected {
            since: ago(ejected.age_ms),
            until: Instant::now() + Duration::from_millis(ejected.left_ms).min(LONGEST),
            reason: ejected.reason,
            on_trial: false,
        });
        conduct.health.set_ejected(conduct.ejected.is_some());
        self.plan_trial(&state);
    }
}

fn age(since: Instant) -> u64 {
    millis(since.elapsed())
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

fn ago(millis: u64) -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_millis(millis)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Changes, Thresholds};
    use super::*;
    use crate::spec::health_check::Initial;

    fn health() -> Arc<Health> {
        Arc::new(Health::new(Initial::Healthy, &Arc::<Changes>::default()))
    }

    #[test]
    fn a_verdict_goes_on_in_another_process() {
        let (before, after) = (health(), health());
        assert_eq!(before.verdict(), None, "no check yet");
        for result in [Err("status 500".to_owned()), Ok(Duration::from_millis(3))] {
            before.note(result, Thresholds { fails: 1, passes: 1 });
            let told = serde_json::to_string(&before.verdict()).unwrap();
            after.resume(serde_json::from_str::<Option<Verdict>>(&told).unwrap().unwrap());
            assert_eq!(after.is_usable(), before.is_usable());
            let (before, after) = (before.known(), after.known());
            assert_eq!((after.condition, after.reason), (before.condition, before.reason));
        }
    }
}
