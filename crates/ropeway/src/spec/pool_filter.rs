//! `filter` of a pool, which makes it a candidate.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Diagnostic, Reader, Span, Spanned,
    matcher::TextMatcher,
    types::{HeaderName, HttpMethod, Permil},
};

/// Which requests a pool is for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct PoolFilter {
    /// How requests are chosen. Default: `general`.
    pub policy: FilterPolicy,
    /// For `general`: headers a request must have; one of them suffices unless `matchAllHeaders` is true. Required.
    pub headers: BTreeMap<HeaderName, Spanned<TextMatcher>>,
    /// For `general`: whether all of `headers` must fit. Default: false.
    pub match_all_headers: bool,
    /// For `general`: URLs of which a request must have one, besides its headers. Default: every URL.
    pub urls: Vec<UrlMatcher>,
    /// For the other policies: the share of requests, in thousandths. Required.
    pub permil: Option<Permil>,
    /// For `headerHash`: the header whose value decides. Required.
    pub header_hash_key: Option<HeaderName>,
}

/// How requests are chosen for a candidate pool.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum FilterPolicy {
    /// By headers and URL.
    #[default]
    #[serde(alias = "")]
    General,
    /// A share of the requests, by the client's address.
    IpHash,
    /// A share of the requests, by the value of a header.
    HeaderHash,
    /// A share of the requests, by chance.
    Random,
}

/// A condition on method and path.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct UrlMatcher {
    /// Methods, of which one must fit. Default: all.
    pub methods: Vec<HttpMethod>,
    /// What the path must be.
    pub url: Spanned<TextMatcher>,
}

impl PoolFilter {
    pub(super) fn check(&self, reader: &Reader, at: Span) {
        let title = match self.policy {
            FilterPolicy::General if self.headers.is_empty() => Some("the policy `general` needs `headers`"),
            FilterPolicy::IpHash | FilterPolicy::HeaderHash | FilterPolicy::Random
                if self.permil.is_none() =>
            {
                Some("this policy needs `permil`, the share of requests in thousandths")
            }
            FilterPolicy::HeaderHash if self.header_hash_key.is_none() => {
                Some("the policy `headerHash` needs `headerHashKey`")
            }
            _ => None,
        };
        if let Some(title) = title {
            reader.report(Diagnostic::error(title).at(at));
        }
        for matcher in self.headers.values().chain(self.urls.iter().map(|url| &url.url)) {
            matcher.check(reader, matcher.span());
        }
    }
}
