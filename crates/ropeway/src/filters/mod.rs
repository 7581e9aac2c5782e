//! Filters: what a pipeline can do to a request.
//!
//! A filter is one file with its spec, its runtime, its [`Kind`] and its tests, and one line in [`KINDS`].

pub mod mock;
pub mod websocket_proxy;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::context::Context;
use crate::spec::pipeline::Filter as Spec;
use crate::spec::pool::Pool as PoolSpec;
use crate::spec::{FilterSpec, KindReader};
use crate::upstream::Dialler;
use crate::upstream::pool::{Pool, Pools};

/// Every kind of filter there is.
pub const KINDS: &[Kind] = &[mock::KIND, websocket_proxy::KIND];

/// A kind of filter.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// How its spec is read.
    pub reader: KindReader,
    /// Makes a filter of a spec, if that is of this kind.
    pub build: Build,
}

/// Makes a filter of a spec, if that is of its kind.
pub type Build = fn(&dyn FilterSpec, &Deps<'_>) -> Option<Arc<dyn Filter>>;

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
    /// The pool that `spec` asks for. It is called by its own name, or else by its `role` in the filter.
    pub fn pool(&self, spec: &PoolSpec, role: &str) -> Arc<Pool> {
        let identity = format!("{}#{}", self.identity, spec.name.as_ref().map_or(role, |name| name.as_str()));
        Pool::new(spec, &identity, self.dialler, self.pools.get(&identity))
    }
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

/// What a filter came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The request goes on.
    Next,
    /// One of the kind's results: the request goes where the flow says, or ends.
    Result(&'static str),
}
