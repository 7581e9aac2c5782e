//! Kind `HTTPServer`: a listener and its routes.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Check, Diagnostic, NotYet, Reader, Span, Spanned, check_groups,
    drain::Drain,
    help_for,
    pool::{Pool, User},
    proxy_protocol::ProxyProtocol,
    server_tls::{ClientAuth, TlsVersion},
    tracing::Tracing,
    types::{
        AccessFormat, BodyLimit, CertificateBase64, CertificateFile, CertificateText, FileMode, GoDuration,
        HeaderName, HeaderText, HttpMethod, IpRange, KeyBase64, KeyFile, KeyText, ListenAddress, Name,
        PathPattern, Pattern, Port, Positive, Timeout, Variable,
    },
};

/// A worker that looks for longer only burns a processor.
const MAX_BUSY_POLL: Duration = Duration::from_millis(1);

/// A listener for HTTP/1.1, HTTP/2 over TLS, and WebSocket, and the routes from there to pipelines.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpServer {
    /// The TCP port to listen on. Required, but for a Unix socket, which has none.
    #[serde(default)]
    pub port: Option<Spanned<Port>>,
    /// The IP address to listen on, or a Unix socket such as `unix:/run/ropeway.sock`. Default: all addresses, IPv4 and
    /// IPv6.
    #[serde(default)]
    pub address: Option<Spanned<ListenAddress>>,
    /// The mode of the file of a Unix socket: who may connect. Default: 0660.
    #[serde(default)]
    pub socket_mode: Option<Spanned<FileMode>>,
    /// Whether a connection may carry more than one HTTP request. Default: true. It does not concern WebSocket
    /// connections.
    #[serde(default = "yes")]
    pub keep_alive: bool,
    /// How long a connection may wait idle for its next HTTP request, and how long the head of a request may take:
    /// 1s to 60s, what is beyond counts as these. Default: 60s. It does not concern WebSocket connections.
    #[serde(default = "keep_alive_timeout")]
    pub keep_alive_timeout: GoDuration,
    /// How long a client may take nothing of an answer that is being sent, 1ms to 60s; then its connection is closed, or
    /// its request reset where HTTP/2 is spoken. Default: 60s. It does not concern WebSocket connections.
    #[serde(default = "send_timeout")]
    pub send_timeout: Timeout,
    /// How long a server may send nothing within an answer that it has begun; 0s: for ever. Then the answer is cut off.
    /// Server-sent events (`text/event-stream`) may pause for ever in any case. Default: 5m. It does not concern WebSocket
    /// connections.
    #[serde(default = "answer_pause_timeout")]
    pub answer_pause_timeout: GoDuration,
    /// How many connections may be open at once, WebSocket connections included; more wait to be accepted.
    /// Default: 10240.
    #[serde(default = "max_connections")]
    pub max_connections: Positive,
    /// How long a worker keeps looking for events before it sleeps, 1ms at most: messages come through sooner, and a
    /// processor is busy as long as they come. Workers serve all listeners, so the longest counts. Default: 0s, none.
    #[serde(default)]
    pub busy_poll: Spanned<GoDuration>,
    /// How the gateway lets go of its tunnels when it is told to stop.
    #[serde(default)]
    pub drain: Drain,
    /// Accepted, and nothing comes of it: `Proxy` and `WebSocketProxy` append the client's address to
    /// `X-Forwarded-For` in any case, and once.
    #[serde(default, rename = "xForwardedFor")]
    pub x_forwarded_for: bool,
    /// Peers whose `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto` are believed: load balancers in
    /// front of this server. Where they send no `X-Forwarded-For`, `for` of `Forwarded` says who the client is; they must
    /// not pass on what clients send in the header that they do not write themselves. Default: none, then the client is
    /// the TCP peer. If set, even to an empty list, what other peers send in these headers is replaced, and `Forwarded`
    /// and `X-Real-IP` are taken away.
    #[serde(default)]
    pub trusted_proxies: Option<Vec<IpRange>>,
    /// Load balancers in front of this server that begin each connection with a header of the PROXY protocol, version 1
    /// or 2, TLS or not. What it says is the client's address, as if it had connected itself. Default: none.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Which clients may connect at all; others get 403.
    #[serde(default)]
    pub ip_filter: Option<IpFilter>,
    /// Routes, tried in this order: the first path that fits, in the first rule that has one, wins.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// How the routes of a rule are searched. Default: `Ordered`.
    #[serde(default)]
    pub router_kind: RouterKind,
    /// What becomes of a request whose path holds an escaped slash or backslash, `%2F` or `%5C`. Default: `reject`.
    #[serde(default)]
    pub encoded_slashes: EncodedSlashes,
    /// The most bytes the body of a request may have, unless its path says otherwise; -1: any number.
    /// Default: 4 MiB. A WebSocket handshake has no body, so no value of this field hinders or helps it.
    #[serde(default)]
    pub client_max_body_size: Option<Spanned<BodyLimit>>,

    /// A line for each request on standard output, once it is answered: a text with placeholders such as `{{Method}}`,
    /// `{{URI}}` and `{{StatusCode}}`. Default: no such lines.
    #[serde(default)]
    pub access_log_format: Option<AccessFormat>,

    /// Serve over TLS. Default: false.
    #[serde(default)]
    pub https: Spanned<bool>,
    /// The certificate (PEM) with those that issued it, in base64.
    #[serde(default)]
    pub cert_base64: Option<Spanned<CertificateBase64>>,
    /// The private key (PEM) that belongs to `certBase64`, in base64.
    #[serde(default)]
    pub key_base64: Option<Spanned<KeyBase64>>,
    /// Certificates by a name of your own, each PEM or base64 of it; `keys` holds the keys under the same names.
    #[serde(default)]
    pub certs: Spanned<BTreeMap<Spanned<String>, CertificateText>>,
    /// Private keys by the names that `certs` uses, each PEM or base64 of it.
    #[serde(default)]
    pub keys: Spanned<BTreeMap<Spanned<String>, KeyText>>,
    /// PEM files with certificates, by a name of your own; `keyFiles` holds the keys under the same names. A file that
    /// changes is read again.
    #[serde(default)]
    pub cert_files: Spanned<BTreeMap<Spanned<String>, CertificateFile>>,
    /// PEM files with private keys, by the names that `certFiles` uses.
    #[serde(default)]
    pub key_files: Spanned<BTreeMap<Spanned<String>, KeyFile>>,
    /// Certificates (PEM) of the authorities that issue those of clients, in base64: clients must then present one.
    #[serde(default)]
    pub ca_cert_base64: Option<Spanned<CertificateBase64>>,
    /// The same, as a PEM file. A file that changes is read again.
    #[serde(default)]
    pub ca_cert_file: Option<Spanned<CertificateFile>>,
    /// Whether clients without a certificate are refused, where `caCertBase64` or `caCertFile` asks for one. Default:
    /// `required`. The certificate goes to servers in the header `Client-Cert` (RFC 9440).
    #[serde(default)]
    pub client_auth: Option<Spanned<ClientAuth>>,
    /// The oldest TLS that is spoken. Default: `TLSv1.2`.
    #[serde(default)]
    pub min_tls_version: Option<Spanned<TlsVersion>>,
    /// The newest TLS that is spoken. Default: `TLSv1.3`.
    #[serde(default)]
    pub max_tls_version: Option<Spanned<TlsVersion>>,
    /// How long a client may take for the TLS handshake, 1ms to 60s. Default: 10s.
    #[serde(default = "tls_handshake_timeout")]
    pub tls_handshake_timeout: Timeout,

    /// Whether HTTP/2 is offered to clients of TLS, for all but WebSockets: those are opened by HTTP/1.1, on connections
    /// of their own. Without `keepAlive` it is not. Default: true.
    #[serde(default = "yes")]
    pub http2: bool,

    /// Take certificates from the AutoCertManager. Not supported yet. Default: false.
    #[serde(default)]
    pub auto_cert: NotYet<bool>,
    /// Serve HTTP/3. Not supported yet. Default: false.
    #[serde(default)]
    pub http3: NotYet<bool>,
    /// Accepted, and nothing comes of it: routes are found by an index, so there is nothing to remember. Default: 0.
    #[serde(default)]
    pub cache_size: u32,
    /// Where to send traces. Not supported yet.
    #[serde(default)]
    pub tracing: NotYet<Option<Tracing>>,
    /// The name of a GlobalFilter. Not supported yet.
    #[serde(default)]
    pub global_filter: NotYet<Option<Name>>,
}

