//! Servers that are spoken to over TLS.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ropeway::tunnel::Side::{Client, Server};
use rustls::version::{TLS12, TLS13};
use testkit::side::{close, whole};
use testkit::{
    Authority, Backend, End, Hello, Identity, Manner, Terminator, TestGateway, eventually, op, record,
};

use super::{gateway, shake};
use crate::real::peers::{Echo, Library, client};

const NO_LIMITS: &str = "clientMaxMsgSize: -1\nserverMaxMsgSize: -1";

fn base64(pem: &str) -> String {
    STANDARD.encode(pem)
}

/// A file with this text, which stays until the next run.
pub(super) fn file(name: &str, text: &str) -> String {
    let path = format!("{}/{}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    fs::write(&path, text).unwrap();
    path
}

fn url(address: SocketAddr) -> Vec<String> {
    vec![format!("url: 'wss://{address}'")]
}

/// The lines by which a pool trusts `authority`, and more at the left margin of `tls`.
fn trusting(authority: &Authority, more: &str) -> String {
    format!("tls:\n  caBase64: {}\n{}", base64(&authority.pem()), indented(more))
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}\n")).collect()
}

fn identity(identity: &Identity) -> String {
    format!("certBase64: {}\nkeyBase64: {}", base64(&identity.certificate), base64(&identity.key))
}

/// Every check that a client library of the field makes, close codes among them, against a server of the field.
#[test]
fn a_real_server_is_spoken_to() {
    let authority = Authority::new();
    let shown = authority.issue(&["127.0.0.1"]);
    let (cert, key) = (file("real-cert.pem", &shown.certificate), file("real-key.pem", &shown.key));
    let backend = Echo::start(Library::Websockets, &["--tls-cert", &cert, "--tls-key", &key]);
    let tls = format!("{}\n{NO_LIMITS}\noriginPatterns: ['*']", trusting(&authority, ""));
    let gateway = gateway(&[format!("url: 'wss://127.0.0.1:{}'", backend.port)], &tls);
    let address = gateway.address;
    for library in [Library::Websockets, Library::Node] {
        let ended = client(library, &format!("ws://{address}/ws"), &[]).wait();
        assert_eq!(ended.code, Some(0), "{library:?}: {ended:?}");
    }
    gateway.stop();
    let events = backend.stop();
    let codes: Vec<_> = events.iter().filter_map(|event| event["code"].as_u64()).collect();
    assert!(codes.contains(&4001) && !codes.contains(&1006), "{codes:?}");
}

#[test]
fn a_server_is_believed_if_its_certificate_is_of_its_name_and_of_an_authority_that_is_trusted() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (good, expired) = (ours.issue(&["127.0.0.1"]), ours.issue_expired(&["127.0.0.1"]));
    let named = ours.issue(&["backend.test"]);
    let ca_file = format!("tls: {{ caFile: '{}' }}", file("ca.pem", &ours.pem()));
    let two = format!("tls:\n  caBase64: {}", base64(&(other.pem() + &ours.pem())));
    let insecure = "tls: { insecure: true }";
    let cases: [(&str, &Identity, &str, Result<(), &str>); 13] = [
        ("our authority", &good, &trusting(&ours, ""), Ok(())),
        ("our authority, in a file", &good, &ca_file, Ok(())),
        ("one of several authorities", &good, &two, Ok(())),
        ("another authority", &good, &trusting(&other, ""), Err("server_tls")),
        ("the system's authorities", &good, "", Err("server_tls")),
        ("another name", &named, &trusting(&ours, ""), Err("server_tls")),
        ("the name it should have", &named, &trusting(&ours, "serverName: backend.test"), Ok(())),
        (
            "not the name it should have",
            &good,
            &trusting(&ours, "serverName: backend.test"),
            Err("server_tls"),
        ),
        ("expired", &expired, &trusting(&ours, ""), Err("server_tls")),
        ("insecure: another authority", &good, insecure, Ok(())),
        ("insecure: another name", &named, insecure, Ok(())),
        ("insecure: expired", &expired, insecure, Ok(())),
        ("insecure: false", &good, "tls: { insecure: false }", Err("server_tls")),
    ];
    for version in [&TLS12, &TLS13] {
        for (name, shown, tls, expected) in &cases {
            let backend = Backend::listen().echo();
            let manner = Manner { version: Some(version), ..Manner::default() };
            let front = Terminator::new(backend.address, shown, manner);
            let result = shake(&gateway(&url(front.address), tls)).map(drop);
            let expected = expected.map_err(str::to_owned);
            assert_eq!(result, expected, "{name}, {:?}", version.version);
            assert_eq!(backend.connections() > 0, expected.is_ok(), "{name}: what the server got");
        }
    }
}

