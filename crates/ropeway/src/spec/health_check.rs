//! `healthCheck` of a pool.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::{
    Check, Diagnostic, Reader, Spanned,
    fields::also_as,
    types::{GoDuration, HeaderName, HttpMethod, Pattern, Port, Positive, Secret, StatusRange, Timeout},
};

/// How to find out whether a server is well: at least one of `http` and `ws`; with both, both must pass.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[schemars(transform = |schema: &mut Schema| also_as(schema, "passes", "pass"))]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The time from the start of a check of a server to the start of the next, 10ms or more; a tenth more or less, so
    /// that servers are not all asked at once. A check that takes longer is followed by the next at once. Default: 60s,
    /// which `0s` stands for, too.
    #[serde(default)]
    pub interval: Option<Spanned<GoDuration>>,
    /// How long all may take that is asked and answered, for `http` and `ws` each; 1ms to 60s. Default: 3s.
    #[serde(default = "timeout")]
    pub timeout: Timeout,
    /// How many checks in a row must fail before a server gets no new connections. Default: 1.
    #[serde(default = "once")]
    pub fails: Positive,
    /// How many checks in a row must pass before it gets them again. Default: 1. `pass` is the same field.
    #[serde(default = "once", alias = "pass")]
    pub passes: Positive,
    /// What a server counts as until there is a verdict. Default: `healthy`.
    #[serde(default)]
    pub initial: Initial,
    /// A server is not well if the answer to `http`, or all that `ws` waits for, takes longer. Default: any time within
    /// `timeout`.
    #[serde(default)]
    pub max_latency: Option<Spanned<Timeout>>,
    /// Deprecated: use `http.uri`.
    #[serde(default)]
    pub path: Option<String>,
    /// Check with an HTTP request.
    #[serde(default)]
    pub http: Option<HttpCheck>,
    /// Check with a WebSocket handshake, and with what is said over the WebSocket.
    #[serde(default)]
    pub ws: Option<WsCheck>,
}

/// What a server counts as before it was checked often enough.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Initial {
    /// It is used.
    #[default]
    Healthy,
    /// It is not used.
    Unhealthy,
}

