//! Real programs on both sides, and the gateway as a program of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use testkit::free_port;

use crate::cli::process::{Gateway, Process, json};
use crate::real::{needs, peers};

const MIB: usize = 1 << 20;

/// `examples/site.yaml` in front of an application on this port.
fn site(port: u16) -> Gateway {
    let text = fs::read_to_string(format!("{}/examples/site.yaml", needs::ROOT)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(lines <= 12, "{lines} lines");
    let text = text.replace(":3000", &format!(":{port}")).replace("8080", &free_port().to_string());
    let mut gateway = Gateway::start(&text);
    gateway.address = SocketAddr::from(([127, 0, 0, 1], gateway.address.port()));
    gateway
}

pub(super) fn application() -> (Process, u16) {
    let process = Process::start(&mut peers::node("site.mjs"));
    let port = json(&process.out("\"ready\""))["port"].as_u64().unwrap();
    (process, u16::try_from(port).unwrap())
}

#[test]
fn twelve_lines_serve_a_whole_application() {
    let (application, port) = application();
    let gateway = site(port);
    let url = format!("http://{}", gateway.address);
    let ended = Process::start(peers::node("site_client.mjs").arg(&url)).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(json(ended.out.lines().last().unwrap())["ok"], true, "{ended:?}");
    // The listener to its events left, and the application heard of it.
    application.out("\"gone\"");
    application.out("\"upgrade\"");
}

#[test]
fn curl_in_each_version_and_by_each_method() {
    if !needs::curl("ordinary requests by curl") {
        return;
    }
    let (_application, port) = application();
    let gateway = site(port);
    let url = format!("http://{}", gateway.address);
    let rows: &[(&[&str], &str, &str)] = &[
        (&[], "/", "<h1>site</h1>\n200"),
        (&["--http1.0"], "/", "<h1>site</h1>\n200"),
        (&["--http2"], "/", "<h1>site</h1>\n200"),
        (&["--head", "--output", "/dev/null"], "/", "200"),
        (&["--data", "hello"], "/echo", "hello200"),
        (&["--data", "hello", "--http1.0"], "/echo", "hello200"),
        (&["--data", "hello", "--header", "Expect: 100-continue"], "/echo", "hello200"),
        (&["--data", "hello", "--header", "Transfer-Encoding: chunked"], "/echo", "hello200"),
        (&["--data", "hello", "--request", "PATCH"], "/echo", "hello200"),
        (&["--request", "DELETE"], "/echo", "200"),
        (&[], "/nowhere", "nothing here\n404"),
    ];
    for (arguments, path, expected) in rows {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--write-out", "%{http_code}"]);
        let curl = Process::start(curl.args(*arguments).arg(format!("{url}{path}"))).wait();
        assert_eq!(curl.code, Some(0), "{arguments:?} {path}: {curl:?}");
        assert_eq!(curl.out.trim_end(), *expected, "{arguments:?} {path}: {curl:?}");
    }
}

#[test]
fn python_keeps_its_connection() {
    let (_application, port) = application();
    let gateway = site(port);
    let mut python = peers::python("client_http.py");
    let ended = Process::start(python.arg(gateway.address.to_string())).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// 100 MiB in each direction, in turn: none of it stays in the gateway.
#[test]
fn large_bodies_pass_in_constant_memory() {
    const SIZE: usize = 100 * MIB;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = fs::read_to_string(format!("{}/examples/site.yaml", needs::ROOT)).unwrap();
    let text = text.replace("127.0.0.1:3000", &listener.local_addr().unwrap().to_string());
    let text = text.replace("port: 8080", &format!("port: {}\nclientMaxBodySize: -1", free_port()));
    let gateway = Gateway::start(&text);
    let address = SocketAddr::from(([127, 0, 0, 1], gateway.address.port()));
    let server = thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        head(&mut tcp);
        assert_eq!(
            std::io::copy(&mut Read::by_ref(&mut tcp).take(SIZE as u64), &mut std::io::sink()).unwrap(),
            SIZE as u64
        );
        tcp.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).unwrap();
        send(&mut tcp, SIZE);
    });
    gateway.process.usage().forget_peak();
    let before = gateway.process.usage().peak_memory();
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.write_all(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).unwrap();
    send(&mut tcp, SIZE);
    assert!(head(&mut tcp).starts_with("HTTP/1.1 200 "));
    assert_eq!(
        std::io::copy(&mut Read::by_ref(&mut tcp).take(SIZE as u64), &mut std::io::sink()).unwrap(),
        SIZE as u64
    );
    server.join().unwrap();
    let grown = gateway.process.usage().peak_memory() - before;
    assert!(grown < 4 * MIB / 1024, "{grown} KiB");
}

fn send(tcp: &mut TcpStream, size: usize) {
    let part = vec![b'x'; MIB];
    for _ in 0..size / MIB {
        tcp.write_all(&part).unwrap();
    }
}

fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}
