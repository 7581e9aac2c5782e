//! Wires the parts of a gateway, and owns the order in which they start and stop.

mod drains;
pub mod upgrade;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::operations::Orders;
use crate::admin::socket::ControlSocket;
use crate::admin::{self, Admin};
use crate::lifecycle::{Lifecycle, run_on};
use crate::net::limits::{Room, open_files};
use crate::net::listener::listen;
use crate::net::unix::Place;
use crate::server::worker::Workers;
use crate::spec::types::Timeout;
use crate::supervisor::drains::Drained;
use crate::supervisor::forecast::Forecast;
use crate::supervisor::handover::incoming::Given;
use crate::supervisor::load::Objects;
use crate::supervisor::plan::Plan;
use crate::supervisor::thaw::ThawError;
use crate::supervisor::{PrepareError, Prepared, Supervisor};
use crate::telemetry::Metrics;
use crate::tunnel::drain::{Drain, Whose};
use crate::tunnel::farewell::Why;
use crate::tunnel::frozen::Frozen;
use crate::tunnel::registry::{Ask, Registries};
use crate::upstream::health::{Knowledge, Watches};
use crate::upstream::{Dialler, Pool};

/// How long the tunnels of a stopping gateway may take to end: their own deadlines, and some.
const PATIENCE: Duration = Timeout::MAX.saturating_add(Duration::from_secs(1));

/// How often to look whether the last tunnel of a gateway that drains has ended, and how often to tell how it goes.
const LOOK: Duration = Duration::from_millis(50);
const BETWEEN_PROGRESS: Duration = Duration::from_secs(5);

/// What is set for the process and not in documents.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Threads that carry traffic; 0 for one per processor.
    pub workers: usize,
    /// Where administration listens, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Name servers to ask instead of the system's.
    pub resolvers: Vec<SocketAddr>,
}

/// A gateway that carries traffic until it is stopped.
#[derive(Debug)]
pub struct Gateway {
    stop: CancellationToken,
    ready: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    supervisor: Supervisor,
    workers: Workers,
    threads: Vec<JoinHandle<()>>,
    /// Administration stops last: until then it says that the gateway is not ready.
    stop_control: CancellationToken,
    control: Option<JoinHandle<()>>,
    /// Tells the control thread what is new.
    news: mpsc::UnboundedSender<News>,
    admin: Option<AdminSocket>,
    /// What it is controlled over.
    control_socket: Option<Arc<ControlSocket>>,
    /// Cancelled when another process answers for administration.
    stop_admin: CancellationToken,
    /// What is to be put in force when the gateway begins.
    prepared: Option<Prepared>,
    /// What another process knew of servers.
    knowledge: Vec<Knowledge>,
    room: Room,
    busy_poll: Duration,
}

/// What the control thread is told.
#[derive(Debug)]
enum News {
    /// What is in force.
    InForce {
        pools: Vec<Arc<Pool>>,
        departed: Vec<Arc<Pool>>,
        objects: Vec<(&'static str, String)>,
        drains: Vec<Drained>,
    },
    /// The gateway drains, until then at most.
    Stopping { deadline: tokio::time::Instant },
    /// To serve the control socket, with orders that go there.
    Control(Arc<ControlSocket>, Orders),
}

/// Where administration listens, and a copy for the process that may take over.
#[derive(Debug)]
struct AdminSocket {
    configured: SocketAddr,
    bound: SocketAddr,
    socket: TcpListener,
}

/// Why a gateway does not start.
#[derive(Debug)]
pub struct StartError {
    doing: String,
    error: io::Error,
}

impl Gateway {
    /// Opens every listener and starts to carry traffic.
    ///
    /// # Errors
    /// An address cannot be listened on, or a thread cannot be started. Nothing goes on running then.
    pub fn start(objects: Objects, options: &Options) -> Result<Gateway, StartError> {
        let mut gateway = Self::build(objects, options, Given::default())?;
        gateway.begin();
        Ok(gateway)
    }

    /// Makes all that a gateway needs, with what another process has `given` it. Nothing is accepted before [`begin`].
    ///
    /// [`begin`]: Gateway::begin
    ///
    /// # Errors
    /// An address cannot be listened on, or a thread cannot be started. Nothing goes on running then.
    pub fn build(objects: Objects, options: &Options, given: Given) -> Result<Gateway, StartError> {
        let metrics = Metrics::new();
        let busy_poll = Supervisor::busy_poll(&objects);
        let mut supervisor = Supervisor::new(metrics.clone(), Dialler::new(options.resolvers.clone()));
        let (listeners, mut admins) = upgrade::sort(given.listeners);
        supervisor.adopt(listeners);
        let (knowledge, drains) = upgrade::read_state(&given.state);
        supervisor.inherit(drains);
        let prepared = supervisor.prepare(objects)?;
        let admin = options.admin.map(|address| open(address, &mut admins)).transpose()?;
        let admin_copy = admin.as_ref().map(|admin| admin.socket.try_clone()).transpose();
        let admin_copy =
            admin_copy.map_err(|error| StartError { doing: "copying a descriptor".into(), error })?;

        let count = count(options);
        let room = Room::new(open_files(), count);
        let stop = CancellationToken::new();
        let (workers, threads) = Workers::start(count, room, busy_poll, &stop, PATIENCE)
            .map_err(|error| StartError { doing: "starting the workers".into(), error })?;
        let (news, new) = mpsc::unbounded_channel();
        let mut gateway = Gateway {
            stop,
            ready: Arc::default(),
            metrics,
            supervisor,
            workers,
            threads,
            stop_control: CancellationToken::new(),
            control: None,
            news,
            admin,
            control_socket: None,
            stop_admin: CancellationToken::new(),
            prepared: Some(prepared),
            knowledge,
            room,
            busy_poll,
        };
        let control = gateway.start_control(admin_copy, new);
        gateway.control =
            Some(control.map_err(|error| StartError { doing: "starting the control thread".into(), error })?);
        Ok(gateway)
    }