/// Routes for some hosts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    /// A host without port this rule is for; may start or end with one `*`. Together with `hostRegexp` and `hosts`:
    /// one of them has to fit; none at all: every host.
    pub host: Option<Spanned<String>>,
    /// A regular expression for hosts this rule is for. Not anchored: write `^` and `$` to match whole names.
    pub host_regexp: Option<Pattern>,
    /// More hosts this rule is for.
    pub hosts: Vec<HostMatch>,
    /// Routes, tried in this order. Without any, the rule matches nothing.
    pub paths: Vec<Spanned<Path>>,
    /// Which clients may use this rule; for others it does not exist, and they get 403 if no other rule fits.
    pub ip_filter: Option<IpFilter>,
}

/// One host, or a regular expression for hosts.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HostMatch {
    /// Whether `value` is a regular expression. Default: false.
    #[serde(default)]
    pub is_regexp: bool,
    /// The host, which may start or end with one `*`, or the regular expression.
    pub value: Spanned<String>,
}

/// A route to a pipeline. Without `path`, `pathPrefix` and `pathRegexp` it fits every path; with several of them, one
/// has to fit.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Path {
    /// The whole path, such as `/ws`. With `routerKind: RadixTree` it may be a pattern: `{name}` stands for a segment or
    /// a part of it, `{name:regexp}` for one that the expression matches, `*` at the end for the rest.
    pub path: Option<Spanned<String>>,
    /// How the path starts. No rule of segments: `/ws` also fits `/wsx`.
    pub path_prefix: Option<Spanned<String>>,
    /// A regular expression for the path. Not anchored: write `^` and `$` to match the whole path.
    pub path_regexp: Option<Spanned<Pattern>>,
    /// What the path becomes: after `path` the whole of it; after `pathPrefix` the prefix; after `pathRegexp` each
    /// match, where `$1` or `${name}` stand for groups; after a pattern the whole, where `{name}` and `{EG_WILDCARD}` stand
    /// for its parameters. The query stays as it is.
    pub rewrite_target: Option<Spanned<String>>,
    /// Methods this route is for. Default: all. A WebSocket handshake is a GET.
    pub methods: Vec<HttpMethod>,
    /// Headers the request must have; one of them suffices unless `matchAllHeader` is true.
    pub headers: Vec<Spanned<HeaderMatch>>,
    /// Query parameters the request must have; one of them suffices unless `matchAllQuery` is true.
    pub queries: Vec<Spanned<QueryMatch>>,
    /// Whether all of `headers` must fit, and in each both `values` and `regexp`. Default: false.
    pub match_all_header: bool,
    /// Whether all of `queries` must fit, and in each both `values` and `regexp`. Default: false.
    pub match_all_query: bool,
    /// Which clients may use this route; for others it does not exist, and they get 403 if no other fits.
    pub ip_filter: Option<IpFilter>,
    /// The Pipeline that takes the request.
    pub backend: Option<Spanned<Name>>,
    /// The most bytes the body of a request may have here; 0: as the server says; -1: any number. No value of this
    /// field hinders or helps a WebSocket handshake.
    pub client_max_body_size: Option<Spanned<BodyLimit>>,
    /// Headers to set on the request, before anything else sees it; one that is set to nothing is taken away. `$name`,
    /// `${name}` and `${name:default}` stand for what the request says.
    pub set_headers: BTreeMap<HeaderName, Spanned<HeaderText>>,
    /// Servers that take the request, instead of a Pipeline: as a Pipeline with a `Proxy` that has this one pool.
    pub backend_pool: Option<Spanned<Pool>>,
}

