//! Health checks: what they ask, how answers are judged, and what becomes of new and of live connections.

mod failover;
mod passive;
mod pace;
mod talk;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ropeway::app::Options;
use testkit::{Backend, BlackHole, Peer, Refusing, Serving, TestGateway, eventually, masked, op};

/// What health checks meet: it answers each by the same rule, until it is given another.
struct Patient {
    serving: Serving,
    state: Arc<Mutex<State>>,
}

struct State {
    answer: Answer,
    /// Heads that came, and what followed them.
    heard: Vec<(String, Vec<u8>)>,
}

type Answer = fn(&str) -> String;

impl Patient {
    fn new(answer: Answer) -> Self {
        let state = Arc::new(Mutex::new(State { answer, heard: Vec::new() }));
        let shared = state.clone();
        let serving = Backend::listen().serve(move |mut peer| {
            let head = peer.head();
            let answer = shared.lock().unwrap().answer;
            let answer = answer(&head);
            peer.send(answer.as_bytes());
            if !answer.starts_with("HTTP/1.1 101") {
                peer.finish();
            }
            let rest = if answer.starts_with("HTTP/1.1 101") {
                peer.bytes_or_end(8).unwrap_or_default()
            } else {
                peer.rest()
            };
            shared.lock().unwrap().heard.push((head, rest));
        });
        Patient { serving, state }
    }

    fn port(&self) -> u16 {
        self.serving.address.port()
    }

    fn becomes(&self, answer: Answer) {
        self.state.lock().unwrap().answer = answer;
    }

    /// The second check from now on: what followed from the first one has happened then.
    fn second_check(&self) -> (String, Vec<u8>) {
        let before = self.state.lock().unwrap().heard.len();
        eventually("two health checks", || self.state.lock().unwrap().heard.get(before + 1).cloned())
    }
}

fn well(head: &str) -> String {
    // An HTTP check has no key.
    Backend::answer(&format!("{head}sec-websocket-key: none\r\n"), "X-Status: healthy\r\n")
}