/// A server that is asked without pause does nothing else.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// What a request says by itself: how its body is framed, and what it wants of the connection.
const OWNED: [&str; 12] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl HealthCheck {
    /// The time between two checks of a server.
    pub fn interval(&self) -> Duration {
        let set = self.interval.as_ref().map(|interval| interval.get()).filter(|set| !set.is_zero());
        set.unwrap_or(Duration::from_secs(60))
    }

    /// Whether anything asks for the path of a server's URL.
    pub(super) fn asks_for_url(&self) -> bool {
        let by_http = self.http.as_ref().is_some_and(|http| http.uri.is_none() && self.path.is_none());
        by_http || self.ws.as_ref().is_some_and(|ws| ws.uri.is_none())
    }

    /// Reports what no field can say alone.
    pub(super) fn check(&self, reader: &Reader, at: super::Span) {
        if self.http.is_none() && self.ws.is_none() {
            reader.report(
                Diagnostic::error("a health check needs at least one of `http` and `ws`")
                    .at(at)
                    .help("write `ws: {}` to check with a WebSocket handshake"),
            );
        }
        if let Some(interval) = self.interval.as_ref().filter(|_| self.interval() < MIN_INTERVAL) {
            reader.report(Diagnostic::error("`interval` is at least 10ms").at(interval.span()));
        }
        if let Some(most) = self.max_latency.as_ref().filter(|most| most.get() >= self.timeout.get()) {
            reader.report(
                Diagnostic::warning(
                    "`maxLatency` does nothing: nothing may take longer than `timeout` anyway",
                )
                .at(most.span())
                .help(format!("give less than {:?}, or raise `timeout`", self.timeout.get())),
            );
        }
        if let Some(http) = &self.http {
            http.check(reader);
        }
        if let Some(ws) = &self.ws {
            ws.check(reader);
        }
        let matches = [
            self.http.as_ref().and_then(|h| h.r#match.as_ref()),
            self.ws.as_ref().and_then(|w| w.r#match.as_ref()),
        ];
        for expected in matches.into_iter().flatten() {
            expected.check(reader);
        }
    }
}

/// A check with an HTTP request.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpCheck {
    /// The port to ask. Default: the server's own.
    pub port: Option<Port>,
    /// The path and query to ask for. Default: those of the server's URL.
    pub uri: Option<Spanned<String>>,
    /// The method to ask with. Default: GET.
    pub method: Option<Spanned<HttpMethod>>,
    /// Headers to send. Those by which a request is framed or a handshake made are set already.
    pub headers: BTreeMap<HeaderName, Spanned<String>>,
    /// The body to send.
    pub body: Option<String>,
    /// The user of Basic authentication. Needs `password`.
    pub username: Option<Spanned<String>>,
    /// The password of Basic authentication. Needs `username`.
    pub password: Option<Spanned<Secret<String>>>,
    /// What the answer must look like. Default: a status from 200 to 399.
    pub r#match: Option<Expected>,
}

impl Check for HttpCheck {
    fn check(&self, reader: &Reader) {
        let alone = match (&self.username, &self.password) {
            (Some(user), None) => Some(("`username` needs a `password`", user.span())),
            (None, Some(password)) => Some(("`password` needs a `username`", password.span())),
            _ => None,
        };
        if let Some((title, span)) = alone {
            reader.report(Diagnostic::error(title).at(span));
        }
        if let Some(user) = self.username.as_ref().filter(|user| user.contains(':')) {
            // RFC 7617 2: what stands behind it would belong to the password.
            reader.report(Diagnostic::error("a `username` cannot hold a `:`").at(user.span()));
        }
        if let Some(method) = self.method.as_ref().filter(|method| ***method == HttpMethod::Connect) {
            let title = "`CONNECT` asks for a tunnel and not for an answer: use another method";
            reader.report(Diagnostic::error(title).at(method.span()));
        }
        check_request(self.uri.as_ref(), &self.headers, reader);
    }
}

/// What both kinds of check have.
fn check_request(
    uri: Option<&Spanned<String>>,
    headers: &BTreeMap<HeaderName, Spanned<String>>,
    reader: &Reader,
) {
    if let Some(uri) = uri.filter(|uri| !uri.starts_with('/') || uri.parse::<http::Uri>().is_err()) {
        reader.report(
            Diagnostic::error("this is not a path").at(uri.span()).help("write it like `/health?full=1`"),
        );
    }
    for value in headers.values().filter(|value| http::HeaderValue::from_str(value).is_err()) {
        reader.report(Diagnostic::error("no header can have this value").at(value.span()));
    }
    for (name, value) in headers.iter().filter(|(name, _)| OWNED.contains(&name.as_str())) {
        let title = format!("`{name}` is set by the check itself: leave it out");
        reader.report(Diagnostic::error(title).at(value.span()));
    }
}

/// A check with a WebSocket handshake.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct WsCheck {
    /// The port to ask. Default: the server's own.
    pub port: Option<Port>,
    /// The path and query to ask for. Default: those of the server's URL.
    pub uri: Option<Spanned<String>>,
    /// Headers to send. Those by which a request is framed or a handshake made are set already.
    pub headers: BTreeMap<HeaderName, Spanned<String>>,
    /// What the answer to the handshake must look like. Default: status 101.
    pub r#match: Option<Expected>,
    /// A text message to send when the handshake is done.
    pub send: Option<Spanned<String>>,
    /// What a text message of the server must hold. Others may come before it; each at most 64 KiB long.
    pub expect: Option<Spanned<ExpectedText>>,
    /// Send a ping, which the server has to answer with its pong. Default: false.
    pub ping: Spanned<bool>,
}

impl Check for WsCheck {
    fn check(&self, reader: &Reader) {
        check_request(self.uri.as_ref(), &self.headers, reader);
        if let Some(expect) = &self.expect {
            expect.check(reader);
        }
        if let Some(send) = self.send.as_ref().filter(|_| self.expect.is_none() && !*self.ping) {
            reader.report(
                Diagnostic::warning("no answer to `send` is waited for")
                    .at(send.span())
                    .help("say in `expect` what the answer must hold"),
            );
        }
        if let Some(expected) = &self.r#match {
            self.check_possible(expected, reader);
        }
    }
}

