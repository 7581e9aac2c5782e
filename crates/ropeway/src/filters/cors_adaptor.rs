//! `CORSAdaptor`: says which pages of other sites may ask (Fetch standard, "CORS protocol").

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, UPGRADE,
    VARY,
};
use http::{Method, StatusCode, request};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Build, Deps, Filter, Handling, Verdict, done};
use crate::context::Context;
use crate::fault::Fault;
use crate::net::headers::Edits;
use crate::net::reply::{Reply, refusal};
use crate::spec::types::{Glob, HeaderName, HttpMethod};
use crate::spec::{Check, Diagnostic, Reader, Spanned};
use crate::upstream::headers::{items, lists};
use crate::upstream::origin::OriginRule;

/// Answers the preflights of browsers, and says in answers which pages of other sites may see them. Pages of the requested
/// host itself always may.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "CORSAdaptor")]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Origins whose pages may ask: patterns for the whole, such as `https://*.example.com`. Default: all.
    pub allowed_origins: Vec<Spanned<Glob>>,
    /// Methods that they may use. Default: GET, POST and HEAD.
    pub allowed_methods: Vec<HttpMethod>,
    /// Headers that they may send; `*`: all. Default: `Accept`, `Content-Type` and `X-Requested-With`.
    pub allowed_headers: Vec<HeaderName>,
    /// Whether they may ask with the cookies of the user, and see the answer. Default: false.
    pub allow_credentials: Spanned<bool>,
    /// Headers of answers that they may see, beside those that all may.
    pub exposed_headers: Vec<HeaderName>,
    /// How many seconds browsers may remember the answer to a preflight; 0: as they like. Default: 0.
    pub max_age: u32,
}

impl Check for Spec {
    fn check(&self, reader: &Reader) {
        // Nobody has these two, so a pattern that fits one fits everybody.
        let strangers = ["https://stranger.invalid", "http://stranger.invalid"];
        let fits_all = |pattern: &Glob| strangers.iter().any(|origin| pattern.matches(origin));
        if *self.allow_credentials
            && (self.allowed_origins.is_empty()
                || self.allowed_origins.iter().any(|pattern| fits_all(pattern)))
        {
            reader.report(
                Diagnostic::error("`allowCredentials` with every origin lets any page act as the user")
                    .at(self.allow_credentials.span())
                    .help("name those that may in `allowedOrigins`"),
            );
        }
        for pattern in &self.allowed_origins {
            let text = pattern.as_str();
            if !text.contains("://") && !text.starts_with('*') && text != "null" {
                let diagnostic = Diagnostic::warning("no page has such an origin").at(pattern.span());
                reader.report(diagnostic.help("an origin begins with its scheme: `https://example.com`"));
            }
        }
    }
}

impl Build for Spec {
    const KIND: &'static str = "CORSAdaptor";
    const RESULTS: &'static [&'static str] = &["preflighted", "rejected"];

    fn build(&self, _: &Deps<'_>) -> Option<Arc<dyn Filter>> {
        Some(Arc::new(CorsAdaptor::new(self)))
    }
}

#[derive(Debug)]
struct CorsAdaptor {
    /// Empty for all.
    origins: Vec<Glob>,
    methods: Vec<HttpMethod>,
    headers: Vec<HeaderName>,
    /// What answers to pages of other sites say beside the origin, if anything.
    credentials: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    /// What answers to their preflights say beside that.
    allow_methods: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

/// What becomes of a request.
enum Ruling {
    Answer(Reply),
    Pass(Option<Edits>),
    Refuse(Fault),
}

impl Filter for CorsAdaptor {
    fn handle<'a>(&'a self, context: &'a mut Context) -> Handling<'a> {
        done(match self.judge(&context.request) {
            Ruling::Answer(reply) => {
                context.reply = Some(reply);
                Verdict::Result("preflighted")
            }
            Ruling::Pass(edits) => {
                context.reply_edits.extend(edits);
                Verdict::Next
            }
            Ruling::Refuse(fault) => {
                context.reply = Some(refusal(&fault));
                Verdict::Result("rejected")
            }
        })
    }
}

impl CorsAdaptor {
    fn new(spec: &Spec) -> Self {
        let default = |names: &[&str]| names.iter().filter_map(|name| name.parse().ok()).collect();
        let headers = match &spec.allowed_headers[..] {
            [] => default(&["accept", "content-type", "x-requested-with"]),
            headers => headers.to_vec(),
        };
        let methods = match &spec.allowed_methods[..] {
            [] => vec![HttpMethod::Get, HttpMethod::Post, HttpMethod::Head],
            methods => methods.to_vec(),
        };
        CorsAdaptor {
            origins: spec.allowed_origins.iter().map(|pattern| (**pattern).clone()).collect(),
            credentials: spec.allow_credentials.then(|| HeaderValue::from_static("true")),
            exposed: list(spec.exposed_headers.iter().map(HeaderName::as_str)),
            allow_methods: list(methods.iter().map(|method| method.as_str())),
            max_age: (spec.max_age > 0).then(|| spec.max_age.into()),
            headers,
            methods,
        }
    }

