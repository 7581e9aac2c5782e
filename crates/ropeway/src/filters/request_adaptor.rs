//! `RequestAdaptor`: changes the request for the steps behind it.

use std::sync::Arc;

use http::header::{HOST, HeaderName, HeaderValue};
use http::{Method, request};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Build, Deps, Filter, Handling, Verdict, done};
use crate::context::Context;
use crate::fault::Fault;
use crate::net::headers::Edits;
use crate::net::path;
use crate::net::reply::refusal;
use crate::spec::headers::{HeaderEdits, Message};
use crate::spec::template::{self, Data};
use crate::spec::types::{Authority, HttpMethod, Pattern, PlainPath, PlainText};
use crate::spec::{Check, Diagnostic, NotYet, Reader, Spanned, Untyped, check_groups};

/// Names the host that the client asked for.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Changes the request: for the choice of a pool and a server, and for the server.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "RequestAdaptor")]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// What `Host` becomes: a host, maybe with a port. `X-Forwarded-Host` tells servers what it was.
    pub host: Option<Authority>,
    /// What the method becomes. A WebSocket is opened by GET.
    pub method: Option<Spanned<HttpMethod>>,
    /// What the path becomes. The query stays as it is.
    pub path: PathEdit,
    /// What becomes of the headers.
    pub header: HeaderEdits,
    /// Another body. Not supported yet.
    pub body: NotYet<Option<String>>,
    /// Compress the body. Not supported yet.
    pub compress: NotYet<Option<String>>,
    /// Decompress the body. Not supported yet.
    pub decompress: NotYet<Option<String>>,
    /// Sign the request. Not supported yet.
    pub sign: NotYet<Option<Untyped>>,
    /// These fields in YAML, as a text: what it gives counts instead of what stands beside it. In it
    /// `{{ .data.PIPELINE.name }}` stands for a value of the pipeline's `data`.
    pub template: Option<Spanned<String>>,
    /// What begins the name of a value in `template`. Default: `{{`.
    pub left_delim: Option<String>,
    /// What ends the name of a value in `template`. Default: `}}`.
    pub right_delim: Option<String>,
}

/// A change of the path. Paths stand here without escapes, as routes have them; of several fields the first in this order
/// counts: `replace`, `addPrefix`, `trimPrefix`, `regexpReplace`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct PathEdit {
    /// The new path.
    pub replace: Option<Spanned<PlainPath>>,
    /// What to put before the path.
    pub add_prefix: Option<Spanned<PlainPath>>,
    /// What to take away where the path begins with it.
    pub trim_prefix: Option<Spanned<PlainPath>>,
    /// Parts of the path to replace.
    pub regexp_replace: Option<Spanned<RegexpReplace>>,
}

/// A regular expression, and what its matches become.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RegexpReplace {
    /// The expression. Not anchored.
    pub regexp: Pattern,
    /// What each match becomes; `$1` or `${name}` stand for groups.
    pub replace: Spanned<PlainText>,
}

impl Check for Spec {
    fn check(&self, reader: &Reader) {
        self.header.check(Message::Request, reader);
        self.path.check(reader);
        if let Some(method) = &self.method
            && matches!(**method, HttpMethod::Connect | HttpMethod::Trace)
        {
            let title = format!("`{}` is not for servers behind a gateway", method.as_str());
            reader.report(Diagnostic::error(title).at(method.span()).help("use another method"));
        }
    }

    fn take_up(&mut self, data: &Data, reader: &Reader) {
        // What it says is in the other fields from here on: a text may hold secrets.
        let text = self.template.take();
        let delimiters = [&self.left_delim, &self.right_delim];
        let Some(given) = template::read::<Self>(text.as_ref(), delimiters, data, reader) else { return };
        self.host = given.host.or(self.host.take());
        self.method = given.method.or(self.method.take());
        if given.path != PathEdit::default() {
            self.path = given.path;
        }
        if given.header != HeaderEdits::default() {
            self.header = given.header;
        }
    }
}

impl PathEdit {
    fn check(&self, reader: &Reader) {
        if let Some(change) = &self.regexp_replace {
            check_groups(&change.regexp, change.replace.as_str(), change.replace.span(), reader);
        }
        let fields = [
            ("replace", self.replace.as_ref().map(Spanned::span)),
            ("addPrefix", self.add_prefix.as_ref().map(Spanned::span)),
            ("trimPrefix", self.trim_prefix.as_ref().map(Spanned::span)),
            ("regexpReplace", self.regexp_replace.as_ref().map(Spanned::span)),
        ];
        let mut given = fields.into_iter().filter_map(|(field, span)| Some((field, span?)));
        let Some((first, place)) = given.next() else { return };
        for (field, span) in given {
            let title = format!("`{field}` does nothing beside `{first}`");
            reader.report(Diagnostic::warning(title).at(span).other(place, "this counts"));
        }
    }
}

impl Build for Spec {
    const KIND: &'static str = "RequestAdaptor";
    const RESULTS: &'static [&'static str] = &["clientError"];

    fn build(&self, _: &Deps<'_>) -> Option<Arc<dyn Filter>> {
        Some(Arc::new(RequestAdaptor::new(self)))
    }
}

#[derive(Debug)]
struct RequestAdaptor {
    host: Option<HeaderValue>,
    method: Option<Method>,
    path: Option<PathChange>,
    header: Edits,
}

