//! Whose a tunnel is, and by which rules it lives: what stays of a pool's servers while configurations change.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::count::Count;
use super::drain::{Drain, Pace, Whose};
use super::farewell::Why;
use super::policy::Policy;
use super::record::Record;
use super::registry::{Ask, Registries};

/// What a pool holds of its tunnels to one server: whose they are, and the rules they live by.
///
/// Tunnels outlive the objects of a configuration; they keep their account, and a pool that is changed keeps those of
/// the servers that it still has.
#[derive(Debug)]
pub struct Account {
    /// The pool's identity.
    pub pool: String,
    /// The server's address within the pool.
    pub server: String,
    policy: ArcSwap<Policy>,
    /// Rises with every change of the policy.
    generation: AtomicU32,
    live: Count,
    leaving: ArcSwapOption<Leaving>,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

/// Hears how the tunnels of an account end.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A tunnel has ended like this. Called on the tunnel's worker, which waits.
    fn ended(&self, record: &Record);
}

/// An account whose tunnels are to end.
#[derive(Debug)]
struct Leaving {
    told: Told,
    called_off: CancellationToken,
}

/// Why and when tunnels are to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    why: Why,
    began: Instant,
    /// From then on there are to be none.
    end: Instant,
}

/// What the tunnels of an account are told together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// See [`Account::leave`].
    Leave(Why, Duration),
    /// See [`Account::stay`].
    Stay(Why),
}

/// What becomes of live tunnels, what is worse for them being greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outlook {
    /// They live on.
    Keep,
    /// They end one after the other.
    Drain,
    /// They end at once.
    Close,
}

/// A tunnel, or what is to become one, in the count of its account.
#[derive(Debug)]
pub struct Claim(Arc<Account>);

impl Account {
    /// Of the server at `server` in the pool called `pool`, with its tunnels counted in `live`.
    pub fn new(pool: &str, server: &str, policy: &Policy, live: Count) -> Self {
        Account {
            pool: pool.to_owned(),
            server: server.to_owned(),
            policy: ArcSwap::from_pointee(policy.clone()),
            generation: AtomicU32::new(0),
            live,
            leaving: ArcSwapOption::empty(),
            observer: None,
        }
    }

