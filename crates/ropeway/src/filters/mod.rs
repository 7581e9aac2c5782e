//! Filters: what a pipeline can do to a request.
//!
//! A filter is one file with its spec, how that is [built](Build), what it does ([`Filter`]) and its tests; and one line in
//! [`KINDS`].

pub mod cors_adaptor;
pub mod fallback;
pub mod mock;
pub mod proxy;
pub mod redirector;
pub mod request_adaptor;
pub mod response_adaptor;
pub mod websocket_proxy;

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::fault::{Blame, Fault};
use crate::net::headers;
use crate::spec::headers::Headers;
use crate::spec::pipeline::Filter as Spec;
use crate::spec::pool::{MAIN, Pool as PoolSpec, main_pool};
use crate::spec::types::FinalStatus;
use crate::spec::{Check, FilterSpec, KindReader, Role, Spanned};
use crate::upstream::pool::{Pool, Pools};
use crate::upstream::{Choice, Dialler, Matcher};

/// Every kind of filter there is.
pub const KINDS: &[Kind] = &[
    Kind::of::<cors_adaptor::Spec>(),
    Kind::of::<fallback::Spec>(),
    Kind::of::<mock::Spec>(),
    Kind::of::<proxy::Spec>(),
    Kind::of::<redirector::Spec>(),
    Kind::of::<request_adaptor::Spec>(),
    Kind::of::<response_adaptor::Spec>(),
    Kind::of::<websocket_proxy::Spec>(),
];

/// What a user writes of a filter, and how the filter is made of it.
pub trait Build: Check + DeserializeOwned + FilterSpec + JsonSchema {
    /// What stands in `kind`.
    const KIND: &'static str;
    /// The results it can have: what `jumpIf` may name.
    const RESULTS: &'static [&'static str];
    /// Whether it is of use to handshakes for WebSockets only.
    const ONLY_WEBSOCKETS: bool = false;
    /// What it has to do with answers, for warnings of flows that make no sense.
    const ROLE: Role = Role::Other;

    /// Makes the filter. `None` where the spec lacks what every one has that was read without an error.
    fn build(&self, deps: &Deps<'_>) -> Option<Arc<dyn Filter>>;
}

/// A kind of filter.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// How its spec is read.
    pub reader: KindReader,
    build: fn(&dyn FilterSpec, &Deps<'_>) -> Option<Arc<dyn Filter>>,
}

impl Kind {
    const fn of<S: Build>() -> Self {
        let reader = KindReader::of::<S>(S::KIND, S::RESULTS, S::ONLY_WEBSOCKETS, S::ROLE);
        Kind { reader, build: |spec, deps| spec.downcast::<S>()?.build(deps) }
    }
}

/// What a filter is built with beside its spec.
#[derive(Clone, Copy, Debug)]
pub struct Deps<'a> {
    /// `pipeline/filter`.
    pub identity: &'a str,
    /// The pools that are in force.
    pub pools: &'a Pools,
    /// How servers are reached.
    pub dialler: &'a Dialler,
}

impl Deps<'_> {
    /// The pools that `specs` ask for, each as `adapted` to the kind of filter. There are some in every spec that was read without an error.
    pub fn choice(
        &self,
        specs: &[Spanned<PoolSpec>],
        adapted: impl Fn(&PoolSpec) -> PoolSpec,
    ) -> Option<Choice> {
        let candidates = specs.iter().filter_map(|pool| Some((pool.filter.as_ref()?, pool)));
        let candidates = candidates.enumerate().map(|(number, (filter, pool))| {
            (Matcher::new(filter), self.pool(&adapted(pool), &format!("candidate#{number}")))
        });
        Some(Choice { candidates: candidates.collect(), main: self.pool(&adapted(main_pool(specs)?), MAIN) })
    }

    /// The pool that `spec` asks for. It is called by its own name, or else by its `role` in the filter.
    fn pool(&self, spec: &PoolSpec, role: &str) -> Arc<Pool> {
        let identity = format!("{}#{}", self.identity, spec.name.as_ref().map_or(role, |name| name.as_str()));
        Pool::new(spec, &identity, self.dialler, self.pools.get(&identity))
    }
}

/// A `Proxy` called `proxy` with this one pool.
pub fn proxy_of(pool: Spanned<PoolSpec>) -> Option<Spec> {
    let spec = proxy::Spec::of(pool);
    let kind = Kind::of::<proxy::Spec>();
    Some(Spec { name: "proxy".parse().ok()?, kind: kind.reader, spec: Box::new(spec) })
}

/// How the specs of all kinds are read.
pub fn readers() -> Vec<KindReader> {
    KINDS.iter().map(|kind| kind.reader).collect()
}

/// Makes the filter that `spec` asks for.
pub fn build(spec: &Spec, deps: &Deps<'_>) -> Option<Arc<dyn Filter>> {
    let kind = KINDS.iter().find(|kind| kind.reader.name == spec.kind.name)?;
    (kind.build)(&*spec.spec, deps)
}

/// A filter at work. One for all workers and all requests.
pub trait Filter: fmt::Debug + Send + Sync {
    /// Does its part for one request.
    ///
    /// Cancel safe: dropped, the request is given up.
    fn handle<'a>(&'a self, context: &'a mut Context) -> Handling<'a>;

    /// The pools that it uses.
    fn pools(&self) -> Vec<&Arc<Pool>> {
        Vec::new()
    }
}

/// A filter's work on one request: the one boxed call per handshake.
pub type Handling<'a> = Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// That of a filter that has nothing to wait for.
fn done<'a>(verdict: Verdict) -> Handling<'a> {
    Box::pin(ready(verdict))
}

/// What a filter came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The request goes on.
    Next,
    /// One of the kind's results: the request goes where the flow says, or ends.
    Result(&'static str),
}

/// Stands for the end in a flow that goes on behind it, for those who jump there.
pub fn end() -> Arc<dyn Filter> {
    Arc::new(End)
}

#[derive(Debug)]
struct End;

impl Filter for End {
    fn handle<'a>(&'a self, _: &'a mut Context) -> Handling<'a> {
        // A result for which nobody has a jump.
        done(Verdict::Result("END"))
    }
}

/// An answer from the configuration.
fn canned(status: FinalStatus, headers: &Headers, body: &str) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::from(body.to_owned()));
    *reply.status_mut() = status.get();
    *reply.headers_mut() = headers::map(headers);
    reply
}

/// A server refuses a WebSocket.
const REFUSED: Verdict = Verdict::Result("refused");

impl Verdict {
    /// That of the filters that ask servers, where none gave an answer.
    fn of(fault: &Fault) -> Verdict {
        Verdict::Result(match fault.blame() {
            Blame::Client => "clientError",
            Blame::Server => "serverError",
            Blame::Gateway => "internalError",
        })
    }
}

/// The spec that `text` holds, for tests of filters.
#[cfg(test)]
fn read<S: Build>(text: &str) -> S {
    let reader = crate::spec::Reader::new(&[crate::spec::Source::new("test.yaml", text.to_owned())]);
    let spec = reader.documents().first().and_then(|document| reader.read(document));
    let found = reader.finish();
    assert!(!found.has_errors(), "{}", found.render(false));
    spec.unwrap()
}
