//! Servers that the configuration has no more, and their tunnels.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ropeway::app::Options;
use serde_json::json;
use testkit::{Backend, Peer, TestGateway, eventually, masked, op, records};

use super::{documents, echo, echoes, farewell, open, open_many, pool, status};

/// How many tunnels have ended, by cause.
fn causes(gateway: &TestGateway) -> BTreeMap<String, usize> {
    let mut causes = BTreeMap::new();
    for record in records(&gateway.name) {
        *causes.entry(record["cause"].clone()).or_default() += 1;
    }
    causes
}

#[test]
fn what_becomes_of_the_tunnels_of_a_removed_server_is_for_the_pool_to_say() {
    for (fields, code) in [
        (", onRemoved: { window: 100ms }", Some(1001)),
        (", onRemoved: { action: drain, window: 100ms }, drainCode: 4100", Some(4100)),
        (", onRemoved: { action: close }", Some(1001)),
        (", onRemoved: { action: keep }", None),
    ] {
        let (_servers, addresses) = echoes(2);
        let of = |servers: &[_]| documents(&[pool(servers, fields)], "", "");
        let mut gateway = TestGateway::start(&of(&addresses));
        // Taking turns, every second one is the removed server's.
        let mut clients = open_many(&gateway, 6);
        gateway.reload(&of(&addresses[..1]));
        for (number, client) in clients.iter_mut().enumerate() {
            match code.filter(|_| number % 2 == 1) {
                Some(code) => assert_eq!(farewell(client), (code, "server removed".into()), "{fields}"),
                None => echo(client, b"still here"),
            }
        }
        if code.is_some() {
            let told = BTreeMap::from([("drain:server_removed".to_owned(), 3)]);
            eventually("the ends", || (causes(&gateway) == told).then_some(()));
        }
    }
}

#[test]
fn the_ends_are_spread_over_the_window_and_idle_ones_come_first() {
    const TUNNELS: usize = 60;
    const WINDOW: Duration = Duration::from_secs(2);
    let (_servers, addresses) = echoes(2);
    let of = |servers: &[_]| {
        let fields = format!(", onRemoved: {{ window: {}ms }}", WINDOW.as_millis());
        documents(&[pool(servers, &fields)], "", "")
    };
    let mut gateway = TestGateway::start(&of(&addresses[..1]));
    let mut clients: Vec<_> = open_many(&gateway, TUNNELS).into_iter().map(Some).collect();
    let began = Instant::now();
    gateway.reload(&of(&addresses[1..]));
    let (mut ends, mut busy_left_at) = (Vec::new(), 0);
    let is_busy = |number: usize| number.is_multiple_of(3);
    while ends.len() < TUNNELS {
        assert!(began.elapsed() < 5 * WINDOW, "{} of {TUNNELS} have ended", ends.len());
        for (number, slot) in clients.iter_mut().enumerate() {
            let Some(client) = slot else { continue };
            if is_busy(number) {
                client.try_send(&masked(op::TEXT, b"busy"));
            }
            while slot.as_mut().is_some_and(Peer::is_readable) {
                let client = slot.as_mut().unwrap();
                if client.frame().opcode == op::CLOSE {
                    ends.push(began.elapsed());
                    *slot = None;
                }
            }
        }
        let left =
            |busy| clients.iter().enumerate().filter(|(n, c)| is_busy(*n) == busy && c.is_some()).count();
        if left(false) == 0 && busy_left_at == 0 {
            busy_left_at = left(true);
        }
    }
    // Of those that say something all the time most outlive all of the others.
    assert!(busy_left_at > TUNNELS / 6, "{busy_left_at} busy ones were left");
    let last = ends.last().unwrap().div_duration_f64(WINDOW);
    assert!((0.9..1.5).contains(&last), "the last has ended at {last} of the window");
    for (share, end) in [(0.25, ends[TUNNELS / 4]), (0.5, ends[TUNNELS / 2]), (0.75, ends[TUNNELS * 3 / 4])] {
        let at = end.div_duration_f64(WINDOW);
        assert!(
            (share - 0.15..share + 0.3).contains(&at),
            "{share} of them have ended at {at} of the window"
        );
    }
}

/// The ends that are under way follow what the pool says now: sooner, or not at all.
#[test]
fn a_drain_under_way_obeys_a_changed_pool() {
    const WINDOW: Duration = Duration::from_secs(2);
    let (_servers, addresses) = echoes(2);
    let of = |servers: &[_], fields: &str| documents(&[pool(servers, fields)], "", "");
    let mut gateway = TestGateway::start(&of(&addresses[..1], ""));
    let mut clients = open_many(&gateway, 3);
    gateway.reload(&of(&addresses[1..], ", onRemoved: { window: 24h }"));
    clients.iter_mut().for_each(|client| echo(client, b"still here"));
    gateway.reload(&of(&addresses[1..], ", onRemoved: { window: 100ms }"));
    clients.iter_mut().for_each(|client| assert_eq!(farewell(client), (1001, "server removed".into())));

    let mut clients = open_many(&gateway, 3);
    let began = Instant::now();
    gateway.reload(&of(&addresses[..1], ", onRemoved: { window: 2s }"));
    gateway.reload(&of(&addresses[..1], ", onRemoved: { action: keep }"));
    // With three, the first is told after a third of the window or sooner: it may have been.
    clients.retain_mut(|client| !client.is_readable());
    while began.elapsed() < WINDOW * 3 / 2 {
        clients.iter_mut().for_each(|client| echo(client, b"still here"));
    }
    assert!(clients.len() > 1, "{} are left", clients.len());
}