    fn judge(&self, request: &request::Parts) -> Ruling {
        let headers = &request.headers;
        // A page of the host itself, or no page.
        let is_at_home = OriginRule::SameHostOr(Vec::new()).allows(headers);
        let origin = self.allowed_origin(headers);
        if is_preflight(request) {
            return match origin {
                Some(origin) if self.admits(headers) => Ruling::Answer(self.preflighted(origin, headers)),
                _ if is_at_home => Ruling::Pass(None),
                _ => Ruling::Refuse(Fault::PreflightRefused),
            };
        }
        if origin.is_none() && !is_at_home {
            return Ruling::Refuse(Fault::OriginRefused);
        }
        // Whoever may open a WebSocket may also read from it: there is nothing to permit in the answer.
        let opens = lists(headers, &UPGRADE, "websocket");
        Ruling::Pass((!opens).then(|| self.edits(origin)))
    }

    /// What `Access-Control-Allow-Origin` says to the page that asks. `None` if it may not, or if there is no page.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let (origin, None) = (origins.next()?, origins.next()) else { return None };
        if self.is_open() {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?;
        self.origins.iter().any(|pattern| pattern.matches(text)).then(|| origin.clone())
    }

    /// Whether all pages may ask, so that the answer is the same for all.
    fn is_open(&self) -> bool {
        self.origins.is_empty() || self.origins.iter().any(|pattern| pattern.as_str() == "*")
    }

    /// Whether what a preflight asks for is allowed.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD).map(HeaderValue::as_bytes);
        let knows = |name: &str| {
            let name = name.parse::<HeaderName>();
            name.is_ok_and(|name| {
                self.headers.iter().any(|known| known.as_str() == "*" || *known == name)
                    || name.as_str() == "origin"
            })
        };
        self.methods.iter().any(|known| Some(known.as_str().as_bytes()) == method)
            && items(headers, &ACCESS_CONTROL_REQUEST_HEADERS).all(|name| name.is_empty() || knows(name))
    }

