//! A pool: backends that serve the same, and how they are used.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Check, Diagnostic, NotYet, Reader, Span, Spanned, Untyped,
    departure::Departure,
    health_check::HealthCheck,
    load_balance::{LoadBalance, Policy},
    passive::Passive,
    pool_filter::PoolFilter,
    tls::Tls,
    types::{
        BodyLimit, CloseCode, Glob, GoDuration, Host, MessageLimit, Name, Positive, ServerUrl, StatusCodes,
        Timeout, Weight,
    },
};

/// Servers that serve the same, how one of them is chosen, and what may happen on their connections.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Names the pool in logs and metrics, in the place of its role in the filter. A pool that keeps its name keeps its
    /// connections when the list of pools changes.
    #[serde(default)]
    pub name: Option<Spanned<Name>>,
    /// The servers.
    #[serde(default)]
    pub servers: Vec<Spanned<Server>>,
    /// How a server is chosen for a new connection. Default: `roundRobin`.
    #[serde(default)]
    pub load_balance: Spanned<LoadBalance>,
    /// The most bytes of one message from the client, over all its fragments; -1: no limit. Default: 32769;
    /// in a `Proxy`: -1.
    #[serde(default)]
    pub client_max_msg_size: Option<MessageLimit>,
    /// The most bytes of one message from the server, over all its fragments; -1: no limit. Default: 32769;
    /// in a `Proxy`: -1.
    #[serde(default)]
    pub server_max_msg_size: Option<MessageLimit>,
    /// Accept a browser from any site, without the check of its `Origin`. Default: false. The name misleads: it has
    /// nothing to do with TLS.
    #[serde(default)]
    pub insecure_skip_verify: Spanned<bool>,
    /// Sites from which a browser may connect, besides the requested host itself: patterns for `host[:port]`, such as
    /// `*.example.com`.
    #[serde(default)]
    pub origin_patterns: Vec<Glob>,

    /// How TLS is spoken with the servers at `wss` and `https`. Default: their certificates must be of their names, and
    /// of an authority that the system trusts.
    #[serde(default)]
    pub tls: Option<Spanned<Tls>>,
    /// How long a connection to a server may take to open, with the look-up of its name and the handshake of TLS; 1ms to
    /// 60s. Default: 2s.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Timeout,
    /// How long a server may take to answer the handshake, 1ms to 60s. Default: 5s.
    #[serde(default = "handshake_timeout")]
    pub handshake_timeout: Timeout,
    /// How long a tunnel may take to end once its end has begun, 1ms to 60s: the answers to Close frames, and what a
    /// slow receiver is still owed. Then it is cut. Default: 5s.
    #[serde(default = "close_timeout")]
    pub close_timeout: Timeout,
    /// How many other servers to try when one cannot be reached, is too slow, closes
    /// without an answer, or answers 502, 503 or 504; 0: none.
    /// Default: 3.
    #[serde(default = "max_retries")]
    pub max_retries: u8,
    /// How many connections all servers of the pool may have together, handshakes under way included. Where there are as
    /// many, clients get 503 `no_capacity`. Default: any number.
    #[serde(default)]
    pub max_connections: Option<Positive>,
    /// The close code that a client gets when its server vanishes without a Close frame. Default: 1011.
    #[serde(default = "vanished_code")]
    pub vanished_code: CloseCode,
    /// The close code that a client gets when the gateway ends its tunnel in good order: it stops, or `onRemoved` or
    /// `onUnhealthy` want it. Default: 1001.
    #[serde(default = "drain_code")]
    pub drain_code: CloseCode,
    /// What becomes of the live tunnels of a server that is taken out of the configuration.
    #[serde(default)]
    pub on_removed: Departure,
    /// What becomes of the live tunnels of a server that its health check finds unwell.
    #[serde(default)]
    pub on_unhealthy: Departure,
    /// Whether to close connections with text messages that are not UTF-8 (compressed ones are not looked into).
    /// Default: false.
    #[serde(default)]
    pub validate_utf8: bool,
    /// What becomes of the peers' offers of compression. Default: `passThrough`.
    #[serde(default)]
    pub compression: Compression,

    /// How to find out whether a server is well. One that is not gets no new connections; those it has stay. Default:
    /// none, every server counts as well.
    #[serde(default)]
    pub health_check: Option<Spanned<HealthCheck>>,
    /// Whether a server that fails its clients is left out for a while, and when; `{}` takes the defaults. Default: it is
    /// not.
    #[serde(default)]
    pub passive: Option<Spanned<Passive>>,
    /// Makes this pool a candidate, for some requests only. Candidates are tried in the order of the file, and the
    /// first whose filter fits takes the request.
    #[serde(default)]
    pub filter: Option<Spanned<PoolFilter>>,
    /// Tags of which a discovered server must have one. Not supported yet.
    #[serde(default)]
    pub server_tags: NotYet<Vec<String>>,
    /// The registry to discover servers in. Not supported yet.
    #[serde(default)]
    pub service_registry: NotYet<Option<Name>>,
    /// The service to discover in that registry. Not supported yet.
    #[serde(default)]
    pub service_name: NotYet<Option<String>>,

    /// For `Proxy` only: how long a server may take to the head of its answer, in each try; 0: any time. Default: 0.
    #[serde(default)]
    pub timeout: Option<Spanned<GoDuration>>,
    /// For `Proxy` only: answers with these codes have the result `failureCode`, and another server is tried for a
    /// request that can be repeated. A code is written as `404`, a range of them as `500-599`. Default: those from 500 on,
    /// of which 502, 503 and 504 let another server be tried.
    #[serde(default)]
    pub failure_codes: Option<Spanned<Vec<StatusCodes>>>,
    /// For `Proxy` only: the most bytes that the body of an answer may have; -1: any number. Default: as the
    /// filter says.
    #[serde(default)]
    pub server_max_body_size: Option<BodyLimit>,
    /// For `Proxy` only: send a server's own host as `Host` also if it is given by IP address. Default: false.
    #[serde(default)]
    pub set_upstream_host: Option<Spanned<bool>>,
    /// For `Proxy` only: the name of the pool's spans. Not supported yet.
    #[serde(default)]
    pub span_name: NotYet<Option<String>>,
    /// For `Proxy` only: keep answers in memory. Not supported yet.
    #[serde(default)]
    pub memory_cache: NotYet<Option<Untyped>>,
    /// For `Proxy` only: a policy of the Pipeline's `resilience`. Not supported yet: see `maxRetries`.
    #[serde(default)]
    pub retry_policy: NotYet<Option<String>>,
    /// For `Proxy` only: a policy of the Pipeline's `resilience`. Not supported yet.
    #[serde(default)]
    pub circuit_breaker_policy: NotYet<Option<String>>,

    /// Whose pool it is.
    #[serde(skip)]
    pub user: User,
}

