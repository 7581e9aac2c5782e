//! Ejections: a server that fails the clients it is given is left out for a while.
//!
//! ```text
//! in use    `failures` within `within`  -> ejected
//! ejected   its time is up              -> one handshake tries it; others go elsewhere
//! on trial  it answers                  -> in use
//!           it fails                    -> ejected, for twice as long
//! ```
//!
//! What counts as a failure of a handshake stands in the pool; what counts at the end of a tunnel, in [`blame`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ws::Violation;

use super::{Changes, Health};
use crate::spec::passive::Passive as Spec;
use crate::tunnel::farewell::Cause;
use crate::tunnel::registry::Moved;
use crate::tunnel::{Observer, Record, Side};

/// A tunnel that is lost later than this says nothing about its server.
const EARLY: Duration = Duration::from_secs(5);

/// No server is ejected for more than this many times as long as the first time.
const MOST: u32 = 10;

/// A server whose time is up, but that is not well by its health check, is looked at again after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// There is no server to try.
const NEVER: u64 = u64::MAX;

/// How the servers of a pool behave towards clients, kept over all generations of the pool.
#[derive(Debug)]
pub struct Passive {
    pool: String,
    changes: Arc<Changes>,
    /// When an ejected server may be tried, by the clock of `changes`: all that a handshake looks at.
    next_trial: AtomicU64,
    state: Mutex<State>,
}

/// How a server has behaved towards clients.
#[derive(Clone, Debug)]
pub struct Conduct {
    /// Its address within the pool.
    pub server: String,
    /// Failures since the server is known.
    pub failures: u64,
    /// How often it was ejected.
    pub ejections: u64,
    /// That it is ejected now.
    pub ejected: Option<Ejected>,
    pub(super) health: Arc<Health>,
    /// Failures of late.
    recent: VecDeque<Instant>,
    /// Ejections that make the next one longer.
    pub(super) strikes: u32,
    /// When it came back from the last one.
    back: Option<Instant>,
}

/// A server that gets no new connections, because it has failed too many.
#[derive(Clone, Debug)]
pub struct Ejected {
    /// Since when; from one trial that failed to the next it goes on.
    pub since: Instant,
    /// When it is tried next.
    pub until: Instant,
    /// The last failure.
    pub reason: String,
    pub(super) on_trial: bool,
}

/// A handshake that finds out whether an ejected server is well again. Dropped without a result, the next one does.
#[derive(Debug)]
#[must_use]
pub struct Trial {
    passive: Arc<Passive>,
    server: String,
    has_result: bool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) rules: Option<Rules>,
    servers: Vec<Conduct>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    failures: usize,
    within: Duration,
    eject: Duration,
    percent: usize,
}

impl Passive {
    /// Of the pool called `pool`; without rules nobody is ejected.
    pub fn new(pool: &str, changes: Arc<Changes>) -> Self {
        Passive { pool: pool.to_owned(), changes, next_trial: AtomicU64::new(NEVER), state: Mutex::default() }
    }

