//! A pool: servers that are alike, and the rules for using them.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use http::StatusCode;
use http::header::HeaderValue;
use ws::CloseCode;
use ws::handshake::Offer;

use super::balance::Balancer;
use super::budget::RetryBudget;
use super::handshake::{Agreed, Answer, Deadlines, Invitation, invite};
use super::origin::OriginRule;
use crate::fault::Fault;
use crate::net::reply::Reply;
use crate::spec::pool::{Compression, Policy as BalancePolicy, Pool as PoolSpec, Server as ServerSpec};
use crate::spec::types::Host;
use crate::tunnel::Account;
use crate::tunnel::policy::Policy;

/// Servers of which any can take a client, with everything a user sets for them together.
#[derive(Debug)]
pub struct Pool {
    pub(super) servers: Vec<Server>,
    pub(super) balancer: Balancer,
    pub(super) deadlines: Deadlines,
    /// Further servers that are tried when one fails.
    pub(super) max_retries: u32,
    pub(super) budget: RetryBudget,
    /// Who may open WebSockets here.
    pub origin: OriginRule,
    /// What becomes of offers to compress.
    pub compression: Compression,
}

/// One backend of a pool.
#[derive(Debug)]
pub struct Server {
    host: Host,
    port: u16,
    /// `Host` as this server wants it; `None` for the client's own.
    own_host: Option<HeaderValue>,
    /// Identity and rules of its tunnels.
    pub account: Arc<Account>,
}

/// How a handshake with a pool ended, where a server had a say.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// This server is ready.
    Agreed(Box<Agreed>, &'a Server),
    /// A server's own refusal.
    Refused(Reply),
}

impl Pool {
    /// The pool that `spec` asks for, called `identity`. Servers that cannot be used yet are left out.
    pub fn new(spec: &PoolSpec, identity: &str) -> Self {
        let usable: Vec<_> = spec.servers.iter().filter(|server| !server.url.scheme().is_tls()).collect();
        let weights = || usable.iter().map(|server| u32::from(server.weight.get())).collect();
        let policy = policy(spec);
        Pool {
            balancer: match spec.load_balance.policy.in_force() {
                BalancePolicy::Random => Balancer::Random,
                BalancePolicy::WeightedRandom => Balancer::WeightedRandom(weights()),
                _ => Balancer::RoundRobin(AtomicUsize::new(0)),
            },
            servers: usable.iter().map(|server| Server::new(server, identity, &policy)).collect(),
            deadlines: Deadlines {
                connect: spec.connect_timeout.get(),
                handshake: spec.handshake_timeout.get(),
            },
            max_retries: spec.max_retries.into(),
            budget: RetryBudget::new(),
            origin: match *spec.insecure_skip_verify {
                true => OriginRule::Any,
                false => OriginRule::SameHostOr(spec.origin_patterns.clone()),
            },
            compression: spec.compression,
        }
    }

    /// Invites servers one after the other until one agrees, refuses for a reason of its own, or no further
    /// try is allowed.
    ///
    /// # Errors
    /// No server gave an answer that could be relayed; the fault of the last one tried.
    ///
    /// Cancel safe: dropped, the connection under way is closed.
    pub async fn open(&self, invitation: &Invitation, offer: &Offer<'_>) -> Result<Outcome<'_>, Fault> {
        self.budget.count();
        let mut refusal = None;
        let mut fault = Fault::NoServer;
        // A connection that was refused cost the pool nothing; a timeout or a 503 speaks of strain.
        let mut costs = false;
        for (tries, server) in self.in_turn().enumerate() {
            if tries as u32 > self.max_retries || costs && !self.budget.take() {
                break;
            }
            match invite(server, invitation, offer, self.deadlines).await {
                Ok(Answer::Agreed(agreed)) => return Ok(Outcome::Agreed(agreed, server)),
                Ok(Answer::Refused(answer)) => {
                    tracing::debug!(server = server.account.server, status = %answer.status(), "refused");
                    let is_final = !is_passing(answer.status());
                    refusal = Some(answer);
                    costs = true;
                    if is_final {
                        break;
                    }
                }
                Err(error) => {
                    tracing::debug!(server = server.account.server, %error, "no answer");
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

    /// All servers, beginning with the one whose turn it is.
    fn in_turn(&self) -> impl Iterator<Item = &Server> {
        let first = if self.servers.is_empty() { 0 } else { self.balancer.first(self.servers.len()) };
        let (after, before) = (&self.servers[first..], &self.servers[..first]);
        after.iter().chain(before)
    }
}

impl Server {
    /// A server that is named, and not just an address, expects its name as `Host`, unless the user wants the
    /// client's kept.
    fn new(spec: &ServerSpec, pool: &str, policy: &Policy) -> Self {
        let url = &spec.url;
        let own_host = match url.host() {
            Host::Name(_) if !*spec.keep_host => HeaderValue::from_str(url.authority()).ok(),
            _ => None,
        };
        let account = Account { pool: pool.to_owned(), server: url.to_string(), policy: policy.clone() };
        Server { host: url.host().clone(), port: url.port(), own_host, account: Arc::new(account) }
    }

    /// A name or an address.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn own_host(&self) -> Option<&HeaderValue> {
        self.own_host.as_ref()
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
