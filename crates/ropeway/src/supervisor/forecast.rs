//! What would become of live tunnels if other objects were put in force.

use std::collections::{BTreeMap, HashMap};
use std::ptr;
use std::sync::Arc;

use super::Supervisor;
use super::build::{InForce, build};
use super::load::Objects;
use super::plan::Plan;
use crate::tunnel::drain::Whose;
use crate::tunnel::registry::{Registries, Share};
use crate::tunnel::{Account, Outlook, Word};
use crate::upstream::Pool;

/// What a changed configuration would mean.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// For the objects.
    pub plan: Plan,
    /// For the live tunnels of each pool that has some, by its identity. Pools that are in force no more are among them.
    pub pools: BTreeMap<String, Fates>,
}

/// How many tunnels have which fate.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Fates {
    /// They live on.
    pub keep: usize,
    /// They end one after the other, those included that do so already.
    pub drain: usize,
    /// They end at once, those included that were told to.
    pub close: usize,
}

/// Which pools have a say when one configuration follows another.
pub(super) struct Turnover<'a> {
    /// These are new, or not as they were.
    pub(super) taking_over: Vec<&'a Arc<Pool>>,
    /// These are gone from pipelines that are still there.
    pub(super) dissolved: Vec<&'a Arc<Pool>>,
}

impl Supervisor {
    /// What would become of all objects and live tunnels if `objects`, which were found to be without errors, were put in
    /// force. Changes nothing. Waits for the workers to say which tunnels they have: not to be called on one of them.
    pub fn forecast(&self, objects: &Objects, registries: &Registries) -> Forecast {
        let plan = Plan::new(&self.objects, objects);
        // What is in force has nothing new to say, and is not put in force again.
        let next = (!plan.is_empty()).then(|| build(objects, &self.objects, &self.in_force, &self.dialler));
        let ordered = self.ordered(objects, next.as_ref());
        let turnover = next.as_ref().map(|next| Turnover::new(&self.in_force, next));
        let words = turnover.map(|turnover| turnover.words()).unwrap_or_default();
        let mut pools: BTreeMap<String, Fates> = BTreeMap::new();
        let answers = registries.accounts().into_iter();
        // A worker that has stopped has none.
        for share in answers.filter_map(|answer| answer.blocking_recv().ok()).flatten() {
            let words = words.get(&Arc::as_ptr(&share.account)).map(Vec::as_slice).unwrap_or_default();
            let by_command = outlook(&ordered, &share);
            pools.entry(share.account.pool.clone()).or_default().add(&share, words, by_command);
        }
        Forecast { plan, pools }
    }

    /// Which tunnels commands would have end, and how, where `objects`, which became `next`, are in force.
    fn ordered(&self, objects: &Objects, next: Option<&InForce>) -> Vec<(Whose, Outlook)> {
        let drains = match next {
            Some(next) => self.drains.following(&self.objects, objects, &next.pools),
            None => self.drains.clone(),
        };
        let ordered = drains.iter().filter_map(|drained| {
            let schedule = drained.schedule_under(objects)?;
            Some((drained.target.whose(), Outlook::until(drained.began + schedule.window)))
        });
        ordered.collect()
    }
}

fn outlook(ordered: &[(Whose, Outlook)], share: &Share) -> Outlook {
    let concerning = ordered.iter().filter(|(whose, _)| whose.concerns(&share.account, &share.route));
    concerning.map(|(_, outlook)| *outlook).max().unwrap_or(Outlook::Keep)
}

impl<'a> Turnover<'a> {
    pub(super) fn new(before: &'a InForce, after: &'a InForce) -> Self {
        let was_there =
            |pool: &Arc<Pool>| before.pools.get(&pool.identity).is_some_and(|b| Arc::ptr_eq(b, pool));
        let is_gone = |identity: &String| {
            let pipeline = identity.split('/').next().unwrap_or_default();
            !after.pools.contains_key(identity) && after.pipelines.contains_key(pipeline)
        };
        let gone = before.pools.iter().filter(|(identity, _)| is_gone(identity));
        Turnover {
            taking_over: after.pools.values().filter(|pool| !was_there(pool)).collect(),
            dissolved: gone.map(|(_, pool)| pool).collect(),
        }
    }

    /// What is told to the tunnels of each account; nothing to the others.
    fn words(&self) -> HashMap<*const Account, Vec<Word>> {
        let taking_over = self.taking_over.iter().flat_map(|pool| pool.words());
        let dissolved = self.dissolved.iter().flat_map(|pool| pool.last_words());
        let dissolved = dissolved.map(|(account, word)| (account, vec![word]));
        taking_over.chain(dissolved).map(|(account, words)| (ptr::from_ref(&**account), words)).collect()
    }
}

impl Forecast {
    /// All live tunnels.
    pub fn total(&self) -> Fates {
        self.pools.values().fold(Fates::default(), |sum, fates| Fates {
            keep: sum.keep + fates.keep,
            drain: sum.drain + fates.drain,
            close: sum.close + fates.close,
        })
    }
}

impl Fates {
    /// Counts tunnels whose account would be told `words`, and which commands would have end like this.
    fn add(&mut self, share: &Share, words: &[Word], by_command: Outlook) {
        self.close += share.told;
        match share.account.outlook(words).max(by_command) {
            Outlook::Keep => self.keep += share.untold,
            Outlook::Drain => self.drain += share.untold,
            Outlook::Close => self.close += share.untold,
        }
    }
}