#[test]
fn a_close_waits_for_the_end_of_the_frame() {
    let backend = Backend::listen();
    let of = |servers: &[_]| documents(&[pool(servers, ", onRemoved: { action: close }")], "", "");
    let mut gateway = TestGateway::start(&of(&[backend.address]));
    let (mut client, mut server) = gateway.tunnel(&backend);
    let message = testkit::frame(0x82, None, &[7; 100]);
    server.send(&message[..50]);
    assert_eq!(client.bytes(50), message[..50]);
    gateway.reload(&of(&[([127, 0, 0, 1], 9).into()]));
    server.send(&message[50..]);
    assert_eq!(client.bytes(message.len() - 50), message[50..]);
    assert_eq!(farewell(&mut client).0, 1001);
}

/// The pool has other servers, then the first again: who was not told yet stays, and counts.
#[test]
fn a_server_that_comes_back_keeps_its_tunnels_and_its_count() {
    let (_servers, addresses) = echoes(2);
    let of = |servers: &[_]| {
        let servers: Vec<_> =
            servers.iter().map(|server| format!("{{ url: 'ws://{server}', maxConnections: 4 }}")).collect();
        let pool = format!("{{ servers: [{}], onRemoved: {{ window: 24h }} }}", servers.join(", "));
        documents(&[pool], "", "")
    };
    let mut gateway = TestGateway::start(&of(&addresses[..1]));
    let mut clients = open_many(&gateway, 3);
    for _ in 0..20 {
        gateway.reload(&of(&addresses[1..]));
        gateway.reload(&of(&addresses));
        gateway.reload(&of(&addresses[..1]));
    }
    clients.iter_mut().for_each(|client| echo(client, b"still here"));
    clients.push(open(&gateway));
    let mut refused = Peer::shake(gateway.address, "/ws", "");
    let head = refused.head().to_lowercase();
    assert!(head.contains("\r\nx-ropeway-error: no_capacity\r\n"), "the four tunnels are counted: {head}");
    clients.pop();
    eventually("room", || {
        let mut client = Peer::shake(gateway.address, "/ws", "");
        client.head().starts_with("HTTP/1.1 101 ").then_some(())
    });
}

/// The whole pipeline goes and comes back, or only its pool: the tunnels are its own again, whatever is set for it.
#[test]
fn a_pool_that_comes_back_keeps_its_tunnels_and_its_count() {
    let (_servers, addresses) = echoes(2);
    let with = |limit: u32| {
        let main = format!(
            "{{ servers: [{{ url: 'ws://{}', maxConnections: {limit} }}], onRemoved: {{ window: 24h }} }}",
            addresses[0]
        );
        documents(&[main], "", "")
    };
    let without_pipeline = "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n".to_owned();
    let without_pool = with(3).replace("name: proxy", "name: other");
    let options = Options { workers: 2, admin: Some(([127, 0, 0, 1], 0).into()), ..Options::default() };
    for (gone, limit) in
        [(&without_pipeline, 3), (&without_pipeline, 4), (&without_pool, 3), (&without_pool, 4)]
    {
        let mut gateway = TestGateway::start_with(&with(3), &options);
        let mut clients = open_many(&gateway, 3);
        // Twice, so that it is gone for longer than the next change.
        gateway.reload(gone);
        gateway.reload(&format!("{gone}---\nname: NAME-more\nkind: Pipeline\nfilters: []\n"));
        let leaving = json!([{ "server": format!("ws://{}", addresses[0]), "connections": 3 }]);
        eventually("the pool among those that are gone", || {
            (status(&gateway)["departed"][0]["leaving"] == leaving).then_some(())
        });
        gateway.reload(&with(limit));
        clients.iter_mut().for_each(|client| echo(client, b"still here"));
        clients.extend((3..limit).map(|_| open(&gateway)));
        let mut refused = Peer::shake(gateway.address, "/ws", "");
        let head = refused.head().to_lowercase();
        assert!(head.contains("\r\nx-ropeway-error: no_capacity\r\n"), "{limit}: they are counted: {head}");
        eventually("an end of its being gone", || status(&gateway)["departed"].is_null().then_some(()));
    }
}

#[test]
fn a_pool_that_goes_takes_its_tunnels_along_and_a_pipeline_does_not() {
    let (_servers, addresses) = echoes(2);
    let close = ", onRemoved: { action: close }";
    let main = pool(&addresses[..1], close);
    let of = |more: &str| {
        let candidate = pool(&addresses[1..], &format!("{close}{more}"));
        documents(&[main.clone(), candidate], "", "")
    };
    let mut gateway = TestGateway::start(&of(", filter: { headers: { X-Beta: { exact: a } } }"));
    let mut kept = open(&gateway);
    let mut gone = Peer::shake(gateway.address, "/ws", "X-Beta: a\r\n");
    gone.head();
    gateway.reload(&documents(&[main], "", ""));
    assert_eq!(farewell(&mut gone), (1001, "server removed".into()));
    gateway.reload("name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n");
    echo(&mut kept, b"still here");
    let mut refused = Peer::shake(gateway.address, "/ws", "");
    assert!(refused.head().starts_with("HTTP/1.1 404 "));
}