/// A header and what it must hold. A header that comes several times counts with its first value, one that is absent
/// as empty.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// The name of the header.
    pub key: HeaderName,
    /// Values of which it must have one.
    #[serde(default)]
    pub values: Vec<String>,
    /// A regular expression it must match. Not anchored.
    #[serde(default)]
    pub regexp: Option<Pattern>,
}

/// A query parameter and what it must hold. One that comes several times counts with its first value, one that is
/// absent as empty.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct QueryMatch {
    /// The name of the parameter.
    pub key: String,
    /// Values of which it must have one.
    #[serde(default)]
    pub values: Vec<String>,
    /// A regular expression it must match. Not anchored.
    #[serde(default)]
    pub regexp: Option<Pattern>,
}

/// Which clients may pass.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct IpFilter {
    /// If set, only these addresses and networks may pass.
    #[serde(rename = "allowIPs")]
    pub allow_ips: Vec<IpRange>,
    /// Addresses and networks that may not pass.
    #[serde(rename = "blockIPs")]
    pub block_ips: Vec<IpRange>,
    /// What happens to an address that is in both lists or in none. Default: false, it may pass.
    pub block_by_default: bool,
}

/// How the routes of a rule are searched.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
pub enum RouterKind {
    /// In the order of the file.
    #[default]
    Ordered,
    /// `path` may be a pattern such as `/rooms/{id}`, and what is more exact comes first.
    RadixTree,
}

