//! The Autobahn test suite with the gateway in between: what differs for peers that are strict, and that peers which
//! check nothing are safe. `docs/conformance.md` explains it.

mod suite;
mod verdicts;

use std::net::SocketAddr;

use testkit::TestGateway;

use self::suite::{Client, Echo, FuzzingServer, fuzz};
use self::verdicts::{Expected, Verdicts};
use crate::real::peers;

/// Frames and messages, pings, reserved bits and opcodes, fragments, UTF-8, closes, and one long message.
const PROTOCOL: &[&str] = &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];
/// Those of them that break rules quickly: reserved bits, fragments, closes.
const ILLEGAL: &[&str] = &["3.*", "5.*", "7.*"];
/// Messages of up to 16 MiB, in frames of any size.
const LARGE: &[&str] = &["9.*"];
/// 1,000 messages each with permessage-deflate, in each combination of its parameters: of 256, 4,096 and 32,768 bytes,
/// which take a minute where all sizes take a quarter of an hour.
const COMPRESSED: &[&str] = &["12.*.3", "12.*.5", "12.*.8", "13.*.3", "13.*.5", "13.*.8"];

const NO_LIMITS: &str = "clientMaxMsgSize: -1\nserverMaxMsgSize: -1\ncompression: passThrough\n";
const GUARD: &str =
    "clientMaxMsgSize: -1\nserverMaxMsgSize: -1\ncompression: passThrough\nvalidateUtf8: true\n";

const ALONE: &str = "the peer alone";
const BEHIND: &str = "the peer behind the gateway";

#[test]
fn a_strict_server_does_as_expected_alone_and_behind_the_gateway() {
    let backend = Echo::strict();
    compare(backend.address, PROTOCOL, &Expected::read(include_str!("server.txt")));
}

#[test]
fn large_messages_pass_as_they_do_without_the_gateway() {
    compare_if_long(LARGE, include_str!("server_large.txt"));
}

#[test]
fn compressed_messages_pass_as_they_do_without_the_gateway() {
    compare_if_long(COMPRESSED, include_str!("server_compressed.txt"));
}

#[test]
fn a_strict_client_does_as_expected_alone_and_behind_the_gateway() {
    let expected = Expected::read(include_str!("client.txt"));
    expected.check(ALONE, &lead(Client::Strict, PROTOCOL, None));
    expected.check(BEHIND, &lead(Client::Strict, PROTOCOL, Some(NO_LIMITS)));
}

#[test]
fn a_server_that_checks_nothing_is_safe_behind_the_gateway() {
    let backend = Echo::lenient();
    fuzz(backend.address, ILLEGAL).check_failures_in(&[3, 5, 7]);
    let gateway = TestGateway::to(&[backend.address], GUARD);
    fuzz(gateway.address, PROTOCOL).check_all_pass();
}

#[test]
fn a_client_that_checks_nothing_is_safe_behind_the_gateway() {
    lead(Client::Lenient, ILLEGAL, None).check_failures_in(&[3, 5, 7]);
    lead(Client::Lenient, PROTOCOL, Some(GUARD)).check_all_pass();
}

/// Runs the fuzzing client against a backend, then against the gateway in front of it.
fn compare(backend: SocketAddr, cases: &[&str], expected: &Expected) {
    expected.check(ALONE, &fuzz(backend, cases));
    let gateway = TestGateway::to(&[backend], NO_LIMITS);
    expected.check(BEHIND, &fuzz(gateway.address, cases));
}

/// The same with a backend that takes each message whole, and compresses.
fn compare_if_long(cases: &[&str], expected: &str) {
    if std::env::var_os("ROPEWAY_LONG").is_some() {
        let backend = peers::Echo::start(peers::Library::Websockets, &[]);
        compare(SocketAddr::from(([127, 0, 0, 1], backend.port)), cases, &Expected::read(expected));
    }
}

/// Leads a client through the cases of the fuzzing server, directly or through a gateway with these lines of a pool.
fn lead(client: Client, cases: &[&str], pool: Option<&str>) -> Verdicts {
    let server = FuzzingServer::start(cases);
    match pool {
        None => client.visit(server.address),
        Some(pool) => client.visit(gateway_to(server.address, pool).address),
    }
    server.verdicts()
}

/// Path and query choose the case: they pass through.
fn gateway_to(server: SocketAddr, pool: &str) -> TestGateway {
    let pool: String = pool.lines().map(|line| format!("    {line}\n")).collect();
    TestGateway::start(&format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\nrules:\n- paths:\n  - pathPrefix: /\n\
         \x20   backend: NAME-ws\n---\nname: NAME-ws\nkind: Pipeline\nfilters:\n- kind: WebSocketProxy\n\
         \x20 name: proxy\n  pools:\n  - servers:\n    - url: ws://{server}\n{pool}"
    ))
}
