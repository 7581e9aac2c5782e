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
    /// Keep a client on one server, as long as that may be chosen. Comes before the policy.
    pub sticky_session: Option<StickySession>,
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
    pub mode: Spanned<StickyMode>,
    /// The application's cookie. Required for `CookieConsistentHash` and `ApplicationBased`.
    #[serde(default)]
    pub app_cookie_name: Option<Spanned<String>>,
    /// The gateway's own cookie. Default: `EG_SESSION`.
    #[serde(default)]
    pub lb_cookie_name: Option<Spanned<String>>,
    /// How long the gateway's own cookie lives, counted from the last answer that set it. Default, also for 0: 2h.
    #[serde(default)]
    pub lb_cookie_expire: Option<GoDuration>,
}

/// How a client is kept on one server.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
pub enum StickyMode {
    /// By a consistent hash of the application's cookie. Who has none goes by the policy.
    CookieConsistentHash,
    /// By a cookie of the gateway's own, which is set by each answer.
    DurationBased,
    /// By a cookie of the gateway's own, which is set by each answer that sets the application's.
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
        if let Some(sticky) = &self.sticky_session {
            sticky.check(reader);
        }
    }
}

impl StickySession {
    fn check(&self, reader: &Reader) {
        let (mode, app) = (&self.mode, self.app_cookie_name.as_ref().filter(|name| !name.is_empty()));
        if **mode != StickyMode::DurationBased && app.is_none() {
            let help = "name the cookie by which your application knows its clients";
            let what = format!("`{:?}` needs an `appCookieName`", **mode);
            reader.report(Diagnostic::error(what).at(mode.span()).help(help));
        }
        if **mode == StickyMode::DurationBased
            && let Some(app) = app
        {
            let what = "`appCookieName` does nothing here: it is for the other modes";
            reader.report(Diagnostic::warning(what).at(app.span()));
        }
        if let (Some(app), Some(own)) = (app, &self.lb_cookie_name)
            && **app == **own
        {
            let what = "the gateway's cookie would overwrite the application's";
            let help = "give `lbCookieName` another name than `appCookieName`";
            reader.report(Diagnostic::error(what).at(own.span()).help(help));
        }
        for name in [&self.app_cookie_name, &self.lb_cookie_name].into_iter().flatten() {
            // The name of a cookie is a token, as that of a header is (RFC 6265 4.1.1).
            if !name.is_empty() && http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                let help = "write letters, digits, `-`, `_` and the like";
                reader.report(Diagnostic::error("this is no name for a cookie").at(name.span()).help(help));
            }
        }
    }
}
