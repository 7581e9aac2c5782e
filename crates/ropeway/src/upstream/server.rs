//! One backend of a pool: where it is, and what it carries.

use std::sync::Arc;

use http::header::HeaderValue;

use super::health::Health;
use crate::spec::health_check::Initial;
use crate::spec::pool::Server as ServerSpec;
use crate::spec::types::{Host, Positive, ServerUrl};
use crate::tunnel::policy::Policy;
use crate::tunnel::{Account, Claim, Count};

/// One backend of a pool.
#[derive(Debug)]
pub struct Server {
    url: ServerUrl,
    /// `Host` as this server wants it; `None` for the client's own.
    own_host: Option<HeaderValue>,
    weight: u32,
    max_connections: Option<u32>,
    account: Arc<Account>,
    health: Health,
}

impl Server {
    /// A server that is named, and not just an address, expects its name as `Host`, unless the user wants the
    /// client's kept.
    pub(super) fn new(spec: &ServerSpec, pool: &str, policy: &Policy, live: Count, initial: Initial) -> Self {
        let url = &spec.url;
        let own_host = match url.host() {
            Host::Name(_) if !*spec.keep_host => HeaderValue::from_str(url.authority()).ok(),
            _ => None,
        };
        Server {
            url: ServerUrl::clone(url),
            own_host,
            weight: u32::from(spec.weight.get()),
            max_connections: spec.max_connections.map(Positive::get),
            account: Arc::new(Account::new(pool, &url.to_string(), policy, live)),
            health: Health::new(initial),
        }
    }

    /// Its address within the pool.
    pub fn name(&self) -> &str {
        &self.account.server
    }

    /// The pool it belongs to.
    pub fn pool(&self) -> &str {
        &self.account.pool
    }

    /// Whether it is well.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Where it is.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Its share where shares follow weights; 0 where the user gave none.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Whether it has more connections than it may have.
    pub(super) fn is_over_capacity(&self) -> bool {
        self.max_connections.is_some_and(|most| self.live() > most)
    }

    /// Its live tunnels, and handshakes under way.
    pub fn live(&self) -> u32 {
        self.account.live()
    }

    /// Counts a connection to this server, from the dial to the end of the tunnel.
    pub(super) fn claim(&self) -> Claim {
        Claim::new(self.account.clone())
    }

    pub(super) fn own_host(&self) -> Option<&HeaderValue> {
        self.own_host.as_ref()
    }
}
