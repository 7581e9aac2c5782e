//! `ropeway drain` and `ropeway undrain`, as their user meets them.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::soak::{Backends, Plan};
use testkit::{Backend, Peer, Serving, eventually, frame, free_port, masked, op};

use super::{Controlled, Killed, gateway, socket};
use crate::cli::Folder;
use crate::cli::process::{Ended, Process, json as parse, ropeway, run};
use crate::reload::soak::target;

/// A gateway with two listeners: `front` has two routes, `/ws` to the pool `chat/proxy#main` and `/more` to
/// `more/proxy#main`, and `side` one to the first. Both pools have the first server, and the first pool has a second.
struct Drainable {
    folder: Folder,
    process: Process,
    ports: [u16; 2],
    servers: [Serving; 2],
}

impl Drainable {
    fn start(name: &str) -> Self {
        let (ports, servers) = ([free_port(), free_port()], [(); 2].map(|()| Backend::listen().echo()));
        let text = documents(ports, &[servers[0].address, servers[1].address], "", "");
        let folder = Folder::new(name, &[("main.yaml", &text)]);
        let process = gateway(&folder);
        Drainable { folder, process, ports, servers }
    }

    /// Puts this in force instead: the servers of the first pool, further fields of it, and further rules of `front`.
    fn reload(&self, servers: &[SocketAddr], pool: &str, rules: &str) {
        self.folder.write("main.yaml", &documents(self.ports, servers, pool, rules));
        let reloaded = self.run(&["reload"]);
        assert_eq!(reloaded.code, Some(0), "{}", reloaded.err);
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        run(&[arguments, &["--control", &socket(&self.folder)]].concat())
    }

    /// Runs a command that succeeds, and says which objects it tells of.
    fn order(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{arguments:?}");
        parse(&ended.out.replace('\n', " "))["objects"].take()
    }

