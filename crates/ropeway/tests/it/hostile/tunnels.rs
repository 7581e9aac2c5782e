//! Bad peers on open tunnels.

use ropeway::tunnel::Side::{Client, Server};
use testkit::hostile::{
    CloseGarbage, DeclaresHuge, EmptyFragments, FloodsBothWays, HalfCloses, Hostile, NeverCloses,
    OneByteFrames, PingFlood, TalksNonsense,
};

use super::siege::{Row, Siege};

const NO_LIMITS: &str = "clientMaxMsgSize: -1\nserverMaxMsgSize: -1";

/// A row for each side.
fn both(
    name: &'static str,
    hostile: &'static dyn Hostile,
    path: &'static str,
    cause: Option<&'static str>,
) -> [Row; 2] {
    [Client, Server].map(|side| Row { name, hostile, side, path, cause })
}

#[test]
fn floods_that_break_no_rule() {
    let mut siege = Siege::start(NO_LIMITS);
    let row = |name, hostile, side, path| Row { name, hostile, side, path, cause: None };
    let rows = [
        row("pings", &PingFlood, Client, "/echo"),
        row("pings", &PingFlood, Server, "/echo"),
        row("fragments of a byte", &OneByteFrames, Client, "/sink"),
        row("empty fragments", &EmptyFragments, Server, "/sink"),
        row("2^63 - 1 bytes", &DeclaresHuge((1 << 63) - 1), Client, "/sink"),
    ];
    rows.iter().for_each(|row| siege.attack(row));
}

#[test]
fn what_breaks_a_rule_ends_in_time_though_it_goes_on() {
    let mut siege = Siege::start("");
    let rows = [
        both("2^63 bytes", &DeclaresHuge(1 << 63), "/sink", Some("violation:length_too_large")),
        both("more than the limit", &DeclaresHuge((1 << 63) - 1), "/sink", Some("too_big")),
        both("fragments of a byte", &OneByteFrames, "/sink", Some("too_big")),
        both("a Close and garbage", &CloseGarbage, "/sink", Some("closed")),
        both("never closes", &NeverCloses, "/echo", Some("violation:reserved_opcode")),
        both("half closes", &HalfCloses, "/echo", Some("vanished")),
        both(
            "HTTP",
            &TalksNonsense(b"HTTP/1.1 200 OK\r\n\r\n"),
            "/sink",
            Some("violation:control_fragmented"),
        ),
        both(
            "TLS",
            &TalksNonsense(b"\x15\x03\x03\x00\x02\x02\x28"),
            "/sink",
            Some("violation:reserved_opcode"),
        ),
    ];
    rows.iter().flatten().for_each(|row| siege.attack(row));
}

#[test]
fn a_flood_both_ways_over_tiny_buffers_goes_through() {
    let mut siege = Siege::start(NO_LIMITS);
    siege.beside("a flood both ways", 2 << 10, |field| {
        let mut client = field.shake("/bad");
        let (mut server, _) = field.bad.accept_websocket("");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        FloodsBothWays { messages: 20_000 }.attack(&mut client, &mut server);
    });
}
