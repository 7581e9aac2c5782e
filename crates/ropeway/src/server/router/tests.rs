//! The table of routing.

use std::net::Ipv4Addr;

use http::Request;

use super::*;
use crate::spec::types::Pattern;

fn route(name: &str, paths: Vec<PathMatch>) -> Route {
    Route {
        name: name.into(),
        paths,
        rewrite: None,
        methods: Vec::new(),
        headers: Condition::default(),
        queries: Condition::default(),
        ip_filter: IpFilter::default(),
        backend: name.into(),
        max_body: u64::MAX,
    }
}

fn exact(path: &str) -> Vec<PathMatch> {
    vec![PathMatch::Exact(path.into())]
}

fn prefix(path: &str) -> Vec<PathMatch> {
    vec![PathMatch::Prefix(path.into())]
}

fn regexp(pattern: &str) -> Pattern {
    pattern.parse().unwrap()
}

fn find(router: &Router, method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Found, Fault> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router.find(&request.body(()).unwrap().into_parts().0, Ipv4Addr::LOCALHOST.into())
}

fn one_rule(routes: Vec<Route>) -> Router {
    let rule = Rule { hosts: Vec::new(), ip_filter: IpFilter::default(), routes };
    Router { ip_filter: IpFilter::default(), rules: vec![rule] }
}

#[test]
fn paths_in_order() {
    let router = one_rule(vec![
        route("exact", exact("/ws")),
        route("prefix", prefix("/ws/")),
        route("regexp", vec![PathMatch::Regexp(regexp("^/room/[0-9]+$"))]),
        route("late", exact("/ws/late")),
    ]);
    let table = [
        ("/ws", Some("exact")),
        ("/%77s", Some("exact")),
        ("/ws?x=1", Some("exact")),
        ("/ws/a", Some("prefix")),
        ("/ws/late", Some("prefix")),
        ("/room/7", Some("regexp")),
        ("/room/x", None),
        ("/", None),
    ];
    for (url, expected) in table {
        let found = find(&router, "GET", url, &[]).ok().map(|found| found.route.to_string());
        assert_eq!(found.as_deref(), expected, "{url}");
    }
}

#[test]
fn a_404_says_what_there_is() {
    let router = one_rule(vec![route("a", exact("/ws")), route("b", prefix("/chat"))]);
    let fault = find(&router, "GET", "/", &[]).unwrap_err();
    assert_eq!(fault.to_string(), "no rule matches; there are: /ws, /chat…");
}

#[test]
fn hosts() {
    let hosts = ["chat.example.com", "*.wild.org", "www.*"].map(HostMatch::new);
    let hosts = hosts.into_iter().chain([HostMatch::Regexp(regexp("^r[0-9]$"))]).collect();
    let routes = vec![route("a", vec![])];
    let rule = Rule { hosts, ip_filter: IpFilter::default(), routes };
    let router = Router { ip_filter: IpFilter::default(), rules: vec![rule] };
    let table = [
        ("chat.example.com", true),
        ("Chat.Example.COM", true),
        ("chat.example.com:8080", true),
        ("chat.example.com.", true),
        ("example.com", false),
        ("a.wild.org", true),
        ("a.b.wild.org", true),
        ("wild.org", false),
        ("www.any.net", true),
        ("r7", true),
        ("r77", false),
        ("[::1]:80", false),
    ];
    for (host, expected) in table {
        assert_eq!(find(&router, "GET", "/", &[("host", host)]).is_ok(), expected, "{host}");
    }
}

#[test]
fn the_gravest_miss_is_what_the_client_hears() {
    let refuses = || IpFilter { block: vec!["127.0.0.1".parse().unwrap()], ..IpFilter::default() };
    let by_method = || Route { methods: vec![http::Method::PUT], ..route("method", exact("/ws")) };
    let field = Field { key: "x-key".into(), values: vec!["1".into()], regexp: None };
    let headers = || Condition { fields: vec![Field { ..clone(&field) }], in_query: false, all: false };
    let by_header = || Route { headers: headers(), ..route("header", exact("/ws")) };
    let by_address = || Route { ip_filter: refuses(), ..route("address", exact("/ws")) };
    let table = [
        (vec![by_method()], 405),
        (vec![by_method(), by_header()], 400),
        (vec![by_address(), by_method(), by_header()], 403),
        (vec![route("other", exact("/other"))], 404),
    ];
    for (routes, expected) in table {
        let fault = find(&one_rule(routes), "GET", "/ws", &[]).unwrap_err();
        assert_eq!(fault.status().as_u16(), expected);
    }
}

