//! What is drained by command: out of use until it is taken back, while its tunnels end one by one.
//!
//! The list of orders decides. What is in force follows it: servers by their health, listeners and routes by what
//! is served. So it holds for whatever a reload builds anew.

mod find;
mod schedule;
mod target;

use std::collections::{BTreeMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::find::{Kind, Wish};
pub use self::schedule::{Schedule, Terms};
pub use self::target::{Target, sum};
use self::target::{moved_route, routes};
use super::Supervisor;
use super::load::{Named, Objects};
use crate::server::serving::DrainedParts;
use crate::server::worker::Workers;
use crate::spec::http_server::HttpServer;
use crate::tunnel::drain::Drain;
use crate::tunnel::farewell::Why;
use crate::tunnel::registry::{Ask, Registries, is_of};
use crate::upstream::pool::Pools;

/// How often the log is told how a drain goes: so many times in its window, and not more often than this.
const PROGRESS: (u32, Duration) = (20, Duration::from_secs(5));

/// An order to drain, as long as it is not taken back.
#[derive(Clone, Debug)]
pub struct Drained {
    /// What is drained.
    pub target: Target,
    /// How.
    pub terms: Terms,
    /// Since when.
    pub began: Instant,
    /// The configuration has it no more; its tunnels go on ending.
    pub is_gone: bool,
    running: Option<Running>,
    /// When the log was told last; `None` once it was told that nothing is left.
    told: Option<Instant>,
}

/// The drain of its tunnels.
#[derive(Clone, Debug)]
struct Running {
    /// As it was called when this began.
    target: Target,
    schedule: Schedule,
    called_off: CancellationToken,
}

/// An order as one process tells it to the next.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Inherited {
    #[serde(flatten)]
    target: Target,
    #[serde(flatten)]
    terms: Terms,
    age_ms: u64,
}

/// All orders, in the order in which they came.
#[derive(Clone, Default, Debug)]
pub struct Drains(Vec<Drained>);

impl Supervisor {
    /// Takes objects out of use until [`undrain`](Self::undrain); their tunnels end as `terms` say. What is drained
    /// already is from now on drained like this. Says what is drained, and how many are left of each.
    ///
    /// # Errors
    /// Names that nothing has, or several objects; nothing has happened then.
    pub fn drain(
        &mut self,
        wish: &Wish,
        terms: Terms,
        workers: &Workers,
    ) -> Result<Vec<(Drained, usize)>, String> {
        let targets = find::find(wish, &self.targets(), "is in force")?;
        self.drains.take(&targets).iter_mut().for_each(Drained::call_off);
        let before = self.drains.0.len();
        let now = Instant::now();
        self.drains.0.extend(targets.into_iter().map(|target| Drained::new(target, terms, now)));
        self.heed_drains(workers);
        let new = self.drains.0.iter().skip(before).cloned().collect();
        Ok(self.log_all(new, "drain has begun", workers))
    }

    /// Takes orders to drain back: tunnels that were not told to end yet live on. Says which, and how many are left of each.
    ///
    /// # Errors
    /// Names of what is not drained, or of several objects; nothing has happened then.
    pub fn undrain(&mut self, wish: &Wish, workers: &Workers) -> Result<Vec<(Drained, usize)>, String> {
        let known: Vec<_> = self.drains.0.iter().map(|drained| drained.target.clone()).collect();
        let targets = find::find(wish, &known, "is drained")?;
        let mut taken_back = self.drains.take(&targets);
        taken_back.iter_mut().for_each(Drained::call_off);
        self.heed_drains(workers);
        Ok(self.log_all(taken_back, "drain is taken back", workers))
    }

    /// What is drained.
    pub fn drains(&self) -> &[Drained] {
        &self.drains.0
    }

    /// Whether every listener is drained.
    pub fn is_drained(&self) -> bool {
        let mut serving = self.listening.iter().map(|listening| listening.front.serving.load());
        !self.drains.0.is_empty() && serving.all(|serving| serving.drained.all)
    }

    /// Tells the log how it goes, and forgets what is gone and has no tunnels left. Whether anything was forgotten. Waits
    /// for the workers: not to be called on one of them.
    pub fn watch_drains(&mut self, registries: &Registries) -> bool {
        if !self.drains.0.iter().any(Drained::is_watched) {
            return false;
        }
        let (count, routes) = (self.drains.0.len(), tunnels_by_route(registries));
        let mut drains = mem::take(&mut self.drains);
        drains.0.iter_mut().for_each(|drained| drained.tell(self.left(drained, &routes)));
        let is_over = |drained: &mut Drained| {
            drained.is_gone && (drained.running.is_none() || self.left(drained, &routes) == 0)
        };
        drains.0.extract_if(.., is_over).for_each(|mut drained| drained.call_off());
        self.drains = drains;
        self.drains.0.len() < count
    }

