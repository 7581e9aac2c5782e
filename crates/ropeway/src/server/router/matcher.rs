//! The parts of a route that a request is held against.

use std::fmt;
use std::net::IpAddr;

use http::request;
use percent_encoding::percent_decode_str;

use crate::spec::types::{IpRange, PathPattern, Pattern};

/// A host, in lower case.
#[derive(Debug)]
pub enum HostMatch {
    /// This one.
    Exact(String),
    /// `*.example.com`: any that ends so.
    Suffix(String),
    /// `www.*`: any that begins so.
    Prefix(String),
    /// Any in which this is found.
    Regexp(Pattern),
}

/// A path.
#[derive(Debug)]
pub enum PathMatch {
    /// This one.
    Exact(String),
    /// Any that begins so.
    Prefix(String),
    /// Any that fits as a whole.
    Pattern(PathPattern),
    /// Any in which this is found.
    Regexp(Pattern),
}

/// The parameters of a path, and what they stand for.
pub type Parameters<'r> = Vec<(&'r str, String)>;

/// Demands on headers or query parameters.
#[derive(Debug, Default)]
pub struct Condition {
    /// What is looked at.
    pub fields: Vec<Field>,
    /// Whether the fields are query parameters; else they are headers.
    pub in_query: bool,
    /// Whether every field has to fit, in values and pattern; else any one will do.
    pub all: bool,
}

/// A demand on one header or query parameter.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub key: String,
    /// One of these …
    pub values: Vec<String>,
    /// … or any in which this is found.
    pub regexp: Option<Pattern>,
}

/// Which addresses may pass.
#[derive(Clone, Debug, Default)]
pub struct IpFilter {
    /// If there are any, no others pass.
    pub allow: Vec<IpRange>,
    /// These do not pass.
    pub block: Vec<IpRange>,
    /// Addresses in both lists or in none do not pass.
    pub block_by_default: bool,
}

impl HostMatch {
    /// Reads `*.example.com`, `www.*`, or a plain name. A `*` elsewhere stands for itself.
    pub fn new(pattern: &str) -> Self {
        let pattern = pattern.to_ascii_lowercase();
        match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(suffix), _) if !suffix.contains('*') => HostMatch::Suffix(suffix.into()),
            (_, Some(prefix)) if !prefix.contains('*') => HostMatch::Prefix(prefix.into()),
            _ => HostMatch::Exact(pattern),
        }
    }

    pub(super) fn matches(&self, host: &str) -> bool {
        match self {
            HostMatch::Exact(name) => name == host,
            HostMatch::Suffix(suffix) => host.ends_with(suffix.as_str()),
            HostMatch::Prefix(prefix) => host.starts_with(prefix.as_str()),
            HostMatch::Regexp(regexp) => regexp.is_match(host),
        }
    }
}

impl PathMatch {
    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            PathMatch::Exact(known) => known == path,
            PathMatch::Prefix(prefix) => path.starts_with(prefix.as_str()),
            PathMatch::Pattern(pattern) => pattern.is_match(path),
            PathMatch::Regexp(regexp) => regexp.is_match(path),
        }
    }

    /// The whole path, its prefix, or every hit of the expression, replaced by `target`. `None` where that is too long.
    pub(super) fn rewrite(&self, path: &str, target: &str) -> Option<String> {
        Some(match self {
            PathMatch::Exact(_) => target.to_owned(),
            PathMatch::Prefix(prefix) => {
                format!("{target}{}", path.strip_prefix(prefix.as_str()).unwrap_or(path))
            }
            PathMatch::Pattern(pattern) => pattern.rewrite(path, target),
            PathMatch::Regexp(regexp) => regexp.replace_all(path, target)?,
        })
    }

    /// What parameters stand for in `path`, which matches.
    pub(super) fn parameters(&self, path: &str) -> Parameters<'_> {
        match self {
            PathMatch::Pattern(pattern) => {
                let found = pattern.parameters(path).into_iter();
                found.map(|(name, value)| (name, value.to_owned())).collect()
            }
            _ => Parameters::new(),
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathMatch::Exact(path) => write!(f, "{path}"),
            PathMatch::Prefix(prefix) => write!(f, "{prefix}…"),
            PathMatch::Pattern(pattern) => f.write_str(pattern.as_str()),
            PathMatch::Regexp(regexp) => f.write_str(regexp.as_str()),
        }
    }
}

impl Condition {
    pub(super) fn holds(&self, head: &request::Parts) -> bool {
        if self.fields.is_empty() {
            return true;
        }
        let fits =
            |field: &Field| self.value(head, &field.key).is_some_and(|value| field.fits(&value, self.all));
        if self.all { self.fields.iter().all(fits) } else { self.fields.iter().any(fits) }
    }

    /// The first value of that name; an absent one counts as empty.
    fn value(&self, head: &request::Parts, key: &str) -> Option<String> {
        if !self.in_query {
            let value = head.headers.get(key);
            return value.map_or(Some(String::new()), |value| Some(value.to_str().ok()?.to_owned()));
        }
        let pairs = head.uri.query().unwrap_or_default().split('&');
        let mut values = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(name)? == key).then(|| unescape(value))
        });
        values.next().unwrap_or_else(|| Some(String::new()))
    }
}

impl Field {
    fn fits(&self, value: &str, all: bool) -> bool {
        let listed = self.values.iter().any(|known| known == value);
        let found = self.regexp.as_ref().is_some_and(|regexp| regexp.is_match(value));
        if all {
            (self.values.is_empty() || listed) && (self.regexp.is_none() || found)
        } else {
            listed || found
        }
    }
}

/// A name or value of a query, `+` for a space.
pub(super) fn unescape(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(Into::into)
}

impl IpFilter {
    /// Whether it lets everybody pass.
    pub(super) fn is_open(&self) -> bool {
        self.allow.is_empty() && self.block.is_empty() && !self.block_by_default
    }

    pub(super) fn allows(&self, ip: IpAddr) -> bool {
        if self.is_open() {
            return true;
        }
        let ip = ip.to_canonical();
        let listed = |ranges: &[IpRange]| ranges.iter().any(|range| range.contains(ip));
        match (listed(&self.allow), listed(&self.block)) {
            (false, _) if !self.allow.is_empty() => false,
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => !self.block_by_default,
        }
    }
}
