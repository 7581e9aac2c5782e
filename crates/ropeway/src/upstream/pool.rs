//! A pool: servers that are alike, and the rules for using them.

use std::sync::Arc;

use http::StatusCode;
use ws::CloseCode;
use ws::handshake::Offer;

use super::Server;
use super::asker::Asker;
use super::balance::Balancer;
use super::budget::RetryBudget;
use super::handshake::{Agreed, Answer, Deadlines, Invitation, invite};
use super::health::Watch;
use super::origin::OriginRule;
use crate::fault::Fault;
use crate::net::reply::Reply;
use crate::spec::health_check::HealthCheck;
use crate::spec::pool::{Compression, Pool as PoolSpec};
use crate::spec::types::Positive;
use crate::tunnel::Counts;
use crate::tunnel::policy::Policy;

/// Servers of which any can take a client, with everything a user sets for them together.
#[derive(Debug)]
pub struct Pool {
    pub(super) servers: Vec<Server>,
    pub(super) balancer: Balancer,
    pub(super) deadlines: Deadlines,
    /// Tunnels and handshakes that all its servers may have together.
    pub(super) max_connections: Option<u32>,
    /// Further servers that are tried when one fails.
    pub(super) max_retries: u32,
    pub(super) budget: RetryBudget,
    /// Who may open WebSockets here.
    pub origin: OriginRule,
    /// What becomes of offers to compress.
    pub compression: Compression,
    health_check: Option<HealthCheck>,
}

/// How a handshake with a pool ended, where a server had a say.
#[derive(Debug)]
pub enum Outcome {
    /// A server is ready.
    Agreed(Box<Agreed>),
    /// A server's own refusal.
    Refused(Reply),
}

impl Pool {
    /// The pool that `spec` asks for, called `identity`. Servers that cannot be used yet are left out.
    pub fn new(spec: &PoolSpec, identity: &str) -> Self {
        let usable: Vec<_> = spec.servers.iter().filter(|server| !server.url.scheme().is_tls()).collect();
        let policy = policy(spec);
        let live = Counts::new(usable.len());
        let servers = usable.iter().enumerate();
        let initial = spec.health_check.as_ref().map(|check| check.initial).unwrap_or_default();
        let servers =
            servers.map(|(at, server)| Server::new(server, identity, &policy, live.at(at), initial));
        let servers: Vec<_> = servers.collect();
        let pool = Pool {
            balancer: Balancer::new(&spec.load_balance, &servers, live),
            servers,
            deadlines: Deadlines {
                connect: spec.connect_timeout.get(),
                handshake: spec.handshake_timeout.get(),
            },
            max_connections: spec.max_connections.map(Positive::get),
            max_retries: spec.max_retries.into(),
            budget: RetryBudget::new(),
            origin: match *spec.insecure_skip_verify {
                true => OriginRule::Any,
                false => OriginRule::SameHostOr(spec.origin_patterns.clone()),
            },
            compression: spec.compression,
            health_check: spec.health_check.as_deref().cloned(),
        };
        pool.choose_among_usable();
        pool
    }

    /// The server at `place`.
    pub fn server(&self, place: usize) -> Option<&Server> {
        self.servers.get(place)
    }

    /// Looks again which servers may be chosen.
    pub fn choose_among_usable(&self) {
        self.balancer.set_usable(|place| self.servers[place].health().is_usable());
    }

    /// Who is to watch over the servers, where the user wants that.
    pub fn watches(self: &Arc<Self>) -> Vec<Watch> {
        let Some(check) = &self.health_check else { return Vec::new() };
        let servers = self.servers.iter().enumerate();
        servers.map(|(place, server)| Watch::new(self.clone(), place, server.url(), check)).collect()
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
        self.budget.count();
        let mut refusal = None;
        let mut fault = Fault::NoServer;
        // A connection that was refused cost the pool nothing; a timeout or a 503 speaks of strain.
        let mut costs = false;
        let mut tries = 0;
        let mut passed_over = Vec::new();
        while let Some(place) = self.balancer.choose(asker, &passed_over) {
            passed_over.push(place);
            let server = &self.servers[place];
            // Counted before it is judged, so that many who come at once are not let in by one place.
            let claim = server.claim();
            let pool_is_full = self.is_over_capacity();
            if pool_is_full || server.is_over_capacity() {
                if fault == Fault::NoServer {
                    fault = Fault::NoCapacity;
                }
                if pool_is_full {
                    break;
                }
                continue;
            }
            if tries > self.max_retries || costs && !self.budget.take() {
                break;
            }
            tries += 1;
            match invite(server, claim, invitation, offer, self.deadlines).await {
                Ok(Answer::Agreed(agreed)) => return Ok(Outcome::Agreed(agreed)),
                Ok(Answer::Refused(answer)) => {
                    tracing::debug!(server = server.name(), status = %answer.status(), "refused");
                    let is_final = !is_passing(answer.status());
                    refusal = Some(answer);
                    costs = true;
                    if is_final {
                        break;
                    }
                }
                Err(error) => {
                    tracing::debug!(server = server.name(), %error, "no answer");
                    fault = error;
                    costs = fault != Fault::ConnectFailed;
                    if !is_worth_another(&fault) {
                        break;
                    }
                }
            }
        }
        match refusal {
            Some(answer) => Ok(Outcome::Refused(answer.read().await)),
            None => Err(fault),
        }
    }

    /// Whether its servers together have more connections than they may have.
    fn is_over_capacity(&self) -> bool {
        let live = || self.servers.iter().map(|server| u64::from(server.live())).sum::<u64>();
        self.max_connections.is_some_and(|most| live() > u64::from(most))
    }
}

fn policy(spec: &PoolSpec) -> Policy {
    Policy {
        max_client_message: spec.client_max_msg_size.bytes().unwrap_or(u64::MAX),
        max_server_message: spec.server_max_msg_size.bytes().unwrap_or(u64::MAX),
        validate_utf8: spec.validate_utf8,
        vanished_code: CloseCode::new(spec.vanished_code.get()).unwrap_or(CloseCode::INTERNAL_ERROR),
        close_timeout: spec.close_timeout.get(),
    }
}

/// Answers that speak of the server's state and not of the request.
fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

fn is_worth_another(fault: &Fault) -> bool {
    matches!(fault, Fault::ConnectFailed | Fault::ConnectTimeout | Fault::HandshakeTimeout | Fault::NoAnswer)
}
