//! A server's count of tunnels goes up and down with them, however they begin and end: `leastConnections` shows it.

use testkit::{Backend, Peer, Serving, TestGateway, eventually, masked, op};

use super::{end, gateway, open, pool, settled};

const SERVERS: usize = 3;
const TUNNELS: usize = 4 * SERVERS;

/// A server that does what the client's path says.
fn moody(name: usize) -> Serving {
    Backend::listen().serve(move |mut peer| {
        let head = peer.head();
        let agreement = Backend::answer(&head, &format!("X-Server: {name}\r\n"));
        match head.split('/').nth(1).and_then(|rest| rest.split(' ').next()) {
            Some("refuse") => drop(peer.try_send(b"HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\nno")),
            Some("trouble") => drop(peer.try_send(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")),
            Some("lie") => drop(peer.try_send(agreement.replace("Accept: ", "Accept: x").as_bytes())),
            Some("babble") => drop(peer.try_send(b"SSH-2.0\r\n\r\n")),
            Some("vanish") => {}
            Some("wait") => peer.discard(),
            Some("cut") => {
                peer.try_send(agreement.as_bytes());
                peer.reset();
            }
            _ => {
                peer.try_send(agreement.as_bytes());
                peer.behave(true);
            }
        }
    })
}

/// Whether new tunnels spread evenly, as they do if no count is off.
fn spread_evenly(gateway: &TestGateway) -> bool {
    settled(gateway, 0);
    let (clients, reached): (Vec<_>, Vec<_>) = (0..TUNNELS).map(|_| open(gateway, "/", "")).unzip();
    end(clients);
    (0..SERVERS).all(|server| reached.iter().filter(|name| **name == server).count() == TUNNELS / SERVERS)
}

#[test]
fn counts_are_exact_however_handshakes_and_tunnels_end() {
    let servers: Vec<_> = (0..SERVERS).map(moody).collect();
    let rules = "loadBalance: {policy: leastConnections}\ncloseTimeout: 200ms";
    let gateway = gateway(&[pool(&servers, &[], rules)]);
    for round in 0..250 {
        for path in ["/refuse", "/trouble", "/lie", "/babble", "/vanish"] {
            Peer::shake(gateway.address, path, "").rest();
        }
        // Clients that leave before their answer, in order and not.
        drop(Peer::shake(gateway.address, "/wait", ""));
        Peer::shake(gateway.address, "/wait", "").reset();
        drop(Peer::shake(gateway.address, "/", ""));
        // Tunnels that end in every way.
        Peer::shake(gateway.address, "/cut", "").rest();
        end([open(&gateway, "/", "").0]);
        open(&gateway, "/", "").0.reset();
        let mut offender = open(&gateway, "/", "").0;
        offender.send(&masked(op::CONTINUATION, b"of nothing"));
        offender.rest();
        if round % 50 == 0 {
            eventually("the counts are even", || spread_evenly(&gateway).then_some(()));
        }
    }
    eventually("the counts are even", || spread_evenly(&gateway).then_some(()));
}
