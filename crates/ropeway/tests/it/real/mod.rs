//! The user's first example file, run by the real program, with real peers on both sides.

mod curl;
mod legs;
pub(crate) mod needs;
pub(crate) mod peers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::Value;
use testkit::free_port;

use self::peers::{ALL, Echo, Library, browser, client};
use crate::cli::process::{Gateway, Process, json, ropeway};

/// The example with other ports. `change` changes the text further.
fn example(backends: [u16; 4], change: impl FnOnce(String) -> String) -> Gateway {
    let mut text = fs::read_to_string(format!("{}/examples/websocket.yaml", needs::ROOT)).unwrap();
    let ports = [8080, 12345, 9095, 9096, 9097].into_iter().zip([free_port()].into_iter().chain(backends));
    for (documented, port) in ports {
        let whole = text.clone();
        text = text.replace(&format!("127.0.0.1:{documented}"), &format!("127.0.0.1:{port}"));
        text = text.replace(&format!("port: {documented}"), &format!("port: {port}"));
        assert_ne!(whole, text, "{documented} is not in the example");
    }
    let mut gateway = Gateway::start(&change(text));
    gateway.address = SocketAddr::from(([127, 0, 0, 1], gateway.address.port()));
    gateway
}

/// Stops it, and gives its log.
fn log_of(gateway: Gateway) -> Vec<Value> {
    gateway.process.signal(Signal::TERM);
    let ended = gateway.process.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    ended.err.lines().map(json).collect()
}

#[test]
fn every_client_against_websockets() {
    every_client_against(Library::Websockets);
}

#[test]
fn every_client_against_aiohttp() {
    every_client_against(Library::Aiohttp);
}

#[test]
fn every_client_against_node() {
    every_client_against(Library::Node);
}

fn every_client_against(library: Library) {
    for flags in [&[][..], &["--no-deflate"]] {
        let backend = Echo::start(library, flags);
        let gateway = example([backend.port; 4], |text| text);
        let address = gateway.address;
        // The query tells the clients apart in the backend's events.
        let url = |client| format!("ws://{address}/ws?client={client:?}");
        let clients = ALL.map(|library| (library, client(library, &url(library), flags)));
        for (name, client) in clients {
            let ended = client.wait();
            let row = format!("{name:?} -> {library:?} {flags:?}");
            assert_eq!(ended.code, Some(0), "{row}: {ended:?}");
            assert_eq!(json(&ended.out)["ok"], true, "{row}: {ended:?}");
        }
        let log = log_of(gateway);
        let events = backend.stop();
        for name in ALL {
            check_events(&events, library, name, address);
        }
        let opens = events.iter().filter(|event| event["event"] == "open").count();
        check_log(&log, opens);
    }
}

/// What the backend saw of one client.
fn check_events(events: &[Value], backend: Library, client: Library, gateway: SocketAddr) {
    let path = format!("/ws?client={client:?}");
    let opens: Vec<_> = events.iter().filter(|event| event["path"] == *path).collect();
    let row = format!("{client:?} -> {backend:?}: {opens:#?}");
    assert!(opens.len() >= 9, "{row}");
    let expected = [
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("x-forwarded-host", gateway.to_string()),
        ("x-forwarded-proto", "http".to_owned()),
        ("host", gateway.to_string()),
        ("origin", "http://127.0.0.1/hello".to_owned()),
    ];
    for open in &opens {
        for (name, value) in &expected {
            assert_eq!(header(open, name), [&**value], "{name} of {row}");
        }
    }
    let chosen = opens.iter().filter(|open| open["subprotocol"] == "chat.v1").count();
    assert_eq!(chosen, 1, "{row}");

    let ids: BTreeSet<_> = opens.iter().map(|open| open["id"].as_u64()).collect();
    let ends: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "close" && ids.contains(&event["id"].as_u64()))
        .map(|event| (event["code"].as_u64().unwrap(), event["reason"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(ends.len(), opens.len(), "{row}: {ends:?}");
    assert!(ends.contains(&(4001, "tschüß")), "{row}: {ends:?}");
    assert!(!ends.iter().any(|(code, _)| *code == 1006), "{row}: {ends:?}");
}

fn header<'a>(open: &'a Value, name: &str) -> Vec<&'a str> {
    let pairs = open["headers"].as_array().unwrap().iter();
    pairs
        .filter(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name))
        .map(|pair| pair[1].as_str().unwrap())
        .collect()
}

