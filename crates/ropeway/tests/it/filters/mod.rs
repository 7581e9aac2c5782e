//! Filters and flows, by requests through the gateway.

mod cors;
mod examples;
mod fallback;
mod flows;
mod mock;
mod redirector;
mod requests;
mod responses;

use std::net::SocketAddr;

use ropeway::spec::Source;
use ropeway::supervisor::load::load;
use testkit::{Backend, Peer, TestGateway};

/// A server, and the pipeline of its one route: `flow` and `filters`, in which `BACKEND` stands for a backend's address.
fn documents(server: &str, pipeline: &str, backend: SocketAddr) -> String {
    let pipeline = pipeline.replace("BACKEND", &backend.to_string());
    format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n{server}rules:\n- paths:\n  - backend: NAME-p\n\
         ---\nname: NAME-p\nkind: Pipeline\n{pipeline}"
    )
}

/// A gateway that leads every request through a pipeline.
fn through(pipeline: &str, backend: SocketAddr) -> TestGateway {
    TestGateway::start(&documents("", pipeline, backend))
}

/// The same, for pipelines that need no backend.
fn alone(pipeline: &str) -> TestGateway {
    through(pipeline, SocketAddr::from(([127, 0, 0, 1], 9)))
}

/// What is said of a pipeline when it is loaded, a line each, without their places.
fn findings(pipeline: &str) -> Vec<String> {
    let text = documents("", pipeline, SocketAddr::from(([127, 0, 0, 1], 9))).replace("PORT", "80");
    let found = load(&[Source::new("f", text)]).diagnostics;
    found
        .iter()
        .map(|finding| found.one_line(finding).splitn(4, ':').nth(3).unwrap().trim().to_owned())
        .collect()
}

/// What is said of a pipeline that has this one filter; `fields` stand each at its left margin.
fn findings_of(kind: &str, fields: &str) -> Vec<String> {
    findings(&filter(kind, fields))
}

/// A pipeline of this one filter.
fn filter(kind: &str, fields: &str) -> String {
    format!("filters:\n- name: it\n  kind: {kind}\n{}", crate::handshake::indented("  ", fields))
}

/// The same, in front of a `Proxy`.
fn filter_and_proxy(kind: &str, fields: &str) -> String {
    let proxy = "- { name: proxy, kind: Proxy, pools: [{ servers: [{ url: 'http://BACKEND' }] }] }\n";
    filter(kind, fields) + proxy
}

/// The answer to one request: head and body. The connection ends behind it, as a client sees to.
fn ask(gateway: &TestGateway, start: &str, headers: &str) -> (String, String) {
    let mut client = Peer::connect(gateway.address);
    client.send(
        format!("{start} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n{headers}\r\n").as_bytes(),
    );
    let head = client.head();
    (head, String::from_utf8(client.rest()).unwrap())
}

/// A backend that answers every request, each on a connection of its own, with the head that it got.
fn mirror() -> testkit::Serving {
    Backend::listen().serve(|mut peer| {
        let head = peer.head();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = peer.bytes(length);
        let answer = format!("{head}{}", String::from_utf8(body).unwrap());
        let length = answer.len();
        peer.try_send(
            format!("HTTP/1.1 200 OK\r\nServer: mirror\r\nX-Old: 1\r\nX-Old: 2\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{answer}")
                .as_bytes(),
        );
    })
}

/// The status of an answer.
fn status(head: &str) -> u16 {
    head[9..12].parse().unwrap()
}

/// The values of a header in a head.
fn values<'a>(head: &'a str, name: &'a str) -> Vec<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

/// The first of them.
fn header<'a>(head: &'a str, name: &'a str) -> Option<&'a str> {
    values(head, name).first().copied()
}