#[test]
fn a_server_that_wants_to_know_us_is_told_who_we_are() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (known, unknown) = (ours.issue(&["gateway.test"]), other.issue(&["gateway.test"]));
    let cert_file = file("client-cert.pem", &known.certificate);
    let files = format!("certFile: '{cert_file}'\nkeyFile: '{}'", file("client-key.pem", &known.key));
    let cases = [
        ("none", String::new(), Err("server_tls")),
        ("in base64", identity(&known), Ok(1)),
        ("in files", files, Ok(1)),
        ("of an unknown authority", identity(&unknown), Err("server_tls")),
    ];
    for version in [&TLS12, &TLS13] {
        for (name, tls, expected) in &cases {
            let backend = Backend::listen().echo();
            let manner = Manner { clients: Some(&ours), version: Some(version), ..Manner::default() };
            let front = Terminator::new(backend.address, &ours.issue(&["127.0.0.1"]), manner);
            let result = shake(&gateway(&url(front.address), &trusting(&ours, tls)));
            let result = result.map(|_| front.hellos()[0].certificates);
            assert_eq!(result, expected.map_err(str::to_owned), "{name}, {:?}", version.version);
        }
    }
}

#[test]
fn a_servers_own_tls_takes_the_place_of_its_pools() {
    let (ours, other) = (Authority::new(), Authority::new());
    let backend = Backend::listen().echo();
    let front = Terminator::new(backend.address, &ours.issue(&["127.0.0.1"]), Manner::default());
    let own = format!("url: 'wss://{}', tls: {{ caBase64: {} }}", front.address, base64(&ours.pem()));
    shake(&gateway(&[own], &trusting(&other, "serverName: other.test"))).unwrap();
    let own = format!("url: 'wss://{}', tls: {{ caBase64: {} }}", front.address, base64(&other.pem()));
    assert_eq!(shake(&gateway(&[own], &trusting(&ours, ""))).err().as_deref(), Some("server_tls"));
}

#[test]
fn what_is_asked_for_is_the_name_and_http_1_1_and_sessions_are_gone_on_with() {
    let authority = Authority::new();
    let backend = Backend::listen().echo();
    let shown = authority.issue(&["localhost", "backend.test", "127.0.0.1"]);
    let port = |front: &Terminator| front.address.port();
    for version in [&TLS12, &TLS13] {
        let manner = Manner { version: Some(version), ..Manner::default() };
        for (host, tls, server_name) in [
            ("localhost", "", Some("localhost")),
            ("127.0.0.1", "", None),
            ("127.0.0.1", "serverName: backend.test", Some("backend.test")),
        ] {
            let front = Terminator::new(backend.address, &shown, manner);
            let server = format!("url: 'https://{host}:{}'", port(&front));
            let gateway = gateway(&[server], &trusting(&authority, tls));
            let _first = shake(&gateway).unwrap();
            let second = shake(&gateway).unwrap();
            drop(second);
            let hello = |resumed| Hello {
                server_name: server_name.map(ToOwned::to_owned),
                protocol: Some("http/1.1".into()),
                resumed,
                certificates: 0,
            };
            assert_eq!(front.hellos(), [hello(false), hello(true)], "{host} {tls}, {:?}", version.version);
        }
    }
}

