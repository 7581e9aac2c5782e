//! `Proxy`: leads ordinary requests, and handshakes of WebSockets, to the servers of a pool.

use std::path::Path;
use std::sync::Arc;

use http::header::{CONNECTION, UPGRADE};
use http::{Method, Version, request};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Build, Deps, Filter, Handling, REFUSED, Verdict};
use crate::context::Context;
use crate::fault::Fault;
use crate::net::reply::refusal;
use crate::spec::pool::{Pool as PoolSpec, User, check_pools};
use crate::spec::types::BodyLimit;
use crate::spec::{Check, NotYet, Reader, Role, Spanned, Untyped};
use crate::upstream::headers::lists;
use crate::upstream::{Choice, Pool, tls, websocket};

const FAILURE_CODE: Verdict = Verdict::Result("failureCode");
const TIMEOUT: Verdict = Verdict::Result("timeout");

/// Leads requests to a server of a pool. Bodies are passed on as they come, in both directions. A handshake for a
/// WebSocket is led there as by a `WebSocketProxy`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "Proxy")]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The pools. Exactly one has no `filter`; it takes the requests that no other takes.
    pub pools: Spanned<Vec<Spanned<PoolSpec>>>,
    /// Whether a client may open WebSockets here. If not, its wish is not passed on: servers see an ordinary request.
    /// Default: true.
    #[serde(default = "yes")]
    pub websocket: bool,
    /// The most bytes that the body of an answer may have, unless its pool says otherwise; -1 or 0: any number.
    /// Default: any number. A longer answer is a 502, or breaks off where its head did not give the length.
    #[serde(default)]
    pub server_max_body_size: BodyLimit,
    /// A pool that gets a copy of requests. Not supported yet.
    #[serde(default)]
    pub mirror_pool: NotYet<Option<Untyped>>,
    /// Compress answers. Not supported yet: servers do it.
    #[serde(default)]
    pub compression: NotYet<Option<Untyped>>,
    /// Certificates for TLS to servers. Not supported yet.
    #[serde(default)]
    pub mtls: NotYet<Option<Untyped>>,
    /// How many connections to servers may wait for a request. Not supported yet, and not needed.
    #[serde(default)]
    pub max_idle_conns: NotYet<Option<i32>>,
    /// How many connections to one server may wait for a request. Not supported yet: 256 for each worker.
    #[serde(default)]
    pub max_idle_conns_per_host: NotYet<Option<i32>>,
    /// How many redirections to follow. Not supported yet: clients get them.
    #[serde(default)]
    pub max_redirection: NotYet<i32>,
}

const fn yes() -> bool {
    true
}

impl Spec {
    /// One with this pool, and otherwise as it is without a word.
    pub(super) fn of(pool: Spanned<PoolSpec>) -> Self {
        Spec {
            pools: pool.with(vec![pool.clone()]),
            websocket: yes(),
            server_max_body_size: BodyLimit::default(),
            mirror_pool: NotYet::default(),
            compression: NotYet::default(),
            mtls: NotYet::default(),
            max_idle_conns: NotYet::default(),
            max_idle_conns_per_host: NotYet::default(),
            max_redirection: NotYet::default(),
        }
    }
}

impl Check for Spec {
    fn files(&self) -> Vec<&Path> {
        self.pools.iter().flat_map(|pool| pool.files()).collect()
    }

    fn check(&self, reader: &Reader) {
        check_pools(&self.pools, User::Proxy, reader);
        self.pools.iter().for_each(|pool| tls::check(pool, reader));
    }
}

#[derive(Debug)]
struct Proxy {
    pools: Choice,
    websocket: bool,
}

impl Build for Spec {
    const KIND: &'static str = "Proxy";
    const RESULTS: &'static [&'static str] =
        &["clientError", "failureCode", "internalError", "refused", "serverError", "timeout"];
    const ROLE: Role = Role::Proxy;

    fn build(&self, deps: &Deps<'_>) -> Option<Arc<dyn Filter>> {
        let pools = deps.choice(&self.pools, |pool| pool.for_proxy(self.server_max_body_size))?;
        Some(Arc::new(Proxy { pools, websocket: self.websocket }))
    }
}

impl Filter for Proxy {
    fn handle<'a>(&'a self, context: &'a mut Context) -> Handling<'a> {
        Box::pin(async move {
            let opens = self.websocket && wants_websocket(&context.request);
            // Boxed, as what has no place in the future of each ordinary request.
            let done = if opens { Box::pin(self.open(context)).await } else { self.exchange(context).await };
            done.unwrap_or_else(|fault| {
                context.reply = Some(refusal(&fault));
                if fault == Fault::AnswerTimeout { TIMEOUT } else { Verdict::of(&fault) }
            })
        })
    }

    fn pools(&self) -> Vec<&Arc<Pool>> {
        self.pools.all().collect()
    }
}

impl Proxy {
    /// A WebSocket.
    async fn open(&self, context: &mut Context) -> Result<Verdict, Fault> {
        let pool = self.pools.pool(context.asker());
        let (reply, upgrade) = websocket::open(pool, &context.request, &context.client, None).await?;
        context.reply = Some(reply);
        context.upgrade = upgrade;
        Ok(if context.upgrade.is_some() { Verdict::Next } else { REFUSED })
    }

    /// An ordinary request.
    async fn exchange(&self, context: &mut Context) -> Result<Verdict, Fault> {
        let began = Instant::now();
        let body = std::mem::take(&mut context.body);
        let pool = self.pools.pool(context.asker());
        let answered = pool.exchange(&context.request, body, &context.client, &context.connections).await?;
        tracing::debug!(
            target: "ropeway::request",
            id = %context.id, client = %context.client.address, route = %context.route, pool = pool.identity,
            server = answered.account.server, method = %context.request.method, path = context.request.uri.path(),
            status = answered.reply.status().as_u16(), ms = began.elapsed().as_millis(), "request answered"
        );
        context.reply = Some(answered.reply);
        Ok(if answered.failed { FAILURE_CODE } else { Verdict::Next })
    }
}

/// Whether this is a client's half of a handshake (RFC 6455 4.1). Wishes for other protocols are not passed on.
fn wants_websocket(request: &request::Parts) -> bool {
    request.method == Method::GET
        && request.version == Version::HTTP_11
        && lists(&request.headers, &UPGRADE, "websocket")
        && lists(&request.headers, &CONNECTION, "upgrade")
}
