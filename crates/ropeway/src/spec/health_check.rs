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
    /// The time between two checks of a server, 10ms or more. Default: 60s, which `0s` stands for, too.
    #[serde(default)]
    pub interval: Option<Spanned<GoDuration>>,
    /// How long the request and its answer may take, for `http` and `ws` each; 1ms to 60s. Default: 3s.
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
    /// A server is not well if the answer to `http` or to `ws` takes longer. Default: any time within `timeout`.
    #[serde(default)]
    pub max_latency: Option<Timeout>,
    /// Deprecated: use `http.uri`.
    #[serde(default)]
    pub path: Option<String>,
    /// Check with an HTTP request.
    #[serde(default)]
    pub http: Option<HttpCheck>,
    /// Check with a WebSocket handshake.
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

/// What a handshake itself says.
const OWNED: [&str; 5] =
    ["connection", "upgrade", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"];

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
    pub method: Option<HttpMethod>,
    /// Headers to send.
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
}

/// A check with a WebSocket handshake.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct WsCheck {
    /// The port to ask. Default: the server's own.
    pub port: Option<Port>,
    /// The path and query to ask for. Default: those of the server's URL.
    pub uri: Option<Spanned<String>>,
    /// Headers to send.
    pub headers: BTreeMap<HeaderName, Spanned<String>>,
    /// What the answer must look like. Default: status 101.
    pub r#match: Option<Expected>,
}

impl Check for WsCheck {
    fn check(&self, reader: &Reader) {
        check_request(self.uri.as_ref(), &self.headers, reader);
        for (name, value) in self.headers.iter().filter(|(name, _)| OWNED.contains(&name.as_str())) {
            let title = format!("`{name}` belongs to the handshake: leave it out");
            reader.report(Diagnostic::error(title).at(value.span()));
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
    /// What the body must hold.
    pub body: Option<ExpectedBody>,
}

impl Check for Expected {
    fn check(&self, reader: &Reader) {
        let headers = self.headers.iter().filter(|header| header.r#type == HeaderComparison::Regexp);
        let body = self.body.iter().filter(|body| body.r#type == BodyComparison::Regexp);
        let patterns = headers.map(|header| &header.value).chain(body.map(|body| &body.value));
        for pattern in patterns.flatten() {
            if let Err(error) = pattern.parse::<Pattern>() {
                reader.report(Diagnostic::error(error).at(pattern.span()));
            }
        }
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

/// What a body must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct ExpectedBody {
    /// What to look for.
    pub value: Option<Spanned<String>>,
    /// How to look for it. Default: `contains`.
    pub r#type: BodyComparison,
}

/// How a body is compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum BodyComparison {
    /// The value stands somewhere in the body.
    #[default]
    #[serde(alias = "")]
    Contains,
    /// The value is a regular expression that matches in the body.
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