    /// Puts in force what it was built of. Nothing is accepted before [`begin`](Self::begin), so that tunnels of another
    /// process can have their places first.
    pub fn put_in_force(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.commit(prepared);
        }
    }

    /// Begins to accept connections, once it is built.
    pub fn begin(&mut self) {
        self.put_in_force();
        self.workers.open();
    }

    /// Puts other objects in force; what says the same as before goes on untouched. Says what has changed.
    ///
    /// # Errors
    /// An address cannot be listened on. Nothing has changed then.
    pub fn reload(&mut self, objects: Objects) -> Result<Plan, StartError> {
        if Supervisor::busy_poll(&objects) != self.busy_poll {
            tracing::warn!("a changed `busyPoll` counts from the next start on");
        }
        let prepared = self.supervisor.prepare(objects)?;
        let plan = prepared.plan.clone();
        if !plan.is_empty() {
            self.commit(prepared);
        }
        Ok(plan)
    }

    /// What [`Gateway::reload`] with these objects would come to. Changes nothing; whether new listeners can be opened is
    /// not tried.
    pub fn forecast(&self, objects: &Objects) -> Forecast {
        self.supervisor.forecast(objects, &self.workers.registries())
    }

    fn commit(&mut self, prepared: Prepared) {
        self.supervisor.commit(prepared, &self.workers);
        // Before anybody checks anew.
        self.supervisor.learn(std::mem::take(&mut self.knowledge));
        self.tell();
    }

    /// Tells what is in force, for whoever asks administration.
    fn tell(&self) {
        self.ready.store(!self.supervisor.is_drained(), Ordering::Relaxed);
        let (pools, departed) = (self.supervisor.pools(), self.supervisor.departed());
        let (objects, drains) = (self.supervisor.objects(), self.supervisor.drains().to_vec());
        // Without a control thread there is nothing to be told.
        let _ = self.news.send(News::InForce { pools, departed, objects, drains });
    }

    /// Is controlled over `socket` from now on, until it stops. What is asked there goes to `orders`, for who owns the
    /// gateway.
    pub fn control(&mut self, socket: ControlSocket, orders: Orders) {
        socket.own(true);
        let socket = Arc::new(socket);
        self.control_socket = Some(socket.clone());
        // Without a control thread nobody answers; that is in the log.
        let _ = self.news.send(News::Control(socket, orders));
    }

    /// The files that what is in force names, besides those that it stands in.
    pub fn files(&self) -> Vec<PathBuf> {
        self.supervisor.files()
    }

