//! `ropeway demo`: what it prints can be done as it is printed.

use std::net::SocketAddr;
use std::process::Command;

use rustix::process::Signal;
use testkit::{Peer, masked, op};

use super::process::{Process, ropeway};
use crate::real::needs;

fn demo() -> (Process, SocketAddr) {
    let process = Process::start(&mut ropeway(&["demo", "--listen", "127.0.0.1:0"]));
    process.out("Ctrl-C stops it.");
    let page = process.out("a page");
    let address = page.rsplit("http://").next().unwrap().trim_end_matches('/').parse().unwrap();
    (process, address)
}

#[test]
fn the_printed_call_works_as_printed() {
    if !needs::curl("the printed curl call") {
        return;
    }
    let (process, _) = demo();
    let call = process.lines().into_iter().skip_while(|line| !line.contains("curl"));
    let mut shell = String::new();
    for line in call {
        shell.push_str(line.trim_start().trim_start_matches("a handshake").trim_start());
        if !line.ends_with('\\') {
            break;
        }
        shell.push('\n');
    }
    let curl = Process::start(Command::new("sh").args(["-c", &shell])).wait();
    assert!(curl.out.starts_with("HTTP/1.1 101 Switching Protocols\n"), "{shell}\n{curl:?}");
    assert!(curl.out.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{curl:?}");
    // The WebSocket stays open: it is curl that gives up after the time it was given.
    assert_eq!(curl.code, Some(28), "{curl:?}");
}

#[test]
fn the_printed_addresses_lead_to_the_page_and_to_the_echo() {
    let (process, address) = demo();
    let mut browser = Peer::connect(address);
    browser.send(format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes());
    let head = browser.head();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.to_lowercase().contains("content-type: text/html"),
        "{head}"
    );
    let page = String::from_utf8(browser.rest()).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("new WebSocket"), "{page}");

    let websocket = process.out("websocat");
    let target = websocket.rsplit("ws://").next().unwrap();
    let (host, path) = target.split_once('/').unwrap();
    assert_eq!(host, address.to_string());
    for turn in ["one backend", "the other"] {
        let mut client = Peer::shake(address, &format!("/{path}"), "");
        assert!(client.head().starts_with("HTTP/1.1 101 "), "{turn}");
        client.send(&masked(op::TEXT, turn.as_bytes()));
        assert_eq!(client.frame().payload, turn.as_bytes());
    }
}

#[test]
fn ctrl_c_stops_it_with_a_tunnel_open() {
    let (process, address) = demo();
    let mut client = Peer::shake(address, "/ws", "");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    process.signal(Signal::INT);
    assert_eq!(client.frame().close(), (1001, "gateway stops".into()));
    client.send(&masked(op::CLOSE, &1001u16.to_be_bytes()));
    drop(client);
    let ended = process.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn a_taken_port_is_named() {
    let (_process, address) = demo();
    let second = Process::start(&mut ropeway(&["demo", "--listen", &address.to_string()])).wait();
    assert_eq!((second.code, &*second.out), (Some(1), ""));
    assert!(second.err.contains(&format!("listening on {address}: ")), "{}", second.err);
}