/// A listener that accepts, and says nothing.
#[test]
fn tls_that_does_not_end_counts_as_no_connection() {
    let authority = Authority::new();
    let (silent, backend) = (Backend::listen(), Backend::listen().echo());
    let front = Terminator::new(backend.address, &authority.issue(&["127.0.0.1"]), Manner::default());
    let tls = format!("{}\nconnectTimeout: 300ms", trusting(&authority, ""));
    let alone = gateway(&url(silent.address), &tls);
    let began = Instant::now();
    assert_eq!(shake(&alone).err().as_deref(), Some("connect_timeout"));
    assert!(began.elapsed() < Duration::from_secs(1), "after {:?}", began.elapsed());

    let servers = [url(silent.address), url(front.address)].concat();
    let gateway = gateway(&servers, &tls);
    let began = Instant::now();
    shake(&gateway).unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "after {:?}", began.elapsed());
}

/// Whatever speaks no TLS, and whoever is not believed, is passed over.
#[test]
fn without_tls_the_next_server_is_tried() {
    let authority = Authority::new();
    let (plain, backend) = (
        Backend::listen().serve(|mut peer| {
            peer.try_send(b"HTTP/1.1 400 \r\n\r\n");
        }),
        Backend::listen().echo(),
    );
    let good = Terminator::new(backend.address, &authority.issue(&["127.0.0.1"]), Manner::default());
    let bad = Terminator::new(backend.address, &authority.issue(&["other.test"]), Manner::default());
    let servers = [url(plain.address), url(bad.address), url(good.address)].concat();
    shake(&gateway(&servers, &trusting(&authority, ""))).unwrap();
    assert_eq!(plain.connections(), 1);
    let gateway = gateway(&url(plain.address), &trusting(&authority, ""));
    assert_eq!(shake(&gateway).err().as_deref(), Some("server_tls"));
}

fn noise(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// More than every buffer on the way holds.
const LARGE: usize = 32 << 20;

/// Both ends send a large message and nobody reads, until both are held up. Then both read.
#[test]
fn large_messages_pass_both_ways_at_once_byte_by_byte() {
    let authority = Authority::new();
    let backend = Backend::listen();
    let front = Terminator::new(backend.address, &authority.issue(&["127.0.0.1"]), Manner::default());
    let gateway = gateway(&url(front.address), &format!("{}\n{NO_LIMITS}", trusting(&authority, "")));
    let (mut client, mut server) = gateway.tunnel(&backend);
    let (up, down) = (noise(LARGE, 1), noise(LARGE, 2));
    let (up_frame, down_frame) = (whole(Client, op::BINARY, &up), whole(Server, op::BINARY, &down));
    let up_rest = fill(&client.tcp, &up_frame);
    let down_rest = fill(&server.tcp, &down_frame);
    let (mut client_tcp, mut server_tcp) = (client.tcp.try_clone().unwrap(), server.tcp.try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(move || client_tcp.write_all(up_rest).unwrap());
        scope.spawn(move || server_tcp.write_all(down_rest).unwrap());
        scope.spawn(|| assert!(server.frame().payload == up, "client to server"));
        assert!(client.frame().payload == down, "server to client");
    });
    // Then small ones, each of which waits for the one before: nothing stays in a buffer.
    for at in 0..100 {
        let message = noise(at * 331, at as u32);
        client.send(&whole(Client, op::BINARY, &message));
        assert!(server.frame().payload == message, "{at}");
        server.send(&whole(Server, op::BINARY, &message));
        assert!(client.frame().payload == message, "{at}");
    }
}

/// Sends until it is held up, and gives what is left.
fn fill<'a>(mut tcp: &TcpStream, bytes: &'a [u8]) -> &'a [u8] {
    let patience = tcp.write_timeout().unwrap();
    tcp.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut rest = bytes;
    while let Ok(written) = tcp.write(rest) {
        rest = &rest[written..];
        assert!(!rest.is_empty(), "the sender was never held up");
    }
    tcp.set_write_timeout(patience).unwrap();
    rest
}

