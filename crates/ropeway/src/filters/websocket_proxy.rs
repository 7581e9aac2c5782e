//! `WebSocketProxy`: leads a handshake to a server of a pool.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Build, Deps, Filter, Handling, REFUSED, Verdict};
use crate::context::Context;
use crate::net::reply::refusal;
use crate::spec::pool::{Pool as PoolSpec, User, check_pools, main_pool};
use crate::spec::types::HeaderValue;
use crate::spec::{Check, Reader, Role, Spanned};
use crate::upstream::{Choice, Pool, tls, websocket};

/// Connects a client to a server of a pool by WebSocket. The server is asked first: the client gets its answer.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "WebSocketProxy")]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The pools. Exactly one has no `filter`; it takes the requests that no other takes.
    pub pools: Spanned<Vec<Spanned<PoolSpec>>>,
    /// The `Origin` to send to a server when the client sent none, as written here. Default: none is sent.
    #[serde(default)]
    pub default_origin: Option<HeaderValue>,
}

impl Spec {
    /// The pool without `filter`. There is one in every spec that was read without an error.
    pub fn main_pool(&self) -> Option<&PoolSpec> {
        main_pool(&self.pools)
    }
}

impl Check for Spec {
    fn files(&self) -> Vec<&Path> {
        self.pools.iter().flat_map(|pool| pool.files()).collect()
    }

    fn check(&self, reader: &Reader) {
        check_pools(&self.pools, User::WebSocketProxy, reader);
        self.pools.iter().for_each(|pool| tls::check(pool, reader));
    }
}

#[derive(Debug)]
struct WebSocketProxy {
    pools: Choice,
    /// For servers that insist on an `Origin` where the client has none.
    default_origin: Option<http::HeaderValue>,
}

impl Build for Spec {
    const KIND: &'static str = "WebSocketProxy";
    const RESULTS: &'static [&'static str] = &["clientError", "internalError", "refused", "serverError"];
    const ROLE: Role = Role::Proxy;
    const ONLY_WEBSOCKETS: bool = true;

    fn build(&self, deps: &Deps<'_>) -> Option<Arc<dyn Filter>> {
        let default_origin = self.default_origin.as_ref().map(|origin| origin.get().clone());
        Some(Arc::new(WebSocketProxy { pools: deps.choice(&self.pools, PoolSpec::clone)?, default_origin }))
    }
}

impl Filter for WebSocketProxy {
    fn handle<'a>(&'a self, context: &'a mut Context) -> Handling<'a> {
        Box::pin(async move {
            let (request, client) = (&context.request, &context.client);
            let pool = self.pools.pool(context.asker());
            match websocket::open(pool, request, client, self.default_origin.as_ref()).await {
                Ok((reply, upgrade)) => {
                    context.reply = Some(reply);
                    context.upgrade = upgrade;
                    if context.upgrade.is_some() { Verdict::Next } else { REFUSED }
                }
                Err(fault) => {
                    context.reply = Some(refusal(&fault));
                    Verdict::of(&fault)
                }
            }
        })
    }

    fn pools(&self) -> Vec<&Arc<Pool>> {
        self.pools.all().collect()
    }
}
