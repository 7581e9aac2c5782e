//! The command line, as its user meets it.

mod backends;
mod demo;
mod drain;
mod logs;
pub(crate) mod process;
mod reload;
mod run;
mod texts;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use testkit::{Backend, Peer};

/// A folder that is removed in the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("ropeway-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let folder = Folder(folder);
        files.iter().for_each(|(file, text)| folder.write(file, text));
        folder
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap();
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One server with the route `/ws` to a pool of `backends`; `pool` holds further lines of the pool.
pub(crate) fn documents(port: u16, backends: &[SocketAddr], pool: &str) -> String {
    let servers: String = backends.iter().map(|address| format!("    - url: ws://{address}\n")).collect();
    let pool: String = pool.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "name: front\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\ndrain: {{ window: 0 }}\nrules:\n- paths:\n  - path: /ws\n\
         \x20   backend: chat\n---\nname: chat\nkind: Pipeline\nfilters:\n- name: proxy\n  kind: WebSocketProxy\n\
         \x20 pools:\n  - servers:\n{servers}{pool}"
    )
}

/// Opens a tunnel through a gateway: the client's and the backend's end of it, both behind their handshakes.
pub(crate) fn open(gateway: SocketAddr, backend: &Backend, headers: &str) -> (Peer, Peer) {
    let mut client = Peer::shake(gateway, "/ws", headers);
    let (server, _) = backend.accept_websocket("");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, server)
}
