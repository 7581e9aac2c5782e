//! `ResponseAdaptor`: changes the answer, a 101 too.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Build, Deps, Filter, Handling, Verdict, done};
use crate::context::Context;
use crate::net::headers::Edits;
use crate::spec::headers::{HeaderEdits, Message};
use crate::spec::template::{self, Data};
use crate::spec::{Check, NotYet, Reader, Role, Spanned};

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
    /// These fields in YAML, as a text: what it gives counts instead of what stands beside it. In it
    /// `{{ .data.PIPELINE.name }}` stands for a value of the pipeline's `data`.
    pub template: Option<Spanned<String>>,
    /// What begins the name of a value in `template`. Default: `{{`.
    pub left_delim: Option<String>,
    /// What ends the name of a value in `template`. Default: `}}`.
    pub right_delim: Option<String>,
}

impl Check for Spec {
    fn check(&self, reader: &Reader) {
        self.header.check(Message::Reply, reader);
    }

    fn take_up(&mut self, data: &Data, reader: &Reader) {
        // What it says is in the other fields from here on: a text may hold secrets.
        let text = self.template.take();
        let delimiters = [&self.left_delim, &self.right_delim];
        let given = template::read::<Self>(text.as_ref(), delimiters, data, reader);
        if let Some(given) = given.filter(|given| given.header != HeaderEdits::default()) {
            self.header = given.header;
        }
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