    /// From now on these are the rules and the servers. What is known of a server that was there before is kept; without
    /// rules nobody stays ejected.
    pub fn set<'s>(&self, rules: Option<&Spec>, servers: impl Iterator<Item = (&'s str, &'s Arc<Health>)>) {
        let mut state = self.state();
        state.rules = rules.map(Rules::new);
        let mut before = std::mem::take(&mut state.servers);
        state.servers = servers
            .map(|(server, health)| match before.iter().position(|conduct| conduct.server == server) {
                Some(at) => Conduct { health: health.clone(), ..before.swap_remove(at) },
                None => Conduct::new(server, health),
            })
            .collect();
        for conduct in &mut state.servers {
            conduct.ejected.take_if(|_| rules.is_none());
            conduct.health.set_ejected(conduct.ejected.is_some());
        }
        for gone in before {
            gone.health.set_ejected(false);
        }
        self.plan_trial(&state);
    }

    /// `server` has failed.
    pub fn failed(&self, server: &str, reason: &str) {
        let mut state = self.state();
        let length = state.failed(server, reason, Instant::now());
        self.plan_trial(&state);
        drop(state);
        self.log_ejection(server, reason, length);
    }

    /// The trial that is due, if there is one: who gets it has to try.
    pub fn trial(self: &Arc<Self>) -> Option<Trial> {
        let due = self.next_trial.load(Ordering::Relaxed);
        if due == NEVER || self.changes.now() < due {
            return None;
        }
        let mut state = self.state();
        let server = state.try_one(Instant::now());
        self.plan_trial(&state);
        Some(Trial { passive: self.clone(), server: server?, has_result: false })
    }

    /// All that is known.
    pub fn conducts(&self) -> Vec<Conduct> {
        self.state().servers.clone()
    }

    pub(super) fn plan_trial(&self, state: &State) {
        let next = state.next_trial().map_or(NEVER, |next| self.changes.at(next));
        self.next_trial.store(next, Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_ejection(&self, server: &str, reason: &str, length: Option<Duration>) {
        let Some(length) = length else { return };
        let (pool, for_s) = (&*self.pool, length.as_secs_f64());
        tracing::warn!(target: "ropeway::health", pool, server, reason, for_s, "server is ejected");
    }
}

impl Observer for Passive {
    fn ended(&self, record: &Record) {
        if let Some(reason) = blame(record) {
            self.failed(&record.account.server, &reason);
        }
    }
}

/// What the server has to answer for, if it has to for the end of this tunnel: it was lost, or broke a rule, within
/// [`EARLY`], before the client had sent a message. After a message it may be the client that knows how to bring a
/// server down.
fn blame(record: &Record) -> Option<String> {
    if record.until_end >= EARLY || record.progress.to_server != Moved::default() {
        return None;
    }
    match record.cause {
        // These are of the application's making, with the words of others in them.
        Cause::Violation(Side::Server, Violation::MessageTooBig { .. } | Violation::TextNotUtf8) => None,
        Cause::Vanished(Side::Server) | Cause::Violation(Side::Server, _) => Some(record.cause.to_string()),
        _ => None,
    }
}

impl Trial {
    /// Who is to be tried.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// It answered as it should: it is in use from now on.
    pub fn passed(mut self) {
        if let Some(length) = self.conclude(|state, server| state.passed(server, Instant::now())) {
            let (pool, server, ejected_s) = (&*self.passive.pool, &*self.server, length.as_secs_f64());
            tracing::info!(target: "ropeway::health", pool, server, ejected_s, "server is back");
        }
    }

    /// It failed.
    pub fn failed(mut self, reason: &str) {
        let length = self.conclude(|state, server| state.failed_again(server, reason, Instant::now()));
        self.passive.log_ejection(&self.server, reason, length);
    }

    fn conclude<T>(&mut self, conclusion: impl FnOnce(&mut State, &str) -> T) -> T {
        self.has_result = true;
        let mut state = self.passive.state();
        let concluded = conclusion(&mut state, &self.server);
        self.passive.plan_trial(&state);
        concluded
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.has_result {
            self.conclude(|state, server| {
                if let Some(ejected) = state.conduct(server).and_then(|conduct| conduct.ejected.as_mut()) {
                    ejected.on_trial = false;
                }
            });
        }
    }
}

impl State {
    pub(super) fn conduct(&mut self, server: &str) -> Option<&mut Conduct> {
        self.servers.iter_mut().find(|conduct| conduct.server == server)
    }

    /// Counts a failure. For how long the server is ejected, if it is now.
    fn failed(&mut self, server: &str, reason: &str, now: Instant) -> Option<Duration> {
        let rules = self.rules?;
        let conduct = self.conduct(server)?;
        conduct.failures += 1;
        if conduct.ejected.is_some() || !conduct.has_failed_often(&rules, now) || !self.may_eject(server) {
            return None;
        }
        Some(self.conduct(server)?.eject(&rules, reason, now))
    }

    /// A trial has failed: for how long the server is ejected now.
    fn failed_again(&mut self, server: &str, reason: &str, now: Instant) -> Option<Duration> {
        let rules = self.rules?;
        let conduct = self.conduct(server)?;
        conduct.failures += 1;
        conduct.ejected.as_ref()?;
        Some(conduct.eject(&rules, reason, now))
    }

    /// A trial has passed: how long the server was ejected.
    fn passed(&mut self, server: &str, now: Instant) -> Option<Duration> {
        let conduct = self.conduct(server)?;
        let ejected = conduct.ejected.take()?;
        conduct.back = Some(now);
        conduct.health.set_ejected(false);
        Some(now.saturating_duration_since(ejected.since))
    }

    /// Whether the pool can do without this server, too.
    fn may_eject(&self, server: &str) -> bool {
        let most = self.rules.map_or(0, |rules| self.servers.len() * rules.percent / 100);
        let ejected = self.servers.iter().filter(|conduct| conduct.ejected.is_some()).count();
        let others = || self.servers.iter().filter(|conduct| conduct.server != server);
        ejected < most && others().any(|other| other.health.is_usable())
    }

    /// A server whose time is up, on trial from now on.
    fn try_one(&mut self, now: Instant) -> Option<String> {
        for conduct in &mut self.servers {
            let may_be_tried = conduct.health.is_well() && !conduct.health.is_drained();
            let Some(ejected) = &mut conduct.ejected else { continue };
            if ejected.on_trial || ejected.until > now {
                continue;
            }
            if may_be_tried {
                ejected.on_trial = true;
                return Some(conduct.server.clone());
            }
            ejected.until = now + AGAIN;
        }
        None
    }

    fn next_trial(&self) -> Option<Instant> {
        let waiting = self.servers.iter().filter_map(|conduct| conduct.ejected.as_ref());
        waiting.filter(|ejected| !ejected.on_trial).map(|ejected| ejected.until).min()
    }
}

impl Conduct {
    fn new(server: &str, health: &Arc<Health>) -> Self {
        Conduct {
            server: server.to_owned(),
            health: health.clone(),
            failures: 0,
            ejections: 0,
            ejected: None,
            recent: VecDeque::new(),
            strikes: 0,
            back: None,
        }
    }

    /// Takes note of a failure: whether that makes too many.
    fn has_failed_often(&mut self, rules: &Rules, now: Instant) -> bool {
        self.recent.push_back(now);
        while self.recent.len() > rules.failures
            || self.recent.front().is_some_and(|first| now.saturating_duration_since(*first) > rules.within)
        {
            self.recent.pop_front();
        }
        self.recent.len() >= rules.failures
    }

    /// For how long it is ejected now: for twice as long as the last time, less by as many times as it was in use for
    /// the first length since.
    fn eject(&mut self, rules: &Rules, reason: &str, now: Instant) -> Duration {
        if let Some(back) = self.back.take() {
            let forgiven = now.saturating_duration_since(back).div_duration_f64(rules.eject) as u32;
            self.strikes = self.strikes.saturating_sub(forgiven);
        }
        let length = rules.eject * 2_u32.checked_pow(self.strikes).unwrap_or(MOST).min(MOST);
        self.strikes = self.strikes.saturating_add(1);
        self.ejections += 1;
        self.recent.clear();
        let since = self.ejected.take().map_or(now, |ejected| ejected.since);
        self.ejected =
            Some(Ejected { since, until: now + length, reason: reason.to_owned(), on_trial: false });
        self.health.set_ejected(true);
        length
    }
}

impl Rules {
    fn new(spec: &Spec) -> Self {
        Rules {
            failures: spec.failures.get().into(),
            within: spec.within.get(),
            eject: spec.eject.get(),
            percent: spec.max_ejected.get().into(),
        }
    }
}

#[cfg(test)]
mod tests;