/// The kind of filter that uses a pool.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum User {
    /// Which carries WebSockets only.
    #[default]
    WebSocketProxy,
    /// Which carries both.
    Proxy,
}

/// One server.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Where it is: scheme (`ws` or `http`, with TLS `wss` or `https`), host and maybe port; or `unix:` and the path of a
    /// socket. In a `Proxy`, a path is put before that of each request; in a `WebSocketProxy` it does nothing for clients.
    pub url: Spanned<ServerUrl>,
    /// How TLS is spoken with it, instead of what the pool says: nothing of that is added.
    #[serde(default)]
    pub tls: Option<Spanned<Tls>>,
    /// Labels of your own.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Its share for `weightedRandom`, `leastConnections`, `powerOfTwo` and `consistentHash`, 0 to 100. Default: 0.
    #[serde(default)]
    pub weight: Weight,
    /// How many connections it may have at once, handshakes under way included; then another server is chosen. Default:
    /// any number.
    #[serde(default)]
    pub max_connections: Option<Positive>,
    /// Whether it gets the client's `Host` instead of its own name. Default: false. A server given by IP address or
    /// `unix:` gets the client's in any case.
    #[serde(default)]
    pub keep_host: Spanned<bool>,
}

/// What becomes of the peers' offers of permessage-deflate (RFC 7692).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Compression {
    /// Client and server agree on it between themselves, if they like.
    #[default]
    PassThrough,
    /// As `passThrough`, but each message is compressed by itself: less memory in both peers, larger messages.
    NoContextTakeover,
    /// None.
    Off,
}

/// The name of the pool without a filter, where it has no other.
pub const MAIN: &str = "main";

/// The pool without `filter`. There is one in every list that was read without an error.
pub fn main_pool(pools: &[Spanned<Pool>]) -> Option<&Pool> {
    pools.iter().map(|pool| &**pool).find(|pool| !pool.is_candidate())
}