    fn preflighted(&self, origin: HeaderValue, asked: &HeaderMap) -> Reply {
        let mut reply = Reply::default();
        *reply.status_mut() = StatusCode::NO_CONTENT;
        let names = list(items(asked, &ACCESS_CONTROL_REQUEST_HEADERS).filter(|name| !name.is_empty()));
        let headers = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, Some(origin)),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, self.credentials.clone()),
            (ACCESS_CONTROL_ALLOW_METHODS, self.allow_methods.clone()),
            (ACCESS_CONTROL_ALLOW_HEADERS, names),
            (ACCESS_CONTROL_MAX_AGE, self.max_age.clone()),
            (VARY, Some(HeaderValue::from_static(PREFLIGHT_VARIES))),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        *reply.headers_mut() = headers.collect();
        reply
    }

    /// What becomes of the answer to `origin`. What the server says to a page of another site does not count.
    fn edits(&self, origin: Option<HeaderValue>) -> Edits {
        let mut edits = Edits::default();
        if !self.is_open() {
            edits.add.insert(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin {
            let headers = [
                (ACCESS_CONTROL_ALLOW_ORIGIN, Some(origin)),
                (ACCESS_CONTROL_ALLOW_CREDENTIALS, self.credentials.clone()),
                (ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone()),
            ];
            edits.del = headers.iter().map(|(name, _)| name.clone()).collect();
            edits.set = headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        }
        edits
    }
}

/// What an answer to a preflight depends on, for caches on the way.
const PREFLIGHT_VARIES: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

fn is_preflight(request: &request::Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// `a, b`, if there are any.
fn list<'a>(items: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let items = items.collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&items).ok().filter(|items| !items.is_empty())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::filters::read;

    const SITES: &str = "{ allowedOrigins: ['https://*.example.com'], allowedMethods: [PUT], allowedHeaders: [X-A], \
                         allowCredentials: true, exposedHeaders: [X-B, X-C], maxAge: 60 }";

    /// What is said to a request with these headers: `preflighted`, `rejected`, or what answers get.
    fn judge(spec: &str, method: &str, headers: &str) -> String {
        let mut request = Request::builder().method(method).header("host", "api.test");
        for (name, value) in headers.split("; ").filter_map(|header| header.split_once(": ")) {
            request = request.header(name, value);
        }
        let show = |headers: &HeaderMap| {
            let lines = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            lines.collect::<Vec<_>>().join("; ").replace("access-control-", "")
        };
        match CorsAdaptor::new(&read(spec)).judge(&request.body(()).unwrap().into_parts().0) {
            Ruling::Answer(reply) => format!("preflighted {}", show(reply.headers())),
            Ruling::Pass(None) => "pass".into(),
            Ruling::Pass(Some(edits)) => {
                assert!(edits.del.len() == 3 || edits.set.is_empty());
                format!("{} + {}", show(&edits.set), show(&edits.add))
            }
            Ruling::Refuse(fault) => fault.label().into(),
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn who_may_ask_what() {
        let varies = "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        let asks = "origin: https://a.example.com; access-control-request-method: PUT";
        let told = "allow-origin: https://a.example.com; allow-credentials: true";
        let all = "allow-origin: *; allow-methods: GET, POST, HEAD";
        let table = [
            (SITES, "GET", "", " + vary: Origin".to_owned()),
            (SITES, "GET", "origin: http://api.test", " + vary: Origin".into()),
            (
                SITES,
                "GET",
                "origin: https://a.example.com",
                format!("{told}; expose-headers: x-b, x-c + vary: Origin"),
            ),
            (SITES, "GET", "origin: https://example.org", "origin_refused".into()),
            (SITES, "GET", "origin: null", "origin_refused".into()),
            (
                SITES,
                "GET",
                "origin: https://a.example.com; origin: https://a.example.com",
                "origin_refused".into(),
            ),
            (
                SITES,
                "OPTIONS",
                asks,
                format!("preflighted {told}; allow-methods: PUT; max-age: 60; {varies}"),
            ),
            (
                SITES,
                "OPTIONS",
                &format!("{asks}; access-control-request-headers: x-a,,X-A, origin"),
                format!(
                    "preflighted {told}; allow-methods: PUT; allow-headers: x-a, X-A, origin; max-age: 60; {varies}"
                ),
            ),
            (
                SITES,
                "OPTIONS",
                &format!("{asks}; access-control-request-headers: x-b"),
                "preflight_refused".into(),
            ),
            (SITES, "OPTIONS", &asks.replace("PUT", "put"), "preflight_refused".into()),
            (SITES, "OPTIONS", &asks.replace("PUT", "DELETE"), "preflight_refused".into()),
            (SITES, "OPTIONS", &asks.replace("a.example", "a.test"), "preflight_refused".into()),
            (SITES, "OPTIONS", &asks.replace("https://a.example.com", "https://api.test"), "pass".into()),
            (SITES, "OPTIONS", "access-control-request-method: PUT", " + vary: Origin".into()),
            ("{}", "GET", "origin: null", "allow-origin: * + ".into()),
            ("{}", "GET", "", " + ".into()),
            ("{}", "OPTIONS", &asks.replace("PUT", "POST"), format!("preflighted {all}; {varies}")),
            (
                "{ allowedHeaders: ['*'] }",
                "OPTIONS",
                &format!("{}; access-control-request-headers: x b", asks.replace("PUT", "GET")),
                "preflight_refused".into(),
            ),
            (
                "{ allowedOrigins: ['*', 'https://a'] }",
                "GET",
                "origin: https://b",
                "allow-origin: * + ".into(),
            ),
            // WebSockets.
            (SITES, "GET", "upgrade: websocket; origin: https://a.example.com", "pass".into()),
            (SITES, "GET", "upgrade: WebSocket; origin: https://api.test", "pass".into()),
            (SITES, "GET", "upgrade: websocket", "pass".into()),
            (SITES, "GET", "upgrade: websocket; origin: https://example.org", "origin_refused".into()),
        ];
        for (spec, method, headers, expected) in table {
            assert_eq!(judge(spec, method, headers), expected, "{spec} {method} {headers}");
        }
    }
}
