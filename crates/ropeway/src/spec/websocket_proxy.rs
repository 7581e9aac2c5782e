//! Filter `WebSocketProxy`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Check, Diagnostic, Reader, Spanned, pool::Pool};

/// Connects a client to a server of a pool by WebSocket. The server is asked first: the client gets its answer.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "WebSocketProxy")]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The pools. Exactly one has no `filter`; it takes the requests that no other takes.
    pub pools: Spanned<Vec<Spanned<Pool>>>,
    /// The `Origin` to send to a server when the client sent none, as written here. Default: none is sent.
    #[serde(default)]
    pub default_origin: Option<String>,
}

impl Spec {
    /// The pool without `filter`. There is one in every spec that was read without an error.
    pub fn main_pool(&self) -> Option<&Pool> {
        self.pools.iter().map(|pool| &**pool).find(|pool| !pool.is_candidate())
    }
}

impl Check for Spec {
    fn check(&self, reader: &Reader) {
        let mut main = self.pools.iter().filter(|pool| !pool.is_candidate());
        match (main.next(), main.next()) {
            (Some(_), None) => {}
            (None, _) => {
                let title = "one pool must have no `filter`: it takes the requests that no other takes";
                reader.report(Diagnostic::error(title).at(self.pools.span()));
            }
            (Some(first), Some(second)) => {
                let title = "only one pool can be without a `filter`";
                reader.report(
                    Diagnostic::error(title)
                        .at(second.span())
                        .other(first.span(), "this is the first")
                        .help("to spread connections over more servers, list them in one pool"),
                );
            }
        }
        for pool in self.pools.iter() {
            pool.check(reader, pool.span());
        }
    }
}