/// Reports what is wrong with the pools of a filter of the kind `user`.
pub fn check_pools(pools: &Spanned<Vec<Spanned<Pool>>>, user: User, reader: &Reader) {
    let mut main = pools.iter().filter(|pool| !pool.is_candidate());
    match (main.next(), main.next()) {
        (Some(_), None) => {}
        (None, _) => {
            let title = "one pool must have no `filter`: it takes the requests that no other takes";
            reader.report(Diagnostic::error(title).at(pools.span()));
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
    let mut names = HashMap::new();
    for pool in pools.iter() {
        pool.check(user, reader, pool.span());
        let Some(name) = &pool.name else { continue };
        if pool.is_candidate() && name.as_str() == MAIN {
            let title = "a pool with a `filter` cannot be called `main`: that is the one without";
            reader.report(Diagnostic::error(title).at(name.span()));
        }
        if let Some(first) = names.insert(&**name, name.span()) {
            let title = format!("two pools are called `{}`", **name);
            reader.report(Diagnostic::error(title).at(name.span()).other(first, "this is the first"));
        }
    }
}

impl Pool {
    /// Whether this pool is for some requests only.
    pub const fn is_candidate(&self) -> bool {
        self.filter.is_some()
    }

    /// The files it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let specs = self.tls.iter().chain(self.servers.iter().filter_map(|server| server.tls.as_ref()));
        specs.flat_map(|tls| tls.files())
    }

    /// Reports what is wrong with this pool, which stands at `at`.
    pub fn check(&self, user: User, reader: &Reader, at: Span) {
        if self.servers.is_empty() && self.service_name.written().is_none() {
            reader.report(Diagnostic::error("a pool needs at least one server").at(at));
        }
        self.check_weights(reader);
        for server in &self.servers {
            let is_asked = self.health_check.as_ref().is_some_and(|check| check.asks_for_url());
            server.check(user, reader, is_asked);
        }
        if let Some(tls) = &self.tls {
            tls.check(reader);
            if !self.servers.iter().any(|server| server.url.scheme().is_tls()) {
                reader.report(
                    Diagnostic::warning("`tls` does nothing here: no server of this pool has it")
                        .at(tls.span())
                        .help("it is for URLs that begin with `wss://` or `https://`"),
                );
            }
        }
        if user == User::WebSocketProxy {
            self.check_for_websocket(reader, at);
        }
        if *self.insecure_skip_verify {
            reader.report(
                Diagnostic::warning(
                    "`insecureSkipVerify` switches the check of the Origin off: any site may connect",
                )
                .at(self.insecure_skip_verify.span())
                .help("it has nothing to do with TLS; list the sites that may connect in `originPatterns`"),
            );
        }
        self.load_balance.check(reader, self.load_balance.span());
        if let Some(check) = &self.health_check {
            check.check(reader, check.span());
        }
        if let Some(passive) = &self.passive {
            passive.check(reader, passive.span());
        }
        if let Some(filter) = &self.filter {
            filter.check(reader, filter.span());
        }
    }

    /// How TLS is spoken with `server`, if it is.
    pub fn tls_of<'a>(&'a self, server: &'a Server) -> Option<&'a Tls> {
        static DEFAULT: LazyLock<Tls> = LazyLock::new(Tls::default);
        let own = server.tls.as_ref().or(self.tls.as_ref()).map_or(&*DEFAULT, |tls| &**tls);
        server.url.scheme().is_tls().then_some(own)
    }

    /// Nothing of what is for ordinary requests makes sense where there are none.
    fn check_for_websocket(&self, reader: &Reader, at: Span) {
        let misplaced = [
            ("timeout", self.timeout.as_ref().map(Spanned::span), "use `handshakeTimeout`"),
            ("failureCodes", self.failure_codes.as_ref().map(Spanned::span), "leave it out"),
        ];
        let misplaced = misplaced.into_iter().chain([(
            "serverMaxBodySize",
            self.server_max_body_size.map(|_| at),
            "use `serverMaxMsgSize`",
        )]);
        for (field, span, help) in misplaced {
            let title =
                format!("`{field}` is for pools of a `Proxy`: a `WebSocketProxy` has no ordinary requests");
            reader.report_all(span.map(|span| Diagnostic::error(title).at(span).help(help)));
        }
        let title = "`setUpstreamHost` does nothing here: a `WebSocketProxy` sends the server's own name";
        let host = self.set_upstream_host.as_ref().filter(|set| ***set);
        reader.report_all(host.map(|set| Diagnostic::warning(title).at(set.span())));
    }

    /// The same for a `Proxy`, where `most` bounds answers of pools that do not say otherwise.
    pub fn for_proxy(&self, most: BodyLimit) -> Pool {
        let own = self.server_max_body_size.filter(|own| own.0 != 0);
        Pool { user: User::Proxy, server_max_body_size: own.or(Some(most)), ..self.clone() }
    }

    /// How long messages of clients may be.
    pub fn client_message_limit(&self) -> MessageLimit {
        self.client_max_msg_size.unwrap_or(self.user.message_limit())
    }

    /// How long messages of servers may be.
    pub fn server_message_limit(&self) -> MessageLimit {
        self.server_max_msg_size.unwrap_or(self.user.message_limit())
    }

    /// Whether servers get their own host even if that is an address.
    pub fn sets_host(&self) -> bool {
        self.user == User::Proxy && self.set_upstream_host.as_deref().copied().unwrap_or_default()
    }

    /// What stands before the paths of requests to the server at `url`.
    pub fn base<'a>(&self, url: &'a ServerUrl) -> &'a str {
        match self.user {
            User::WebSocketProxy => "",
            User::Proxy => url.target().split('?').next().unwrap_or_default().trim_end_matches('/'),
        }
    }

    fn check_weights(&self, reader: &Reader) {
        let policy = &self.load_balance.policy;
        let has_weight = |server: &&Spanned<Server>| server.weight.get() > 0;
        if self.servers.iter().any(|server| has_weight(&server)) {
            for server in self.servers.iter().filter(|server| !has_weight(server)) {
                reader.report(
                    Diagnostic::error("this server has no `weight` but others of its pool have")
                        .at(server.span())
                        .help("give every server a weight above 0, or none"),
                );
            }
        } else if **policy == Policy::WeightedRandom {
            reader.report(
                Diagnostic::error("`weightedRandom` needs a `weight` at every server").at(policy.span()),
            );
        }
    }
}

