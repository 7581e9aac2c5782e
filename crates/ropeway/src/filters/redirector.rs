//! `Redirector`: sends clients elsewhere.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{HOST, HeaderValue, LOCATION};
use http::{Response, StatusCode as Status};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Build, Deps, Filter, Handling, Verdict, done};
use crate::context::Context;
use crate::fault::Fault;
use crate::net::path;
use crate::net::reply::{ReplyBody, refusal};
use crate::spec::types::{Pattern, StatusCode};
use crate::spec::{Check, Diagnostic, Reader, Spanned, check_groups};

/// What cannot stand in a URL (RFC 3986 2), and would have clients read it otherwise.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Sends clients elsewhere, if their URL matches and the replacement is another.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "Redirector")]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// A regular expression for a part of the URL. Not anchored.
    pub r#match: Pattern,
    /// The part of the URL that is matched and replaced. Default: `uri`.
    #[serde(default)]
    pub match_part: MatchPart,
    /// What each match becomes; `$1` or `${name}` stand for groups. What comes out is where the client is sent.
    pub replacement: Spanned<String>,
    /// The status code: 301, 302, 303, 304, 307 or 308. Default: 301.
    #[serde(default)]
    pub status_code: Option<Spanned<StatusCode>>,
}

/// A part of a URL, with its escapes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum MatchPart {
    /// The whole: `https://example.com/a?b`.
    Full,
    /// The path: `/a`.
    Path,
    /// Path and query: `/a?b`.
    #[default]
    Uri,
}

impl Spec {
    /// What `replacement` begins with, up to its first group.
    fn beginning(&self) -> &str {
        self.replacement.split('$').next().unwrap_or_default()
    }

    /// What stands behind the `//` where `replacement` begins with a scheme or with that: the beginning of a host.
    fn host(&self) -> Option<&str> {
        let (scheme, host) = self.beginning().split_once("//")?;
        let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (scheme.is_empty() || scheme.strip_suffix(':').is_some_and(is_scheme)).then_some(host)
    }
}

impl Check for Spec {
    fn check(&self, reader: &Reader) {
        if let Some(code) = self.status_code.as_ref().filter(|code| !CODES.contains(&code.get())) {
            let title = format!("{} is not the status of a redirection", code.get());
            reader
                .report(Diagnostic::error(title).at(code.span()).help("use 301, 302, 303, 304, 307 or 308"));
        }
        check_groups(&self.r#match, &self.replacement, self.replacement.span(), reader);
        let is_open = |host: &&str| !host.is_empty() && !host.contains('/') && self.replacement.contains('$');
        if let Some(host) = self.host().filter(is_open).filter(|_| self.match_part != MatchPart::Full) {
            reader.report(
                Diagnostic::warning(format!("what a client says can become a part of the host `{host}`"))
                    .at(self.replacement.span())
                    .help("put a `/` behind the host, and leave it out of the group"),
            );
        }
    }
}

const CODES: [u16; 6] = [301, 302, 303, 304, 307, 308];

impl Build for Spec {
    const KIND: &'static str = "Redirector";
    const RESULTS: &'static [&'static str] = &["clientError", "redirected"];

    fn build(&self, _: &Deps<'_>) -> Option<Arc<dyn Filter>> {
        Some(Arc::new(Redirector::new(self)?))
    }
}

#[derive(Debug)]
struct Redirector {
    spec: Spec,
    status: Status,
}

impl Filter for Redirector {
    fn handle<'a>(&'a self, context: &'a mut Context) -> Handling<'a> {
        done(match self.location(&part(context, self.spec.match_part)) {
            Ok(None) => Verdict::Next,
            Ok(Some(location)) => {
                let mut reply = Response::new(ReplyBody::default());
                *reply.status_mut() = self.status;
                reply.headers_mut().insert(LOCATION, location);
                context.reply = Some(reply);
                Verdict::Result("redirected")
            }
            Err(fault) => {
                context.reply = Some(refusal(&fault));
                Verdict::of(&fault)
            }
        })
    }
}

