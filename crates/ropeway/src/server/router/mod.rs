//! From a request to the pipeline that serves it.
//!
//! Rules in document order, and in each rule its routes in their order, which is that of the document or that of a
//! [`tree`]: the first full match wins. There is no choice of a "most specific" rule. `Router::walk` says so in a few
//! lines; [`Router::find`] comes to the same by an index.

mod index;
mod matcher;
mod set_headers;
pub mod tree;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::HOST;
use http::{Uri, request};

use self::index::Index;
pub use self::matcher::{Condition, Field, HostMatch, IpFilter, Parameters, PathMatch};
pub use self::set_headers::SetHeaders;
use self::set_headers::set;
use crate::fault::Fault;
use crate::net::forwarded::Client;
use crate::net::path;
use crate::spec::http_server::EncodedSlashes;

/// How many existing paths a 404 names.
const KNOWN_PATHS: usize = 10;

/// The rules of a listener.
#[derive(Debug, Default)]
pub struct Router {
    ip_filter: IpFilter,
    rules: Vec<Rule>,
    slashes: EncodedSlashes,
    index: Index,
}

/// Routes for some hosts.
#[derive(Debug)]
pub struct Rule {
    /// Empty for every host.
    pub hosts: Vec<HostMatch>,
    /// A client it refuses does not see the rule.
    pub ip_filter: IpFilter,
    /// In the order in which they are tried.
    pub routes: Vec<Route>,
}

/// One way into a pipeline.
#[derive(Debug)]
pub struct Route {
    /// `server/rule/path`, by which logs and metrics name it.
    pub name: Arc<str>,
    /// One of them has to match; empty for every path.
    pub paths: Vec<PathMatch>,
    /// The new path; what it replaces depends on how the path matched.
    pub rewrite: Option<String>,
    /// Empty for every method.
    pub methods: Vec<http::Method>,
    /// Headers to set on its requests.
    pub set_headers: SetHeaders,
    /// Conditions on headers.
    pub headers: Condition,
    /// Conditions on query parameters.
    pub queries: Condition,
    /// A client it refuses does not see the route.
    pub ip_filter: IpFilter,
    /// The pipeline's name.
    pub backend: Arc<str>,
    /// The most bytes that the body of a request may have.
    pub max_body: u64,
}

/// Where a request goes.
#[derive(Debug)]
pub struct Found<'r> {
    /// The route that matches.
    pub route: &'r Route,
    /// What the parameters of its path stand for.
    pub parameters: Parameters<'r>,
    /// Path and query for those behind, where the route rewrites them.
    pub target: Option<Uri>,
}

/// What a request is routed by.
struct Asked<'h> {
    head: &'h request::Parts,
    host: Cow<'h, str>,
    path: Cow<'h, str>,
    client: IpAddr,
}

/// Why no route matched, over all that were looked at; the gravest says what the client hears.
#[derive(Default)]
struct Misses {
    address: bool,
    condition: bool,
    methods: Vec<http::Method>,
}

impl Router {
    /// A router for `rules`, in document order, and an address filter for all of them.
    pub fn new(ip_filter: IpFilter, rules: Vec<Rule>, slashes: EncodedSlashes) -> Self {
        Router { index: Index::new(&rules), ip_filter, rules, slashes }
    }

