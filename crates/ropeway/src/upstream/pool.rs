//! A pool: servers that are alike, and the rules for using them.

mod build;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use ws::handshake::Offer;

use super::asker::Asker;
use super::attempts::Attempts;
use super::balance::Balancer;
use super::budget::RetryBudget;
use super::dialler::Dialler;
use super::exchange::Rules;
use super::handshake::{Agreed, Answer, Deadlines, Invitation, invite};
use super::health::{Changes, Condition, Knowledge, Passive, Trial, Watch, millis};
use super::origin::OriginRule;
use super::{Server, Standing};
use crate::fault::{Blame, Fault};
use crate::net::reply::Reply;
use crate::spec::departure::{Action, Departure};
use crate::spec::pool::{Compression, Pool as PoolSpec};
use crate::spec::types::Window;
use crate::tunnel::farewell::Why;
use crate::tunnel::policy::Policy;
use crate::tunnel::registry::Registries;
use crate::tunnel::{Account, Word};

/// Servers of which any can take a client, with everything a user sets for them together.
#[derive(Debug)]
pub struct Pool {
    /// Names it among all pools.
    pub identity: String,
    pub(super) servers: Vec<Server>,
    pub(super) balancer: Balancer,
    pub(super) deadlines: Deadlines,
    /// Tunnels and handshakes that all its servers may have together.
    pub(super) max_connections: Option<u32>,
    /// Further servers that are tried when one fails.
    pub(super) max_retries: u32,
    pub(super) budget: RetryBudget,
    /// For ordinary requests.
    pub(super) rules: Rules,
    /// Who may open WebSockets here.
    pub origin: OriginRule,
    /// What becomes of offers to compress.
    pub compression: Compression,
    policy: Policy,
    /// Servers that are used no more and may still have tunnels: for the case that they come back.
    leaving: Vec<Standing>,
    /// Who is usable may have changed since this number was seen.
    changes: Arc<Changes>,
    seen: AtomicU64,
    /// When the shares of servers are to be looked at again, if some have just come into use.
    next_step: AtomicU64,
    passive: Arc<Passive>,
    spec: PoolSpec,
}

/// The shares of servers that have come into use rise in so many steps, of at least so many milliseconds.
const STEPS: (u64, u64) = (90, 10);

/// Pools by identity: `pipeline/filter#`, and their own name or their role in the filter.
pub type Pools = HashMap<String, Arc<Pool>>;

/// How a handshake with a pool ended, where a server had a say.
#[derive(Debug)]
pub enum Outcome {
    /// A server is ready.
    Agreed(Box<Agreed>),
    /// A server's own refusal.
    Refused(Reply),
}

impl Pool {
    /// The pool that `spec` asks for, called `identity`, with servers that are reached by `dialler`.
    ///
    /// Of the `previous` pool of this identity it keeps what is the same: all if it was to be the same, else the counts
    /// and the health of those servers that it has too. Nothing of that changes before [`Pool::take_over`].
    pub fn new(
        spec: &PoolSpec,
        identity: &str,
        dialler: &Dialler,
        previous: Option<&Arc<Pool>>,
    ) -> Arc<Self> {
        match previous {
            Some(previous) if previous.spec == *spec => previous.clone(),
            _ => Arc::new(Pool::build(spec, identity, dialler, previous.map(Arc::as_ref))),
        }
    }

    /// Everything that is known of the servers, those that are leaving included.
    fn standings(&self) -> Vec<Standing> {
        self.servers.iter().map(Server::standing).chain(self.leaving.iter().cloned()).collect()
    }

    /// Is in force from now on: live tunnels obey its rules, and those of servers that it has no more meet their fate.
    pub fn take_over(&self, registries: &Registries) {
        let servers = self.servers.iter().map(|server| (server.name(), server.health()));
        self.passive.set(self.spec.passive.as_deref(), servers);
        for (account, words) in self.words() {
            account.set_policy(&self.policy);
            words.into_iter().for_each(|word| tell(account, word, registries));
        }
    }

