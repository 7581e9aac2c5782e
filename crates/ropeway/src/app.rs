//! Wires the parts of a gateway, and owns the order in which they start and stop.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::lifecycle::Lifecycle;
use crate::net::limits::{Room, open_files};
use crate::net::listener::listen;
use crate::server::worker::Workers;
use crate::spec::types::Timeout;
use crate::supervisor::build::{Built, build, busy_poll};
use crate::supervisor::load::Objects;
use crate::telemetry::Metrics;
use crate::tunnel::registry::Registries;
use crate::upstream::health::{self, Watch};

/// How long the tunnels of a stopping gateway may take to end: their own deadlines, and some.
const PATIENCE: Duration = Timeout::MAX.saturating_add(Duration::from_secs(1));

/// What is set for the process and not in documents.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Threads that carry traffic; 0 for one per processor.
    pub workers: usize,
    /// Where administration listens, if anywhere.
    pub admin: Option<SocketAddr>,
}

/// A gateway that carries traffic until it is stopped.
#[derive(Debug)]
pub struct Gateway {
    stop: CancellationToken,
    ready: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    /// Administration stops last: until then it says that the gateway is not ready.
    stop_control: CancellationToken,
    control: Option<JoinHandle<()>>,
    /// Where it listens, in the order of the documents.
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    room: Room,
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
    pub fn start(objects: &Objects, options: &Options) -> Result<Gateway, StartError> {
        let metrics = Metrics::new();
        let Built { fronts, watches } = build(objects, &metrics);
        let listeners: Vec<_> = fronts.iter().map(|(address, _)| open(*address)).collect::<Result<_, _>>()?;
        let admin = options.admin.map(open).transpose()?;

        let count = count(options);
        let room = Room::new(open_files(), count);
        let mut gateway = Gateway {
            stop: CancellationToken::new(),
            ready: Arc::default(),
            workers: Vec::new(),
            stop_control: CancellationToken::new(),
            control: None,
            addresses: listeners.iter().map(|(_, address)| *address).collect(),
            admin: admin.as_ref().map(|(_, address)| *address),
            room,
        };
        let (workers, threads) = Workers::start(count, room, busy_poll(objects), &gateway.stop, PATIENCE)
            .map_err(|error| StartError { doing: "starting the workers".into(), error })?;
        gateway.workers = threads;
        let admin = admin.map(|(listener, _)| (listener, metrics, workers.registries()));
        if admin.is_some() || !watches.is_empty() {
            let thread = gateway
                .start_control(admin, watches)
                .map_err(|error| StartError { doing: "starting the control thread".into(), error })?;
            gateway.control = Some(thread);
        }
        for (number, ((listener, _), (_, front))) in listeners.into_iter().zip(fronts).enumerate() {
            workers.listen(number, listener, front);
        }
        gateway.ready.store(true, Ordering::Relaxed);
        Ok(gateway)
    }

    /// Where it listens, in the order of the documents.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where administration listens.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// For how many tunnels there are descriptors.
    pub fn room(&self) -> usize {
        self.room.connections
    }

    /// Accepts no more, tells every tunnel's two sides, and waits until all have ended; each pool's `closeTimeout`
    /// bounds that.
    pub fn stop(mut self) {
        self.ready.store(false, Ordering::Relaxed);
        self.stop.cancel();
        let workers = std::mem::take(&mut self.workers);
        let faults = workers.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        self.stop_control.cancel();
        let faults = faults + self.control.take().map_or(0, |control| usize::from(control.join().is_err()));
        if faults > 0 {
            tracing::error!(threads = faults, "ended by a fault in the gateway");
        }
    }

    /// The control thread: administration, and watching over servers.
    fn start_control(
        &self,
        admin: Option<(TcpListener, Arc<Metrics>, Registries)>,
        watches: Vec<Watch>,
    ) -> io::Result<JoinHandle<()>> {
        let (stop, ready) = (self.stop_control.clone(), self.ready.clone());
        let watched = watches.iter().map(Watch::subject).collect();
        thread::Builder::new().name("control".into()).spawn(move || {
            let controlling = async {
                let lifecycle = Lifecycle::new(&stop);
                health::start(watches, &lifecycle);
                if let Some((listener, metrics, registries)) = admin {
                    match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => {
                            let admin = Rc::new(Admin { metrics, ready, registries, watched });
                            admin::serve(listener, admin, lifecycle.clone()).await;
                        }
                        Err(error) => tracing::error!(%error, "administration is not available"),
                    }
                }
                lifecycle.stopping().await;
            };
            match runtime() {
                Ok(runtime) => runtime.block_on(controlling),
                Err(error) => tracing::error!(%error, "administration and health checks are not available"),
            }
        })
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

fn open(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    listen(address)
        .and_then(|listener| listener.local_addr().map(|bound| (listener, bound)))
        .map_err(|error| StartError { doing: format!("listening on {address}"), error })
}

fn count(options: &Options) -> usize {
    match options.workers {
        0 => thread::available_parallelism().map_or(1, Into::into),
        count => count,
    }
}