    /// Its figures.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where it listens, in the order of the documents.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let tcp = |place: &Place| match place {
            Place::Tcp(address) => Some(*address),
            Place::Unix(_) => None,
        };
        self.supervisor.places().filter_map(tcp).collect()
    }

    /// Where it listens, Unix sockets included.
    pub fn places(&self) -> Vec<Place> {
        self.supervisor.places().cloned().collect()
    }

    /// Where administration listens.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.bound)
    }

    /// Where its tunnels can be asked for, to be moved to another process as well.
    pub fn registries(&self) -> Registries {
        self.workers.registries()
    }

    /// Takes tunnels of another process in; they hold still until `Registries::resume`.
    ///
    /// # Errors
    /// One of them cannot go on here: let go of all by `Registries::release`.
    pub async fn thaw(&self, frozen: Vec<Frozen>) -> Result<(), ThawError> {
        self.supervisor.thaw(frozen, &self.workers).await
    }

    /// For how many tunnels there are descriptors.
    pub fn room(&self) -> usize {
        self.room.connections
    }

    /// Accepts no more, and lets go of the tunnels as `drain` says, until there are none, its deadline has come, or `hurry`
    /// is cancelled. Tells `progress` now and then how many are left, and has `wait` spend the time between two looks.
    pub fn drain(
        &mut self,
        hurry: &CancellationToken,
        mut progress: impl FnMut(usize),
        mut wait: impl FnMut(&Gateway, Duration),
    ) {
        self.ready.store(false, Ordering::Relaxed);
        self.supervisor.close();
        let pace = self.supervisor.drain_schedule().pace(tokio::time::Instant::now(), self.workers.count());
        let registries = self.workers.registries();
        let (whose, called_off) = (Whose::All, CancellationToken::new());
        let drain = Drain { whose, why: Why::Shutdown, pace, called_off };
        registries.ask(|| Ask::Drain(drain.clone()));
        // Without a control thread there is nobody to be told.
        let _ = self.news.send(News::Stopping { deadline: pace.deadline });
        let mut told = Instant::now();
        progress(registries.tunnels());
        while registries.tunnels() > 0 && !hurry.is_cancelled() && pace.deadline.into_std() > Instant::now() {
            wait(self, LOOK);
            if told.elapsed() >= BETWEEN_PROGRESS {
                told = Instant::now();
                progress(registries.tunnels());
            }
        }
    }

    /// Accepts no more, tells every tunnel's two sides, and waits until all have ended; each pool's `closeTimeout`
    /// bounds that.
    pub fn stop(mut self) {
        self.ready.store(false, Ordering::Relaxed);
        self.supervisor.close();
        self.stop.cancel();
        let threads = std::mem::take(&mut self.threads);
        let faults = threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        self.stop_control.cancel();
        let faults = faults + self.control.take().map_or(0, |control| usize::from(control.join().is_err()));
        if faults > 0 {
            tracing::error!(threads = faults, "ended by a fault in the gateway");
        }
    }

    /// The control thread: administration, and watching over servers. It runs when this returns.
    fn start_control(
        &self,
        admin: Option<TcpListener>,
        mut news: mpsc::UnboundedReceiver<News>,
    ) -> io::Result<JoinHandle<()>> {
        let (stop, ready, metrics) = (self.stop_control.clone(), self.ready.clone(), self.metrics.clone());
        let (stopping, registries) = (self.stop.clone(), self.workers.registries());
        let stop_admin = self.stop_admin.clone();
        let (begin, begun) = std::sync::mpsc::channel();
        let thread = thread::Builder::new().name("control".into()).spawn(move || {
            let controlling = async {
                let lifecycle = Lifecycle::new(&stop);
                // A gateway that stops chooses among its servers no more.
                let mut watches = Watches::new(&Lifecycle::new(&stopping), registries.clone());
                let state = Rc::new(Admin::new(metrics, ready, registries));
                let serve_admin = |listener| match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        let serving = admin::serve(listener, state.clone(), lifecycle.clone());
                        let stop = stop_admin.clone();
                        lifecycle.spawn(async move {
                            let _ = stop.run_until_cancelled(serving).await;
                        });
                    }
                    Err(error) => tracing::error!(%error, "administration is not available"),
                };
                let mut admin = admin;
                let watching = async {
                    while let Some(news) = news.recv().await {
                        match news {
                            News::InForce { pools, departed, objects, drains } => {
                                watches.set(&pools);
                                state.pools.replace(pools);
                                state.departed.replace(departed);
                                state.objects.replace(objects);
                                state.drains.replace(drains);
                                // With the first pools the gateway begins; so far another process may have answered.
                                admin.take().into_iter().for_each(&serve_admin);
                            }
                            News::Stopping { deadline } => state.stopping.set(Some(deadline)),
                            News::Control(socket, orders) => {
                                let serving =
                                    admin::control::serve(socket, orders, state.clone(), lifecycle.clone());
                                let stop = stop_admin.clone();
                                lifecycle.spawn(async move {
                                    let _ = stop.run_until_cancelled(serving).await;
                                });
                            }
                        }
                    }
                };
                tokio::select! {
                    () = watching => {}
                    () = lifecycle.stopping() => {}
                }
                lifecycle.ended(admin::control::LAST_WORDS).await;
            };
            run_on(runtime(), &begin, controlling);
        })?;
        begun.recv().map_err(io::Error::other)??;
        Ok(thread)
    }
}

impl Drop for Gateway {
    /// One that was not stopped properly at least stops.
    fn drop(&mut self) {
        self.stop.cancel();
        self.stop_control.cancel();
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.error)
    }
}

impl From<PrepareError> for StartError {
    fn from(error: PrepareError) -> Self {
        let PrepareError { address, error } = error;
        StartError { doing: format!("listening on {address}"), error }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// A runtime for the thread it is made on.
///
/// # Errors
/// There are no descriptors left.
pub fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

fn open(
    configured: SocketAddr,
    adopted: &mut Vec<(SocketAddr, TcpListener)>,
) -> Result<AdminSocket, StartError> {
    let at = adopted.iter().position(|(address, _)| *address == configured);
    at.map_or_else(|| listen(configured), |at| Ok(adopted.swap_remove(at).1))
        .and_then(|socket| Ok(AdminSocket { configured, bound: socket.local_addr()?, socket }))
        .map_err(|error| StartError { doing: format!("listening on {configured}"), error })
}

fn count(options: &Options) -> usize {
    match options.workers {
        0 => thread::available_parallelism().map_or(1, Into::into),
        count => count,
    }
}