    /// What it tells the tunnels of each account when it takes over.
    pub fn words(&self) -> impl Iterator<Item = (&Arc<Account>, Vec<Word>)> {
        let staying = self.servers.iter().map(|server| {
            let condition =
                if self.is_watched() { server.health().known().condition } else { Condition::Unknown };
            (server.account(), vec![Word::Stay(Why::ServerRemoved), self.verdict(condition)])
        });
        let leaving = self.leaving.iter().map(|standing| &standing.account);
        staying.chain(leaving.map(|account| (account, vec![self.dismissal()])))
    }

    /// Is in force no more, and no other pool stands for it.
    pub fn dissolve(&self, registries: &Registries) {
        for (account, word) in self.last_words() {
            tell(account, word, registries);
        }
    }

    /// What it tells the tunnels of each account when it is dissolved.
    pub fn last_words(&self) -> impl Iterator<Item = (&Arc<Account>, Word)> {
        self.servers.iter().map(|server| (server.account(), self.dismissal()))
    }

    /// Takes tunnels on that another process has had with a server that this pool does not have: they obey its rules and
    /// meet their fate.
    pub fn take_on(&self, account: &Arc<Account>, registries: &Registries) {
        account.set_policy(&self.policy);
        tell(account, self.dismissal(), registries);
    }

    /// What tunnels of a removed server are told.
    fn dismissal(&self) -> Word {
        match window(self.spec.on_removed, Action::Drain) {
            Some(window) => Word::Leave(Why::ServerRemoved, window),
            None => Word::Stay(Why::ServerRemoved),
        }
    }

    /// Draws the consequences of a verdict about `server` for its live tunnels.
    pub(super) fn heed(&self, server: &Server, condition: Condition, registries: &Registries) {
        tell(server.account(), self.verdict(condition), registries);
    }

    /// What tunnels of a server in this condition are told.
    fn verdict(&self, condition: Condition) -> Word {
        let is_unhealthy = condition == Condition::Unhealthy;
        match window(self.spec.on_unhealthy, Action::Keep).filter(|_| is_unhealthy) {
            Some(window) => Word::Leave(Why::ServerUnhealthy, window),
            None => Word::Stay(Why::ServerUnhealthy),
        }
    }

    /// The server at `place`.
    pub fn server(&self, place: usize) -> Option<&Server> {
        self.servers.get(place)
    }

    /// Chooses among those that are usable from now on, each with its share, where that has changed. Any thread may
    /// have changed it; here is where it is seen.
    pub(super) fn look_who_is_usable(&self) {
        let changes = self.changes.count();
        let is_due =
            || self.balancer.is_rising() && self.changes.now() >= self.next_step.load(Ordering::Relaxed);
        if self.seen.load(Ordering::Relaxed) == changes && !is_due() {
            return;
        }
        self.seen.store(changes, Ordering::Relaxed);
        let slow_start = self.spec.load_balance.slow_start.map(Window::get).unwrap_or_default();
        let step = (millis(slow_start) / STEPS.0).max(STEPS.1);
        self.next_step.store(self.changes.now() + step, Ordering::Relaxed);
        self.balancer.set_shares(|place| self.servers[place].health().share(slow_start));
    }

    /// The servers.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Takes those of its servers out of use by command that `is_drained` says, and no others.
    pub fn set_drained(&self, is_drained: impl Fn(&Server) -> bool) {
        for server in &self.servers {
            server.health().set_drained(is_drained(server));
        }
    }

    /// Whether a server could be used if it were not drained.
    pub(super) fn has_drained(&self) -> bool {
        self.servers.iter().any(|server| server.health().is_only_drained())
    }

    /// Servers that it has no more, and that still have tunnels.
    pub fn leaving(&self) -> impl Iterator<Item = &Account> {
        let accounts = self.leaving.iter().map(|standing| &*standing.account);
        accounts.filter(|account| account.live() > 0)
    }