/// What becomes of a path with escaped slashes.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum EncodedSlashes {
    /// The request is refused: servers do not agree on what it means.
    #[default]
    Reject,
    /// It stays as it is, and parts no segments: routes name it as `%2F`, and the server gets it.
    Keep,
}

impl Check for HttpServer {
    fn files(&self) -> Vec<&std::path::Path> {
        let certificates =
            self.cert_files.values().chain(self.ca_cert_file.as_deref()).map(CertificateFile::path);
        certificates.chain(self.key_files.values().map(KeyFile::path)).collect()
    }

    fn check(&self, reader: &Reader) {
        if !self.is_served() && *self.auto_cert.written() {
            reader.report(
                Diagnostic::warning("there is no certificate yet: this listener will not be opened")
                    .at(self.https.span())
                    .help("name PEM files in `certFiles` and `keyFiles`"),
            );
        }
        self.check_certificates(reader);
        self.check_clients(reader);
        self.drain.check(reader);
        self.check_socket(reader);
        if let Some(proxies) = self.proxy_protocol.as_ref().filter(|_| self.socket().is_none()) {
            proxies.check(reader);
        }
        if self.busy_poll.get() > MAX_BUSY_POLL {
            reader.report(
                Diagnostic::error("`busyPoll` is at most 1ms")
                    .at(self.busy_poll.span())
                    .help("a sleeping worker wakes within 100us: what is won lies in the first 50us or so"),
            );
        }
        for rule in &self.rules {
            if let Some(host) = &rule.host {
                check_stars(reader, host);
            }
            for host in &rule.hosts {
                host.check(reader);
            }
            for path in &rule.paths {
                path.check(reader);
                if self.router_kind == RouterKind::RadixTree {
                    path.check_pattern(reader);
                }
                path.check_headers(reader, self.router_kind);
                path.check_backend(reader, path.span());
            }
        }
    }
}

impl HttpServer {
    /// The path of the Unix socket to listen on, if it is one.
    pub fn socket(&self) -> Option<&std::path::Path> {
        match self.address.as_deref() {
            Some(ListenAddress::Unix(path)) => Some(path),
            Some(ListenAddress::Ip(_)) | None => None,
        }
    }

    fn check_socket(&self, reader: &Reader) {
        let on_socket = self.socket().is_some();
        let mode = self.socket_mode.as_ref().filter(|_| !on_socket);
        let port = self.port.as_ref().filter(|_| on_socket);
        let faults = [
            (mode.map(Spanned::span), "`socketMode` is for Unix sockets"),
            (port.map(Spanned::span), "a Unix socket has no port"),
            ((on_socket && *self.https).then(|| self.https.span()), "TLS is not spoken on Unix sockets"),
        ];
        for (at, title) in faults {
            reader.report_all(at.map(|at| Diagnostic::error(title).at(at).help("leave it out")));
        }
    }
}

impl Check for HostMatch {
    fn check(&self, reader: &Reader) {
        match self.value.parse::<Pattern>() {
            _ if !self.is_regexp => check_stars(reader, &self.value),
            Ok(_) => {}
            Err(error) => reader.report(Diagnostic::error(error).at(self.value.span())),
        }
    }
}

impl Check for Path {
    fn check(&self, reader: &Reader) {
        for path in [&self.path, &self.path_prefix].into_iter().flatten() {
            if !path.starts_with('/') {
                reader.report(Diagnostic::error("a path starts with `/`").at(path.span()));
            }
        }
        let has_pattern = self.path.is_some() || self.path_prefix.is_some() || self.path_regexp.is_some();
        if let Some(target) = self.rewrite_target.as_ref().filter(|_| !has_pattern) {
            reader.report(
                Diagnostic::error("`rewriteTarget` needs a path to rewrite")
                    .at(target.span())
                    .help("add `path`, `pathPrefix` or `pathRegexp`"),
            );
        }
        if let (Some(pattern), Some(target)) = (&self.path_regexp, &self.rewrite_target) {
            check_groups(pattern, target, target.span(), reader);
        }
        for header in &self.headers {
            check_match(reader, header.span(), header.values.is_empty() && header.regexp.is_none());
        }
        for query in &self.queries {
            check_match(reader, query.span(), query.values.is_empty() && query.regexp.is_none());
        }
    }
}

