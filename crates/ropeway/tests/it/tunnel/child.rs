//! A gateway in a process of its own, whose memory and descriptors can be measured.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use testkit::{Backend, Peer, Usage, eventually, free_port};

/// `ropeway run`, killed when dropped.
pub(super) struct ChildGateway {
    child: Child,
    address: SocketAddr,
    folder: std::path::PathBuf,
}

impl ChildGateway {
    /// Starts one with a route `/ws` to `backend`; `pool` holds further lines of the pool.
    pub(super) fn to(backend: &Backend, pool: &str) -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("ropeway-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let pool: String = pool.lines().map(|line| format!("    {line}\n")).collect();
        let documents = format!(
            "name: front\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\nrules:\n- paths:\n  - pathPrefix: /ws\n\
             \x20   backend: to-ws\n---\nname: to-ws\nkind: Pipeline\nfilters:\n- kind: WebSocketProxy\n\
             \x20 name: proxy\n  pools:\n  - servers:\n    - url: ws://{}\n{pool}",
            backend.address
        );
        let file = folder.join("gateway.yaml");
        fs::write(&file, documents).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ropeway"))
            .args(["run", "--workers", "1"])
            .arg(&file)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let gateway = ChildGateway { child, address, folder };
        eventually("the gateway listens", || TcpStream::connect(address).ok());
        gateway
    }

    pub(super) fn tunnel(&self, backend: &Backend) -> (Peer, Peer) {
        let mut client = Peer::shake(self.address, "/ws", "");
        let (server, _) = backend.accept_websocket("");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        (client, server)
    }

    /// What it uses.
    pub(super) fn usage(&self) -> Usage {
        Usage { pid: self.child.id() }
    }
}

impl Drop for ChildGateway {
    fn drop(&mut self) {
        // It may have ended, and the folder may be gone: either way there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