    fn status(&self) -> Value {
        let ended = self.run(&["status", "-o", "json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        parse(&ended.out.replace('\n', " "))
    }

    fn url(&self, server: usize) -> String {
        format!("ws://{}", self.servers[server].address)
    }

    /// What the answer to a handshake begins with.
    fn shake(&self, port: u16, path: &str) -> (Peer, String) {
        let mut client = Peer::shake(([127, 0, 0, 1], port).into(), path, "");
        let head = client.head();
        (client, head)
    }

    fn open(&self, port: u16, path: &str) -> Peer {
        let (client, head) = self.shake(port, path);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    fn open_many(&self, count: usize) -> Vec<Peer> {
        (0..count).map(|_| self.open(self.ports[0], "/ws")).collect()
    }

    /// That new handshakes are refused because of a drain.
    fn is_refused(&self, port: u16, path: &str) {
        let (_, head) = self.shake(port, path);
        let lower = head.to_lowercase();
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        for header in ["x-ropeway-error: drained\r\n", "connection: close\r\n", "retry-after: 1\r\n"] {
            assert!(lower.contains(header), "no {header} in {head}");
        }
    }

    /// How many of its tunnels have ended by command.
    fn ended(&self) -> usize {
        self.process.errs("\"cause\":\"drain:command\"").len()
    }
}

fn documents(ports: [u16; 2], servers: &[SocketAddr], pool: &str, rules: &str) -> String {
    let urls = |servers: &[SocketAddr]| {
        let urls: Vec<_> = servers.iter().map(|server| format!("{{ url: 'ws://{server}' }}")).collect();
        urls.join(", ")
    };
    let listener = |name: &str, port: u16, rules: &str| {
        format!(
            "name: {name}\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\ndrain: {{ window: 0 }}\nrules:\n{rules}"
        )
    };
    let pipeline = |name: &str, servers: &[SocketAddr], fields: &str| {
        format!(
            "---\nname: {name}\nkind: Pipeline\nfilters:\n- kind: WebSocketProxy\n  name: proxy\n  pools:\n  \
             - {{ servers: [{}]{fields} }}\n",
            urls(servers)
        )
    };
    let more = format!(
        "{rules}- paths: [{{ path: /ws, backend: chat }}]\n- paths: [{{ path: /more, backend: more }}]\n---\n"
    );
    [
        listener("front", ports[0], &more),
        listener("side", ports[1], "- paths: [{ path: /ws, backend: chat }]\n"),
        pipeline("chat", servers, pool),
        pipeline("more", &servers[..1], ""),
    ]
    .concat()
}

/// Sends a message and gets it back.
fn echo(client: &mut Peer) {
    client.send(&masked(op::TEXT, b"still here"));
    assert_eq!(client.frame().opcode, op::TEXT);
}

/// The Close frame that a client is told to go with; it answers.
fn farewell(client: &mut Peer) -> (u16, String) {
    let close = client.frame();
    assert_eq!(close.opcode, op::CLOSE);
    client.send(&frame(0x88, Some([1, 2, 3, 4]), &close.payload));
    client.finish();
    close.close()
}

#[test]
fn a_server_gets_nothing_new_and_its_tunnels_end() {
    let gateway = Drainable::start("drain-server");
    let (url, pool) = (gateway.url(1), "chat/proxy#main");
    // They take turns.
    let mut clients = gateway.open_many(6);
    let drained = gateway.order(&["drain", "server", &url]);
    let expected = json!([{ "object": "server", "pool": pool, "name": url, "left": 3, "since_s": 0, "window_s": 0.0, "deadline_s": 25.0 }]);
    assert_eq!(drained, expected);
    for (number, client) in clients.iter_mut().enumerate() {
        match number % 2 {
            0 => echo(client),
            _ => assert_eq!(farewell(client), (1001, "drained".into())),
        }
    }
    eventually("the ends", || (gateway.ended() == 3).then_some(()));
    clients.extend(gateway.open_many(4));
    let status = gateway.status();
    let servers = &status["pools"][0]["servers"];
    assert_eq!((&servers[0]["connections"], &servers[1]["connections"]), (&7.into(), &0.into()), "{status}");
    assert_eq!((&servers[1]["drained"], &servers[1]["usable"]), (&true.into(), &false.into()), "{status}");
    let table = gateway.run(&["status"]).out;
    assert!(table.contains(&format!("{pool}  {url}  drained  0")), "{table}");
    assert!(table.contains("\nDRAINED  NAME") && table.contains("end over 0s\n"), "{table}");
    let metrics = metrics(&gateway.folder);
    let figure =
        format!("ropeway_drained_connections{{object=\"server\",name=\"{url}\",pool=\"{pool}\"}} 0\n");
    assert!(metrics.contains(&figure), "{metrics}");
    let begun = parse(&gateway.process.err("drain has begun"));
    assert_eq!(
        (&begun["object"], &begun["name"], &begun["left"]),
        (&"server".into(), &url.into(), &3.into())
    );
    gateway.process.err("drain: nothing is left");

    assert_eq!(gateway.order(&["undrain", "server", &gateway.url(1)])[0]["object"], "server");
    gateway.process.err("drain is taken back");
    let _new = gateway.open_many(4);
    let status = gateway.status();
    assert_eq!(
        (&status["pools"][0]["servers"][1]["connections"], &status["drained"]),
        (&2.into(), &json!([]))
    );
}

/// What `/metrics` tells over the control socket.
fn metrics(folder: &Folder) -> String {
    let mut stream = UnixStream::connect(socket(folder)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_pool_without_a_server_says_why() {
    let gateway = Drainable::start("drain-pool");
    let mut kept = gateway.open_many(2);
    let mut other = gateway.open(gateway.ports[0], "/more");
    gateway.order(&["drain", "pool", "chat/proxy#main", "--keep-tunnels"]);
    gateway.is_refused(gateway.ports[0], "/ws");
    gateway.is_refused(gateway.ports[1], "/ws");
    kept.iter_mut().for_each(echo);
    // Ordered again, it is drained as the last order says.
    let drained = gateway.order(&["drain", "pool", "chat/proxy#main", "--window", "100ms"]);
    assert_eq!((&drained[0]["left"], &drained[0]["window_s"]), (&2.into(), &0.1.into()));
    kept.iter_mut().for_each(|client| assert_eq!(farewell(client).0, 1001));
    assert_eq!(gateway.status()["drained"].as_array().unwrap().len(), 1);
    echo(&mut other);
    let by_itself = gateway.run(&["undrain", "server", &gateway.url(0)]);
    assert_eq!(by_itself.code, Some(1));
    assert!(by_itself.err.contains("is drained; there is none"), "{}", by_itself.err);
    let undrained = gateway.run(&["undrain", "pool", "chat/proxy#main"]);
    let table = "IN USE AGAIN  NAME             POOL  LEFT\npool          chat/proxy#main        0\n";
    assert_eq!((undrained.code, &*undrained.out), (Some(0), table), "{}", undrained.err);
    gateway.open_many(1);
}

#[test]
fn a_route_refuses_and_says_goodbye() {
    let gateway = Drainable::start("drain-route");
    let (mut told, mut other) =
        (gateway.open(gateway.ports[0], "/ws"), gateway.open(gateway.ports[0], "/more"));
    let mut elsewhere = gateway.open(gateway.ports[1], "/ws");
    let mut waiting = Peer::connect(([127, 0, 0, 1], gateway.ports[0]).into());
    waiting.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = waiting.head();
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let length =
        head.to_lowercase().split_once("content-length: ").unwrap().1.lines().next().unwrap().to_owned();
    waiting.bytes(length.parse().unwrap());
    let drained = gateway.order(&["drain", "route", "front/0/0"]);
    assert_eq!((&drained[0]["name"], &drained[0]["left"]), (&"front/0/0".into(), &1.into()));
    assert_eq!(farewell(&mut told), (1001, "drained".into()));
    gateway.is_refused(gateway.ports[0], "/ws");
    echo(&mut other);
    echo(&mut elsewhere);
    gateway.open(gateway.ports[0], "/more");
    waiting.send(b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = waiting.head().to_lowercase();
    assert!(head.starts_with("http/1.1 503 ") && head.contains("connection: close\r\n"), "{head}");
    waiting.rest();
    gateway.order(&["undrain", "route", "front/0/0"]);
    gateway.open(gateway.ports[0], "/ws");
}

#[test]
fn a_listener_refuses_everything_and_ends_what_waits() {
    let gateway = Drainable::start("drain-listener");
    let mut told = [gateway.open(gateway.ports[0], "/ws"), gateway.open(gateway.ports[0], "/more")];
    let mut elsewhere = gateway.open(gateway.ports[1], "/ws");
    let mut waiting = Peer::connect(([127, 0, 0, 1], gateway.ports[0]).into());
    waiting.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    waiting.head();
    gateway.order(&["drain", "listener", "front"]);
    told.iter_mut().for_each(|client| assert_eq!(farewell(client), (1001, "drained".into())));
    waiting.rest();
    for path in ["/ws", "/more", "/none"] {
        gateway.is_refused(gateway.ports[0], path);
    }
    echo(&mut elsewhere);
    assert_eq!(gateway.status()["ready"], true, "the other listener is in use");
    gateway.order(&["drain", "listener", "side", "--keep-tunnels"]);
    assert_eq!(gateway.status()["ready"], false, "no listener is");
    echo(&mut elsewhere);
    gateway.order(&["undrain", "listener", "front", "side"]);
    assert_eq!(gateway.status()["ready"], true);
    gateway.open(gateway.ports[0], "/ws");
}

/// A handshake that is under way is finished. What it becomes ends with the others, and those who wait hear of it.
#[test]
fn a_handshake_under_way_is_finished_first() {
    let gateway = Controlled::start("drain-handshake");
    let mut client = Peer::shake(([127, 0, 0, 1], gateway.port).into(), "/ws", "");
    let mut server = gateway.backend.accept();
    let request = server.head();
    let url = format!("ws://{}", gateway.backend.address);
    let socket = socket(&gateway.folder);
    let mut draining =
        Process::start(&mut ropeway(&["drain", "server", &url, "--wait", "--control", &socket]));
    assert!(draining.out("ws://").contains("chat/proxy#main  1 "), "{:?}", draining.lines());
    server.send(Backend::answer(&request, "").as_bytes());
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(farewell(&mut client), (1001, "drained".into()));
    let close = server.frame();
    assert_eq!(close.close(), (1001, "drained".into()));
    server.send(&frame(0x88, None, &close.payload));
    drop(server);
    draining.feed("");
    assert_eq!(draining.wait().code, Some(0));
}

/// Undrained in the middle: who was told is gone, all others live on, past the time when they would have been told.
#[test]
fn a_gateway_goes_on_when_its_drain_is_taken_back() {
    const WINDOW: Duration = Duration::from_secs(2);
    let gateway = Drainable::start("drain-gateway");
    let mut clients = gateway.open_many(40);
    let began = Instant::now();
    let drained = gateway.order(&["drain", "gateway", "--window", "2s"]);
    assert_eq!((&drained[0]["object"], &drained[0]["left"]), (&"gateway".into(), &40.into()));
    gateway.is_refused(gateway.ports[0], "/ws");
    gateway.is_refused(gateway.ports[1], "/ws");
    assert_eq!(gateway.status()["ready"], false);
    eventually("some ends", || clients.iter_mut().any(Peer::is_readable).then_some(()));
    gateway.order(&["undrain", "gateway"]);
    let (mut told, mut others) = (Vec::new(), Vec::new());
    for mut client in clients {
        if client.is_readable() { told.push(client) } else { others.push(client) }
    }
    assert!(!told.is_empty() && !others.is_empty(), "{} of 40", told.len());
    told.iter_mut().for_each(|client| assert_eq!(farewell(client), (1001, "drained".into())));
    while began.elapsed() < WINDOW + Duration::from_secs(1) {
        others.iter_mut().for_each(echo);
    }
    assert_eq!(gateway.status()["ready"], true);
    gateway.open(gateway.ports[0], "/ws");
}

/// No client is told earlier or later than at an even pace by more than a tenth of the window.
#[test]
fn the_ends_are_spread_over_the_window() {
    const TUNNELS: usize = 100;
    const WINDOW: f64 = 4.0;
    let gateway = Drainable::start("drain-pace");
    let mut clients: Vec<_> = gateway.open_many(TUNNELS).into_iter().map(Some).collect();
    let began = Instant::now();
    let order =
        ["drain", "listener", "front", "--window", "4s", "--max-rate", "10000/s", "--deadline", "10s"];
    let mut draining = Process::start(&mut ropeway(
        &[&order[..], &["--wait", "--control", &socket(&gateway.folder)]].concat(),
    ));
    let mut ends = Vec::new();
    while ends.len() < TUNNELS {
        assert!(began.elapsed() < testkit::PATIENCE, "{} of {TUNNELS} have ended", ends.len());
        for slot in &mut clients {
            if slot.as_mut().is_some_and(Peer::is_readable) {
                ends.push(began.elapsed().as_secs_f64() / WINDOW);
                assert_eq!(farewell(&mut slot.take().unwrap()).0, 1001);
            }
        }
    }
    let even = |number: usize| (number as f64 + 0.5) / TUNNELS as f64;
    let off = ends.iter().enumerate().map(|(number, end)| (end - even(number)).abs()).fold(0.0, f64::max);
    assert!(off <= 0.1, "off by {off:.3} of the window: {ends:.2?}");
    draining.feed("");
    let waited = draining.wait();
    assert_eq!(waited.code, Some(0), "{}", waited.err);
    assert!(waited.out.contains("listener  front        100   0s     end over 4s"), "{}", waited.out);
}

/// Busy tunnels, each message of them checked, and handshakes beside them: those of one server end evenly, nobody else
/// notices.
#[test]
fn a_server_is_drained_under_traffic() {
    const TUNNELS: usize = 100;
    const WINDOW: Duration = Duration::from_secs(4);
    let (ports, backends) =
        ([free_port(), free_port()], Backends::listen(&[([127, 0, 0, 1], 0).into(); 2]).unwrap());
    let (url, text) =
        (format!("ws://{}", backends.addresses[1]), documents(ports, &backends.addresses, "", ""));
    let folder = Folder::new("drain-traffic", &[("main.yaml", &text)]);
    let _process = gateway(&folder);
    let target = target(([127, 0, 0, 1], ports[0]).into(), None);
    let (interval, churn) = (Duration::from_millis(100), Some(Duration::from_millis(50)));
    let soak = backends.soak(target, Plan { tunnels: TUNNELS, interval, churn, ..Plan::default() }).unwrap();
    eventually("all tunnels", || (soak.settled() >= TUNNELS).then_some(()));
    let began = soak.elapsed();
    let socket = socket(&folder);
    let order =
        ["drain", "server", &url, "--window", "4s", "--max-rate", "100000/s", "--wait", "--control", &socket];
    let drained = run(&order);
    assert_eq!(drained.code, Some(0), "{}", drained.err);
    let report = soak.finish();
    assert!(report.messages_are_clean() && report.failed_handshakes == 0, "{report}");
    let ended: Vec<_> = report.closes.keys().map(|close| (close.code, &*close.reason)).collect();
    assert_eq!(ended, [(1001, "drained")], "{report}");
    // They take turns, those included that come and go.
    assert!(report.unexpected_closes().abs_diff(TUNNELS as u64 / 2) <= 10, "{report}");
    let unevenness = report.unevenness(began, WINDOW).unwrap();
    assert!(unevenness <= 0.1, "off by {unevenness:.3} of the window\n{report}");
}

#[test]
fn who_waits_hears_that_it_is_taken_back() {
    let gateway = Drainable::start("drain-wait");
    let _client = gateway.open(gateway.ports[0], "/ws");
    let socket = socket(&gateway.folder);
    let order = ["drain", "gateway", "--keep-tunnels", "--wait", "--control", &socket];
    let waiting = Process::start(&mut ropeway(&order));
    waiting.out("gateway");
    gateway.order(&["undrain", "gateway"]);
    let ended = waiting.wait();
    assert_eq!((ended.code, &*ended.err), (Some(1), "error: it is drained no more\n"));
}

#[test]
fn a_server_of_two_pools_is_told_apart() {
    let gateway = Drainable::start("drain-names");
    let url = gateway.url(0);
    let ambiguous = gateway.run(&["drain", "server", &url]);
    assert_eq!((ambiguous.code, &*ambiguous.out), (Some(1), ""));
    for part in ["`chat/proxy#main`, `more/proxy#main`", "`--pool`", "`--all-pools`"] {
        assert!(ambiguous.err.contains(part), "{}", ambiguous.err);
    }
    let one = gateway.order(&["drain", "server", &url, "--pool", "more/proxy#main"]);
    assert_eq!((one.as_array().unwrap().len(), &one[0]["pool"]), (1, &"more/proxy#main".into()));
    gateway.is_refused(gateway.ports[0], "/more");
    gateway.open_many(2);
    let both = gateway.order(&["drain", "server", &url, "--all-pools"]);
    assert_eq!(both.as_array().unwrap().len(), 2);
    assert_eq!(gateway.status()["drained"].as_array().unwrap().len(), 2);
    gateway.order(&["undrain", "server", &url, "--pool", "more/proxy#main"]);
    gateway.open(gateway.ports[0], "/more");
    gateway.order(&["undrain", "server", &url]);

    let slip = gateway.run(&["drain", "pool", "chat/proxy#man"]);
    assert_eq!(slip.code, Some(1));
    assert!(slip.err.contains("did you mean `chat/proxy#main`?; there are: "), "{}", slip.err);
    let half = gateway.run(&["drain", "route", "front/0/0", "chat"]);
    assert!(half.err.contains("no route `chat` is in force; there are: front/0/0, "), "{}", half.err);
    assert_eq!(gateway.status()["drained"], json!([]), "nothing was done");
    let (code, err) = (Some(64), "");
    for misuse in [
        &["drain", "server"][..],
        &["drain", "gateway", "front"],
        &["drain", "cluster", "a"],
        &["drain", "pool", "a", "--pool", "b"],
        &["drain", "pool", "a", "--window", "10s", "--deadline", "5s"],
        &["drain", "pool", "a", "--window", "10s", "--keep-tunnels"],
        &["drain", "pool", "a", "--window", "much"],
        &["undrain", "listener"],
    ] {
        let ended = gateway.run(misuse);
        assert_eq!((ended.code, &*ended.out), (code, err), "{misuse:?}: {}", ended.err);
        assert!(ended.err.contains("error: "), "{misuse:?}: {}", ended.err);
    }
}

#[test]
fn a_drain_outlives_a_reload() {
    let gateway = Drainable::start("drain-reload");
    let all = [gateway.servers[0].address, gateway.servers[1].address];
    let url = gateway.url(1);
    let mut clients = gateway.open_many(2);
    gateway.order(&["drain", "server", &url, "--window", "24h"]);
    gateway.order(&["drain", "route", "front/1/0"]);
    // The pool is built anew, and so are the rules: the route has another name now.
    gateway.reload(&all, ", clientMaxMsgSize: 1000", "- paths: [{ path: /new, backend: chat }]\n");
    gateway.process.err("a drained route has another name now");
    gateway.is_refused(gateway.ports[0], "/more");
    clients.extend(gateway.open_many(3));
    gateway.open(gateway.ports[0], "/new");
    let status = gateway.status();
    assert_eq!(status["drained"][1]["name"], "front/2/0", "{status}");
    assert_eq!(status["pools"][0]["servers"][1]["connections"], 1, "{status}");
    gateway.order(&["undrain", "route", "front/2/0"]);
    gateway.open(gateway.ports[0], "/more");

    gateway.reload(&all[..1], ", onRemoved: { action: keep }", "");
    let gone = parse(&gateway.process.err("what is drained is in the configuration no more"));
    assert_eq!((&gone["object"], &gone["name"]), (&"server".into(), &url.clone().into()));
    let status = gateway.status();
    assert_eq!((&status["drained"][0]["removed"], &status["drained"][0]["left"]), (&true.into(), &1.into()));
    gateway.reload(&all, "", "");
    gateway.process.err("what was removed is back");
    clients.extend(gateway.open_many(3));
    assert_eq!(gateway.status()["pools"][0]["servers"][1]["connections"], 1, "it is still drained");
    clients.iter_mut().for_each(echo);
    // Removed when nothing is left, it is forgotten.
    drop(clients);
    gateway.reload(&all[..1], "", "");
    eventually("an end", || (gateway.status()["drained"] == json!([])).then_some(()));
    gateway.reload(&all, "", "");
    gateway.open_many(2);
    assert_eq!(gateway.status()["pools"][0]["servers"][1].get("drained"), None);
}

#[test]
fn a_drain_outlives_an_upgrade() {
    let gateway = Drainable::start("drain-upgrade");
    let mut clients = gateway.open_many(2);
    gateway.order(&["drain", "server", &gateway.url(1), "--keep-tunnels"]);
    gateway.order(&["drain", "route", "front/1/0", "--window", "1h"]);
    let upgraded = gateway.run(&["upgrade", "-o", "json"]);
    assert_eq!(upgraded.code, Some(0), "{}", upgraded.err);
    let _successor = Killed(parse(&upgraded.out.replace('\n', " "))["pid"].as_i64().unwrap());
    let status = eventually("the status of the new process", || {
        let ended = gateway.run(&["status", "-o", "json"]);
        (ended.code == Some(0))
            .then(|| parse(&ended.out.replace('\n', " ")))
            .filter(|status| status["tunnels"] == 2)
    });
    let drained = &status["drained"];
    assert_eq!((&drained[0]["object"], &drained[0]["left"]), (&"server".into(), &1.into()), "{status}");
    assert_eq!(
        (&drained[1]["object"], &drained[1]["window_s"]),
        (&"route".into(), &3600.0.into()),
        "{status}"
    );
    gateway.is_refused(gateway.ports[0], "/more");
    clients.iter_mut().for_each(echo);
    gateway.order(&["drain", "gateway"]);
    clients.iter_mut().for_each(|client| assert_eq!(farewell(client), (1001, "drained".into())));
}

#[test]
fn a_drain_obeys_what_is_set_meanwhile() {
    let gateway = Drainable::start("drain-pace-changed");
    let mut client = gateway.open(gateway.ports[0], "/ws");
    let all = [gateway.servers[0].address, gateway.servers[1].address];
    let set = |window: &str| {
        let text = documents(gateway.ports, &all, "", "")
            .replace("{ window: 0 }", &format!("{{ window: {window} }}"));
        gateway.folder.write("main.yaml", &text);
        assert_eq!(gateway.run(&["reload"]).code, Some(0));
    };
    set("24h");
    assert_eq!(gateway.order(&["drain", "listener", "front"])[0]["window_s"], 86400.0);
    echo(&mut client);
    set("1h");
    assert_eq!(gateway.status()["drained"][0]["window_s"], 3600.0);
    echo(&mut client);
    set("0");
    assert_eq!(farewell(&mut client), (1001, "drained".into()));
}

/// Tunnels that end by command are counted as such, by what the file says.
#[test]
fn plan_counts_what_is_drained() {
    let gateway = Drainable::start("drain-plan");
    let _tunnels = [
        gateway.open_many(4),
        vec![gateway.open(gateway.ports[0], "/more"), gateway.open(gateway.ports[1], "/ws")],
    ];
    let all = [gateway.servers[0].address, gateway.servers[1].address];
    let file = gateway.folder.path("next.yaml");
    let plan = |window: &str, fields: &str| {
        let text = documents(gateway.ports, &all, fields, "")
            .replace("{ window: 0 }", &format!("{{ window: {window} }}"));
        gateway.folder.write("next.yaml", &text);
        let planned = gateway.run(&["plan", &file, "-o", "json"]);
        parse(&planned.out.replace('\n', " "))["tunnels"].take()
    };
    let fates = |keep, drain, close| json!({ "keep": keep, "drain": drain, "close": close });
    assert_eq!(plan("0", ""), fates(6, 0, 0));
    gateway.order(&["drain", "server", &gateway.url(1), "--window", "24h"]);
    assert_eq!(plan("0", ""), fates(4, 2, 0));
    assert_eq!(plan("0", ", clientMaxMsgSize: 10"), fates(4, 2, 0));
    gateway.order(&["drain", "route", "front/1/0", "--window", "24h"]);
    gateway.order(&["drain", "listener", "side", "--keep-tunnels"]);
    assert_eq!(plan("0", ""), fates(3, 3, 0));
    gateway.order(&["undrain", "route", "front/1/0"]);
    gateway.order(&["undrain", "listener", "side"]);
    gateway.order(&["undrain", "server", &gateway.url(1)]);
    // What the command leaves open is as the file says.
    let text = documents(gateway.ports, &all, "", "").replace("{ window: 0 }", "{ window: 24h }");
    gateway.folder.write("main.yaml", &text);
    assert_eq!(gateway.run(&["reload"]).code, Some(0));
    gateway.order(&["drain", "gateway"]);
    assert_eq!(plan("24h", ""), fates(0, 6, 0));
    assert_eq!(plan("0", ""), fates(0, 0, 6));
}

/// Whoever asks a gateway that stops is answered at once.
#[test]
fn a_gateway_that_stops_still_answers() {
    let gateway = Drainable::start("drain-answers");
    let all = [gateway.servers[0].address, gateway.servers[1].address];
    let text = documents(gateway.ports, &all, "", "").replace("{ window: 0 }", "{ window: 24h }");
    gateway.folder.write("main.yaml", &text);
    assert_eq!(gateway.run(&["reload"]).code, Some(0));
    let mut clients = gateway.open_many(3);
    gateway.process.signal(Signal::TERM);
    gateway.process.err("draining; a second signal stops at once");
    let status = eventually("that it stops", || Some(gateway.status()).filter(|s| s["stopping"].is_object()));
    assert_eq!((&status["ready"], &status["stopping"]["left"]), (&false.into(), &3.into()), "{status}");
    let table = gateway.run(&["status"]).out;
    assert!(table.starts_with("not ready\ntunnels: 3\nthe gateway stops: 3 tunnels are left, "), "{table}");
    let planned = gateway.run(&["plan", &gateway.folder.path("main.yaml")]);
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    for order in [&["reload"][..], &["upgrade"], &["drain", "gateway"], &["undrain", "gateway"]] {
        let ended = gateway.run(order);
        assert_eq!(ended.code, Some(1), "{order:?}");
        assert!(ended.err.contains("the gateway stops, and changes nothing"), "{order:?}: {}", ended.err);
    }
    clients.iter_mut().for_each(echo);
    gateway.process.signal(Signal::TERM);
    assert_eq!(gateway.process.wait().code, Some(130));
}

/// A gateway that is drained by command stops as any other.
#[test]
fn a_drained_gateway_can_be_stopped() {
    let gateway = Drainable::start("drain-stop");
    let mut client = gateway.open(gateway.ports[0], "/ws");
    gateway.order(&["drain", "gateway", "--keep-tunnels"]);
    gateway.process.signal(Signal::TERM);
    assert_eq!(farewell(&mut client), (1001, "gateway stops".into()));
    assert_eq!(gateway.process.wait().code, Some(0));
}
