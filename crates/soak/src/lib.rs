//! Tunnels whose every message is numbered and checked, for as long as it takes to find the one that is missing.
//!
//! Clients and backends are in one process, the gateway that is tried stands between them. Both ends of each tunnel
//! send messages on their own, of many sizes, whole and in fragments, with pings between fragments, and both check
//! what arrives: [`Report`] says what was lost, doubled, reordered or altered, who was closed and when, and how long
//! nothing came. A gateway that is healthy, reloaded or replaced leaves it clean.
#![forbid(unsafe_code)]

mod backend;
mod client;
mod end;
mod frames;
mod ledger;
mod message;
mod report;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger::Tunnel;
use rustls::ClientConfig;
use tokio::sync::watch;

pub use report::{Close, Report};

/// What is sent, and how much of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Tunnels that are opened at the start and stay until the end.
    pub tunnels: usize,
    /// The mean time between two messages of one end of a tunnel.
    pub interval: Duration,
    /// The largest message, in bytes; all orders of magnitude down to 32 bytes are as frequent.
    pub largest: usize,
    /// How often a tunnel comes and goes beside the others, which shows whether handshakes succeed.
    pub churn: Option<Duration>,
    /// What is sent depends on this and on the number of the tunnel alone; when depends on the machine.
    pub seed: u64,
}

/// The gateway.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// What the clients call it; it is the server name for TLS, too.
    pub host: String,
    /// Path of the handshakes; a query is added that the gateway must hand on.
    pub path: String,
    /// How to speak TLS; plain TCP if none.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Backends that wait for the gateway's connections.
#[derive(Debug)]
pub struct Backends {
    listeners: Vec<TcpListener>,
    /// Where they listen.
    pub addresses: Vec<SocketAddr>,
}

/// Tunnels under traffic, until [`Soak::finish`] or the drop.
#[derive(Debug)]
pub struct Soak {
    world: Arc<World>,
    stage: watch::Sender<Stage>,
    thread: Option<JoinHandle<()>>,
}

/// What all ends share.
#[derive(Debug)]
struct World {
    plan: Plan,
    target: Target,
    began: Instant,
    /// Those that are open, or were closed unexpectedly.
    tunnels: Mutex<HashMap<u32, Arc<Mutex<Tunnel>>>>,
    /// All others, added up.
    past: Mutex<Report>,
    next: AtomicU32,
    /// First handshakes that have ended, well or not.
    settled: AtomicUsize,
    received: AtomicU64,
    /// When the last message arrived anywhere, and the longest time between two of them.
    arrivals: Mutex<(Duration, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Run,
    /// Clients say goodbye.
    Finish,
    /// All is dropped.
    Leave,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            tunnels: 100,
            interval: Duration::from_millis(100),
            largest: 16 << 10,
            churn: Some(Duration::from_millis(20)),
            seed: 1,
        }
    }
}

impl Backends {
    /// Listens at each of `addresses`; port 0 takes a free one.
    ///
    /// # Errors
    /// One of them cannot be listened on.
    pub fn listen(addresses: &[SocketAddr]) -> io::Result<Self> {
        let listeners = addresses.iter().map(TcpListener::bind).collect::<io::Result<Vec<_>>>()?;
        listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        Ok(Backends { listeners, addresses })
    }

    /// Begins to open tunnels, and to talk on those that are open.
    ///
    /// # Errors
    /// The machine gives no thread or no runtime.
    pub fn soak(self, target: Target, plan: Plan) -> io::Result<Soak> {
        let world = Arc::new(World {
            plan,
            target,
            began: Instant::now(),
            tunnels: Mutex::default(),
            next: AtomicU32::new(0),
            settled: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            past: Mutex::default(),
            arrivals: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stage, stages) = watch::channel(Stage::Run);
        let (shared, listeners) = (world.clone(), self.listeners);
        let thread = thread::Builder::new()
            .name("soak".into())
            .spawn(move || runtime.block_on(run(shared, listeners, stages)))?;
        Ok(Soak { world, stage, thread: Some(thread) })
    }
}

impl Soak {
    /// How many of the first handshakes have ended, well or not: all at [`Plan::tunnels`].
    pub fn settled(&self) -> usize {
        self.world.settled.load(Ordering::Relaxed)
    }

    /// How many messages have arrived so far, cheaper than by a report.
    pub fn received(&self) -> u64 {
        self.world.received.load(Ordering::Relaxed)
    }

    /// How long it has gone on: the clock of [`Report::closed_at`].
    pub fn elapsed(&self) -> Duration {
        self.world.began.elapsed()
    }

    /// What happened so far. What is on its way is neither received nor lost.
    pub fn report(&self) -> Report {
        Report::of(&self.world)
    }

    /// Has every client finish its message and say goodbye, waits until that is answered, and says what happened.
    /// Who does not answer within ten seconds is counted as closed unexpectedly.
    pub fn finish(mut self) -> Report {
        self.stage.send_replace(Stage::Finish);
        let _ = self.thread.take().map(JoinHandle::join);
        self.report()
    }
}

impl Drop for Soak {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Leave);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn run(world: Arc<World>, listeners: Vec<TcpListener>, mut stages: watch::Receiver<Stage>) {
    let mut leave = stages.clone();
    let serving = backend::serve(&world, listeners);
    let clients = client::run(&world, &mut stages);
    tokio::select! {
        () = serving => {}
        () = clients => {}
        _ = leave.wait_for(|stage| *stage == Stage::Leave) => {}
    }
}

/// No holder of these locks panics half way through a change.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
