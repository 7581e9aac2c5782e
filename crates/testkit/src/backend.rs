//! A backend in the hands of a test.

use std::net::{SocketAddr, TcpListener};

use crate::peer::Peer;
use crate::{PATIENCE, eventually};

/// Accepts connections when the test says so.
#[derive(Debug)]
pub struct Backend {
    listener: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Backend {
    /// Listens on a free port of 127.0.0.1.
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        Backend { listener, address }
    }

    /// The next connection.
    pub fn accept(&self) -> Peer {
        eventually("a connection to the backend", || self.try_accept())
    }

    /// A connection that is here already.
    pub fn try_accept(&self) -> Option<Peer> {
        let (tcp, _) = self.listener.accept().ok()?;
        tcp.set_nonblocking(false).unwrap();
        Some(Peer::new(tcp))
    }

    /// The next connection, its handshake answered with a valid 101 and `headers` (each with its line end)
    /// beside those it needs. Gives the request's head, too.
    pub fn accept_websocket(&self, headers: &str) -> (Peer, String) {
        let mut peer = self.accept();
        let head = peer.head();
        peer.send(answer(&head, headers).as_bytes());
        (peer, head)
    }

    /// A 101 that fits `request`.
    pub fn answer(request: &str, headers: &str) -> String {
        answer(request, headers)
    }
}

fn answer(request: &str, headers: &str) -> String {
    let key = header(request, "sec-websocket-key").expect("a handshake has a key");
    let accept = ws::handshake::accept_key(key.as_bytes());
    let accept = std::str::from_utf8(&accept).unwrap();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
    )
}

/// The first value of a header in a head, whatever the letter case of its name.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

const _: () = assert!(PATIENCE.as_secs() > 5, "longer than the gateway's own deadlines");
