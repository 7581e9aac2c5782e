//! Servers that cannot be connected to, each in its way.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A port that refuses connections, and that nobody else can take.
#[derive(Debug)]
pub struct Refusing {
    _socket: Socket,
    /// Where nobody listens.
    pub address: SocketAddr,
}

/// A port at which connections neither open nor fail.
#[derive(Debug)]
pub struct BlackHole {
    _listener: Socket,
    _waiting: Vec<TcpStream>,
    /// Where nothing ever answers.
    pub address: SocketAddr,
}

impl Refusing {
    /// One on 127.0.0.1.
    pub fn new() -> Self {
        // Bound, and not listening.
        let (socket, address) = bound();
        Refusing { _socket: socket, address }
    }
}

impl BlackHole {
    /// One on 127.0.0.1.
    pub fn new() -> Self {
        let (listener, address) = bound();
        listener.listen(0).unwrap();
        let mut waiting = Vec::new();
        // Nobody accepts: once the queue is full, the kernel drops what else comes.
        while let Ok(tcp) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            waiting.push(tcp);
        }
        BlackHole { _listener: listener, _waiting: waiting, address }
    }
}

impl Default for Refusing {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for BlackHole {
    fn default() -> Self {
        Self::new()
    }
}

fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}
