//! Clients that come back to their servers.

use testkit::{Backend, Peer, Serving, TestGateway};

use super::{end, gateway, pool, servers};

const DURATION: &str = "loadBalance: {stickySession: {mode: DurationBased}}\n";

/// A tunnel that was opened with these cookies: the number of its server, and the cookie that the gateway set.
fn visit(gateway: &TestGateway, cookies: &str) -> (usize, Option<String>) {
    let cookies = if cookies.is_empty() { String::new() } else { format!("Cookie: {cookies}\r\n") };
    let mut client = Peer::shake(gateway.address, "/", &cookies);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    end([client]);
    let value = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let lines = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let own = value("set-cookie").into_iter().find(|cookie| cookie.starts_with("EG_SESSION="));
    (value("x-server")[0].parse().unwrap(), own)
}

/// As a client sends it back.
fn pair(cookie: &str) -> &str {
    cookie.split(';').next().unwrap()
}

#[test]
fn a_client_comes_back_to_its_server_through_reloads_and_restarts() {
    let servers = servers(4);
    let first = gateway(&[pool(&servers, &[], DURATION)]);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (server, cookie) = visit(&first, "");
        let cookie = cookie.expect("a cookie");
        assert!(cookie.ends_with("; Path=/; Max-Age=7200; HttpOnly; SameSite=Lax"), "{cookie}");
        seen.push((server, cookie));
    }
    seen.sort();
    assert_eq!(seen.iter().map(|(server, _)| *server).collect::<Vec<_>>(), [0, 1, 2, 3], "all take turns");
    let mut reordered = servers;
    reordered.reverse();
    // Nothing is kept: another gateway with the same servers, in another order and one less, does the same.
    let other = gateway(&[pool(&reordered, &[], DURATION)]);
    for gateway in [&first, &other] {
        for (server, cookie) in seen.iter().chain(&seen) {
            let cookies = format!("a=b; {}; EG_SESSIONS=1", pair(cookie));
            assert_eq!(visit(gateway, &cookies), (*server, Some(cookie.clone())), "{cookie}");
        }
    }
    let fewer = gateway(&[pool(&reordered[..3], &[], DURATION)]);
    let (server, cookie) = visit(&fewer, pair(&seen[0].1));
    assert_ne!((server, pair(&cookie.unwrap())), (0, pair(&seen[0].1)), "a server that is gone is replaced");
    assert_eq!(visit(&fewer, pair(&seen[1].1)).0, 1);
}

#[test]
fn a_server_that_is_lost_is_replaced_in_the_same_handshake() {
    let mut servers = servers(3);
    let gateway = gateway(&[pool(&servers, &[], DURATION)]);
    let (server, cookie) = visit(&gateway, "");
    let cookie = cookie.unwrap();
    drop(servers.remove(server));
    let (next, new) = visit(&gateway, pair(&cookie));
    let new = new.unwrap();
    assert_ne!((next, pair(&new)), (server, pair(&cookie)));
    for _ in 0..5 {
        assert_eq!(visit(&gateway, pair(&new)).0, next);
    }
}

#[test]
fn cookies_that_nobody_has_set_go_by_the_policy() {
    let servers = servers(2);
    let gateway = gateway(&[pool(&servers, &[], DURATION)]);
    let long = format!("EG_SESSION={}", "a".repeat(4000));
    for cookie in
        ["EG_SESSION=", "EG_SESSION", "EG_SESSION=0000000000000000", "EG_SESSION=\u{e9}", "=", ";;;", &long]
    {
        let reached = [visit(&gateway, cookie).0, visit(&gateway, cookie).0];
        assert!(reached == [0, 1] || reached == [1, 0], "{cookie}: {reached:?}");
    }
}

#[test]
fn an_application_that_sets_its_cookie_gets_its_clients_back() {
    let servers: Vec<_> = (0..2).map(|name| application(name, "Set-Cookie: session=1\r\n")).collect();
    let rules = "loadBalance: {stickySession: {mode: ApplicationBased, appCookieName: session}}\n";
    let gateway = gateway(&[pool(&servers, &[], rules)]);
    let (server, cookie) = visit(&gateway, "");
    assert_eq!(visit(&gateway, pair(&cookie.unwrap())).0, server);

    let others: Vec<_> = (0..2).map(|name| application(name, "Set-Cookie: other=1\r\n")).collect();
    let gateway = super::gateway(&[pool(&others, &[], rules)]);
    assert_eq!(visit(&gateway, "").1, None, "the application has begun no session");
}

/// A server that says more in its 101.
fn application(name: usize, more: &'static str) -> Serving {
    Backend::listen().serve(move |mut peer| {
        let head = peer.head();
        peer.try_send(Backend::answer(&head, &format!("X-Server: {name}\r\n{more}")).as_bytes());
        peer.behave(true);
    })
}

#[test]
fn the_applications_own_cookie_can_decide() {
    let servers = servers(4);
    let rules = "loadBalance: {stickySession: {mode: CookieConsistentHash, appCookieName: session}}\n";
    let gateway = gateway(&[pool(&servers, &[], rules)]);
    let mut reached = std::collections::BTreeSet::new();
    for client in 0..40 {
        let cookies = format!("session={client}");
        let (server, cookie) = visit(&gateway, &cookies);
        assert_eq!(cookie, None, "there is no need of another one");
        assert_eq!(visit(&gateway, &cookies).0, server, "{cookies}");
        reached.insert(server);
    }
    assert_eq!(reached.len(), 4, "all servers have clients: {reached:?}");
    let turns: Vec<_> = (0..4).map(|_| visit(&gateway, "other=1").0).collect();
    assert!(
        (1..4).all(|at| turns[at] == (turns[0] + at) % 4),
        "who has no cookie goes by the policy: {turns:?}"
    );
}