    /// How many are left of what is drained.
    fn left(&self, drained: &Drained, routes: &BTreeMap<Arc<str>, usize>) -> usize {
        drained.target.left(self.in_force.pools.values().chain(self.in_force.departed.values()), routes)
    }

    /// Tells the log of each, and says how many are left.
    fn log_all(&self, drains: Vec<Drained>, message: &str, workers: &Workers) -> Vec<(Drained, usize)> {
        let routes = tunnels_by_route(&workers.registries());
        let counted = drains.into_iter().map(|drained| {
            let left = self.left(&drained, &routes);
            drained.log(left, message);
            (drained, left)
        });
        counted.collect()
    }

    /// Goes on with what another process was told to drain. Before anything is in force.
    pub fn inherit(&mut self, orders: Vec<Inherited>) {
        let age = |order: &Inherited| Duration::from_millis(order.age_ms);
        let began = |order: &Inherited| Instant::now().checked_sub(age(order)).unwrap_or_else(Instant::now);
        let orders = orders.into_iter().map(|order| {
            let began = began(&order);
            Drained::new(order.target, order.terms, began)
        });
        self.drains = Drains(orders.collect());
    }

    /// The orders, for the process that takes over.
    pub fn bequeath(&self) -> Vec<Inherited> {
        let age_ms = |began: Instant| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let inherited = |drained: &Drained| Inherited {
            target: drained.target.clone(),
            terms: drained.terms,
            age_ms: age_ms(drained.began),
        };
        self.drains.0.iter().map(inherited).collect()
    }

    /// Has what is in force follow the list, and tunnels end as it says now.
    pub(super) fn heed_drains(&mut self, workers: &Workers) {
        self.drains.mark(&self.in_force.pools);
        for (server, listening) in self.objects.served().zip(&self.listening) {
            if listening.front.serving.load().drained != self.drains.parts(server) {
                listening.front.change(self.serving(server, &self.in_force, &self.drains));
            }
        }
        for drained in &mut self.drains.0 {
            drained.run(drained.schedule_under(&self.objects), workers);
        }
    }

    /// All that can be drained.
    fn targets(&self) -> Vec<Target> {
        let listeners =
            self.objects.served().map(|server| Target::Listener { name: server.name.to_string() });
        let routes = self.objects.served().flat_map(routes).map(|(name, ..)| Target::Route { name });
        let pools = || self.in_force.pools.values();
        let servers = pools()
            .flat_map(|pool| pool.servers())
            .map(|server| Target::Server { pool: server.pool().to_owned(), name: server.name().to_owned() });
        let mut targets = vec![Target::Gateway];
        targets.extend(listeners.chain(routes));
        targets.extend(pools().map(|pool| Target::Pool { name: pool.identity.clone() }));
        targets.extend(servers);
        targets
    }
}

impl Drains {
    /// The same orders where `new` follows `old`, with these pools.
    pub(super) fn following(&self, old: &Objects, new: &Objects, pools: &Pools) -> Self {
        let follow = |drained: &Drained| {
            let mut drained = drained.clone();
            if let Target::Route { name } = &drained.target
                && let Some(now) = moved_route(name, old, new)
            {
                drained.target = Target::Route { name: now };
            }
            drained.is_gone = !drained.target.is_in(new, pools);
            drained
        };
        Drains(self.0.iter().map(follow).collect())
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Drained> {
        self.0.iter()
    }

    /// Tells the log where `before`, of which these are the followers, has moved or gone.
    pub(super) fn log_since(&self, before: &Drains) {
        for (now, before) in self.0.iter().zip(&before.0) {
            let (object, name) = (now.target.kind(), now.target.name());
            if now.target != before.target {
                let was = before.target.name();
                tracing::warn!(
                    object,
                    name,
                    was,
                    "a drained route has another name now: that one is drained"
                );
            }
            match (before.is_gone, now.is_gone) {
                (false, true) => {
                    tracing::warn!(object, name, "what is drained is in the configuration no more");
                }
                (true, false) => {
                    tracing::warn!(object, name, "what was removed is back: it is still drained");
                }
                _ => {}
            }
        }
    }

    /// Has servers get nothing new, or get it again.
    pub(super) fn mark(&self, pools: &Pools) {
        let targets = || self.0.iter().map(|drained| &drained.target);
        for pool in pools.values() {
            pool.set_drained(|server| {
                targets().any(|target| match target {
                    Target::Pool { name } => *name == pool.identity,
                    Target::Server { pool: of, name } => *of == pool.identity && name == server.name(),
                    Target::Gateway | Target::Listener { .. } | Target::Route { .. } => false,
                })
            });
        }
    }

    /// What of `server` is drained.
    pub(super) fn parts(&self, server: &Named<HttpServer>) -> DrainedParts {
        let mut parts = DrainedParts { all: false, routes: HashSet::new() };
        for drained in &self.0 {
            match &drained.target {
                Target::Gateway => parts.all = true,
                Target::Listener { name } => parts.all |= server.name.as_str() == name,
                Target::Route { name } if is_of(name, server.name.as_str()) => {
                    parts.routes.insert(name.as_str().into());
                }
                Target::Route { .. } | Target::Pool { .. } | Target::Server { .. } => {}
            }
        }
        parts
    }

    /// Those for `targets`, which are in the list no more.
    fn take(&mut self, targets: &[Target]) -> Vec<Drained> {
        self.0.extract_if(.., |drained| targets.contains(&drained.target)).collect()
    }
}

impl Drained {
    fn new(target: Target, terms: Terms, began: Instant) -> Self {
        Drained { target, terms, began, is_gone: false, running: None, told: Some(Instant::now()) }
    }

