//! One backend of a pool: where it is, and what it carries.

use std::sync::Arc;

use http::header::HeaderValue;

use super::connect::Destination;
use super::health::Health;
use crate::spec::pool::Server as ServerSpec;
use crate::spec::types::{Host, Positive, ServerUrl};
use crate::tunnel::{Account, Claim};

/// One backend of a pool.
#[derive(Debug)]
pub struct Server {
    url: ServerUrl,
    destination: Destination,
    /// `Host` as this server wants it; `None` for the client's own.
    own_host: Option<HeaderValue>,
    weight: u32,
    max_connections: Option<u32>,
    account: Arc<Account>,
    health: Arc<Health>,
}

/// What is kept of a server while the pools that have it change.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) account: Arc<Account>,
    pub(super) health: Arc<Health>,
}

impl Server {
    /// A server that is named, and not just an address, expects its name as `Host`, unless the user wants the
    /// client's kept.
    pub(super) fn new(spec: &ServerSpec, destination: Destination, standing: Standing) -> Self {
        let url = &spec.url;
        let own_host = match url.host() {
            Host::Name(_) if !*spec.keep_host => HeaderValue::from_str(url.authority()).ok(),
            _ => None,
        };
        Server {
            url: ServerUrl::clone(url),
            destination,
            own_host,
            weight: u32::from(spec.weight.get()),
            max_connections: spec.max_connections.map(Positive::get),
            account: standing.account,
            health: standing.health,
        }
    }

    /// Its tunnels.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// What a later pool goes on with.
    pub(super) fn standing(&self) -> Standing {
        Standing { account: self.account.clone(), health: self.health.clone() }
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
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Where it is.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// The way to it.
    pub(super) fn destination(&self) -> &Destination {
        &self.destination
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
