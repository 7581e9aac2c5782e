//! From documents to objects in force, and from those to the next ones.
//!
//! ```text
//! load     documents -> Objects, or what is wrong with them
//! plan     old Objects, new Objects -> what becomes of each
//! forecast the same, and what would become of live tunnels
//! build    Objects -> pipelines, pools and routes; what is the same is the same object
//! prepare  all of that, and the listeners that are new; so far nothing has changed
//! commit   the listeners serve what was built; pools that go, and servers that they lose, meet their fate
//! ```

pub mod build;
pub mod drains;
pub mod files;
pub mod forecast;
pub mod handover;
pub mod load;
pub mod plan;
pub mod thaw;
mod routes;

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::build::{InForce, build, place};
use self::drains::{Drains, Schedule};
use self::forecast::Turnover;
use self::load::{Named, Objects};
use self::plan::Plan;
use crate::net::listener::listen;
use crate::net::unix::{self, Place, SocketFile};
use crate::server::serving::{Front, Serving};
use crate::server::worker::Workers;
use crate::spec::drain::Drain;
use crate::spec::http_server::HttpServer;
use crate::spec::types::FileMode;
use crate::telemetry::Metrics;
use crate::upstream::health::Knowledge;
use crate::upstream::{Dialler, Pool};

/// What is in force.
#[derive(Debug)]
pub struct Supervisor {
    metrics: Arc<Metrics>,
    dialler: Dialler,
    objects: Objects,
    in_force: InForce,
    /// What is drained by command.
    drains: Drains,
    listening: Vec<Listening>,
    /// Listeners that another process has opened for this one, by their configured addresses.
    adopted: Listeners,
    /// Listeners opened so far.
    opened: usize,
}

/// Listening sockets, by the places that are configured for them. That of a Unix socket goes by the same type.
pub type Listeners = Vec<(Place, TcpListener)>;

/// An open listener.
#[derive(Clone, Debug)]
struct Listening {
    /// As it is configured.
    configured: Place,
    bound: Place,
    /// Where it is a Unix socket.
    file: Option<Arc<SocketFile>>,
    /// For the process that may take over; a listener is closed only when all copies are.
    socket: Option<Arc<TcpListener>>,
    front: Arc<Front>,
}

/// A configuration that can be put in force without fail.
#[derive(Debug)]
pub struct Prepared {
    /// What it changes.
    pub plan: Plan,
    objects: Objects,
    in_force: InForce,
    drains: Drains,
    /// In the order of the documents.
    fronts: Vec<(Opened, Serving)>,
}

/// Where a server listens.
#[derive(Debug)]
enum Opened {
    Before(Listening),
    Now { listener: TcpListener, configured: Place, bound: Place, file: Option<Arc<SocketFile>> },
}

/// Why a configuration cannot be put in force.
#[derive(Debug)]
pub struct PrepareError {
    /// It cannot be listened on.
    pub address: Place,
    /// Why not.
    pub error: io::Error,
}

impl Supervisor {
    /// Nothing is in force yet. Servers are to be reached by `dialler`.
    pub fn new(metrics: Arc<Metrics>, dialler: Dialler) -> Self {
        Supervisor {
            metrics,
            dialler,
            objects: Objects::default(),
            in_force: InForce::default(),
            drains: Drains::default(),
            listening: Vec::new(),
            adopted: Vec::new(),
            opened: 0,
        }
    }

    /// What is configured to listen on one of these addresses is to use the socket that comes with it. Those that nobody
    /// uses are closed with the next commit.
    pub fn adopt(&mut self, listeners: Listeners) {
        self.adopted = listeners;
    }