#[derive(Debug)]
enum PathChange {
    Replace(String),
    AddPrefix(String),
    TrimPrefix(String),
    Regexp(RegexpReplace),
}

impl Filter for RequestAdaptor {
    fn handle<'a>(&'a self, context: &'a mut Context) -> Handling<'a> {
        done(match self.adapt(&mut context.request) {
            Ok(()) => Verdict::Next,
            Err(fault) => {
                context.reply = Some(refusal(&fault));
                Verdict::of(&fault)
            }
        })
    }
}

impl RequestAdaptor {
    fn new(spec: &Spec) -> Self {
        RequestAdaptor {
            host: spec.host.as_ref().map(Authority::to_header),
            method: spec.method.as_deref().and_then(|method| method.as_str().parse().ok()),
            path: PathChange::new(&spec.path),
            header: Edits::new(&spec.header),
        }
    }

    fn adapt(&self, request: &mut request::Parts) -> Result<(), Fault> {
        if let Some(change) = &self.path {
            request.uri = path::changed(&request.uri, |path| change.make(path)).ok_or(Fault::PathInvalid)?;
        }
        if let Some(method) = &self.method {
            request.method = method.clone();
        }
        if let Some(host) = &self.host
            && let Some(before) = request.headers.insert(HOST, host.clone())
        {
            request.headers.entry(FORWARDED_HOST).or_insert(before);
        }
        self.header.apply(&mut request.headers);
        Ok(())
    }
}

impl PathChange {
    fn new(spec: &PathEdit) -> Option<Self> {
        let text = |path: &Option<Spanned<PlainPath>>| path.as_ref().map(|path| path.as_str().to_owned());
        text(&spec.replace)
            .map(PathChange::Replace)
            .or_else(|| text(&spec.add_prefix).map(PathChange::AddPrefix))
            .or_else(|| text(&spec.trim_prefix).map(PathChange::TrimPrefix))
            .or_else(|| spec.regexp_replace.as_deref().cloned().map(PathChange::Regexp))
    }

    /// `None` where too much comes out.
    fn make(&self, path: &str) -> Option<String> {
        match self {
            PathChange::Replace(new) => Some(new.clone()),
            PathChange::AddPrefix(prefix) => Some(format!("{prefix}{path}")),
            PathChange::TrimPrefix(prefix) => {
                Some(path.strip_prefix(prefix.as_str()).unwrap_or(path).to_owned())
            }
            PathChange::Regexp(change) => change.regexp.replace_all(path, change.replace.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::filters::read;

    fn adapted(spec: &str, target: &str, headers: &[(&str, &str)]) -> Result<request::Parts, Fault> {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap().into_parts().0;
        RequestAdaptor::new(&read(spec)).adapt(&mut request).map(|()| request)
    }

    #[test]
    fn paths() {
        let regexp =
            |regexp, replace| format!("regexpReplace: {{ regexp: '{regexp}', replace: '{replace}' }}");
        let table = [
            ("replace: /a b", "/x?y=%20", Ok("/a%20b?y=%20")),
            ("addPrefix: /api", "/x", Ok("/api/x")),
            ("addPrefix: /api", "/a%20b", Ok("/api/a%20b")),
            ("trimPrefix: /api", "/api/x?y", Ok("/x?y")),
            ("trimPrefix: /api", "/%61pi/x", Ok("/x")),
            ("trimPrefix: /api", "/api", Ok("/")),
            ("trimPrefix: /api", "/other", Ok("/other")),
            ("trimPrefix: /api", "/a%2fb", Ok("/a%2Fb")),
            (&regexp("^/([^/]+)/(.*)$", "/$2/$1"), "/a/b/c?d", Ok("/b/c/a?d")),
            (&regexp("/(?P<id>[0-9]+)", "/n${id}x"), "/1/2", Ok("/n1x/n2x")),
            ("{ trimPrefix: /a, replace: /b }", "/a/c", Ok("/b")),
            // What is safe before stays so.
            ("trimPrefix: /a", "/a../b", Err(Fault::PathInvalid)),
            (&regexp("x", "."), "/xx/a", Err(Fault::PathInvalid)),
            (&regexp("x", "%2e").replace('%', ""), "/x/a", Ok("/2e/a")),
            ("addPrefix: /a", "/%ff", Err(Fault::PathInvalid)),
            ("addPrefix: /a", "*", Err(Fault::PathInvalid)),
        ];
        for (path, before, after) in table {
            let spec =
                if path.starts_with('{') { format!("path: {path}") } else { format!("path: {{ {path} }}") };
            let found = adapted(&spec, before, &[]).map(|request| request.uri.to_string());
            assert_eq!(found, after.map(str::to_owned), "{path} {before}");
        }
    }

    #[test]
    fn hosts() {
        let host = |request: &request::Parts, name: &str| {
            request.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let before = [("host", "a.example")];
        let request = adapted("host: '[::1]:8080'", "/", &before).unwrap();
        assert_eq!(host(&request, "host").as_deref(), Some("[::1]:8080"));
        assert_eq!(host(&request, "x-forwarded-host").as_deref(), Some("a.example"));
        let before = [("host", "a.example"), ("x-forwarded-host", "b.example")];
        let request = adapted("host: c.example", "/", &before).unwrap();
        assert_eq!(
            host(&request, "x-forwarded-host").as_deref(),
            Some("b.example"),
            "the outermost is meant"
        );
    }
}
