//! What can be drained: the objects by the names that users see.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::find::Kind;
use crate::spec::http_server::{HttpServer, Path, Rule};
use crate::supervisor::load::{Named, Objects};
use crate::tunnel::drain::Whose;
use crate::tunnel::registry::is_of;
use crate::upstream::Pool;
use crate::upstream::pool::Pools;

/// An object that can be drained.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "object", rename_all = "lowercase")]
pub enum Target {
    /// Everything.
    Gateway,
    /// An `HTTPServer`.
    Listener {
        /// Its name.
        name: String,
    },
    /// A route of one.
    Route {
        /// `server/rule/path`.
        name: String,
    },
    /// Every server of a pool.
    Pool {
        /// The pool's identity.
        name: String,
    },
    /// A server of a pool.
    Server {
        /// The pool's identity.
        pool: String,
        /// The server's address within the pool.
        name: String,
    },
}

impl Target {
    /// `gateway`, `listener`, `route`, `pool` or `server`.
    pub fn kind(&self) -> &'static str {
        Kind::of(self).label()
    }

    /// Its name; the gateway has none.
    pub fn name(&self) -> &str {
        match self {
            Target::Gateway => "",
            Target::Listener { name }
            | Target::Route { name }
            | Target::Pool { name }
            | Target::Server { name, .. } => name,
        }
    }

    /// The pool of a server.
    pub fn pool(&self) -> Option<&str> {
        match self {
            Target::Server { pool, .. } => Some(pool),
            _ => None,
        }
    }

    /// How many tunnels it has, of which so many came by each of `routes`; of servers and pools connections, requests
    /// under way included.
    pub fn left<'p>(
        &self,
        pools: impl Iterator<Item = &'p Arc<Pool>>,
        routes: &BTreeMap<Arc<str>, usize>,
    ) -> usize {
        let by_route = |is_meant: &dyn Fn(&str) -> bool| {
            routes.iter().filter(|(route, _)| is_meant(route)).map(|(_, count)| count).sum()
        };
        match self {
            Target::Gateway => by_route(&|_| true),
            Target::Listener { name } => by_route(&|route| is_of(route, name)),
            Target::Route { name } => by_route(&|route| route == name),
            Target::Pool { name } => connections(pools, name, |_| true),
            Target::Server { pool, name } => connections(pools, pool, |server| server == name),
        }
    }

    /// Its tunnels.
    pub fn whose(&self) -> Whose {
        match self.clone() {
            Target::Gateway => Whose::All,
            Target::Listener { name } => Whose::Listener(name),
            Target::Route { name } => Whose::Route(name),
            Target::Pool { name } => Whose::Pool(name),
            Target::Server { pool, name } => Whose::Named { pool, server: name },
        }
    }

    pub(super) fn is_in(&self, objects: &Objects, pools: &Pools) -> bool {
        match self {
            Target::Gateway => true,
            Target::Listener { name } => objects.served().any(|server| server.name.as_str() == name),
            Target::Route { name } => objects.served().flat_map(routes).any(|(route, ..)| route == *name),
            Target::Pool { name } => pools.contains_key(name),
            Target::Server { pool, name } => {
                pools.get(pool).is_some_and(|pool| pool.servers().iter().any(|server| server.name() == name))
            }
        }
    }
}

/// Tunnels by route, added up.
pub fn sum(shares: impl Iterator<Item = (Arc<str>, usize)>) -> BTreeMap<Arc<str>, usize> {
    let mut routes = BTreeMap::new();
    shares.for_each(|(route, count)| *routes.entry(route).or_default() += count);
    routes
}

/// Those to servers of the pool called `identity`.
fn connections<'p>(
    pools: impl Iterator<Item = &'p Arc<Pool>>,
    identity: &str,
    is_meant: impl Fn(&str) -> bool,
) -> usize {
    let pools = pools.filter(|pool| pool.identity == identity);
    let accounts = pools.flat_map(|pool| {
        let servers = pool.servers().iter().map(|server| &**server.account());
        servers.chain(pool.leaving())
    });
    accounts.filter(|account| is_meant(&account.server)).map(|account| account.live() as usize).sum()
}

/// The routes of a server: name, rule, and what they say.
pub(super) fn routes(server: &Named<HttpServer>) -> impl Iterator<Item = (String, &Rule, &Path)> {
    let rules = server.spec.rules.iter().enumerate();
    rules.flat_map(move |(number, rule)| {
        let paths = rule.paths.iter().enumerate();
        paths.map(move |(path, spec)| (format!("{}/{number}/{path}", server.name.as_str()), rule, &**spec))
    })
}

/// What the route called `name` is called where `new` follows `old`, if it is called otherwise: names count places, so a
/// rule above takes them along. It is the one that says the same.
pub(super) fn moved_route(name: &str, old: &Objects, new: &Objects) -> Option<String> {
    let (_, rule, path) = old.served().flat_map(routes).find(|(route, ..)| route == name)?;
    let listener = name.split('/').next().unwrap_or_default();
    let is_same = |(route, its_rule, its_path): &(String, &Rule, &Path)| {
        is_of(route, listener) && has_hosts_of(its_rule, rule) && *its_path == path
    };
    let mut same: Vec<_> = new.served().flat_map(routes).filter(is_same).map(|(route, ..)| route).collect();
    if same.iter().any(|route| route == name) || same.is_empty() { None } else { Some(same.swap_remove(0)) }
}

fn has_hosts_of(one: &Rule, other: &Rule) -> bool {
    (&one.host, &one.host_regexp, &one.hosts) == (&other.host, &other.host_regexp, &other.hosts)
}
