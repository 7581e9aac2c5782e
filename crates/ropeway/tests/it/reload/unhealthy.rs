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
