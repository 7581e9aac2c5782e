//! Each policy, through the whole gateway.

use testkit::TestGateway;

use super::{end, gateway, open, pool, reached, servers, settled};

/// The servers that clients from these addresses reach.
fn by_address(gateway: &TestGateway, addresses: &[&str]) -> Vec<usize> {
    let header = |address: &&str| format!("X-Forwarded-For: {address}\r\n");
    addresses.iter().map(|address| reached(gateway, "/", &header(address))).collect()
}

fn policy(name: &str) -> String {
    format!("loadBalance: {{policy: {name}}}")
}

/// How many of `choices` reach each of `count` servers.
fn hits(gateway: &TestGateway, count: usize, choices: usize) -> Vec<usize> {
    let mut hits = vec![0; count];
    (0..choices).for_each(|_| hits[reached(gateway, "/", "")] += 1);
    hits
}

#[test]
fn round_robin_is_one_round_over_all_workers() {
    let servers = servers(3);
    let gateway = gateway(&[pool(&servers, &[], "")]);
    let reached: Vec<_> = (0..30).map(|_| reached(&gateway, "/", "")).collect();
    assert_eq!(reached, [0, 1, 2].repeat(10));
}

#[test]
fn random_and_weighted_random_follow_chance() {
    let servers = servers(3);
    let even = gateway(&[pool(&servers, &[], &policy("random"))]);
    let hits_even = hits(&even, 3, 600);
    assert!(hits_even.iter().all(|hits| (130..270).contains(hits)), "{hits_even:?}");
    let weighted = gateway(&[pool(&servers, &[1, 1, 8], &policy("weightedRandom"))]);
    let hits = hits(&weighted, 3, 600);
    assert!((430..530).contains(&hits[2]) && hits[0] > 20 && hits[1] > 20, "{hits:?}");
}

/// The check values of FNV-1 are 171769816 for 127.0.0.1 and 1957403386 for 192.168.1.1.
#[test]
fn hashes_choose_by_their_value_modulo_the_servers() {
    let servers = servers(4);
    let by_ip = gateway(&[pool(&servers, &[], &policy("ipHash"))]);
    let addresses = ["127.0.0.1", "192.168.1.1", "127.0.0.1", "192.168.1.1"];
    assert_eq!(by_address(&by_ip, &addresses), [0, 2, 0, 2]);

    let headers = "loadBalance: {policy: headerHash, headerHashKey: X-User}";
    let by_header = gateway(&[pool(&servers, &[], headers)]);
    // 2166136261, the hash of nothing, is 1 modulo 4.
    for (headers, expected) in [
        ("X-User: 127.0.0.1\r\n", 0),
        ("x-user: 192.168.1.1\r\nX-User: 127.0.0.1\r\n", 2),
        ("X-User:\r\n", 1),
        ("", 1),
    ] {
        assert_eq!(reached(&by_header, "/", headers), expected, "{headers:?}");
    }
    let by_cookie = gateway(&[pool(&servers, &[], &policy("cookieHash"))]);
    for (headers, expected) in [("Cookie: 127.0.0.1\r\n", 0), ("Cookie: 192.168.1.1\r\n", 2), ("", 1)] {
        assert_eq!(reached(&by_cookie, "/", headers), expected, "{headers:?}");
    }
}

#[test]
fn least_connections_counts_live_tunnels() {
    let servers = servers(3);
    let gateway = gateway(&[pool(&servers, &[], &policy("leastConnections"))]);
    let mut tunnels: Vec<_> = (0..12).map(|_| open(&gateway, "/", "")).collect();
    let count = |tunnels: &[(_, usize)], server| tunnels.iter().filter(|tunnel| tunnel.1 == server).count();
    assert_eq!([0, 1, 2].map(|server| count(&tunnels, server)), [4; 3], "a burst spreads");
    let (gone, left): (Vec<_>, Vec<_>) = tunnels.into_iter().partition(|tunnel| tunnel.1 == 1);
    end(gone.into_iter().map(|(client, _)| client));
    settled(&gateway, 8);
    tunnels = left;
    tunnels.extend((0..4).map(|_| open(&gateway, "/", "")));
    assert_eq!([0, 1, 2].map(|server| count(&tunnels, server)), [4; 3], "the idle server gets what comes");
}

