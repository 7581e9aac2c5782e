//! `ResponseAdaptor`: changes the answer, a 101 too.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Build, Deps, Filter, Handling, Verdict, done};
use crate::context::Context;
use crate::net::headers::Edits;
use crate::spec::headers::{HeaderEdits, Message};
use crate::spec::{Check, NotYet, Reader, Role, Untyped};

/// Changes the answer that an earlier step has given, be it a 101.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "ResponseAdaptor")]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// What becomes of its headers.
    pub header: HeaderEdits,
    /// Another body. Not supported yet.
    pub body: NotYet<Option<String>>,
    /// Compress the body. Not supported yet: servers do it.
    pub compress: NotYet<Option<String>>,
    /// Decompress the body. Not supported yet.
    pub decompress: NotYet<Option<String>>,
    /// A template of these fields. Not supported yet.
    pub template: NotYet<Option<Untyped>>,
    /// What begins an action in `template`. Not supported yet.
    pub left_delim: NotYet<Option<String>>,
    /// What ends an action in `template`. Not supported yet.
    pub right_delim: NotYet<Option<String>>,
}

impl Check for Spec {
    fn check(&self, reader: &Reader) {
        self.header.check(Message::Reply, reader);
    }
}

impl Build for Spec {
    const KIND: &'static str = "ResponseAdaptor";
    const RESULTS: &'static [&'static str] = &["responseNotFound"];
    const ROLE: Role = Role::Adaptor;

    fn build(&self, _: &Deps<'_>) -> Option<Arc<dyn Filter>> {
        Some(Arc::new(ResponseAdaptor(Edits::new(&self.header))))
    }
}

#[derive(Debug)]
struct ResponseAdaptor(Edits);

impl Filter for ResponseAdaptor {
    fn handle<'a>(&'a self, context: &'a mut Context) -> Handling<'a> {
        let Some(reply) = &mut context.reply else { return done(Verdict::Result("responseNotFound")) };
        self.0.apply(reply.headers_mut());
        done(Verdict::Next)
    }
}
