//! `Fallback`: answers where nobody else could.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Build, Deps, Filter, Handling, Verdict, canned, done};
use crate::context::Context;
use crate::net::reply::ReplyBody;
use crate::spec::headers::{self, Headers, Message};
use crate::spec::types::FinalStatus;
use crate::spec::{Check, Reader, Role};

/// Answers in the place of whatever answer there was.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "Fallback")]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The status code of the answer.
    pub mock_code: FinalStatus,
    /// Headers of the answer.
    #[serde(default)]
    pub mock_headers: Headers,
    /// The body of the answer. Default: empty.
    #[serde(default)]
    pub mock_body: String,
}

impl Check for Spec {
    fn check(&self, reader: &Reader) {
        headers::check(self.mock_headers.keys(), Message::Reply, reader);
    }
}

impl Build for Spec {
    const KIND: &'static str = "Fallback";
    const RESULTS: &'static [&'static str] = &["fallback"];
    const ROLE: Role = Role::Fallback;

    fn build(&self, _: &Deps<'_>) -> Option<Arc<dyn Filter>> {
        Some(Arc::new(Fallback(canned(self.mock_code, &self.mock_headers, &self.mock_body))))
    }
}

#[derive(Debug)]
struct Fallback(Response<Bytes>);

impl Filter for Fallback {
    fn handle<'a>(&'a self, context: &'a mut Context) -> Handling<'a> {
        context.reply = Some(self.0.clone().map(ReplyBody::whole));
        done(Verdict::Result("fallback"))
    }
}
