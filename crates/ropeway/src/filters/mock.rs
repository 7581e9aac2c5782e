//! `Mock`: answers by itself, from the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, request};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::sleep;

use super::{Build, Deps, Filter, Handling, Verdict, canned};
use crate::context::Context;
use crate::net::path;
use crate::net::reply::ReplyBody;
use crate::spec::headers::{self, Headers, Message};
use crate::spec::matcher::TextMatcher;
use crate::spec::types::{FinalStatus, GoDuration, HeaderName};
use crate::spec::{Check, Diagnostic, Reader, Spanned};

/// Answers requests itself, with what is written here.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "Mock")]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Answers, tried in this order; the first whose `match` fits is given. If none fits, the next filter runs.
    pub rules: Vec<Rule>,
}

/// One answer, and the requests it is for.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "MockRule")]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The requests it is for. Default: all.
    #[serde(default)]
    pub r#match: Match,
    /// The status code. Default: 200.
    #[serde(default)]
    pub code: FinalStatus,
    /// Headers of the answer.
    #[serde(default)]
    pub headers: Headers,
    /// The body of the answer. Default: empty.
    #[serde(default)]
    pub body: String,
    /// How long to wait before answering. Default: 0.
    #[serde(default)]
    pub delay: GoDuration,
}

/// Which requests an answer is for. Path and headers must both fit.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "MockMatch")]
#[serde(default, rename_all = "camelCase")]
pub struct Match {
    /// The whole path. Without it and `pathPrefix`: every path; with both, one has to fit.
    pub path: Option<Spanned<String>>,
    /// How the path starts.
    pub path_prefix: Option<Spanned<String>>,
    /// Headers the request must have; one of them suffices unless `matchAllHeaders` is true.
    pub headers: BTreeMap<HeaderName, Spanned<TextMatcher>>,
    /// Whether all of `headers` must fit. Default: false.
    pub match_all_headers: bool,
}

impl Check for Spec {
    fn check(&self, reader: &Reader) {
        for rule in &self.rules {
            for path in [&rule.r#match.path, &rule.r#match.path_prefix].into_iter().flatten() {
                if !path.starts_with('/') {
                    reader.report(Diagnostic::error("a path starts with `/`").at(path.span()));
                }
            }
            headers::check(rule.headers.keys(), Message::Reply, reader);
            for matcher in rule.r#match.headers.values() {
                matcher.check(reader, matcher.span());
            }
        }
    }
}

#[derive(Debug)]
struct Mock {
    /// Each with its answer.
    rules: Vec<(Rule, Response<Bytes>)>,
}

impl Build for Spec {
    const KIND: &'static str = "Mock";
    const RESULTS: &'static [&'static str] = &["mocked"];

    fn build(&self, _: &Deps<'_>) -> Option<Arc<dyn Filter>> {
        let answer = |rule: &Rule| canned(rule.code, &rule.headers, &rule.body);
        Some(Arc::new(Mock { rules: self.rules.iter().map(|rule| (rule.clone(), answer(rule))).collect() }))
    }
}

impl Filter for Mock {
    fn handle<'a>(&'a self, context: &'a mut Context) -> Handling<'a> {
        Box::pin(async move {
            let Some((rule, reply)) =
                self.rules.iter().find(|(rule, _)| fits(&rule.r#match, &context.request))
            else {
                return Verdict::Next;
            };
            if !rule.delay.is_zero() {
                sleep(rule.delay.get()).await;
            }
            context.reply = Some(reply.clone().map(ReplyBody::whole));
            Verdict::Result("mocked")
        })
    }
}

fn fits(rule: &Match, request: &request::Parts) -> bool {
    let path = path::plain(&request.uri).unwrap_or_else(|| request.uri.path().into());
    let by_path = rule.path.as_ref().map(|exact| **exact == *path);
    let by_prefix = rule.path_prefix.as_ref().map(|prefix| path.starts_with(prefix.as_str()));
    let path_fits = match (by_path, by_prefix) {
        (None, None) => true,
        (exact, prefix) => exact.unwrap_or(false) || prefix.unwrap_or(false),
    };
    path_fits && headers_fit(rule, request)
}

fn headers_fit(rule: &Match, request: &request::Parts) -> bool {
    let mut fits = rule.headers.iter().map(|(name, matcher)| {
        let value = request.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
        matcher.is_match(value.unwrap_or_default())
    });
    if rule.match_all_headers || rule.headers.is_empty() {
        fits.all(|fits| fits)
    } else {
        fits.any(|fits| fits)
    }
}
