//! Servers that are not well, and their live tunnels.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::{Backend, Serving, TestGateway, eventually};

use super::{documents, echo, farewell, open, open_many};

/// A server that answers its checks as it is told, and does what a good server does.
fn server() -> (Serving, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let told = well.clone();
    let serving = Backend::listen().serve(move |mut peer| {
        let head = peer.head();
        if head.starts_with("GET /health ") {
            let status = if told.load(Ordering::Relaxed) { "204 No Content" } else { "500 No" };
            peer.try_send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
            return;
        }
        peer.try_send(Backend::answer(&head, "").as_bytes());
        peer.behave(true);
    });
    (serving, well)
}

fn gateway(servers: [SocketAddr; 2], fields: &str) -> TestGateway {
    let check = "healthCheck: { interval: 20ms, http: { uri: /health } }";
    let pool = super::pool(&servers, &format!(", {check}{fields}"));
    TestGateway::start(&documents(&[pool], "", ""))
}

#[test]
fn what_becomes_of_live_tunnels_is_for_the_pool_to_say() {
    for (fields, ends) in [
        ("", false),
        (", onUnhealthy: { action: keep }", false),
        (", onUnhealthy: { action: drain, window: 100ms }", true),
        (", onUnhealthy: { action: close }", true),
    ] {
        let ((one, well), (other, _)) = (server(), server());
        let gateway = gateway([one.address, other.address], fields);
        let mut clients = open_many(&gateway, 6);
        well.store(false, Ordering::Relaxed);
        let avoided = || {
            let before = other.connections();
            (0..2).for_each(|_| drop(open(&gateway)));
            (other.connections() >= before + 2).then_some(())
        };
        eventually("the server to be avoided", avoided);
        for (number, client) in clients.iter_mut().enumerate() {
            match ends && number % 2 == 0 {
                true => assert_eq!(farewell(client), (1001, "server not well".into()), "{fields}"),
                false => echo(client, b"still here"),
            }
        }
    }
}

#[test]
fn a_server_that_recovers_keeps_the_tunnels_that_were_not_told_yet() {
    let ((one, well), (other, _)) = (server(), server());
    let gateway = gateway([one.address, other.address], ", onUnhealthy: { action: drain, window: 24h }");
    let mut clients = open_many(&gateway, 6);
    for _ in 0..5 {
        let checks = one.connections();
        well.store(false, Ordering::Relaxed);
        eventually("some checks", || (one.connections() > checks + 2).then_some(()));
        well.store(true, Ordering::Relaxed);
        let checks = one.connections();
        eventually("some checks", || (one.connections() > checks + 2).then_some(()));
    }
    clients.iter_mut().for_each(|client| echo(client, b"still here"));
    let reached = || {
        let before = one.connections();
        (0..10).for_each(|_| drop(open(&gateway)));
        (one.connections() > before).then_some(())
    };
    eventually("the server to be chosen again", reached);
}

/// What `/status` tells of the one pool.
fn pool_of(gateway: &TestGateway) -> serde_json::Value {
    let status = super::status(gateway);
    assert_eq!(status["ready"], true);
    status["pools"][0].clone()
}

#[test]
fn the_status_says_who_is_well_and_who_is_leaving() {
    let ((one, well), (other, _)) = (server(), server());
    let of = |servers: &[SocketAddr]| {
        let fields = ", healthCheck: { interval: 20ms, http: { uri: /health } }, passive: {}, onRemoved: { action: keep }";
        documents(&[super::pool(servers, fields)], "", "")
    };
    let options =
        ropeway::app::Options { workers: 1, admin: Some(([127, 0, 0, 1], 0).into()), ..Default::default() };
    let mut gateway = TestGateway::start_with(&of(&[one.address, other.address]), &options);
    let _clients = open_many(&gateway, 4);
    eventually("both to be well", || {
        let pool = pool_of(&gateway);
        let servers = pool["servers"].as_array().unwrap();
        let is_well = |server: &serde_json::Value| {
            server["health"]["state"] == "healthy" && server["health"]["latency_ms"].is_number()
        };
        assert!(
            servers.iter().all(|server| server["usable"] == true && server["connections"] == 2),
            "{pool}"
        );
        assert!(servers.iter().all(|server| server["conduct"]["failures"] == 0), "{pool}");
        servers.iter().all(is_well).then_some(())
    });
    well.store(false, Ordering::Relaxed);
    let sick = eventually("one to be unwell", || {
        let server = pool_of(&gateway)["servers"][0].clone();
        (server["usable"] == false).then_some(server)
    });
    assert_eq!(
        (&sick["health"]["state"], &sick["health"]["reason"]),
        (&"unhealthy".into(), &"http: status 500".into())
    );
    gateway.reload(&of(&[other.address]));
    let pool = eventually("the news", || {
        let pool = pool_of(&gateway);
        pool["leaving"].is_array().then_some(pool)
    });
    assert_eq!(pool["servers"].as_array().unwrap().len(), 1, "{pool}");
    assert_eq!(pool["leaving"][0]["server"], format!("ws://{}", one.address), "{pool}");
    assert_eq!(pool["leaving"][0]["connections"], 2, "{pool}");
}

#[test]
fn the_status_says_whose_certificate_is_not_looked_at() {
    let servers =
        "{ servers: [{ url: 'wss://127.0.0.1:9', tls: { insecure: true } }, { url: 'wss://127.0.0.1:10' }] }";
    let options =
        ropeway::app::Options { workers: 1, admin: Some(([127, 0, 0, 1], 0).into()), ..Default::default() };
    let gateway = TestGateway::start_with(&documents(&[servers.to_owned()], "", ""), &options);
    eventually("both servers", || {
        let pool = pool_of(&gateway);
        let servers = pool["servers"].as_array()?;
        assert_eq!((&servers[0]["insecure"], servers[1].get("insecure")), (&true.into(), None), "{pool}");
        Some(())
    });
}

/// Who takes the check away takes its verdict away, too.
#[test]
fn without_its_health_check_a_server_is_left_alone() {
    let ((one, well), (other, _)) = (server(), server());
    let servers = [one.address, other.address];
    let mut gateway = gateway(servers, ", onUnhealthy: { action: close }");
    well.store(false, Ordering::Relaxed);
    let mut client = open(&gateway);
    eventually("the first server's tunnels to end", || {
        let ended =
            testkit::records(&gateway.name).iter().any(|record| record["cause"] == "drain:server_unhealthy");
        if client.is_readable() {
            farewell(&mut client);
            client = open(&gateway);
        }
        drop(open(&gateway));
        ended.then_some(())
    });
    gateway.reload(&documents(&[super::pool(&servers, "")], "", ""));
    for _ in 0..6 {
        echo(&mut open(&gateway), b"nobody is sent away");
    }
}
