//! HTTP/2 with clients: by hand, and by real ones.

mod connections;
mod hostile;
mod real;
mod requests;

use std::net::SocketAddr;

use ropeway::app::Options;
use ropeway::supervisor::drains::Kind;
use testkit::h2::{END, H2Frame, H2Peer, kind};
use testkit::{Authority, Demand, Initiator, Peer, TestGateway};

use super::Setup;
use crate::tls::shows;

/// A gateway that speaks TLS, and a way to it for clients that speak HTTP/2 and know nothing of TLS.
pub(super) struct Front {
    gateway: TestGateway,
    pub(super) tls: Initiator,
    /// The documents without what is to stand behind `https`.
    documents: String,
}

impl Front {
    /// Leads every path to `backend`, with further lines of the server.
    pub(super) fn to(backend: SocketAddr, server: &str) -> Self {
        Self::on(2, backend, server)
    }

    /// The same on so many workers: each has connections of its own to the backend.
    pub(super) fn on(workers: usize, backend: SocketAddr, server: &str) -> Self {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"]);
        let server = format!("{server}{}", shows(&identity));
        let documents =
            Setup { server: &server, ..Setup::default() }.documents(&[format!("http://{backend}")]);
        let gateway = TestGateway::start_with(&documents, &Options { workers, ..Options::default() });
        let demand = Demand { name: "localhost", authority: &authority, identity: None, version: None };
        let tls = Initiator::speaking(gateway.address, demand, "h2");
        Front { gateway, tls, documents }
    }

    pub(super) fn connect(&self) -> H2Peer {
        H2Peer::connect(self.tls.address, &[])
    }
}

impl Front {
    /// Drains the whole listener, or one of its routes.
    pub(super) fn drain(&mut self, object: Kind, behind: &str) {
        let name = format!("{}{behind}", self.gateway.name);
        self.gateway.drain(object, &name);
    }
}

/// Answers every request with its path, whatever its body.
fn paths(mut peer: Peer) {
    while let Some(head) = peer.head_or_end() {
        if !answer(&mut peer, &path(&head)) {
            return;
        }
    }
}

fn path(head: &str) -> String {
    head.split(' ').nth(1).unwrap().to_owned()
}

/// Answers a request, if its sender is still there.
fn answer(server: &mut Peer, body: &str) -> bool {
    server.try_send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

/// The frames of this stream until its last.
fn frames(client: &mut H2Peer, stream: u32) -> Vec<H2Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = client.frame() {
        if frame.stream != stream || frame.kind == kind::WINDOW_UPDATE {
            continue;
        }
        let is_last = frame.kind == kind::RST_STREAM || frame.flags & END != 0;
        frames.push(frame);
        if is_last {
            break;
        }
    }
    frames
}