fn status(line: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {line}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn ok(_: &str) -> String {
    status("200 OK", "X-Status: healthy\r\nX-Status: other\r\n", "all is well, 17 of 17")
}

fn redirect(_: &str) -> String {
    status("302 Found", "Location: /nowhere\r\n", "")
}

fn broken(_: &str) -> String {
    status("500 Internal Server Error", "", "")
}

fn not_found(_: &str) -> String {
    status("404 Not Found", "", "no such room")
}

fn wrong_accept(head: &str) -> String {
    well(&head.to_lowercase())
}

fn agrees_to_v2(head: &str) -> String {
    Backend::answer(head, "Sec-WebSocket-Protocol: v2\r\n")
}

/// The body is still to come when the stream ends.
fn endless(_: &str) -> String {
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000000\r\n\r\ndata".into()
}

fn nonsense(_: &str) -> String {
    "hello\r\n\r\n".into()
}

/// Whether the gateway leads a client to the backend, or says that there is no server.
fn is_usable(gateway: SocketAddr, backend: &Backend) -> bool {
    let mut client = Peer::shake(gateway, "/ws", "");
    let server = eventually("an answer, or the backend's turn", || {
        backend.try_accept().map(Some).or_else(|| client.is_readable().then_some(None))
    });
    if server.is_none() {
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert!(head.to_lowercase().contains("x-ropeway-error: no_server"), "{head}");
    }
    server.is_some()
}

fn pool(check: &str) -> String {
    format!("healthCheck: {{ interval: 10ms, timeout: 2s, {check} }}\nmaxRetries: 0\n")
}

#[test]
fn each_field_of_a_check_decides() {
    let table: &[(&str, Answer, bool)] = &[
        ("ws: { @ }", well, true),
        ("ws: { @ }", ok, false),
        ("ws: { @ }", wrong_accept, false),
        ("ws: { @ }", nonsense, false),
        ("ws: { @, match: { statusCodes: [[400, 499]] } }", not_found, true),
        ("ws: { @, match: { statusCodes: [[400, 499]] } }", well, false),
        ("ws: { @, match: { statusCodes: [[404, 404]], body: { value: such room } } }", not_found, true),
        ("ws: { @, match: { statusCodes: [[404, 404]], body: { value: such hall } } }", not_found, false),
        ("ws: { @, match: { headers: [{ name: X-Status, value: healthy }] } }", well, true),
        ("ws: { @, match: { headers: [{ name: X-Status, value: Healthy, type: exact }] } }", well, false),
        ("ws: { @, match: { headers: [{ name: x-status, value: '^heal', type: regexp }] } }", well, true),
        ("ws: { @, match: { headers: [{ name: X-Status, value: '^eal', type: regexp }] } }", well, false),
        ("ws: { @, match: { headers: [{ name: X-Missing }] } }", well, true),
        ("ws: { @, match: { headers: [{ name: X-Missing, value: a }] } }", well, false),
        ("ws: { @, headers: { Sec-WebSocket-Protocol: 'v1, v2' } }", agrees_to_v2, true),
        ("ws: { @, headers: { Sec-WebSocket-Protocol: v1 } }", agrees_to_v2, false),
        ("http: { @ }", ok, true),
        ("http: { @ }", endless, true),
        ("http: { @ }", redirect, true),
        ("http: { @ }", broken, false),
        ("http: { @ }", not_found, false),
        ("http: { @ }", nonsense, false),
        ("http: { @, match: { statusCodes: [[200, 200], [404, 404]] } }", not_found, true),
        ("http: { @, match: { statusCodes: [[200, 200], [404, 404]] } }", redirect, false),
        ("http: { @, match: { body: { value: is well } } }", ok, true),
        ("http: { @, match: { body: { value: is ill, type: contains } } }", ok, false),
        ("http: { @, match: { body: { value: '\\d+ of \\d+$', type: regexp } } }", ok, true),
        ("http: { @, match: { body: { value: '^\\d+', type: regexp } } }", ok, false),
        ("http: { @, match: { body: { value: 'all is well, 17 of 17', type: exact } } }", ok, true),
        ("http: { @, match: { body: { value: 'all is well', type: exact } } }", ok, false),
        ("http: { @, match: { body: { value: data } } }", endless, true),
        ("http: { @, match: { body: { value: data, type: exact } } }", endless, false),
        ("http: { @, match: { headers: [{ name: X-Status, value: healthy }] } }", ok, true),
        ("http: { @, match: { headers: [{ name: X-Status, value: other }] } }", ok, false),
        ("http: { @ }, ws: { @, match: { statusCodes: [[200, 200]] } }", ok, true),
        ("http: { @ }, ws: { @ }", ok, false),
        ("http: { @ }, ws: { @ }", well, false),
    ];
    for (check, answer, is_well) in table {
        let (patient, backend) = (Patient::new(*answer), Backend::listen());
        let check = check.replace('@', &format!("port: {}", patient.port()));
        let gateway = TestGateway::to(&[backend.address], &pool(&check));
        patient.second_check();
        let found = eventually(&format!("{check}: {is_well}"), || {
            let found = is_usable(gateway.address, &backend);
            // Until the first verdict it is used.
            (found == *is_well).then_some(found)
        });
        assert_eq!(found, *is_well, "{check}");
        if *is_well {
            patient.second_check();
            assert!(is_usable(gateway.address, &backend), "{check}: well, and stays so");
        }
    }
}

#[test]
fn a_check_asks_what_is_set() {
    let table = [
        (
            "ws: { @ }",
            "GET / HTTP/1.1\r\n",
            vec!["host: 127.0.0.1:@", "sec-websocket-version: 13", "upgrade: websocket"],
        ),
        (
            "ws: { @, uri: /health/ws?a=b, headers: { X-Health-Check: easegress, Host: chat.example } }",
            "GET /health/ws?a=b HTTP/1.1\r\n",
            vec!["x-health-check: easegress", "host: chat.example", "connection: upgrade"],
        ),
        (
            "http: { @, uri: /health, method: POST, body: 'are you well?', headers: { host: h }, username: u, password: p }",
            "POST /health HTTP/1.1\r\n",
            vec!["content-length: 13", "host: h", "authorization: basic dtpw"],
        ),
        ("path: /old, http: { @ }", "GET /old HTTP/1.1\r\n", vec![]),
        ("path: /old, http: { @, uri: /new }", "GET /new HTTP/1.1\r\n", vec![]),
    ];
    for (check, line, lines) in table {
        let answer = if check.contains("ws:") { well } else { ok };
        let (patient, backend) = (Patient::new(answer), Backend::listen());
        let port = patient.port().to_string();
        let check = check.replace('@', &format!("port: {port}"));
        let _gateway = TestGateway::to(&[backend.address], &pool(&check));
        let (head, rest) = patient.second_check();
        assert!(head.starts_with(line), "{check}: {head}");
        let head = head.to_lowercase();
        for expected in lines {
            let expected = format!("\r\n{}\r\n", expected.replace('@', &port));
            assert!(head.contains(&expected), "{check}: {expected:?} is missing in {head}");
        }
        if check.starts_with("ws") {
            let key: [u8; 4] = rest[2..6].try_into().unwrap();
            let code: Vec<_> = rest[6..].iter().zip(key).map(|(byte, key)| byte ^ key).collect();
            assert_eq!((&rest[..2], &code[..]), (&[0x88, 0x82][..], &1000_u16.to_be_bytes()[..]), "a Close");
        }
    }
}

/// `uri`, or else the server's URL, say what is asked for.
#[test]
fn a_check_asks_for_the_path_of_the_servers_url() {
    for (url, line) in [
        ("", "GET / "),
        ("/", "GET / "),
        ("/health?full=1", "GET /health?full=1 "),
        ("?full=1", "GET /?full=1 "),
        ("/health#part", "GET /health "),
    ] {
        for check in ["ws", "http"] {
            let (patient, backend) = (Patient::new(well), Backend::listen());
            let documents = TestGateway::documents_to(
                &[backend.address],
                &pool(&format!("{check}: {{ port: {} }}", patient.port())),
            );
            let address = backend.address.to_string();
            let _gateway = TestGateway::start(&documents.replace(&address, &format!("{address}{url}")));
            let (head, _) = patient.second_check();
            assert!(head.starts_with(line), "{check}, {url:?}: {head}");
        }
    }
}

#[test]
fn servers_that_cannot_be_asked_are_not_well() {
    let (refusing, hole) = (Refusing::new(), BlackHole::new());
    let silent = Backend::listen();
    for (name, address) in [
        ("refuses", refusing.address),
        ("takes no connection", hole.address),
        ("says nothing", silent.address),
    ] {
        let backend = Backend::listen();
        let check =
            format!("healthCheck: {{ interval: 10ms, timeout: 50ms, ws: {{ port: {} }} }}\n", address.port());
        let gateway = TestGateway::to(&[SocketAddr::new(address.ip(), backend.address.port())], &check);
        eventually(name, || (!is_usable(gateway.address, &backend)).then_some(()));
    }
}

/// A sick server gets no new connections, and keeps those it has; when it is well again it gets its share.
#[test]
fn sick_and_well_again() {
    let patient = Patient::new(well);
    let sick = Backend::listen();
    let check = format!("ws: {{ port: {} }}", patient.port());
    let gateway = TestGateway::to(&[sick.address], &pool(&check));
    patient.second_check();
    let (mut client, mut server) = gateway.tunnel(&sick);
    for _ in 0..20 {
        patient.becomes(broken);
        eventually("a sick server", || (!is_usable(gateway.address, &sick)).then_some(()));
        client.send(&masked(op::TEXT, b"still here"));
        assert_eq!(server.frame().payload, b"still here");
        patient.becomes(well);
        eventually("a server that is well", || is_usable(gateway.address, &sick).then_some(()));
    }
}

/// Who looks after the gateway sees which servers are left out.
#[test]
fn metrics_tell_who_is_well() {
    let patient = Patient::new(ok);
    let backend = Backend::listen();
    let documents = format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n---\nname: NAME-ws\nkind: Pipeline\nfilters:\n\
         - kind: WebSocketProxy\n  name: proxy\n  pools:\n  - servers: [{{ url: 'ws://{}' }}]\n\
         \x20   healthCheck: {{ interval: 10ms, http: {{ port: {} }} }}\n",
        backend.address,
        patient.port()
    );
    let admin = SocketAddr::from(([127, 0, 0, 1], 0));
    let gateway = TestGateway::start_with(
        &documents,
        &Options { workers: 1, admin: Some(admin), ..Options::default() },
    );
    let labels = format!("{{pool=\"{}-ws/proxy#main\",server=\"ws://{}\"}}", gateway.name, backend.address);
    for (answer, figure) in [(ok as Answer, 1), (broken, 0), (ok, 1)] {
        patient.becomes(answer);
        let line = format!("\nropeway_server_usable{labels} {figure}\n");
        eventually(&line, || gateway.metrics().contains(&line).then_some(()));
    }
}

