//! A backend in the hands of a test.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

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
        Self::listen_at(([127, 0, 0, 1], 0).into())
    }

    /// Listens at `address`.
    pub fn listen_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
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

    /// Does `act` with each connection from now on, in a thread of its own.
    pub fn serve(self, act: impl Fn(Peer) + Send + Sync + 'static) -> Serving {
        self.listener.set_nonblocking(false).unwrap();
        let (address, listener, act) = (self.address, self.listener, Arc::new(act));
        let (stop, connections) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, counted) = (stop.clone(), connections.clone());
        let accepting = thread::spawn(move || {
            for tcp in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                let (peer, act) = (Peer::new(tcp.unwrap()), act.clone());
                thread::spawn(move || act(peer));
            }
        });
        Serving { address, connections, stop, accepting: Some(accepting) }
    }

    /// Agrees to each handshake from now on and sends every message back, as a good server does.
    pub fn echo(self) -> Serving {
        self.serve(|mut peer| {
            let head = peer.head();
            peer.try_send(answer(&head, "").as_bytes());
            peer.behave(true);
        })
    }

    /// Agrees to each handshake from now on, and reads and throws away what comes.
    pub fn sink(self) -> Serving {
        self.serve(|mut peer| {
            let head = peer.head();
            peer.try_send(answer(&head, "").as_bytes());
            peer.discard();
        })
    }

    /// A 101 that fits `request`.
    pub fn answer(request: &str, headers: &str) -> String {
        answer(request, headers)
    }
}

/// A backend that acts by itself until it is dropped.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Serving {
    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, so that it sees the flag.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
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
