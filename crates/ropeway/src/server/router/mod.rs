//! From a request to the pipeline that serves it.
//!
//! Rules in document order, and in each rule its paths in document order: the first full match wins. There is
//! no choice of a "most specific" one.

mod matcher;
mod path;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::HOST;
use http::{Uri, request};

pub use self::matcher::{Condition, Field, HostMatch, IpFilter, PathMatch};
use crate::fault::Fault;

/// How many existing paths a 404 names.
const KNOWN_PATHS: usize = 10;

/// The rules of a listener.
#[derive(Debug, Default)]
pub struct Router {
    /// For all rules.
    pub ip_filter: IpFilter,
    /// In document order.
    pub rules: Vec<Rule>,
}

/// Routes for some hosts.
#[derive(Debug)]
pub struct Rule {
    /// Empty for every host.
    pub hosts: Vec<HostMatch>,
    /// A client it refuses does not see the rule.
    pub ip_filter: IpFilter,
    /// In document order.
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
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The route's name.
    pub route: Arc<str>,
    /// The pipeline's name.
    pub backend: Arc<str>,
    /// Path and query for those behind, where the route rewrites them.
    pub target: Option<Uri>,
    /// The most bytes that its body may have.
    pub max_body: u64,
}

/// Why no route matched, over all that were looked at; the gravest says what the client hears.
#[derive(Default)]
struct Misses {
    address: bool,
    condition: bool,
    methods: Vec<http::Method>,
}

impl Router {
    /// The first route that matches.
    ///
    /// # Errors
    /// None does, or the path is not safe to route by.
    pub fn find(&self, head: &request::Parts, client: IpAddr) -> Result<Found, Fault> {
        if !self.ip_filter.allows(client) {
            return Err(Fault::AddressRefused);
        }
        let path = path::decode(head.uri.path()).ok_or(Fault::PathInvalid)?;
        let host = host_of(head);
        let mut misses = Misses::default();
        for rule in &self.rules {
            if !rule.hosts.is_empty() && !rule.hosts.iter().any(|known| known.matches(&host)) {
                continue;
            }
            if !rule.ip_filter.allows(client) {
                misses.address = true;
                continue;
            }
            for route in &rule.routes {
                if let Some(matched) = route.matching(&path)
                    && route.admits(head, client, &mut misses)
                {
                    return route.found(head, matched, &path);
                }
            }
        }
        Err(misses.fault(self, client))
    }
}

impl Route {
    /// How the path matches, if it does; a route without a path matches each as a prefix of nothing.
    fn matching(&self, path: &str) -> Option<Option<&PathMatch>> {
        if self.paths.is_empty() {
            return Some(None);
        }
        self.paths.iter().find(|known| known.matches(path)).map(Some)
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

    /// What is not UTF-8 can be routed, but not rewritten.
    fn found(&self, head: &request::Parts, matched: Option<&PathMatch>, path: &str) -> Result<Found, Fault> {
        let target = match (&self.rewrite, matched) {
            (Some(rewrite), Some(matched)) => {
                if path.contains(char::REPLACEMENT_CHARACTER) {
                    return Err(Fault::PathInvalid);
                }
                let path = matched.rewrite(path, rewrite);
                Some(path::target(&path, head.uri.query()).ok_or(Fault::PathInvalid)?)
            }
            _ => None,
        };
        Ok(Found { route: self.name.clone(), backend: self.backend.clone(), target, max_body: self.max_body })
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

impl Router {
    /// Some paths that exist, for a client that asked for another. What is bound to a host, or refuses the client, is
    /// not told.
    fn known_paths(&self, client: IpAddr) -> Vec<String> {
        let open = self.rules.iter().filter(|rule| rule.hosts.is_empty() && rule.ip_filter.allows(client));
        let routes = open.flat_map(|rule| &rule.routes).filter(|route| route.ip_filter.allows(client));
        let paths = routes.flat_map(|route| &route.paths);
        paths.take(KNOWN_PATHS).map(PathMatch::to_string).collect()
    }
}

/// The host that is asked for, without port and in lower case. `Host` alone says so: an absolute target was put there.
fn host_of(head: &request::Parts) -> String {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rfind(':').filter(|&colon| !host[colon..].contains(']'));
    host[..port.unwrap_or(host.len())].trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