impl Path {
    fn check_backend(&self, reader: &Reader, at: Span) {
        match (&self.backend, &self.backend_pool) {
            (None, None) => {
                let diagnostic = Diagnostic::error("this path has no `backend`").at(at);
                reader.report(diagnostic.help("name the Pipeline that takes its requests"));
            }
            (Some(backend), Some(pool)) => reader.report(
                Diagnostic::warning("`backendPool` does nothing beside `backend`")
                    .at(pool.span())
                    .other(backend.span(), "this Pipeline takes the requests"),
            ),
            (None, Some(pool)) if pool.is_candidate() => {
                let title = "the pool of a path has no `filter`: it takes all requests";
                reader.report(Diagnostic::error(title).at(pool.span()));
            }
            (None, Some(pool)) => pool.check(User::Proxy, reader, pool.span()),
            (Some(_), None) => {}
        }
    }

    fn check_headers(&self, reader: &Reader, kind: RouterKind) {
        let pattern = self.path.as_ref().filter(|_| kind == RouterKind::RadixTree);
        let pattern = pattern.and_then(|path| path.parse::<PathPattern>().ok());
        let parameters: Vec<_> = pattern.iter().flat_map(PathPattern::names).collect();
        for (name, text) in &self.set_headers {
            if name.as_str() == "host" {
                let diagnostic = Diagnostic::warning("`setHeaders` cannot set `Host`").at(text.span());
                reader.report(
                    diagnostic.help("servers get their own name or the client's: see `keepHost` of a server"),
                );
            } else if name.is_framing() {
                let title = format!("`setHeaders` cannot set `{name}`: it belongs to one connection");
                reader.report(Diagnostic::error(title).at(text.span()));
            }
            for unknown in text.parameters().filter(|name| !parameters.contains(name)) {
                let known = [Variable::KNOWN, &parameters].concat();
                let diagnostic =
                    Diagnostic::error(format!("there is no variable `{unknown}`")).at(text.span());
                reader.report(diagnostic.help(help_for(unknown, &known)));
            }
        }
    }

    /// The rules of `routerKind: RadixTree`.
    fn check_pattern(&self, reader: &Reader) {
        let spans =
            [self.path_prefix.as_ref().map(Spanned::span), self.path_regexp.as_ref().map(Spanned::span)];
        for (field, span) in ["pathPrefix", "pathRegexp"].into_iter().zip(spans) {
            let Some(span) = span else { continue };
            let title = format!("`{field}` does nothing with `routerKind: RadixTree`");
            let help =
                "write `path` with `{name}` for a segment, `{name:regexp}`, or `*` at the end for the rest";
            reader.report(Diagnostic::warning(title).at(span).help(help));
        }
        let Some(path) = &self.path else { return };
        let pattern = match path.parse::<PathPattern>() {
            Ok(pattern) => pattern,
            Err(error) => return reader.report(Diagnostic::error(error).at(path.span())),
        };
        if let Some(target) = &self.rewrite_target
            && let Err(error) = pattern.check_target(target)
        {
            reader.report(Diagnostic::error(error).at(target.span()));
        }
    }
}

/// A host has one `*`, at the start or at the end.
fn check_stars(reader: &Reader, host: &Spanned<String>) {
    let inner = host.strip_prefix('*').or(host.strip_suffix('*')).unwrap_or(host);
    let title = match inner {
        "" => "`*` alone matches no host: leave the host out to match all",
        inner if inner.contains('*') => {
            "a host can have one `*`, at its start or end: this one matches literally"
        }
        _ => return,
    };
    reader.report(Diagnostic::warning(title).at(host.span()));
}

fn check_match(reader: &Reader, span: Span, is_empty: bool) {
    if is_empty {
        let title = "nothing to compare with: give `values` or `regexp`";
        reader.report(Diagnostic::error(title).at(span));
    }
}

const fn tls_handshake_timeout() -> Timeout {
    Timeout::from_secs(10).expect("within its bounds")
}

const fn send_timeout() -> Timeout {
    Timeout::from_secs(60).expect("within its bounds")
}

const fn answer_pause_timeout() -> GoDuration {
    GoDuration::from_secs(5 * 60)
}

const fn yes() -> bool {
    true
}

const fn keep_alive_timeout() -> GoDuration {
    GoDuration::from_secs(60)
}

const fn max_connections() -> Positive {
    Positive::new(10_240).expect("within its bounds")
}
