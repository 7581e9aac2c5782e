//! From what the user wrote to a pool that works, with what its predecessor knows.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ws::CloseCode;

use super::Pool;
use crate::spec::Spanned;
use crate::spec::pool::{Pool as PoolSpec, Server as ServerSpec};
use crate::spec::types::Positive;
use crate::tunnel::policy::Policy;
use crate::tunnel::{Account, Count};
use crate::upstream::balance::Balancer;
use crate::upstream::budget::RetryBudget;
use crate::upstream::connect::Destination;
use crate::upstream::exchange::Rules;
use crate::upstream::handshake::Deadlines;
use crate::upstream::health::{Health, Passive};
use crate::upstream::origin::OriginRule;
use crate::upstream::{Dialler, Server, Standing};

impl Pool {
    pub(super) fn build(spec: &PoolSpec, identity: &str, dialler: &Dialler, previous: Option<&Pool>) -> Self {
        let usable = reachable(spec, identity, dialler);
        let policy = policy(spec);
        let initial = spec.health_check.as_ref().map(|check| check.initial).unwrap_or_default();
        let changes = previous.map(|previous| previous.changes.clone()).unwrap_or_default();
        let passive = previous.map(|previous| previous.passive.clone());
        let passive = passive.unwrap_or_else(|| Arc::new(Passive::new(identity, changes.clone())));
        let health = || Arc::new(Health::new(initial, &changes));
        let mut known = previous.map(Pool::standings).unwrap_or_default();
        let counts = Count::row(usable.len());
        let servers = usable.into_iter().zip(counts).map(|((server, destination), count)| {
            let name = server.url.to_string();
            let mut standing = match known.iter().position(|standing| standing.account.server == name) {
                Some(at) => known.remove(at),
                None => {
                    let account = Account::new(identity, &name, &policy, count).observed_by(passive.clone());
                    Standing { account: Arc::new(account), health: health() }
                }
            };
            if spec.health_check.is_none() && !standing.health.is_well() {
                // Nobody would find it well again.
                standing.health = health();
            }
            if previous.is_some_and(|previous| !previous.servers.iter().any(|server| server.name() == name)) {
                standing.health.begins();
            }
            Server::new(spec, server, destination, standing)
        });
        let servers: Vec<_> = servers.collect();
        // A handshake that began with the previous pool may still choose one of its servers.
        let was_used = |standing: &Standing| {
            let servers = previous.iter().flat_map(|previous| &previous.servers);
            servers.into_iter().any(|server| Arc::ptr_eq(server.account(), &standing.account))
        };
        known.retain(|standing| was_used(standing) || standing.account.live() > 0);
        let pool = Pool {
            identity: identity.to_owned(),
            balancer: Balancer::new(&spec.load_balance, &servers),
            servers,
            leaving: known,
            deadlines: Deadlines {
                connect: spec.connect_timeout.get(),
                handshake: spec.handshake_timeout.get(),
            },
            max_connections: spec.max_connections.map(Positive::get),
            max_retries: spec.max_retries.into(),
            budget: RetryBudget::new(),
            rules: rules(spec),
            origin: match *spec.insecure_skip_verify {
                true => OriginRule::Any,
                false => OriginRule::SameHostOr(spec.origin_patterns.clone()),
            },
            compression: spec.compression,
            policy,
            changes,
            seen: AtomicU64::new(u64::MAX),
            next_step: AtomicU64::new(0),
            passive,
            spec: spec.clone(),
        };
        pool.look_who_is_usable();
        pool
    }
}

/// The servers to which there is a way.
fn reachable<'s>(
    spec: &'s PoolSpec,
    identity: &str,
    dialler: &Dialler,
) -> Vec<(&'s Spanned<ServerSpec>, Destination)> {
    let way = |server: &'s Spanned<ServerSpec>| match dialler.destination(server, spec) {
        Ok(destination) => Some((server, destination)),
        Err(fault) => {
            tracing::error!(pool = identity, server = %*server.url, reason = fault.title(), "left out");
            None
        }
    };
    spec.servers.iter().filter_map(way).collect()
}

fn rules(spec: &PoolSpec) -> Rules {
    let timeout = spec.timeout.as_ref().map(|timeout| timeout.get());
    let codes = spec.failure_codes.as_ref();
    let most = spec.server_max_body_size.map_or(0, |most| most.0);
    Rules {
        timeout: timeout.filter(|timeout| !timeout.is_zero()),
        failure_codes: codes.map(|codes| codes.to_vec()),
        max_answer: u64::try_from(most).ok().filter(|most| *most > 0).unwrap_or(u64::MAX),
    }
}

fn policy(spec: &PoolSpec) -> Policy {
    Policy {
        max_client_message: spec.client_message_limit().bytes().unwrap_or(u64::MAX),
        max_server_message: spec.server_message_limit().bytes().unwrap_or(u64::MAX),
        validate_utf8: spec.validate_utf8,
        vanished_code: CloseCode::new(spec.vanished_code.get()).unwrap_or(CloseCode::INTERNAL_ERROR),
        drain_code: CloseCode::new(spec.drain_code.get()).unwrap_or(CloseCode::GOING_AWAY),
        close_timeout: spec.close_timeout.get(),
    }
}
