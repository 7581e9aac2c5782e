//! One backend of a pool: where it is, and what it carries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Uri;
use http::header::HeaderValue;

use super::connect::Destination;
use super::health::Health;
use crate::spec::pool::{Pool as PoolSpec, Server as ServerSpec};
use crate::spec::types::{Host, Positive, ServerUrl};
use crate::tunnel::{Account, Claim};

/// One backend of a pool.
#[derive(Debug)]
pub struct Server {
    /// Unlike that of any other server there was.
    id: u64,
    url: ServerUrl,
    destination: Destination,
    /// Whoever it says it is, it is believed.
    is_insecure: bool,
    /// What stands before the paths of requests.
    base: String,
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
    pub(super) fn new(
        pool: &PoolSpec,
        spec: &ServerSpec,
        destination: Destination,
        standing: Standing,
    ) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let url = &spec.url;
        let has_host = matches!(url.host(), Host::Name(_)) || pool.sets_host();
        let own_host = Some(url.authority()).filter(|_| has_host && !*spec.keep_host);
        Server {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            base: pool.base(url).to_owned(),
            url: ServerUrl::clone(url),
            destination,
            is_insecure: pool.tls_of(spec).is_some_and(|tls| *tls.insecure),
            own_host: own_host.and_then(|host| HeaderValue::from_str(host).ok()),
            weight: u32::from(spec.weight.get()),
            max_connections: spec.max_connections.map(Positive::get),
            account: standing.account,
            health: standing.health,
        }
    }

    /// Whether its certificate is not looked at, as the user wants it.
    pub fn is_insecure(&self) -> bool {
        self.is_insecure
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

    /// Tells it from every other server, its predecessors in earlier configurations included.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Path and query that it is asked for, where the client asks for `target`.
    pub(super) fn target(&self, target: Uri) -> Uri {
        let asked = target.path_and_query().map_or("/", |target| target.as_str());
        if asked == "*" || self.base.is_empty() && asked.starts_with('/') {
            return target;
        }
        // An absolute target may have a query and no path; the origin form begins with a slash (RFC 9112 3.2.1).
        let slash = if asked.starts_with('/') { "" } else { "/" };
        format!("{}{slash}{asked}", self.base).parse().unwrap_or(target)
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