#[test]
fn a_verdict_needs_as_many_checks_as_are_set() {
    let patient = Patient::new(broken);
    let backend = Backend::listen();
    let check = format!("fails: 5, pass: 3, http: {{ port: {} }}", patient.port());
    let gateway = TestGateway::to(&[backend.address], &pool(&check));
    let checks = |patient: &Patient| patient.state.lock().unwrap().heard.len();
    eventually("a sick server", || (!is_usable(gateway.address, &backend)).then_some(()));
    assert!(checks(&patient) >= 5, "{} checks", checks(&patient));
    let before = checks(&patient);
    patient.becomes(ok);
    eventually("a server that is well", || is_usable(gateway.address, &backend).then_some(()));
    assert!(checks(&patient) >= before + 3, "{} checks", checks(&patient) - before);
}

/// With `initial: unhealthy` nobody is led to a server before it was found to be well.
#[test]
fn an_initial_verdict() {
    let patient = Patient::new(broken);
    let backend = Backend::listen();
    let check = format!("initial: unhealthy, http: {{ port: {} }}", patient.port());
    let gateway = TestGateway::to(&[backend.address], &pool(&check));
    assert!(!is_usable(gateway.address, &backend));
    patient.becomes(ok);
    eventually("a server that is well", || is_usable(gateway.address, &backend).then_some(()));
}