impl WsCheck {
    /// Reports what can never pass: a 101 has no body, and without one there is no WebSocket to talk over.
    fn check_possible(&self, expected: &Expected, reader: &Reader) {
        let body = expected.body.as_ref().and_then(|body| body.value.as_ref());
        let has_body = expected.status_codes.iter().any(|range| range.last().get() >= 200);
        if let Some(body) = body.filter(|body| !has_body && !body.is_empty()) {
            reader.report(
                Diagnostic::error("this cannot match: an answer with status 101 has no body")
                    .at(body.span())
                    .help("say in `expect` what a message of the server must hold"),
            );
        }
        let opens =
            expected.status_codes.is_empty() || expected.status_codes.iter().any(|range| range.contains(101));
        let fields = [
            self.expect.as_ref().map(|expect| ("expect", expect.span())),
            self.send.as_ref().map(|send| ("send", send.span())),
            self.ping.then(|| ("ping", self.ping.span())),
        ];
        for (name, span) in fields.into_iter().flatten().filter(|_| !opens) {
            let title = format!("`{name}` needs a WebSocket, and `statusCodes` leaves 101 out");
            reader.report(Diagnostic::error(title).at(span));
        }
    }
}

/// What an answer must look like. All that is given must fit.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Expected {
    /// Ranges of status codes, one of which the answer's must be in, such as `[[200, 299], [304, 304]]`.
    pub status_codes: Vec<StatusRange>,
    /// Headers the answer must have.
    pub headers: Vec<ExpectedHeader>,
    /// What the body must hold, of which at most 64 KiB are read, and no longer than `timeout`.
    pub body: Option<ExpectedText>,
}

impl Check for Expected {
    fn check(&self, reader: &Reader) {
        let headers = self.headers.iter().filter(|header| header.r#type == HeaderComparison::Regexp);
        headers.filter_map(|header| header.value.as_ref()).for_each(|value| check_pattern(value, reader));
        if let Some(body) = &self.body {
            body.check(reader);
        }
    }
}

fn check_pattern(pattern: &Spanned<String>, reader: &Reader) {
    if let Err(error) = pattern.parse::<Pattern>() {
        reader.report(Diagnostic::error(error).at(pattern.span()));
    }
}

/// A header an answer must have. One that comes several times counts with its first value; one that is missing counts
/// as empty.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedHeader {
    /// The name of the header.
    pub name: HeaderName,
    /// What to compare it with. Default: empty.
    #[serde(default)]
    pub value: Option<Spanned<String>>,
    /// How to compare. Default: `exact`.
    #[serde(default)]
    pub r#type: HeaderComparison,
}

/// How a header is compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum HeaderComparison {
    /// The header is the value.
    #[default]
    #[serde(alias = "")]
    Exact,
    /// The value is a regular expression that matches in the header.
    Regexp,
}

/// What a body or a message must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct ExpectedText {
    /// What to look for. Default: empty, which every text holds.
    pub value: Option<Spanned<String>>,
    /// How to look for it. Default: `contains`.
    pub r#type: TextComparison,
}

impl Check for ExpectedText {
    fn check(&self, reader: &Reader) {
        if let Some(value) = self.value.as_ref().filter(|_| self.r#type == TextComparison::Regexp) {
            check_pattern(value, reader);
        }
    }
}

/// How a text is compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum TextComparison {
    /// The value stands somewhere in the text.
    #[default]
    #[serde(alias = "")]
    Contains,
    /// The value is the whole text.
    Exact,
    /// The value is a regular expression that matches in the text.
    Regexp,
}

/// The health check of older configurations, under `loadBalance`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[schemars(transform = |schema: &mut Schema| also_as(schema, "passes", "pass"))]
#[serde(default, rename_all = "camelCase")]
pub struct DeprecatedHealthCheck {
    /// The time between two checks of a server.
    pub interval: Option<GoDuration>,
    /// How long one check may take.
    pub timeout: Option<GoDuration>,
    /// How many checks in a row must fail.
    pub fails: Option<Positive>,
    /// How many checks in a row must pass.
    #[serde(alias = "pass")]
    pub passes: Option<Positive>,
    /// The path to ask for.
    pub path: Option<String>,
}

const fn timeout() -> Timeout {
    Timeout::from_secs(3).expect("within its bounds")
}

const fn once() -> Positive {
    Positive::new(1).expect("within its bounds")
}
