//! A gateway in this process.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};

use ropeway::app::{Gateway, Options};
use ropeway::spec::Source;
use ropeway::supervisor::drains::{Kind, Terms, Wish};
use ropeway::supervisor::forecast::Forecast;
use ropeway::supervisor::load::{Objects, load};
use ropeway::supervisor::plan::Plan;
use ropeway::supervisor::thaw::ThawError;
use ropeway::tunnel::Movable;
use ropeway::tunnel::drain::Whose;
use ropeway::tunnel::frozen::Frozen;
use ropeway::tunnel::registry::Registries;

use crate::backend::Backend;
use crate::peer::Peer;
use crate::records;

/// A gateway that is stopped when dropped.
#[derive(Debug)]
pub struct TestGateway {
    gateway: Option<Gateway>,
    /// Where its first server listens.
    pub address: SocketAddr,
    /// The name of its first server, unlike that of any other test: by it [`records`](crate::records()) are found.
    pub name: String,
}

/// A port of 127.0.0.1 that was free a moment ago, and that nobody else in this process is given soon.
///
/// It is below the ports that the kernel gives to connections and to listeners without a wish: one of those may be taken
/// again before its finder listens on it.
///
/// # Panics
/// None of 1,000 ports is free.
pub fn free_port() -> u16 {
    const FIRST: usize = 10_000;
    const COUNT: usize = 20_000;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Processes begin at different places.
    let start = std::process::id() as usize * 997;
    (0..1_000)
        .map(|_| (FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT) as u16)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// Waits on this thread.
fn on_this_thread<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn objects(text: String) -> Objects {
    let loaded = load(&[Source::new("test.yaml", text)]);
    assert!(!loaded.diagnostics.has_errors(), "{}", loaded.diagnostics.render(false));
    loaded.objects
}

impl TestGateway {
    /// Starts a gateway from documents, in which `NAME` and `PORT` stand for the first server's name and port.
    ///
    /// # Panics
    /// The documents have faults, or it cannot be started.
    pub fn start(documents: &str) -> Self {
        Self::start_with(documents, &Options { workers: 2, ..Options::default() })
    }

    /// The same, with options of its own.
    pub fn start_with(documents: &str, options: &Options) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        records::install();
        let name = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let text = documents.replace("NAME", &name).replace("PORT", &free_port().to_string());
        let gateway = Gateway::start(objects(text), options).unwrap();
        TestGateway { address: gateway.addresses()[0], gateway: Some(gateway), name }
    }

    /// Starts a second gateway, as it were a later process of this one: `documents` in which `NAME` stands for the same
    /// name. It listens elsewhere.
    ///
    /// # Panics
    /// The documents have faults, or it cannot be started.
    pub fn twin(&self, documents: &str) -> Self {
        let text = documents.replace("NAME", &self.name).replace("PORT", &free_port().to_string());
        let options = Options { workers: 2, admin: Some(([127, 0, 0, 1], 0).into()), ..Options::default() };
        let gateway = Gateway::start(objects(text), &options).unwrap();
        TestGateway { address: gateway.addresses()[0], gateway: Some(gateway), name: self.name.clone() }
    }

    /// Freezes all its tunnels that can be moved.
    pub fn freeze(&self) -> Vec<Frozen> {
        let registries = self.registries();
        on_this_thread(registries.freeze(&Whose::All, usize::MAX)).unwrap()
    }

    /// Takes in tunnels of a twin, which hold still.
    pub fn thaw(&self, frozen: Vec<Frozen>) -> Result<(), ThawError> {
        on_this_thread(self.gateway.as_ref().expect("a gateway that runs").thaw(frozen))
    }

    /// Gives all its tunnels that can be moved to a twin, and says how many there were.
    ///
    /// # Panics
    /// The twin does not take them.
    pub fn move_to(&self, twin: &TestGateway) -> usize {
        let frozen = self.freeze();
        let count = frozen.len();
        twin.thaw(frozen).unwrap();
        self.registries().release();
        twin.registries().resume();
        count
    }

    /// Drains an object by command, as its listeners are set.
    ///
    /// # Panics
    /// There is none of this name.
    pub fn drain(&mut self, object: Kind, name: &str) {
        let wish = Wish { object, names: vec![name.to_owned()], pool: None, all_pools: false };
        let gateway = self.gateway.as_mut().expect("a gateway that runs");
        gateway.drain_objects(&wish, Terms::default()).unwrap();
    }

    /// How many of its tunnels can be moved.
    pub fn movable(&self) -> Movable {
        let registries = self.registries();
        on_this_thread(registries.movable())
    }

    /// Where its tunnels can be asked for.
    pub fn registries(&self) -> Registries {
        self.gateway.as_ref().expect("a gateway that runs").registries()
    }

    /// Starts a gateway with one route `/ws` to a pool of `backends`; `pool` holds further lines of the pool, each
    /// at its left margin.
    pub fn to(backends: &[SocketAddr], pool: &str) -> Self {
        Self::start(&Self::documents_to(backends, pool))
    }

    /// The documents that [`TestGateway::to`] starts with.
    pub fn documents_to(backends: &[SocketAddr], pool: &str) -> String {
        let servers: String = backends.iter().map(|address| format!("    - url: ws://{address}\n")).collect();
        let pool: String = pool.lines().map(|line| format!("    {line}\n")).collect();
        format!(
            "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\nrules:\n- paths:\n  - pathPrefix: /ws\n\
             \x20   backend: NAME-ws\n---\nname: NAME-ws\nkind: Pipeline\nfilters:\n- kind: WebSocketProxy\n\
             \x20 name: proxy\n  pools:\n  - servers:\n{servers}{pool}"
        )
    }

    /// Has `documents`, in which `NAME` and `PORT` stand for what they stood for at the start, take the place of those
    /// that are in force.
    ///
    /// # Panics
    /// They have faults, or cannot be put in force.
    pub fn reload(&mut self, documents: &str) -> Plan {
        let text = documents.replace("NAME", &self.name).replace("PORT", &self.address.port().to_string());
        let gateway = self.gateway.as_mut().expect("a gateway that runs");
        gateway.reload(objects(text)).unwrap()
    }

    /// What [`TestGateway::reload`] with these documents would come to.
    ///
    /// # Panics
    /// They have faults.
    pub fn forecast(&self, documents: &str) -> Forecast {
        let text = documents.replace("NAME", &self.name).replace("PORT", &self.address.port().to_string());
        self.gateway.as_ref().expect("a gateway that runs").forecast(&objects(text))
    }

    /// Where administration listens.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.gateway.as_ref().and_then(Gateway::admin)
    }

    /// All figures, as administration gives them.
    ///
    /// # Panics
    /// It has no administration.
    pub fn metrics(&self) -> String {
        let mut peer = Peer::connect(self.admin().expect("a gateway with administration"));
        peer.send(b"GET /metrics HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n");
        String::from_utf8(peer.rest()).unwrap()
    }

    /// Opens a tunnel: the client's and the backend's end of it, both behind their handshakes.
    pub fn tunnel(&self, backend: &Backend) -> (Peer, Peer) {
        let mut client = Peer::shake(self.address, "/ws", "");
        let (server, _) = backend.accept_websocket("");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        (client, server)
    }

    /// Stops it properly.
    pub fn stop(mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.stop();
        }
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.stop();
        }
    }
}