/// A right answer that comes late.
#[test]
fn an_answer_can_take_too_long() {
    let late = Backend::listen();
    let backend = Backend::listen();
    let check = format!("maxLatency: 20ms, http: {{ port: {} }}", late.address.port());
    let gateway = TestGateway::to(&[backend.address], &pool(&check));
    eventually("a verdict", || {
        let mut peer = late.accept();
        let began = Instant::now();
        let head = peer.head();
        eventually("the time that is too long", || {
            (began.elapsed() > Duration::from_millis(30)).then_some(())
        });
        peer.try_send(ok(&head).as_bytes());
        peer.rest();
        (!is_usable(gateway.address, &backend)).then_some(())
    });
}

/// Servers that say nothing hold no more connections than are allowed; all are asked in the end.
#[test]
fn so_many_checks_at_once_and_no_more() {
    let silent = Backend::listen();
    let check = format!(
        "healthCheck: {{ interval: 10ms, timeout: 60s, ws: {{ port: {} }} }}\n",
        silent.address.port()
    );
    let servers: Vec<_> = (1..=80).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
    let gateway = TestGateway::to(&servers, &check);
    let mut asking: Vec<_> = (0..64).map(|_| silent.accept()).collect();
    assert!(silent.try_accept().is_none(), "more than 64 at once");
    for _ in 0..16 {
        drop(asking.remove(0));
        asking.push(silent.accept());
    }
    drop(asking);
    gateway.stop();
}

/// Nothing waits for a check: neither the start nor the first clients.
#[test]
fn a_gateway_starts_though_no_server_answers() {
    let hole = BlackHole::new();
    let backend = Backend::listen();
    let check =
        format!("healthCheck: {{ interval: 60s, timeout: 60s, ws: {{ port: {} }} }}\n", hole.address.port());
    let began = Instant::now();
    let gateway = TestGateway::to(&[SocketAddr::new(hole.address.ip(), backend.address.port())], &check);
    assert!(is_usable(gateway.address, &backend));
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// The document of the user, with other ports and a shorter interval.
#[test]
fn the_health_check_example_works() {
    let text = include_str!("../../../../../examples/health-check.yaml");
    let checks =
        Patient::new(|head| if head.starts_with("GET /health/ws ") { well(head) } else { broken(head) });
    // By HTTP one is sick and one is well; to WebSockets both agree.
    let [sick, alive] = [(broken as Answer, "sick"), (ok, "well")].map(|(answer, name)| {
        Backend::listen().serve(move |mut peer| {
            let head = peer.head();
            let is_check = head.starts_with("GET /health ");
            let shaken = |head: &str| Backend::answer(head, &format!("X-Name: {name}\r\n"));
            peer.send(if is_check { answer(&head) } else { shaken(&head) }.as_bytes());
            peer.finish();
        })
    });
    let refusing = Refusing::new();
    let mut documents = text.replace("interval: 60s", "interval: 10ms");
    documents = documents.replace("port: 8080", "port: PORT\naddress: 127.0.0.1");
    let ports = [
        ("9095", sick.address),
        ("9096", alive.address),
        ("9097", refusing.address),
        ("10080", checks.serving.address),
    ];
    for (written, address) in ports {
        documents = documents.replace(written, &address.port().to_string());
    }
    let gateway = TestGateway::start(&documents);
    eventually("all handshakes with the one that is well", || {
        let mut answers = (0..6).map(|_| Peer::shake(gateway.address, "/ws", "").head());
        answers.all(|head| head.contains("\r\nX-Name: well\r\n")).then_some(())
    });
}