    /// Copies of the listening sockets, with the addresses that are configured for them.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn listeners(&self) -> io::Result<Listeners> {
        let open = self
            .listening
            .iter()
            .filter_map(|listening| Some((listening.configured.clone(), listening.socket.as_ref()?)));
        open.map(|(configured, socket)| Ok((configured, socket.try_clone()?))).collect()
    }

    /// Makes everything that `objects`, which were found to be without errors, ask for. Changes nothing that is in
    /// force.
    ///
    /// # Errors
    /// An address cannot be listened on.
    pub fn prepare(&self, objects: Objects) -> Result<Prepared, PrepareError> {
        let plan = Plan::new(&self.objects, &objects);
        let in_force = build(&objects, &self.objects, &self.in_force, &self.dialler);
        let drains = self.drains.following(&self.objects, &objects, &in_force.pools);
        let fronts = objects
            .served()
            .map(|server| Ok((self.open(&server.spec)?, self.serving(server, &in_force, &drains))));
        let fronts = fronts.collect::<Result<_, _>>()?;
        Ok(Prepared { plan, objects, in_force, drains, fronts })
    }

    fn open(&self, server: &HttpServer) -> Result<Opened, PrepareError> {
        let configured = place(server);
        if let Some(before) = self.listening.iter().find(|listening| listening.configured == configured) {
            return Ok(Opened::Before(before.clone()));
        }
        if let Some((_, socket)) = self.adopted.iter().find(|(place, _)| *place == configured) {
            let adopted = adopted(socket, &configured, mode(server));
            return adopted.map_err(|error| PrepareError { address: configured, error });
        }
        let opened = match &configured {
            Place::Tcp(address) => {
                listen(*address).and_then(|listener| Ok((Place::Tcp(listener.local_addr()?), listener, None)))
            }
            Place::Unix(path) => unix::listen(path, mode(server))
                .map(|(socket, file)| (configured.clone(), socket.into(), Some(Arc::new(file)))),
        };
        match opened {
            Ok((bound, listener, file)) => Ok(Opened::Now { listener, configured, bound, file }),
            Err(error) => Err(PrepareError { address: configured, error }),
        }
    }

    fn serving(&self, server: &Named<HttpServer>, in_force: &InForce, drains: &Drains) -> Serving {
        let before = self.listening.iter().find(|listening| listening.configured == place(&server.spec));
        let before = before.map(|before| before.front.serving.load());
        build::serving(server, before.as_deref().map(Arc::as_ref), &in_force.pipelines, drains.parts(server))
    }

    /// Puts in force what was prepared.
    pub fn commit(&mut self, prepared: Prepared, workers: &Workers) {
        let Prepared { objects, in_force, drains, fronts, .. } = prepared;
        drains.log_since(&self.drains);
        drains.mark(&in_force.pools);
        self.drains = drains;
        let before = std::mem::replace(&mut self.in_force, in_force);
        let gone = std::mem::take(&mut self.listening);
        for (opened, serving) in fronts {
            let listening = match opened {
                Opened::Before(listening) => {
                    listening.set_mode(mode(&serving.spec));
                    listening.front.change(serving);
                    listening
                }
                Opened::Now { listener, configured, bound, file } => {
                    let front = Front::new(serving, self.metrics.clone(), workers.stop());
                    let socket = Arc::new(listener);
                    workers.listen(self.opened, socket.clone(), front.clone());
                    self.opened += 1;
                    Listening { configured, bound, file, socket: Some(socket), front }
                }
            };
            self.listening.push(listening);
        }
        for listening in gone {
            if !self.listening.iter().any(|still| Arc::ptr_eq(&still.front, &listening.front)) {
                listening.front.closed.cancel();
            }
        }
        for (address, _) in self.adopted.drain(..) {
            if !self.listening.iter().any(|listening| listening.configured == address) {
                tracing::warn!(%address, "a listening socket was handed over that no HTTPServer uses: it is closed");
            }
        }
        self.objects = objects;
        self.retire(before, workers);
        self.heed_drains(workers);
    }

    /// Tunnels outlive what they came through. What becomes of those whose server is gone is for its pool to say, as
    /// long as there is anything left of its pipeline.
    fn retire(&mut self, before: InForce, workers: &Workers) {
        let registries = workers.registries();
        let pools = &self.in_force.pools;
        let Turnover { taking_over, dissolved } = Turnover::new(&before, &self.in_force);
        taking_over.into_iter().for_each(|pool| pool.take_over(&registries));
        dissolved.into_iter().for_each(|pool| pool.dissolve(&registries));
        let mut departed = before.departed;
        departed.retain(|_, pool| pool.has_tunnels());
        // Handshakes may be under way: whether they have tunnels is asked the next time.
        departed.extend(before.pools);
        departed.retain(|identity, _| !pools.contains_key(identity));
        self.in_force.departed = departed;
    }

    /// The pools in force.
    pub fn pools(&self) -> Vec<Arc<Pool>> {
        self.in_force.pools.values().cloned().collect()
    }

    /// The pools that are in force no more and may still have tunnels.
    pub fn departed(&self) -> Vec<Arc<Pool>> {
        self.in_force.departed.values().cloned().collect()
    }

    /// The objects in force: kind and name, in the order of the documents.
    pub fn objects(&self) -> Vec<(&'static str, String)> {
        let servers = self.objects.servers.iter().map(|server| ("HTTPServer", server.name.to_string()));
        let pipelines = self.objects.pipelines.iter().map(|pipeline| ("Pipeline", pipeline.name.to_string()));
        servers.chain(pipelines).collect()
    }

    /// What is known of all servers' health, for the process that takes over.
    pub fn knowledge(&self) -> Vec<Knowledge> {
        self.in_force.pools.values().flat_map(|pool| pool.knowledge()).collect()
    }

    /// Goes on from what another process knew. What is in force decides what of it is of use.
    pub fn learn(&self, knowledge: Vec<Knowledge>) {
        for known in knowledge {
            if let Some(pool) = self.in_force.pools.get(&known.pool) {
                pool.learn(known);
            }
        }
    }

    /// The files that the objects in force name.
    pub fn files(&self) -> Vec<PathBuf> {
        self.objects.files()
    }

    /// Where it listens, in the order of the documents.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.listening.iter().map(|listening| &listening.bound)
    }

    /// Leaves accepting to another process that has the same sockets. Who was accepted so far is still served.
    pub fn hand_over(&mut self) {
        for listening in &mut self.listening {
            listening.front.handed_over.cancel();
            listening.socket = None;
            if let Some(file) = &listening.file {
                file.leave();
            }
        }
    }

    /// Accepts no more connections, and ends those that wait for their next request.
    pub fn close(&mut self) {
        self.listening.drain(..).for_each(|listening| listening.front.closed.cancel());
    }

    /// How to let go of all tunnels: they may have come through any of the listeners, so the longest time and the highest
    /// rate count.
    pub fn drain_schedule(&self) -> Schedule {
        let drains = self.objects.servers.iter().map(|server| &server.spec.drain);
        Schedule::longest(drains).unwrap_or(Schedule::of(&Drain::default()))
    }

    /// How long workers are to look for events before they sleep. They serve all listeners, so the longest counts.
    pub fn busy_poll(objects: &Objects) -> Duration {
        objects.served().map(|server| server.spec.busy_poll.get()).max().unwrap_or_default()
    }
}

impl Listening {
    /// A Unix socket may be for others than before.
    fn set_mode(&self, mode: u32) {
        if let Some(Err(error)) = self.file.as_ref().map(|file| file.set_mode(mode)) {
            tracing::warn!(address = %self.bound, %error, "the mode of the socket stays as it is");
        }
    }
}

/// Who may connect to the Unix socket of `server`.
fn mode(server: &HttpServer) -> u32 {
    server.socket_mode.as_deref().copied().unwrap_or(FileMode::SHARED).get()
}

/// A socket that another process has opened at this place.
fn adopted(socket: &TcpListener, place: &Place, mode: u32) -> io::Result<Opened> {
    let listener = socket.try_clone()?;
    let (bound, file) = match place {
        Place::Tcp(_) => (Place::Tcp(listener.local_addr()?), None),
        Place::Unix(path) => {
            let file = SocketFile::existing(path)?;
            file.set_mode(mode)?;
            (place.clone(), Some(Arc::new(file)))
        }
    };
    Ok(Opened::Now { listener, configured: place.clone(), bound, file })
}