/// Every tunnel has one line at its beginning and one at its end.
fn check_log(log: &[Value], tunnels: usize) {
    let mut lines: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for line in log.iter().filter(|line| line["target"] == "ropeway::tunnel") {
        lines.entry(line["id"].as_str().unwrap()).or_default().push(line);
    }
    assert_eq!(lines.len(), tunnels, "{log:#?}");
    for (id, lines) in &lines {
        let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(messages, ["tunnel open", "tunnel closed"], "{id}");
        for field in ["route", "pool", "server"] {
            assert_eq!(lines[0][field], lines[1][field], "{field} of {id}");
        }
        assert_eq!(lines[1]["route"], "demo-server/0/0", "{id}");
        assert_eq!(lines[1]["pool"], "websocket-pipeline/wsproxy#main", "{id}");
    }
    let ends: Vec<_> = lines.values().map(|lines| lines[1]).collect();
    let with = |fields: &[(&str, &str)]| {
        ends.iter().filter(|end| fields.iter().all(|(field, value)| end[*field] == **value)).count()
    };
    let by_client =
        [("client_close", "4001"), ("server_close", "4001"), ("ended_by", "client"), ("cause", "closed")];
    assert_eq!(with(&by_client), ALL.len(), "{ends:#?}");
    let by_server = [("server_close", "4002"), ("ended_by", "server"), ("cause", "closed")];
    assert_eq!(with(&by_server), ALL.len(), "{ends:#?}");
    assert_eq!(with(&[("cause", "closed")]), tunnels, "{ends:#?}");
    assert_eq!(with(&[("sent_to_client", "-"), ("sent_to_server", "-")]), tunnels, "{ends:#?}");
}

/// The file lists four servers; each gets its share.
#[test]
fn the_four_servers_take_turns() {
    let libraries = [Library::Websockets, Library::Aiohttp, Library::Node, Library::Websockets];
    let backends = libraries.map(|library| Echo::start(library, &[]));
    let ports = [0, 1, 2, 3].map(|at: usize| backends[at].port);
    let gateway = example(ports, |text| text);
    let ended = client(Library::Websockets, &format!("ws://{}/ws", gateway.address), &[]).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let log = log_of(gateway);
    let mut tunnels = 0;
    for backend in backends {
        let port = backend.port;
        let opens = backend.stop().iter().filter(|event| event["event"] == "open").count();
        let logged = log.iter().filter(|line| {
            line["message"] == "tunnel open" && line["server"] == format!("ws://127.0.0.1:{port}")
        });
        assert_eq!(opens, logged.count());
        assert!((2..=4).contains(&opens), "{opens} of about a dozen");
        tunnels += opens;
    }
    assert!(tunnels > 10, "{tunnels}");
}

#[test]
fn a_page_in_a_browser() {
    if !needs::browser("a page in a browser") {
        return;
    }
    let demo = Process::start(&mut ropeway(&["demo", "--listen", "127.0.0.1:0", "--log-format", "json"]));
    let page = demo.out("a page");
    let ended = browser(&page[page.find("http://").unwrap()..]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let seen = json(ended.out.trim());
    assert_eq!((&seen["ok"], &seen["state"]), (&true.into(), &"open".into()), "{seen}");
    // What the page sends by itself, and what the browser's user did.
    assert_eq!(seen["received"], serde_json::json!(["hello through the ropeway", "over the valley"]));
    demo.signal(Signal::INT);
    let log: Vec<_> = demo.wait().err.lines().map(json).collect();
    let end = log.iter().find(|line| line["message"] == "tunnel closed").unwrap();
    assert_eq!((&end["client_messages"], &end["server_messages"]), (&2.into(), &2.into()), "{end}");
}
