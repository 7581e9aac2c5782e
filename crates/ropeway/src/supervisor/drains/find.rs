//! From names that a user gives to what they name.

use serde::{Deserialize, Serialize};

use super::Target;
use crate::spec::suggest::closest;

/// How many names an error lists.
const LISTED: usize = 20;

/// What can be drained.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Everything.
    Gateway,
    /// An `HTTPServer`.
    Listener,
    /// A route of one.
    Route,
    /// A pool.
    Pool,
    /// A server of a pool.
    Server,
}

/// Objects by their names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wish {
    /// Of which kind.
    pub object: Kind,
    /// As `ropeway status` shows them; none for the gateway.
    #[serde(default)]
    pub names: Vec<String>,
    /// Of servers: the pool that is meant.
    #[serde(default)]
    pub pool: Option<String>,
    /// Of servers: every pool is meant that has one of that name.
    #[serde(default)]
    pub all_pools: bool,
}

/// What of `known` is wished, of which it is said that it `is` so.
pub(super) fn find(wish: &Wish, known: &[Target], is: &str) -> Result<Vec<Target>, String> {
    let (kind, known) = (wish.object.label(), candidates(wish, known, is)?);
    if wish.object == Kind::Gateway {
        // It is always there.
        let found: Vec<_> = known.into_iter().cloned().collect();
        return if found.is_empty() { Err("the gateway itself is not drained".into()) } else { Ok(found) };
    }
    if wish.names.is_empty() {
        return Err(format!("say which {kind}; {}", listed(&known)));
    }
    let mut found = Vec::new();
    for name in &wish.names {
        let named: Vec<_> = known.iter().filter(|target| target.name() == name).copied().collect();
        if named.is_empty() {
            let near = closest(name, known.iter().map(|target| target.name()));
            let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("no {kind} `{name}` {is}{near}; {}", listed(&known)));
        }
        if named.len() > 1 && !wish.all_pools {
            let mut pools: Vec<_> = named.iter().filter_map(|target| target.pool()).collect();
            pools.sort_unstable();
            let pools = pools.join("`, `");
            return Err(format!(
                "`{name}` is a server of several pools: name one of `{pools}` with `--pool`, or say `--all-pools`"
            ));
        }
        for target in named {
            if !found.contains(target) {
                found.push(target.clone());
            }
        }
    }
    Ok(found)
}

/// Those of the kind, in the pool that is meant.
fn candidates<'t>(wish: &Wish, known: &'t [Target], is: &str) -> Result<Vec<&'t Target>, String> {
    let of_kind = known.iter().filter(|target| Kind::of(target) == wish.object);
    let Some(pool) = &wish.pool else { return Ok(of_kind.collect()) };
    let in_pool: Vec<_> = of_kind.clone().filter(|target| target.pool() == Some(pool)).collect();
    if in_pool.is_empty() {
        let pools = of_kind.filter_map(Target::pool).collect();
        return Err(format!("no server of a pool `{pool}` {is}; {}", listing(pools)));
    }
    Ok(in_pool)
}

fn listed(known: &[&Target]) -> String {
    listing(known.iter().map(|target| target.name()).collect())
}

fn listing(mut names: Vec<&str>) -> String {
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    match (names.is_empty(), more) {
        (true, _) => "there is none".to_owned(),
        (false, 0) => format!("there are: {}", names.join(", ")),
        (false, more) => format!("there are: {}, and {more} more", names.join(", ")),
    }
}

impl Kind {
    pub(super) fn of(target: &Target) -> Self {
        match target {
            Target::Gateway => Kind::Gateway,
            Target::Listener { .. } => Kind::Listener,
            Target::Route { .. } => Kind::Route,
            Target::Pool { .. } => Kind::Pool,
            Target::Server { .. } => Kind::Server,
        }
    }

    /// The word for it.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Gateway => "gateway",
            Kind::Listener => "listener",
            Kind::Route => "route",
            Kind::Pool => "pool",
            Kind::Server => "server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(pool: &str, name: &str) -> Target {
        Target::Server { pool: pool.into(), name: name.into() }
    }

    fn wish(object: Kind, names: &[&str]) -> Wish {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Wish { object, names, pool: None, all_pools: false }
    }

    fn known() -> Vec<Target> {
        vec![
            Target::Gateway,
            Target::Pool { name: "one".into() },
            Target::Pool { name: "two".into() },
            server("one", "ws://a:1"),
            server("one", "ws://b:1"),
            server("two", "ws://b:1"),
        ]
    }

    #[test]
    fn a_name_is_that_of_one_object() {
        for (wish, expected) in [
            (wish(Kind::Gateway, &[]), Ok(vec![Target::Gateway])),
            (wish(Kind::Server, &["ws://a:1"]), Ok(vec![server("one", "ws://a:1")])),
            (
                Wish { pool: Some("two".into()), ..wish(Kind::Server, &["ws://b:1"]) },
                Ok(vec![server("two", "ws://b:1")]),
            ),
            (
                Wish { all_pools: true, ..wish(Kind::Server, &["ws://b:1", "ws://b:1"]) },
                Ok(vec![server("one", "ws://b:1"), server("two", "ws://b:1")]),
            ),
            (
                wish(Kind::Server, &["ws://a:1", "ws://b:1"]),
                Err(
                    "`ws://b:1` is a server of several pools: name one of `one`, `two` with `--pool`, or say `--all-pools`",
                ),
            ),
            (
                wish(Kind::Pool, &["ones"]),
                Err("no pool `ones` is in force, did you mean `one`?; there are: one, two"),
            ),
            (wish(Kind::Route, &["front/0/0"]), Err("no route `front/0/0` is in force; there is none")),
            (wish(Kind::Pool, &[]), Err("say which pool; there are: one, two")),
            (
                Wish { pool: Some("three".into()), ..wish(Kind::Server, &["ws://b:1"]) },
                Err("no server of a pool `three` is in force; there are: one, two"),
            ),
            (
                Wish { pool: Some("two".into()), ..wish(Kind::Server, &["ws://a:1"]) },
                Err("no server `ws://a:1` is in force, did you mean `ws://b:1`?; there are: ws://b:1"),
            ),
        ] {
            let found = find(&wish, &known(), "is in force");
            assert_eq!(found, expected.map_err(str::to_owned), "{wish:?}");
        }
    }

    #[test]
    fn an_error_lists_no_more_than_some() {
        let known: Vec<_> = (0..100).map(|number| server("pool", &format!("ws://s{number:02}:1"))).collect();
        let error = find(&wish(Kind::Server, &["no"]), &known, "is in force").unwrap_err();
        assert!(error.ends_with("ws://s19:1, and 80 more"), "{error}");
    }
}
