//! `/status`: pools and servers as they are now, for people and programs.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::Admin;
use crate::upstream::health::Conduct;
use crate::upstream::{Pool, Server};

/// All that is known of `tunnels` and servers, as JSON. What does not apply to a server is left out.
pub(super) fn status(admin: &Admin, tunnels: u64) -> String {
    let mut pools: Vec<_> =
        admin.pools.borrow().iter().map(|pool| (pool.identity.clone(), of_pool(pool))).collect();
    pools.sort_by(|(one, _), (other, _)| one.cmp(other));
    let status = json!({
        "ready": admin.ready.load(Ordering::Relaxed),
        "tunnels": tunnels,
        "pools": pools.into_iter().map(|(_, pool)| pool).collect::<Vec<_>>(),
    });
    format!("{status:#}\n")
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
    let leaving =
        pool.leaving().map(|account| json!({ "server": account.server, "connections": account.live() }));
    let mut shown = Map::from_iter([
        ("pool".to_owned(), json!(pool.identity)),
        ("servers".to_owned(), servers.collect()),
    ]);
    let leaving: Vec<_> = leaving.collect();
    if !leaving.is_empty() {
        shown.insert("leaving".into(), leaving.into());
    }
    Value::Object(shown)
}

fn of_server(server: &Server) -> Map<String, Value> {
    let mut shown = Map::from_iter([
        ("server".to_owned(), json!(server.name())),
        ("usable".to_owned(), json!(server.health().is_usable())),
        ("connections".to_owned(), json!(server.live())),
    ]);
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
