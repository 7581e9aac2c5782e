//! Servers that are given by name.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use testkit::{Backend, BlackHole, NameServer, PATIENCE, Says, Serving, eventually};

use super::{gateway_with_names, shake};

const SOON: Duration = Duration::from_secs(1);

/// A server on another address of the loopback network, at the same port.
fn beside(address: SocketAddr, last: u8) -> Serving {
    Backend::listen_at(SocketAddr::new(IpAddr::from([127, 0, 0, last]), address.port())).echo()
}

fn by_name(port: u16) -> Vec<String> {
    vec![format!("url: 'ws://backend.test:{port}'")]
}

#[test]
fn an_address_is_used_as_long_as_its_record_says() {
    let old = Backend::listen().echo();
    let new = beside(old.address, 2);
    let names = NameServer::start(Says::for_a_second(&[old.address]));
    let gateway = gateway_with_names(names.address, &by_name(old.address.port()), "");
    let first = shake(&gateway).unwrap();
    for _ in 0..20 {
        shake(&gateway).unwrap();
    }
    assert_eq!((old.connections(), new.connections()), (21, 0));
    assert!(names.asked() <= 6, "{} questions for 21 handshakes", names.asked());

    names.say(Says::for_a_second(&[new.address]));
    let changed = Instant::now();
    eventually("a handshake at the new address", || {
        shake(&gateway).unwrap();
        (new.connections() > 0).then_some(())
    });
    assert!(changed.elapsed() < 2 * SOON, "after {:?}", changed.elapsed());
    drop(first);
}

/// The tunnel that exists is not touched by what its server's name means now.
#[test]
fn tunnels_stay_where_they_are() {
    let old = Backend::listen().echo();
    let new = beside(old.address, 2);
    let names = NameServer::start(Says::for_a_second(&[old.address]));
    let gateway = gateway_with_names(names.address, &by_name(old.address.port()), "");
    let mut tunnel = shake(&gateway).unwrap();
    names.say(Says::for_a_second(&[new.address]));
    eventually("a handshake at the new address", || {
        shake(&gateway).unwrap();
        (new.connections() > 0).then_some(())
    });
    tunnel.send(&testkit::masked(testkit::op::TEXT, b"still here"));
    assert_eq!(tunnel.frame().payload, b"still here");
}

#[test]
fn of_several_addresses_a_dead_one_costs_a_quarter_of_a_second() {
    let hole = BlackHole::new();
    let alive = beside(hole.address, 2);
    let names = NameServer::start(Says::for_a_second(&[hole.address, alive.address]));
    let gateway = gateway_with_names(names.address, &by_name(hole.address.port()), "connectTimeout: 10s");
    for _ in 0..3 {
        let began = Instant::now();
        shake(&gateway).unwrap();
        assert!(began.elapsed() < SOON, "after {:?}", began.elapsed());
    }
}

/// Families take turns, and who refuses is passed over at once.
#[test]
fn an_address_that_refuses_costs_nothing() {
    let alive = Backend::listen().echo();
    let port = alive.address.port();
    let addresses = (2..12).map(|last| IpAddr::from([127, 0, 0, last]));
    let addresses: Vec<_> = addresses.chain([alive.address.ip(), "::1".parse().unwrap()]).collect();
    let names = NameServer::start(Says::Addresses(addresses, 60));
    let gateway = gateway_with_names(names.address, &by_name(port), "");
    shake(&gateway).unwrap();
    let began = Instant::now();
    shake(&gateway).unwrap();
    assert!(began.elapsed() < SOON / 4, "after {:?}", began.elapsed());
}

#[test]
fn without_a_name_server_the_last_answer_is_used() {
    for silence in [Says::Nothing, Says::Refused] {
        let server = Backend::listen().echo();
        let names = NameServer::start(Says::for_a_second(&[server.address]));
        let gateway = gateway_with_names(names.address, &by_name(server.address.port()), "");
        shake(&gateway).unwrap();
        names.say(silence.clone());
        let (asked, began) = (names.asked(), Instant::now());
        while names.asked() == asked || began.elapsed() < 2 * SOON {
            assert!(began.elapsed() < PATIENCE, "{silence:?}: it was never asked for a new answer");
            let handshake = Instant::now();
            shake(&gateway).unwrap_or_else(|error| panic!("{silence:?}: {error}"));
            assert!(handshake.elapsed() < SOON, "{silence:?}: after {:?}", handshake.elapsed());
        }
    }
}

#[test]
fn a_name_without_an_address_is_a_fault_and_is_not_asked_for_each_time() {
    for (says, error) in
        [(Says::NoSuchName, "connect_failed"), (Says::Addresses(Vec::new(), 60), "connect_failed")]
    {
        let names = NameServer::start(says.clone());
        let gateway = gateway_with_names(names.address, &by_name(1), "");
        for _ in 0..20 {
            assert_eq!(shake(&gateway).err().as_deref(), Some(error), "{says:?}");
        }
        assert!(names.asked() <= 8, "{says:?}: {} questions for 20 handshakes", names.asked());
    }
    let silent = NameServer::start(Says::Nothing);
    let gateway = gateway_with_names(silent.address, &by_name(1), "connectTimeout: 300ms");
    let began = Instant::now();
    assert_eq!(shake(&gateway).err().as_deref(), Some("connect_timeout"));
    assert!(began.elapsed() < SOON, "after {:?}", began.elapsed());
}

/// Many who come at once ask once.
#[test]
fn those_who_wait_for_one_name_share_the_answer() {
    let server = Backend::listen().echo();
    let names = NameServer::start(Says::Nothing);
    let gateway = gateway_with_names(names.address, &by_name(server.address.port()), "connectTimeout: 20s");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| shake(&gateway).map(drop))).collect();
        eventually("a question", || (names.asked() > 0).then_some(()));
        names.say(Says::Addresses(vec![server.address.ip()], 60));
        for client in clients {
            client.join().unwrap().unwrap();
        }
    });
    // Two kinds of address, each asked for again after silence.
    assert!(names.asked() <= 8, "{} questions", names.asked());
}

/// The names of this machine stand in a file.
#[test]
fn the_names_in_the_hosts_file_need_no_name_server() {
    let server = Backend::listen().echo();
    let names = NameServer::start(Says::Nothing);
    let servers = [format!("url: 'ws://localhost:{}'", server.address.port())];
    let gateway = gateway_with_names(names.address, &servers, "");
    shake(&gateway).unwrap();
    assert_eq!(names.asked(), 0);
}