    /// Whether there are tunnels to its servers, those included that it has no more.
    pub fn has_tunnels(&self) -> bool {
        self.servers.iter().any(|server| server.live() > 0) || self.leaving().next().is_some()
    }

    /// Whether the servers are checked.
    pub fn is_watched(&self) -> bool {
        self.spec.health_check.is_some()
    }

    /// How its servers behave towards clients, where that has consequences.
    pub fn passive(&self) -> Option<&Passive> {
        self.spec.passive.is_some().then_some(&*self.passive)
    }

    /// What is known of its servers' health, for the process that takes over.
    pub fn knowledge(&self) -> impl Iterator<Item = Knowledge> {
        self.servers.iter().map(|server| Knowledge {
            pool: self.identity.clone(),
            server: server.name().to_owned(),
            verdict: server.health().verdict().filter(|_| self.is_watched()),
            conduct: self.passive().and_then(|passive| passive.behaviour(server.name())),
        })
    }

    /// Goes on from what another process knew of one of its servers.
    pub fn learn(&self, knowledge: Knowledge) {
        let Some(server) = self.servers.iter().find(|server| server.name() == knowledge.server) else {
            return;
        };
        if let Some(verdict) = knowledge.verdict.filter(|_| self.is_watched()) {
            server.health().resume(verdict);
        }
        if let Some((passive, conduct)) = self.passive().zip(knowledge.conduct) {
            passive.resume(server.name(), conduct);
        }
    }

    /// Who is to watch over the servers, where the user wants that.
    pub fn watches(self: &Arc<Self>) -> Vec<Watch> {
        let Some(check) = &self.spec.health_check else { return Vec::new() };
        let servers = self.servers.iter().enumerate();
        servers.map(|(place, server)| Watch::new(self.clone(), place, server, check)).collect()
    }

    /// Invites servers one after the other until one agrees, refuses for a reason of its own, or no further
    /// try is allowed.
    ///
    /// # Errors
    /// No server gave an answer that could be relayed; the fault of the last one tried.
    ///
    /// Cancel safe: dropped, the connection under way is closed.
    pub async fn open(
        &self,
        asker: Asker<'_>,
        invitation: &Invitation,
        offer: &Offer<'_>,
    ) -> Result<Outcome, Fault> {
        let mut attempts = Attempts::new(self, asker);
        if let Some((place, server, trial)) = self.trial(asker)
            && let Some(mut outcome) = Box::pin(self.risk(server, trial, invitation, offer)).await
        {
            self.pin(place, &mut outcome, invitation);
            return Ok(outcome);
        }
        let mut refusal = None;
        while let Some((server, claim)) = attempts.next() {
            let answer = invite(server, claim, invitation, offer, self.deadlines).await;
            self.note(server, &answer);
            match answer {
                Ok(Answer::Agreed(agreed)) => {
                    let mut outcome = Outcome::Agreed(agreed);
                    self.pin(attempts.place(), &mut outcome, invitation);
                    return Ok(outcome);
                }
                Ok(Answer::Refused(answer)) => {
                    let is_final = !is_passing(answer.status());
                    refusal = Some(answer);
                    attempts.costs = true;
                    if is_final {
                        break;
                    }
                }
                Err(fault) => {
                    // A connection that was refused cost the pool nothing; a timeout or a 503 speaks of strain.
                    attempts.costs = fault != Fault::ConnectFailed;
                    attempts.fault = fault;
                    if !is_worth_another(&attempts.fault) {
                        break;
                    }
                }
            }
        }
        match refusal {
            // Boxed, as what is not the way of most: the task of each connection has room for its largest part.
            Some(answer) => Ok(Outcome::Refused(Box::pin(answer.read()).await)),
            None => Err(attempts.fault),
        }
    }

    /// Has a client that is to come back to its server do so.
    fn pin(&self, place: usize, outcome: &mut Outcome, invitation: &Invitation) {
        if let Outcome::Agreed(agreed) = outcome {
            self.balancer.pin(place, invitation.secure, &mut agreed.head.headers);
        }
    }