    /// The first route that matches.
    ///
    /// # Errors
    /// None does, or the path is not safe to route by.
    pub fn find(&self, head: &request::Parts, client: IpAddr) -> Result<Found<'_>, Fault> {
        let asked = self.asked(head, client)?;
        let mut misses = Misses::default();
        for candidate in self.index.candidates(&asked.host, &asked.path) {
            let Some(rule) = self.rules.get(candidate.rule) else { continue };
            let Some(route) = rule.routes.get(candidate.route) else { continue };
            let is_for = !candidate.asks_host || rule.is_for(&asked.host);
            if is_for
                && rule.ip_filter.allows(client)
                && let Some(matched) = route.matching(&asked, &mut misses)
            {
                return self.found(route, matched, &asked);
            }
        }
        let guarded = self.index.guarded.iter().filter_map(|rule| self.rules.get(*rule));
        let mut refusing = guarded.filter(|rule| !rule.ip_filter.allows(client));
        misses.address |= refusing.any(|rule| rule.is_for(&asked.host));
        Err(misses.fault(self, client))
    }

    /// What [`find`](Self::find) finds, without the index: all rules, one after the other.
    #[cfg(test)]
    fn walk(&self, head: &request::Parts, client: IpAddr) -> Result<Found<'_>, Fault> {
        let asked = self.asked(head, client)?;
        let mut misses = Misses::default();
        for rule in &self.rules {
            if !rule.is_for(&asked.host) {
                continue;
            }
            if !rule.ip_filter.allows(client) {
                misses.address = true;
                continue;
            }
            for route in &rule.routes {
                if let Some(matched) = route.matching(&asked, &mut misses) {
                    return self.found(route, matched, &asked);
                }
            }
        }
        Err(misses.fault(self, client))
    }

    fn asked<'h>(&self, head: &'h request::Parts, client: IpAddr) -> Result<Asked<'h>, Fault> {
        if !self.ip_filter.allows(client) {
            return Err(Fault::AddressRefused);
        }
        let path = head.uri.path();
        // A target of another form is for other methods (RFC 9112 3.2).
        if !path.starts_with('/') && (path != "*" || head.method != http::Method::OPTIONS) {
            return Err(Fault::PathInvalid);
        }
        let path = path::decode(path, self.slashes).ok_or(Fault::PathInvalid)?;
        Ok(Asked { head, host: host_of(head), path, client })
    }

    /// What is not UTF-8 can be routed, but not rewritten.
    fn found<'r>(
        &self,
        route: &'r Route,
        matched: Option<&'r PathMatch>,
        asked: &Asked<'_>,
    ) -> Result<Found<'r>, Fault> {
        let target = match (&route.rewrite, matched) {
            (Some(rewrite), Some(matched)) => {
                if asked.path.contains(char::REPLACEMENT_CHARACTER) {
                    return Err(Fault::PathInvalid);
                }
                let path = matched.rewrite(&asked.path, rewrite).ok_or(Fault::PathInvalid)?;
                let target = path::target(&path, asked.head.uri.query(), self.slashes);
                Some(target.ok_or(Fault::PathInvalid)?)
            }
            _ => None,
        };
        let parameters = matched.map(|matched| matched.parameters(&asked.path)).unwrap_or_default();
        Ok(Found { route, parameters, target })
    }

    /// Some paths that exist, for a client that asked for another. What is bound to a host, or refuses the client, is
    /// not told.
    fn known_paths(&self, client: IpAddr) -> Vec<String> {
        let open = self.index.open.iter().filter_map(|rule| self.rules.get(*rule));
        let open = open.filter(|rule| rule.ip_filter.allows(client));
        let routes = open.flat_map(|rule| &rule.routes).filter(|route| route.ip_filter.allows(client));
        let paths = routes.flat_map(|route| &route.paths);
        paths.take(KNOWN_PATHS).map(PathMatch::to_string).collect()
    }
}

impl Rule {
    fn is_for(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|known| known.matches(host))
    }
}

impl Route {
    /// How the path matches, if the request does; a route without a path matches each as a prefix of nothing.
    fn matching(&self, asked: &Asked<'_>, misses: &mut Misses) -> Option<Option<&PathMatch>> {
        let matched = self.paths.iter().find(|known| known.matches(&asked.path));
        let fits = matched.is_some() || self.paths.is_empty();
        (fits && self.admits(asked.head, asked.client, misses)).then_some(matched)
    }

    fn admits(&self, head: &request::Parts, client: IpAddr, misses: &mut Misses) -> bool {
        if !self.methods.is_empty() && !self.methods.contains(&head.method) {
            misses.methods.extend_from_slice(&self.methods);
            return false;
        }
        if !self.headers.holds(head) || !self.queries.holds(head) {
            misses.condition = true;
            return false;
        }
        if !self.ip_filter.allows(client) {
            misses.address = true;
            return false;
        }
        true
    }
}

impl Found<'_> {
    /// Sets the headers that the route sets on its requests. `head` is that of the request that was routed.
    pub fn set_headers(&self, head: &mut request::Parts, client: &Client) {
        if !self.route.set_headers.is_empty() {
            set(&self.route.set_headers, head, client, &self.parameters);
        }
    }
}

impl Misses {
    fn fault(self, router: &Router, client: IpAddr) -> Fault {
        if self.address {
            Fault::AddressRefused
        } else if self.condition {
            Fault::RouteMismatch
        } else if !self.methods.is_empty() {
            let mut allow: Vec<_> = self.methods.iter().map(http::Method::as_str).collect();
            allow.sort_unstable();
            allow.dedup();
            Fault::MethodNotAllowed { allow: allow.join(", ") }
        } else {
            Fault::RouteNotFound { known: router.known_paths(client) }
        }
    }
}

/// The host that is asked for, without port and in lower case. `Host` alone says so: an absolute target was put there.
fn host_of(head: &request::Parts) -> Cow<'_, str> {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rfind(':').filter(|&colon| !host[colon..].contains(']'));
    let host = host[..port.unwrap_or(host.len())].trim_end_matches('.');
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return host.to_ascii_lowercase().into();
    }
    host.into()
}

#[cfg(test)]
mod tests;
