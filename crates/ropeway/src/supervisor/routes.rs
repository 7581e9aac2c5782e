//! From a user's rules to a router.

use std::sync::Arc;

use crate::server::router::{Condition, Field, HostMatch, IpFilter, PathMatch, Route, Router, Rule};
use crate::spec::http_server as spec;
use crate::spec::types::{BodyLimit, Pattern};

/// The router of the server called `name`.
pub(super) fn router(name: &str, server: &spec::HttpServer) -> Router {
    let rules = server.rules.iter().enumerate();
    let max_body = server.client_max_body_size.as_deref().copied().unwrap_or_default();
    Router {
        ip_filter: ip_filter(server.ip_filter.as_ref()),
        rules: rules.map(|(number, spec)| rule(&format!("{name}/{number}"), spec, max_body)).collect(),
    }
}

fn rule(name: &str, rule: &spec::Rule, max_body: BodyLimit) -> Rule {
    let host = rule.host.iter().map(|host| HostMatch::new(host));
    let regexp = rule.host_regexp.iter().cloned().map(HostMatch::Regexp);
    let paths = rule.paths.iter().enumerate();
    Rule {
        hosts: host.chain(regexp).chain(rule.hosts.iter().filter_map(host_match)).collect(),
        ip_filter: ip_filter(rule.ip_filter.as_ref()),
        routes: paths
            .filter_map(|(number, path)| route(&format!("{name}/{number}"), path, max_body))
            .collect(),
    }
}

fn host_match(host: &spec::HostMatch) -> Option<HostMatch> {
    if host.is_regexp {
        return host.value.parse().ok().map(HostMatch::Regexp);
    }
    Some(HostMatch::new(&host.value))
}

/// `None` for a path that leads nowhere yet.
fn route(name: &str, path: &spec::Path, max_body: BodyLimit) -> Option<Route> {
    let exact = path.path.iter().map(|path| PathMatch::Exact(path.to_string()));
    let prefix = path.path_prefix.iter().map(|prefix| PathMatch::Prefix(prefix.to_string()));
    let regexp = path.path_regexp.iter().map(|regexp| PathMatch::Regexp((**regexp).clone()));
    let headers =
        path.headers.iter().map(|header| field(header.key.as_str(), &header.values, &header.regexp));
    let queries = path.queries.iter().map(|query| field(&query.key, &query.values, &query.regexp));
    Some(Route {
        name: name.into(),
        paths: exact.chain(prefix).chain(regexp).collect(),
        rewrite: path.rewrite_target.as_ref().map(|target| target.to_string()),
        methods: path.methods.iter().filter_map(|method| method.as_str().parse().ok()).collect(),
        headers: Condition { fields: headers.collect(), in_query: false, all: path.match_all_header },
        queries: Condition { fields: queries.collect(), in_query: true, all: path.match_all_query },
        ip_filter: ip_filter(path.ip_filter.as_ref()),
        backend: Arc::from(path.backend.as_ref()?.as_str()),
        max_body: path.client_max_body_size.as_deref().copied().unwrap_or_default().or(max_body).bytes(),
    })
}

fn field(key: &str, values: &[String], regexp: &Option<Pattern>) -> Field {
    Field { key: key.to_owned(), values: values.to_vec(), regexp: regexp.clone() }
}

fn ip_filter(filter: Option<&spec::IpFilter>) -> IpFilter {
    let Some(filter) = filter else { return IpFilter::default() };
    IpFilter {
        allow: filter.allow_ips.clone(),
        block: filter.block_ips.clone(),
        block_by_default: filter.block_by_default,
    }
}