fn clone(field: &Field) -> Field {
    Field { key: field.key.clone(), values: field.values.clone(), regexp: field.regexp.clone() }
}

#[test]
fn headers_and_queries() {
    let field = |key: &str, values: &[&str], pattern: Option<&str>| Field {
        key: key.into(),
        values: values.iter().map(|&value| value.into()).collect(),
        regexp: pattern.map(regexp),
    };
    let fields = || vec![field("a", &["1", "2"], None), field("b", &[], Some("^x"))];
    let condition = |in_query, all| Condition { fields: fields(), in_query, all };
    let any_query = Route { queries: condition(true, false), ..route("any", vec![]) };
    let router = one_rule(vec![any_query]);
    for (url, expected) in
        [("/?a=1", true), ("/?a=3&b=xy", true), ("/?a=3", false), ("/", false), ("/?b=%78", true)]
    {
        assert_eq!(find(&router, "GET", url, &[]).is_ok(), expected, "{url}");
    }
    let all_headers = Route { headers: condition(false, true), ..route("all", vec![]) };
    let router = one_rule(vec![all_headers]);
    assert!(find(&router, "GET", "/", &[("a", "2"), ("b", "x")]).is_ok());
    assert!(find(&router, "GET", "/", &[("a", "2")]).is_err());
}

#[test]
fn rewriting() {
    let rewriting =
        |paths, target: &str| one_rule(vec![Route { rewrite: Some(target.into()), ..route("a", paths) }]);
    let table = [
        (rewriting(exact("/ws"), "/new"), "/ws?q=1", "/new?q=1"),
        (rewriting(prefix("/api/"), "/v2/"), "/api/a%20b", "/v2/a%20b"),
        (rewriting(vec![PathMatch::Regexp(regexp("^/r/(.*)$"))], "/room/$1"), "/r/7", "/room/7"),
    ];
    for (router, url, expected) in table {
        let target = find(&router, "GET", url, &[]).unwrap().target.unwrap();
        assert_eq!(target, expected, "{url}");
    }
}

#[test]
fn rewriting_brings_no_dot_segments_about() {
    for target in ["/", "/app/"] {
        let router = one_rule(vec![Route { rewrite: Some(target.into()), ..route("a", prefix("/ws")) }]);
        assert_eq!(find(&router, "GET", "/ws../admin", &[]), Err(Fault::PathInvalid), "{target}");
    }
}

#[test]
fn what_is_not_utf8_is_not_rewritten() {
    let router = one_rule(vec![Route { rewrite: Some("/b/".into()), ..route("a", prefix("/a/")) }]);
    assert_eq!(find(&router, "GET", "/a/%ff", &[]), Err(Fault::PathInvalid));
    assert!(find(&one_rule(vec![route("a", prefix("/a/"))]), "GET", "/a/%ff", &[]).is_ok());
}

#[test]
fn addresses() {
    let filter = |allow: &[&str], block: &[&str], block_by_default| IpFilter {
        allow: allow.iter().map(|range| range.parse().unwrap()).collect(),
        block: block.iter().map(|range| range.parse().unwrap()).collect(),
        block_by_default,
    };
    let table = [
        (filter(&[], &[], false), true),
        (filter(&[], &[], true), false),
        (filter(&["127.0.0.0/8"], &[], true), true),
        (filter(&["10.0.0.0/8"], &[], false), false),
        (filter(&[], &["127.0.0.1"], false), false),
        (filter(&["127.0.0.1"], &["127.0.0.1"], false), true),
        (filter(&["127.0.0.1"], &["127.0.0.1"], true), false),
    ];
    for (filter, expected) in table {
        let shown = format!("{filter:?}");
        for ip in ["127.0.0.1", "::ffff:127.0.0.1"] {
            assert_eq!(filter.allows(ip.parse().unwrap()), expected, "{ip} by {shown}");
        }
    }
}
