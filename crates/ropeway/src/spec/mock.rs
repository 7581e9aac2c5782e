//! Filter `Mock`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Check, Diagnostic, Reader, Spanned,
    matcher::TextMatcher,
    types::{GoDuration, HeaderName, StatusCode},
};

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
    #[serde(default = "ok")]
    pub code: StatusCode,
    /// Headers of the answer.
    #[serde(default)]
    pub headers: BTreeMap<HeaderName, String>,
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
            for matcher in rule.r#match.headers.values() {
                matcher.check(reader, matcher.span());
            }
        }
    }
}

const fn ok() -> StatusCode {
    StatusCode::OK
}
