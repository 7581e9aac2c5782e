//! How one server of a pool is chosen.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Diagnostic, NotYet, Reader, Span, Spanned,
    health_check::DeprecatedHealthCheck,
    types::{GoDuration, HASH_KEY_FORMS, HashKey, HeaderName, Window},
};

/// How a server is chosen.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct LoadBalance {
    /// The policy. Default: `roundRobin`.
    pub policy: Spanned<Policy>,
    /// For `headerHash`: the header whose value decides. Required.
    pub header_hash_key: Option<HeaderName>,
    /// For `consistentHash`: the part of the request that decides, one of `ip`, `header:NAME`, `cookie:NAME`,
    /// `query:NAME` and `path:REGEX`. Required.
    pub key: Option<Spanned<HashKey>>,
    /// Over how long a server gets its share that comes into use later than the pool: it was not well, ejected, or added
    /// to a pool in use. It begins with a tenth. Policies by hash are not affected, except for the bound of
    /// `consistentHash`. Up to 24h. Default: 0, its whole share at once.
    pub slow_start: Option<Window>,
    /// Keep a client on one server. Not supported yet.
    pub sticky_session: NotYet<Option<StickySession>>,
    /// Deprecated: use `healthCheck` of the pool. Not supported.
    pub health_check: NotYet<Option<DeprecatedHealthCheck>>,
}

/// How a server is chosen for a new connection.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// One after the other.
    #[default]
    #[serde(alias = "")]
    RoundRobin,
    /// By chance.
    Random,
    /// By chance, in proportion to `weight`.
    WeightedRandom,
    /// By the client's address.
    IpHash,
    /// By the value of the header `headerHashKey`.
    HeaderHash,
    /// By the whole `Cookie` header.
    CookieHash,
    /// The one with the fewest tunnels for its `weight`.
    LeastConnections,
    /// Of two by chance, the one with fewer tunnels for its `weight`.
    PowerOfTwo,
    /// By `key`, so that a server more or less moves few clients, and within 1.25 times its share of the tunnels.
    ConsistentHash,
}

/// Keeps a client on one server, by a cookie.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StickySession {
    /// How.
    pub mode: StickyMode,
    /// The application's cookie, for `CookieConsistentHash` and `ApplicationBased`.
    #[serde(default)]
    pub app_cookie_name: Option<String>,
    /// The gateway's own cookie. Default: `EG_SESSION`.
    #[serde(default)]
    pub lb_cookie_name: Option<String>,
    /// How long the gateway's own cookie lives. Default: 2h.
    #[serde(default)]
    pub lb_cookie_expire: Option<GoDuration>,
}

/// How a client is kept on one server.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
pub enum StickyMode {
    /// By a consistent hash of the application's cookie.
    CookieConsistentHash,
    /// By a cookie of the gateway's own, for a time.
    DurationBased,
    /// By a cookie of the gateway's own, as long as the application's lives.
    ApplicationBased,
}

impl LoadBalance {
    pub(super) fn check(&self, reader: &Reader, at: Span) {
        let needs = |what: &str, help: &str| reader.report(Diagnostic::error(what).at(at).help(help));
        match (*self.policy, &self.key) {
            (Policy::HeaderHash, _) if self.header_hash_key.is_none() => {
                needs("`headerHash` needs a `headerHashKey`", "name the header whose value decides");
            }
            (Policy::ConsistentHash, None) => {
                needs("`consistentHash` needs a `key`", &format!("write {HASH_KEY_FORMS}"));
            }
            (Policy::ConsistentHash, Some(_)) | (_, None) => {}
            (_, Some(key)) => reader.report(
                Diagnostic::warning("`key` does nothing here: it is for the policy `consistentHash`")
                    .at(key.span()),
            ),
        }
    }
}
