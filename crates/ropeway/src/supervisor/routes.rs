//! From a user's rules to a router.

use crate::server::router::{Condition, Field, HostMatch, IpFilter, PathMatch, Route, Router, Rule, tree};
use crate::spec::http_server::{self as spec, RouterKind};
use crate::spec::types::{BodyLimit, PathPattern, Pattern};

/// The router of the server called `name`.
pub(super) fn router(name: &str, server: &spec::HttpServer) -> Router {
    let rules = server.rules.iter().enumerate();
    let max_body = server.client_max_body_size.as_deref().copied().unwrap_or_default();
    let kind = server.router_kind;
    let rules = rules.map(|(number, spec)| rule(&format!("{name}/{number}"), spec, kind, max_body));
    Router::new(ip_filter(server.ip_filter.as_ref()), rules.collect(), server.encoded_slashes)
}

fn rule(name: &str, rule: &spec::Rule, kind: RouterKind, max_body: BodyLimit) -> Rule {
    let host = rule.host.iter().map(|host| HostMatch::new(host));
    let regexp = rule.host_regexp.iter().cloned().map(HostMatch::Regexp);
    let paths = rule.paths.iter().enumerate();
    let mut routes: Vec<_> = paths
        .filter_map(|(number, path)| {
            let matches = match kind {
                RouterKind::Ordered => in_order(path),
                RouterKind::RadixTree => in_tree(path)?,
            };
            Some(route(&format!("{name}/{number}"), path, matches, max_body))
        })
        .collect();
    if kind == RouterKind::RadixTree {
        tree::sort(&mut routes);
    }
    Rule {
        hosts: host.chain(regexp).chain(rule.hosts.iter().filter_map(host_match)).collect(),
        ip_filter: ip_filter(rule.ip_filter.as_ref()),
        routes,
    }
}

fn host_match(host: &spec::HostMatch) -> Option<HostMatch> {
    if host.is_regexp {
        return host.value.parse().ok().map(HostMatch::Regexp);
    }
    Some(HostMatch::new(&host.value))
}

/// What `routerKind: Ordered` looks at.
fn in_order(path: &spec::Path) -> Vec<PathMatch> {
    let exact = path.path.iter().map(|path| PathMatch::Exact(path.to_string()));
    let prefix = path.path_prefix.iter().map(|prefix| PathMatch::Prefix(prefix.to_string()));
    let regexp = path.path_regexp.iter().map(|regexp| PathMatch::Regexp((**regexp).clone()));
    exact.chain(prefix).chain(regexp).collect()
}

/// What `routerKind: RadixTree` looks at. `None` where that is nothing, so that nothing matches.
fn in_tree(path: &spec::Path) -> Option<Vec<PathMatch>> {
    let path = path.path.as_ref()?;
    Some(vec![match PathPattern::is_pattern(path) {
        true => PathMatch::Pattern(path.parse().ok()?),
        false => PathMatch::Exact(path.to_string()),
    }])
}

fn route(name: &str, path: &spec::Path, paths: Vec<PathMatch>, max_body: BodyLimit) -> Route {
    let headers =
        path.headers.iter().map(|header| field(header.key.as_str(), &header.values, &header.regexp));
    let queries = path.queries.iter().map(|query| field(&query.key, &query.values, &query.regexp));
    Route {
        name: name.into(),
        paths,
        rewrite: path.rewrite_target.as_ref().map(|target| target.to_string()),
        methods: path.methods.iter().filter_map(|method| method.as_str().parse().ok()).collect(),
        set_headers: path
            .set_headers
            .iter()
            .filter(|(name, _)| name.as_str() != "host")
            .filter_map(|(name, text)| Some((name.as_str().parse().ok()?, (**text).clone())))
            .collect(),
        headers: Condition { fields: headers.collect(), in_query: false, all: path.match_all_header },
        queries: Condition { fields: queries.collect(), in_query: true, all: path.match_all_query },
        ip_filter: ip_filter(path.ip_filter.as_ref()),
        backend: path
            .backend
            .as_ref()
            .map_or_else(|| generated_name(name), |backend| backend.as_str().into())
            .into(),
        max_body: path.client_max_body_size.as_deref().copied().unwrap_or_default().or(max_body).bytes(),
    }
}

/// What the pipeline of a route with a `backendPool` is called.
pub(super) fn generated_name(route: &str) -> String {
    format!("GENERATED-{}", route.replace('/', "-"))
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