#[test]
fn least_connections_goes_by_weight() {
    let servers = servers(2);
    let gateway = gateway(&[pool(&servers, &[1, 3], &policy("leastConnections"))]);
    let tunnels: Vec<_> = (0..20).map(|_| open(&gateway, "/", "")).collect();
    assert_eq!(tunnels.iter().filter(|tunnel| tunnel.1 == 0).count(), 5);
}

#[test]
fn power_of_two_leaves_the_loaded_alone() {
    let servers = servers(2);
    let gateway = gateway(&[pool(&servers, &[], &policy("powerOfTwo"))]);
    // Of two servers, both are always looked at.
    let tunnels: Vec<_> = (0..20).map(|_| open(&gateway, "/", "")).collect();
    assert_eq!(tunnels.iter().filter(|tunnel| tunnel.1 == 0).count(), 10);
}

#[test]
fn consistent_hash_keeps_what_has_the_same_key_together() {
    let servers = servers(5);
    for (key, same, other) in [
        ("header:X-Room", ("/", "x-room: a\r\n"), ("/", "X-Room: ")),
        ("cookie:room", ("/", "Cookie: x=1; room=a\r\n"), ("/", "Cookie: room=")),
        ("query:room", ("/?x=1&room=a", ""), ("/?room=", "")),
        ("'path:^/rooms/([^/]+)'", ("/rooms/a/x", ""), ("/rooms/", "")),
        ("ip", ("/", "X-Forwarded-For: 10.0.0.1\r\n"), ("/", "X-Forwarded-For: 10.1.0.")),
    ] {
        let balance = format!("loadBalance: {{policy: consistentHash, key: {key}}}");
        let gateway = gateway(&[pool(&servers, &[], &balance)]);
        let reach = |path: &str, headers: &str| {
            let server = reached(&gateway, path, headers);
            // One at a time, so that no server is out of room.
            settled(&gateway, 0);
            server
        };
        let home = reach(same.0, same.1);
        assert!((0..10).all(|_| reach(same.0, same.1) == home), "{key}");
        let others: Vec<_> = (0..30)
            .map(|number| match other {
                (path, "") => reach(&format!("{path}{number}"), ""),
                (path, header) => reach(path, &format!("{header}{number}\r\n")),
            })
            .collect();
        // Where a key goes depends on the servers' ports: 30 keys may well miss one of five servers, but not three.
        let reached = (0..5).filter(|server| others.contains(server)).count();
        assert!(reached >= 3, "{key}: {others:?}");
    }
}

#[test]
fn consistent_hash_without_a_key_takes_turns() {
    let servers = servers(3);
    let balance = "loadBalance: {policy: consistentHash, key: 'cookie:session'}";
    let gateway = gateway(&[pool(&servers, &[], balance)]);
    let reached: Vec<_> = (0..6).map(|_| reached(&gateway, "/", "Cookie: other=1\r\n")).collect();
    assert_eq!(reached, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn consistent_hash_sends_a_crowd_elsewhere() {
    let servers = servers(4);
    let balance = "loadBalance: {policy: consistentHash, key: ip}";
    let gateway = gateway(&[pool(&servers, &[], balance)]);
    let tunnels: Vec<_> = (0..40).map(|_| open(&gateway, "/", "")).collect();
    for server in 0..4 {
        let count = tunnels.iter().filter(|tunnel| tunnel.1 == server).count();
        assert!(count <= 13, "{count} of 40 on one of 4, and at most 1.25 times 10 are wanted");
    }
}
