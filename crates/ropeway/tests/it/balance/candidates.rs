//! Pools for some requests only.

use testkit::{Peer, TestGateway};

use super::{gateway, pool, reached, server, settled};

/// A gateway with a main pool, whose server is 0, and candidates with these filters, whose servers are 1 and so on.
/// The main pool stands in the middle.
fn candidates(filters: &[&str]) -> (TestGateway, Vec<testkit::Serving>) {
    let servers: Vec<_> = (0..=filters.len()).map(server).collect();
    let mut pools: Vec<_> = servers[1..]
        .chunks(1)
        .zip(filters)
        .map(|(server, filter)| pool(server, &[], &format!("filter: {filter}")))
        .collect();
    pools.insert(1, pool(&servers[..1], &[], ""));
    (gateway(&pools), servers)
}

#[test]
fn headers_and_urls_choose_a_pool() {
    let (gateway, _servers) = candidates(&[
        "{headers: {X-A: {exact: a}, X-B: {prefix: b, regex: 'z$'}}}",
        "{policy: general, matchAllHeaders: true, headers: {X-A: {exact: c}, X-B: {exact: d}}}",
        "{headers: {X-Stage: {empty: true}}, urls: [{methods: [GET], url: {prefix: /canary}}, \
         {methods: [POST], url: {exact: /post}}, {url: {exact: '/a b'}}]}",
    ]);
    for (path, headers, expected) in [
        ("/", "", 0),
        ("/", "X-A: a\r\n", 1),
        ("/", "x-a: b\r\n", 0),
        ("/", "X-A: b\r\nX-A: a\r\n", 1),
        ("/", "X-B: bee\r\n", 1),
        ("/", "X-B: fizz\r\n", 1),
        ("/", "X-A: c\r\n", 0),
        ("/", "X-A: c\r\nX-B: d\r\n", 2),
        ("/", "X-A: c\r\nX-B: bd\r\n", 1),
        ("/canary/x", "", 3),
        ("/canary", "X-A: a\r\n", 1),
        ("/canary", "X-Stage: live\r\n", 0),
        ("/canary", "X-Stage:\r\n", 3),
        ("/post", "", 0),
        ("/a%20b", "", 3),
    ] {
        assert_eq!(reached(&gateway, path, headers), expected, "{path} {headers:?}");
    }
}

/// FNV-1 of 127.0.0.1 is 816 modulo 1000, of 192.168.1.1 386, of nothing 261.
#[test]
fn a_share_of_the_clients_chooses_a_pool() {
    for (permil, expected) in [(386, 0), (387, 1), (816, 1), (1000, 1)] {
        let (gateway, _servers) = candidates(&[&format!("{{policy: ipHash, permil: {permil}}}")]);
        assert_eq!(reached(&gateway, "/", "X-Forwarded-For: 192.168.1.1\r\n"), expected, "{permil}");
        let other = usize::from(permil > 816);
        assert_eq!(reached(&gateway, "/", ""), other, "{permil}");
    }
    let header = |permil| format!("{{policy: headerHash, headerHashKey: X-User, permil: {permil}}}");
    for (permil, headers, expected) in [
        (386, "X-User: 192.168.1.1\r\n", 0),
        (387, "x-user: 192.168.1.1\r\n", 1),
        (261, "", 0),
        (262, "", 1),
        (262, "X-User:\r\n", 1),
    ] {
        let (gateway, _servers) = candidates(&[&header(permil)]);
        assert_eq!(reached(&gateway, "/", headers), expected, "{permil} {headers:?}");
    }
}

#[test]
fn a_share_by_chance_chooses_a_pool() {
    let (gateway, _servers) = candidates(&["{policy: random, permil: 250}"]);
    let hits: usize = (0..600).map(|_| reached(&gateway, "/", "")).sum();
    assert!((100..200).contains(&hits), "{hits} of 600");
}

/// The first of two that fit takes the request, and those that no candidate takes go on by the next.
#[test]
fn candidates_are_tried_in_order() {
    let (gateway, _servers) = candidates(&[
        "{headers: {X-A: {exact: a}}}",
        "{policy: random, permil: 1000}",
        "{headers: {X-A: {exact: b}}}",
    ]);
    for (headers, expected) in [("X-A: a\r\n", 1), ("X-A: b\r\n", 2), ("", 2)] {
        assert_eq!(reached(&gateway, "/", headers), expected, "{headers:?}");
    }
}

#[test]
fn a_candidate_has_rules_of_its_own() {
    let (main, candidate) = (server(0), server(1));
    let rules = "filter: {headers: {X-Canary: {exact: 'yes'}}}\noriginPatterns: [other.example]";
    let gateway = gateway(&[
        pool(std::slice::from_ref(&candidate), &[], rules),
        pool(std::slice::from_ref(&main), &[], "compression: 'off'"),
    ]);
    let origin = "Origin: http://other.example\r\n";
    assert_eq!(reached(&gateway, "/", &format!("{origin}X-Canary: yes\r\n")), 1);
    let refused = Peer::shake(gateway.address, "/", origin).head();
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
}

#[test]
fn a_candidate_names_itself_in_the_log() {
    let (gateway, _servers) = candidates(&["{headers: {X-A: {exact: a}}}", "{headers: {X-A: {exact: b}}}"]);
    for headers in ["", "X-A: a\r\n", "X-A: b\r\n"] {
        reached(&gateway, "/", headers);
    }
    settled(&gateway, 0);
    let mut pools: Vec<_> = testkit::records(&gateway.name)
        .into_iter()
        .map(|mut record| record.remove("pool").unwrap())
        .collect();
    pools.sort_unstable();
    let expected =
        ["candidate#0", "candidate#1", "main"].map(|pool| format!("{}-ws/proxy#{pool}", gateway.name));
    assert_eq!(pools, expected);
}