    /// The ejected server, and its place, that this request is to try, if one is due. Who has a server of its own does not
    /// try others.
    pub(super) fn trial(&self, asker: Asker<'_>) -> Option<(usize, &Server, Trial)> {
        if self.balancer.is_pinned(asker) {
            return None;
        }
        let trial = self.passive.trial()?;
        let mut servers = self.servers.iter().enumerate();
        let (place, server) = servers.find(|(_, server)| server.name() == trial.server())?;
        Some((place, server, trial))
    }

    /// Has this handshake try an ejected server. If that fails it goes on as if nothing had been: the client is to lose
    /// nothing but time.
    async fn risk(
        &self,
        server: &Server,
        trial: Trial,
        invitation: &Invitation,
        offer: &Offer<'_>,
    ) -> Option<Outcome> {
        let claim = server.claim();
        if self.is_over_capacity() || server.is_over_capacity() {
            return None;
        }
        let answer = invite(server, claim, invitation, offer, self.deadlines).await;
        if let Some(reason) = failure(&answer) {
            trial.failed(&reason);
            return None;
        }
        let answer = answer.ok()?;
        trial.passed();
        Some(match answer {
            Answer::Agreed(agreed) => Outcome::Agreed(agreed),
            Answer::Refused(answer) => Outcome::Refused(answer.read().await),
        })
    }

    /// Takes note of an answer that a server may have to answer for.
    fn note(&self, server: &Server, answer: &Result<Answer, Fault>) {
        match answer {
            Ok(Answer::Agreed(_)) => return,
            Ok(Answer::Refused(answer)) => {
                tracing::debug!(server = server.name(), status = %answer.status(), "refused");
            }
            Err(error) => tracing::debug!(server = server.name(), %error, "no answer"),
        }
        if let Some(reason) = failure(answer) {
            self.note_failure(server, &reason);
        }
    }

    /// Takes note that `server` failed a client, where that has consequences.
    pub(super) fn note_failure(&self, server: &Server, reason: &str) {
        if self.spec.passive.is_some() {
            self.passive.failed(server.name(), reason);
        }
    }

    /// Whether its servers together have more connections than they may have.
    pub(super) fn is_over_capacity(&self) -> bool {
        let live = || self.servers.iter().map(|server| u64::from(server.live())).sum::<u64>();
        self.max_connections.is_some_and(|most| live() > u64::from(most))
    }
}

fn tell(account: &Arc<Account>, word: Word, registries: &Registries) {
    if account.obey(word, registries)
        && let Word::Leave(Why::ServerRemoved, window) = word
    {
        let (pool, server, tunnels) = (&account.pool, &account.server, account.live());
        let window_s = window.as_secs_f64();
        tracing::info!(pool, server, tunnels, window_s, "server removed: its tunnels end");
    }
}

/// Over how long tunnels are to end, if they are; `default` is the action where the user names none.
fn window(departure: Departure, default: Action) -> Option<Duration> {
    match departure.action.unwrap_or(default) {
        Action::Keep => None,
        Action::Close => Some(Duration::ZERO),
        Action::Drain => Some(departure.window.get()),
    }
}

/// Answers that speak of the server's state and not of the request.
fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

fn is_worth_another(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::ConnectFailed
            | Fault::ConnectTimeout
            | Fault::ServerTls
            | Fault::HandshakeTimeout
            | Fault::NoAnswer
            | Fault::NoRoom
    )
}

/// What the server has to answer for.
fn failure(answer: &Result<Answer, Fault>) -> Option<Cow<'static, str>> {
    match answer {
        Ok(Answer::Refused(refusal)) if refusal.status().is_server_error() => {
            Some(format!("status {}", refusal.status().as_u16()).into())
        }
        Ok(_) => None,
        Err(fault) if fault.blame() == Blame::Server => Some(fault.label().into()),
        // The gateway had no room for a connection.
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