    /// Whether there is anything to tell of it, or to wait for.
    fn is_watched(&self) -> bool {
        self.told.is_some() || self.is_gone
    }

    /// When its tunnels end, if they do.
    pub fn schedule(&self) -> Option<Schedule> {
        self.running.as_ref().map(|running| running.schedule)
    }

    /// When its tunnels end where `objects` are in force, if they do.
    pub(super) fn schedule_under(&self, objects: &Objects) -> Option<Schedule> {
        if self.terms.keep_tunnels {
            return None;
        }
        let concerns = |server: &&Named<HttpServer>| match &self.target {
            Target::Listener { name } => server.name.as_str() == name,
            Target::Route { name } => is_of(name, server.name.as_str()),
            Target::Gateway | Target::Pool { .. } | Target::Server { .. } => true,
        };
        let servers = objects.servers.iter().filter(concerns);
        match Schedule::longest(servers.map(|server| &server.spec.drain)) {
            Some(schedule) => Some(schedule.on(&self.terms)),
            // Its listener is gone.
            None => self.schedule(),
        }
    }

    /// Has its tunnels end like this from now on, or not any more.
    fn run(&mut self, schedule: Option<Schedule>, workers: &Workers) {
        let before = self.running.as_ref().map(|running| (running.schedule, &running.target));
        if before == schedule.map(|schedule| (schedule, &self.target)) {
            return;
        }
        self.call_off();
        self.running = schedule.map(|schedule| {
            let called_off = CancellationToken::new();
            let pace = schedule.pace(self.began, workers.count());
            let whose = self.target.whose();
            let drain = Drain { whose, why: Why::Command, pace, called_off: called_off.clone() };
            workers.registries().ask(|| Ask::Drain(drain.clone()));
            Running { target: self.target.clone(), schedule, called_off }
        });
    }

    /// Tunnels that were not told yet live on.
    fn call_off(&mut self) {
        if let Some(running) = self.running.take() {
            running.called_off.cancel();
        }
    }

    /// Tells the log now and then how many are left, and once that none is.
    fn tell(&mut self, left: usize) {
        let Some(told) = self.told else { return };
        if left == 0 {
            self.told = None;
            self.log(left, "drain: nothing is left");
        } else if self.schedule().is_some_and(|schedule| told.elapsed() >= between_progress(schedule)) {
            self.told = Some(Instant::now());
            self.log(left, "drain goes on");
        }
    }

    fn log(&self, left: usize, message: &str) {
        let (object, name) = (self.target.kind(), self.target.name());
        let pool = self.target.pool();
        let window_s = self.schedule().map(|schedule| schedule.window.as_secs_f64());
        tracing::info!(object, name, pool, left, window_s, "{message}");
    }
}

fn between_progress(schedule: Schedule) -> Duration {
    (schedule.window / PROGRESS.0).max(PROGRESS.1)
}

/// Waits for the workers.
fn tunnels_by_route(registries: &Registries) -> BTreeMap<Arc<str>, usize> {
    let answers = registries.routes().into_iter();
    // A worker that has stopped has none.
    sum(answers.filter_map(|answer| answer.blocking_recv().ok()).flatten())
}