    /// The same, with somebody who hears how its tunnels end.
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Account { observer: Some(observer), ..self }
    }

    /// The rules as they are now.
    pub fn policy(&self) -> impl Deref<Target = Arc<Policy>> {
        self.policy.load()
    }

    /// Sets rules that tunnels obey from their next wake on, those that are live included.
    pub fn set_policy(&self, policy: &Policy) {
        if **self.policy() != *policy {
            self.policy.store(Arc::new(policy.clone()));
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Has its tunnels end, spread over `window`, those included that begin meanwhile; one that begins later ends at
    /// once. `false` if they do so already. Told for the same reason again, with another window, that counts from when
    /// they were told first.
    pub fn leave(self: &Arc<Self>, why: Why, window: Duration, registries: &Registries) -> bool {
        let told = self.told();
        let now = told_to_leave(told, why, window);
        if told == Some(now) {
            return false;
        }
        let (pace, called_off) = (Pace::until(now.end), CancellationToken::new());
        let leaving = Leaving { told: now, called_off: called_off.clone() };
        if let Some(before) = self.leaving.swap(Some(Arc::new(leaving))) {
            before.called_off.cancel();
        }
        let drain = Drain { whose: Whose::Server(self.clone()), why, pace, called_off };
        registries.ask(|| Ask::Drain(drain.clone()));
        true
    }

    /// Calls off what [`Account::leave`] has begun for this reason: tunnels that were not told yet live on.
    pub fn stay(&self, why: Why) {
        if self.told().is_some_and(|told| told.why == why)
            && let Some(before) = self.leaving.swap(None)
        {
            before.called_off.cancel();
        }
    }

    /// Does as it is told. Whether tunnels are to end now that were not before, or not like this.
    pub fn obey(self: &Arc<Self>, word: Word, registries: &Registries) -> bool {
        match word {
            Word::Leave(why, window) => self.leave(why, window, registries),
            Word::Stay(why) => {
                self.stay(why);
                false
            }
        }
    }

    /// What would become of its tunnels if it were told these words, one after the other. Changes nothing.
    pub fn outlook(&self, words: &[Word]) -> Outlook {
        let told = words.iter().fold(self.told(), |told, word| match *word {
            Word::Leave(why, window) => Some(told_to_leave(told, why, window)),
            Word::Stay(why) => told.filter(|told| told.why != why),
        });
        told.map_or(Outlook::Keep, |told| Outlook::until(told.end))
    }

    fn told(&self) -> Option<Told> {
        self.leaving.load().as_ref().map(|leaving| leaving.told)
    }

    /// Why a tunnel that begins now is to end at once, if it is.
    pub(super) fn left(&self) -> Option<Why> {
        self.told().filter(|told| told.end <= Instant::now()).map(|told| told.why)
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many claims there are.
    pub fn live(&self) -> u32 {
        self.live.now()
    }

    /// The count itself.
    pub fn count(&self) -> &Count {
        &self.live
    }
}

impl Outlook {
    /// That of tunnels whose ends are spread until then.
    pub fn until(end: Instant) -> Self {
        if end > Instant::now() { Outlook::Drain } else { Outlook::Close }
    }
}

/// What it comes to if tunnels that were `told` something are told to leave.
fn told_to_leave(told: Option<Told>, why: Why, window: Duration) -> Told {
    let same = told.filter(|told| told.why == why);
    let began = same.map_or_else(Instant::now, |told| told.began);
    Told { why, began, end: began + window }
}

impl Claim {
    /// Counts until it is dropped.
    pub fn new(account: Arc<Account>) -> Self {
        account.live.add();
        Claim(account)
    }

    /// What it counts in.
    pub fn account(&self) -> &Arc<Account> {
        &self.0
    }
}

impl Deref for Claim {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.live.subtract();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever an account was told: what it would do is what it then does.
    #[test]
    fn the_outlook_is_what_comes_of_the_words() {
        const HOUR: Duration = Duration::from_secs(3600);
        let whys = [Why::ServerRemoved, Why::ServerUnhealthy];
        let words =
            whys.map(|why| [Word::Stay(why), Word::Leave(why, Duration::ZERO), Word::Leave(why, HOUR)]);
        let words = words.concat();
        let triples = words.iter().flat_map(|&a| words.iter().map(move |&b| [a, b]));
        let triples = triples.flat_map(|[a, b]| words.iter().map(move |&c| [a, b, c]));
        let registries = Registries::new(Vec::new());
        let obey = |account: &Arc<Account>, words: &[Word]| {
            for word in words {
                account.obey(*word, &registries);
            }
        };
        for triple in triples {
            for told in 0..=3 {
                let account = Arc::new(Account::new("pool", "server", &Policy::any(), Count::single()));
                let (before, after) = triple.split_at(told);
                obey(&account, before);
                let outlook = account.outlook(after);
                obey(&account, after);
                assert_eq!(account.outlook(&[]), outlook, "{before:?}, then {after:?}");
            }
        }
    }

    #[test]
    fn a_window_makes_a_drain() {
        let account = Arc::new(Account::new("pool", "server", &Policy::any(), Count::single()));
        let leave = |seconds| Word::Leave(Why::ServerRemoved, Duration::from_secs(seconds));
        let stay = Word::Stay(Why::ServerRemoved);
        for (words, outlook) in [
            (&[][..], Outlook::Keep),
            (&[leave(60)], Outlook::Drain),
            (&[leave(0)], Outlook::Close),
            (&[leave(60), leave(0)], Outlook::Close),
            (&[leave(0), leave(60)], Outlook::Drain),
            (&[leave(0), stay], Outlook::Keep),
            (&[leave(60), Word::Stay(Why::ServerUnhealthy)], Outlook::Drain),
            (&[Word::Leave(Why::ServerUnhealthy, Duration::ZERO), leave(60)], Outlook::Drain),
        ] {
            assert_eq!(account.outlook(words), outlook, "{words:?}");
        }
    }
}