/// Thousands of small messages in one go, which a reader who is slow takes in the end.
#[test]
fn nothing_stays_behind_with_a_slow_reader() {
    let authority = Authority::new();
    let backend = Backend::listen();
    let front = Terminator::new(backend.address, &authority.issue(&["127.0.0.1"]), Manner::default());
    let gateway = gateway(&url(front.address), &format!("{}\n{NO_LIMITS}", trusting(&authority, "")));
    let (mut client, mut server) = gateway.tunnel(&backend);
    let messages: Vec<_> = (0..20_000).map(|at: usize| noise(at % 1500, at as u32)).collect();
    let sent: Vec<u8> = messages.iter().flat_map(|message| whole(Client, op::BINARY, message)).collect();
    let mut sender = client.tcp.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || sender.write_all(&sent).unwrap());
        for (at, message) in messages.iter().enumerate() {
            assert!(server.frame().payload == *message, "message {at}");
        }
    });
    server.send(&close(Server, 4003, "done"));
    assert_eq!(client.frame().close(), (4003, "done".into()));
    client.send(&close(Client, 4003, "done"));
    assert_eq!(server.frame().close(), (4003, "done".into()));
    server.finish();
    assert_eq!(client.end(), End::Fin);
    client.finish();
    let record = record(&gateway.name);
    assert_eq!((&*record["cause"], &*record["ended_by"]), ("closed", "server"));
}

#[test]
fn a_server_that_is_cut_off_has_vanished() {
    for truncates in [false, true] {
        let authority = Authority::new();
        let backend = Backend::listen();
        let manner = Manner { truncates, ..Manner::default() };
        let front = Terminator::new(backend.address, &authority.issue(&["127.0.0.1"]), manner);
        let gateway = gateway(&url(front.address), &trusting(&authority, ""));
        let (mut client, mut server) = gateway.tunnel(&backend);
        server.send(&whole(Server, op::TEXT, b"last words"));
        assert_eq!(client.frame().payload, b"last words");
        drop(server);
        assert_eq!(client.frame().close().0, 1011, "truncates: {truncates}");
        client.finish();
        let record = record(&gateway.name);
        assert_eq!(
            (&*record["cause"], &*record["ended_by"]),
            ("vanished", "server"),
            "truncates: {truncates}"
        );
    }
}

#[test]
fn health_is_checked_over_the_same_tls() {
    let (ours, other) = (Authority::new(), Authority::new());
    let backend = Backend::listen().echo();
    let front = Terminator::new(backend.address, &ours.issue(&["127.0.0.1"]), Manner::default());
    let check = "healthCheck:\n  interval: 20ms\n  ws: {}";
    for (authority, expected) in [(&ours, Ok(())), (&other, Err("no_server".to_owned()))] {
        let gateway = gateway(
            &url(front.address),
            &format!("{}\n{check}\n  initial: unhealthy", trusting(authority, "")),
        );
        eventually("a verdict", || {
            let result = shake(&gateway).map(drop);
            let checked = expected.is_err() || result.is_ok();
            checked.then(|| assert_eq!(result, expected))
        });
    }
}

#[test]
fn nothing_shows_a_private_key() {
    let identity = Authority::new().issue(&["gateway.test"]);
    let tls = self::identity(&identity);
    let text = super::documents(&url(([127, 0, 0, 1], 1).into()), &format!("tls:\n{}", indented(&tls)))
        .replace("PORT", "8080");
    let loaded = ropeway::supervisor::load::load(&[ropeway::spec::Source::new("test.yaml", text)]);
    assert!(!loaded.diagnostics.has_errors());
    let shown = format!("{:?}", loaded.objects);
    assert!(shown.contains("key_base64: Some(Spanned { value: ***"), "{shown}");
    let key = identity.key.lines().nth(1).unwrap();
    assert!(!shown.contains(key) && !shown.contains(&base64(&identity.key)), "{shown}");
    let _gateway: TestGateway =
        gateway(&url(([127, 0, 0, 1], 1).into()), &format!("tls:\n{}", indented(&tls)));
}
