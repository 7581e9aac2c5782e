//! More connections than there are descriptors.

use std::process::Command;
use std::time::{Duration, Instant};

use testkit::hostile::ConnectFlood;
use testkit::{Peer, eventually};

use super::siege::{Field, SLACK, Siege, pass};

/// Room for the hundred good ones and a few more.
const DESCRIPTORS: usize = 340;

/// A connection may be silent for `keepAliveTimeout`, and one that is refused for a second; then for another one it may
/// go on sending.
const SILENCE: Duration = Duration::from_secs(2);

fn besieged() -> Siege {
    Siege::start_with("", |command| {
        // The program finds the limit and cannot raise it.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\"")]);
        shell.arg(command.get_program()).args(command.get_args()).env_remove("RUST_LOG");
        *command = shell;
        command
    })
}

/// A tunnel, if there is room for it.
fn ask(field: &Field) -> Option<Peer> {
    let mut client = Peer::shake(field.gateway.address, "/echo", "");
    let answer = client.bytes_or_end(13)?;
    (answer == b"HTTP/1.1 101 ").then_some(client)
}

#[test]
fn who_finds_no_room_is_told_so_and_room_is_found_again() {
    let mut siege = besieged();
    siege.beside("tunnels until there is no room", 2 << 10, |field| {
        let mut tunnels = Vec::new();
        let refusal = loop {
            let mut client = Peer::shake(field.gateway.address, "/echo", "");
            let head = client.head();
            if !head.starts_with("HTTP/1.1 101 ") {
                break head;
            }
            tunnels.push(client);
        };
        assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
        assert!(refusal.contains("X-Ropeway-Error: no_room\r\n"), "{refusal}");
        assert!(refusal.contains("Connection: close\r\n"), "{refusal}");
        let free = DESCRIPTORS - field.usage().descriptors();
        assert!((40..110).contains(&free), "{free} descriptors are kept in reserve");
        assert!(tunnels.len() > 10, "there was room for {}", tunnels.len());
        field.gateway.process.err("refusing connections: no file descriptors are left for more");
        drop(tunnels.pop());
        eventually("room for another one", || ask(field));
        let room = format!("\"room_for\":{}", tunnels.len() + 101);
        assert_eq!(field.gateway.process.errs(&room).len(), 1, "it said for how many there is room: {room}");
    });
}

#[test]
fn a_flood_of_connections_is_refused_and_costs_next_to_nothing() {
    let mut siege = besieged();
    siege.beside("a flood of connections", 8 << 10, |field| {
        for _ in 0..2 {
            let began = Instant::now();
            let mut flood = ConnectFlood::open(field.gateway.address, 500);
            assert_eq!(flood.connections.len(), 500, "the kernel takes them all");
            for peer in &mut flood.connections {
                peer.discard();
            }
            let took = began.elapsed();
            assert!(took <= SILENCE + SLACK, "{took:?} until the last one was sent away");
        }
        assert_eq!(field.gateway.process.errs("refusing connections").len(), 1, "one line for all of them");
    });
    // Nobody else asks for anything now.
    let flood = ConnectFlood::open(siege.gateway.address, 500);
    let (usage, before) = (siege.gateway.process.usage(), siege.gateway.process.usage().cpu());
    pass(Duration::from_millis(500));
    let spent = usage.cpu() - before;
    assert!(spent < Duration::from_millis(100), "{spent:?} in half a second");
    drop(flood);
    siege.beside("after the flood", 2 << 10, |field| {
        eventually("room again", || ask(field));
    });
}