impl Redirector {
    fn new(spec: &Spec) -> Option<Self> {
        let code = spec.status_code.as_ref().map_or(301, |code| code.get());
        Some(Redirector { spec: spec.clone(), status: Status::from_u16(code).ok()? })
    }

    /// Where to send a client that asked for `before`, if elsewhere.
    fn location(&self, before: &str) -> Result<Option<HeaderValue>, Fault> {
        let after =
            self.spec.r#match.replace_all(before, &self.spec.replacement).ok_or(Fault::PathInvalid)?;
        if after == before {
            return Ok(None);
        }
        let leads_away = self.spec.host().is_some() && after.starts_with(self.spec.beginning());
        let mut after = Cow::from(utf8_percent_encode(&after, ESCAPED));
        if !leads_away && self.spec.match_part != MatchPart::Full {
            // What stands behind `//`, or before `:`, would be a host of the client's choice.
            after = format!("/{}", after.trim_start_matches('/')).into();
        }
        HeaderValue::from_str(&after).map(Some).map_err(|_| Fault::PathInvalid)
    }
}

/// A part of the URL, in the one form that paths of the same meaning share.
fn part(context: &Context, part: MatchPart) -> String {
    let request = &context.request;
    let target = path::changed(&request.uri, |path| Some(path.to_owned()));
    let target = target.as_ref().unwrap_or(&request.uri);
    let uri = target.path_and_query().map_or("/", |target| target.as_str());
    match part {
        MatchPart::Path => target.path().to_owned(),
        MatchPart::Uri => uri.to_owned(),
        MatchPart::Full => {
            let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            format!("{}://{host}{uri}", context.client.scheme(&request.headers))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::read;

    fn location(spec: &str, before: &str) -> Option<String> {
        let location = Redirector::new(&read(spec)).unwrap().location(before).unwrap();
        location.map(|location| location.to_str().unwrap().to_owned())
    }

    #[test]
    fn where_clients_are_sent() {
        let old = "{ match: ^/old(.*)$, replacement: $1 }";
        let other = "{ match: ^/(.*)$, replacement: 'https://b.example/$1' }";
        let bare = "{ match: ^/(.*)$, replacement: $1 }";
        let secure = "{ match: '^http://(.*)$', replacement: 'https://$1', matchPart: full }";
        let table = [
            (old, "/old/a?b=/c", Some("/a?b=/c")),
            (old, "/new", None),
            (old, "/old", Some("/")),
            (other, "/a", Some("https://b.example/a")),
            (other, "//c.example", Some("https://b.example//c.example")),
            (secure, "http://a.example/b", Some("https://a.example/b")),
            (secure, "https://a.example/b", None),
            // Nobody is led to a host of the client's choice.
            (old, "/old//c.example", Some("/c.example")),
            (old, "/old///c.example", Some("/c.example")),
            (old, "/old/\\c.example", Some("/%5Cc.example")),
            (bare, "/https://c.example", Some("/https://c.example")),
            (
                "{ match: b, replacement: 'https://b.example/' }",
                "//c.example/b",
                Some("/c.example/https://b.example/"),
            ),
            (
                "{ match: b, replacement: '/?https://b.example/' }",
                "//c.example/b",
                Some("/c.example//?https://b.example/"),
            ),
            // What cannot stand in a header, or a URL.
            (
                "{ match: '(?s)^/old(.*)$', replacement: $1 }",
                "/old/a\r\nSet-Cookie: b",
                Some("/a%0D%0ASet-Cookie:%20b"),
            ),
            (old, "/old/\u{fc}<\"", Some("/%C3%BC%3C%22")),
            (old, "/old/%0d%0a", Some("/%0d%0a")),
            // What is the same afterwards.
            ("{ match: a, replacement: a }", "/a", None),
        ];
        for (spec, before, after) in table {
            assert_eq!(location(spec, before).as_deref(), after, "{spec} {before}");
        }
    }

    #[test]
    fn a_url_that_grows_without_end_is_refused() {
        let spec = format!("{{ match: '.', replacement: '{}' }}", "$0".repeat(64));
        let redirector = Redirector::new(&read(&spec)).unwrap();
        assert_eq!(redirector.location(&"/".repeat(2000)), Err(Fault::PathInvalid));
    }
}
