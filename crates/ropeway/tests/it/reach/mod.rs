//! How servers are reached: over TLS, over Unix sockets, by names.

mod faults;
mod names;
mod tls;
mod unix;

use std::net::SocketAddr;

use ropeway::app::Options;
use ropeway::spec::Source;
use ropeway::supervisor::load::load;
use testkit::{Peer, TestGateway, masked, op};

use crate::handshake::{Answer, Setup};

/// The documents of a gateway with one route `/ws` to one pool: each of `servers` is the inside of a YAML flow mapping,
/// and `pool` holds further lines of the pool, each at its left margin.
fn documents(servers: &[String], pool: &str) -> String {
    Setup { pool, ..Setup::default() }.documents(servers)
}

/// What is found in such documents, a line each, without the name of the file.
fn findings(documents: &str) -> Vec<String> {
    let loaded = load(&[Source::new("test.yaml", documents.replace("PORT", "8080"))]);
    let lines = loaded.diagnostics.iter().map(|diagnostic| loaded.diagnostics.one_line(diagnostic));
    lines.map(|line| line.replacen("test.yaml:", "", 1)).collect()
}

/// A gateway of such documents.
fn gateway(servers: &[String], pool: &str) -> TestGateway {
    TestGateway::start(&documents(servers, pool))
}

/// The same, that asks a name server of its own.
fn gateway_with_names(name_server: SocketAddr, servers: &[String], pool: &str) -> TestGateway {
    let options = Options { workers: 2, resolvers: vec![name_server], ..Options::default() };
    TestGateway::start_with(&documents(servers, pool), &options)
}

/// What a handshake comes to: the client's end of a tunnel on which a message was echoed, or the error.
fn shake(gateway: &TestGateway) -> Result<Peer, String> {
    let mut client = Peer::shake(gateway.address, "/ws", "");
    let answer = Answer::head(&mut client);
    if answer.status() != 101 {
        return Err(answer.error().unwrap_or("-").to_owned());
    }
    client.send(&masked(op::TEXT, b"hello"));
    assert_eq!(client.frame().payload, b"hello");
    Ok(client)
}
