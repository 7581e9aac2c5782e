//! `/status`: pools and servers as they are now, for people and programs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::operations::DrainedObject;
use super::{Admin, left};
use crate::tunnel::Account;
use crate::upstream::health::Conduct;
use crate::upstream::{Pool, Server};

/// All that is known of `tunnels`, of which so many came by each of `routes`, and servers, as JSON. What does not apply
/// to a server is left out.
pub(super) fn status(admin: &Admin, tunnels: u64, routes: &BTreeMap<Arc<str>, usize>) -> String {
    let objects = admin.objects.borrow();
    let objects = objects.iter().map(|(kind, name)| json!({ "kind": kind, "name": name }));
    let by_route = routes.iter().map(|(route, tunnels)| json!({ "route": **route, "tunnels": tunnels }));
    let drains = admin.drains.borrow();
    let drained =
        drains.iter().map(|drained| json!(DrainedObject::of(drained, left(admin, drained, routes))));
    let mut status = Map::from_iter([
        ("ready".to_owned(), json!(admin.ready.load(Ordering::Relaxed))),
        ("tunnels".to_owned(), json!(tunnels)),
        ("objects".to_owned(), objects.collect()),
        ("routes".to_owned(), by_route.collect()),
        ("drained".to_owned(), drained.collect()),
        ("pools".to_owned(), by_identity(admin.pools.borrow().iter(), of_pool).into()),
    ]);
    if let Some(deadline) = admin.stopping.get() {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        status.insert("stopping".into(), json!({ "left": tunnels, "deadline_in_s": left.as_secs() }));
    }
    let departed = admin.departed.borrow();
    let departed = by_identity(departed.iter().filter(|pool| pool.has_tunnels()), of_departed);
    if !departed.is_empty() {
        status.insert("departed".into(), departed.into());
    }
    format!("{:#}\n", Value::Object(status))
}

fn by_identity<'p>(pools: impl Iterator<Item = &'p Arc<Pool>>, show: impl Fn(&Pool) -> Value) -> Vec<Value> {
    let mut pools: Vec<_> = pools.collect();
    pools.sort_by(|one, other| one.identity.cmp(&other.identity));
    pools.into_iter().map(|pool| show(pool)).collect()
}

fn of_pool(pool: &Pool) -> Value {
    let conducts = pool.passive().map(|passive| passive.conducts()).unwrap_or_default();
    let conducts: HashMap<_, _> = conducts.iter().map(|conduct| (&*conduct.server, conduct)).collect();
    let servers = pool.servers().iter().map(|server| {
        let mut shown = of_server(server);
        if pool.is_watched() {
            shown.insert("health".into(), of_health(server));
        }
        if let Some(conduct) = conducts.get(server.name()) {
            shown.insert("conduct".into(), of_conduct(conduct));
        }
        Value::Object(shown)
    });
    let mut shown = Map::from_iter([
        ("pool".to_owned(), json!(pool.identity)),
        ("servers".to_owned(), servers.collect()),
    ]);
    let leaving: Vec<_> = pool.leaving().map(of_account).collect();
    if !leaving.is_empty() {
        shown.insert("leaving".into(), leaving.into());
    }
    Value::Object(shown)
}

/// Of a pool that is in force no more: its tunnels are all that there is to it.
fn of_departed(pool: &Pool) -> Value {
    let servers = pool.servers().iter().map(|server| &**server.account());
    let servers = servers.filter(|account| account.live() > 0).chain(pool.leaving());
    json!({ "pool": pool.identity, "leaving": servers.map(of_account).collect::<Vec<_>>() })
}

fn of_account(account: &Account) -> Value {
    json!({ "server": account.server, "connections": account.live() })
}

fn of_server(server: &Server) -> Map<String, Value> {
    let mut shown = Map::from_iter([
        ("server".to_owned(), json!(server.name())),
        ("usable".to_owned(), json!(server.health().is_usable())),
        ("connections".to_owned(), json!(server.live())),
    ]);
    if server.health().is_drained() {
        shown.insert("drained".into(), json!(true));
    }
    if server.is_insecure() {
        shown.insert("insecure".into(), json!(true));
    }
    shown
}

fn of_health(server: &Server) -> Value {
    let known = server.health().known();
    let latency = known.latency.map(|latency| latency.as_secs_f64() * 1e3);
    without_nulls([
        ("state", json!(known.condition.label())),
        ("since_s", json!(seconds_since(known.since))),
        ("reason", json!(known.reason)),
        ("latency_ms", json!(latency)),
    ])
}

fn of_conduct(conduct: &Conduct) -> Value {
    let ejected = conduct.ejected.as_ref().map(|ejected| {
        let left = ejected.until.saturating_duration_since(Instant::now()).as_secs();
        json!({ "since_s": seconds_since(ejected.since), "tried_in_s": left, "reason": ejected.reason })
    });
    without_nulls([
        ("failures", json!(conduct.failures)),
        ("ejections", json!(conduct.ejections)),
        ("ejected", json!(ejected)),
    ])
}

fn seconds_since(then: Instant) -> u64 {
    then.elapsed().as_secs()
}

fn without_nulls<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let there = fields.into_iter().filter(|(_, value)| !value.is_null());
    there.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
}