impl User {
    const fn message_limit(self) -> MessageLimit {
        match self {
            User::WebSocketProxy => MessageLimit::USUAL,
            User::Proxy => MessageLimit::NONE,
        }
    }
}

impl Server {
    /// `is_asked`: health checks ask for the URL's own path.
    fn check(&self, user: User, reader: &Reader, is_asked: bool) {
        let at = self.url.span();
        if let Some(tls) = &self.tls {
            tls.check(reader);
            if !self.url.scheme().is_tls() {
                reader.report(
                    Diagnostic::warning("`tls` does nothing here: this server is spoken to in the clear")
                        .at(tls.span())
                        .help("write `wss://` in its `url`"),
                );
            }
        }
        let is_unused = user == User::WebSocketProxy && self.url.target() != "/";
        if is_unused && is_asked {
            let title =
                "only health checks ask for the path of a server's URL: clients' requests keep their own";
            reader.report(Diagnostic::note(title).at(at));
        } else if is_unused {
            reader.report(
                Diagnostic::warning(
                    "the path of a server's URL does nothing: the request's own path is sent",
                )
                .at(at)
                .help("use `rewriteTarget` of the HTTPServer's path to change it"),
            );
        }
        let without_name = match self.url.host() {
            Host::Name(_) => None,
            Host::Ip(_) => Some("given by IP address"),
            Host::Unix(_) => Some("on a Unix socket"),
        };
        if let Some(place) = without_name.filter(|_| *self.keep_host) {
            let title =
                format!("`keepHost` changes nothing here: a server {place} gets the client's `Host` anyway");
            reader.report(Diagnostic::note(title).at(self.keep_host.span()));
        }
    }
}

const fn connect_timeout() -> Timeout {
    Timeout::from_secs(2).expect("within its bounds")
}

const fn handshake_timeout() -> Timeout {
    Timeout::from_secs(5).expect("within its bounds")
}

const fn close_timeout() -> Timeout {
    Timeout::from_secs(5).expect("within its bounds")
}

const fn max_retries() -> u8 {
    3
}

const fn vanished_code() -> CloseCode {
    CloseCode::INTERNAL_ERROR
}

const fn drain_code() -> CloseCode {
    CloseCode::GOING_AWAY
}
