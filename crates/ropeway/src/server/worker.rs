//! Worker threads. Each runs a share of the connections, with a runtime, a registry and a scratch buffer of its
//! own; a tunnel never changes its worker.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::accept::accept;
use super::connection::serve_connection;
use super::seats::Taken;
use super::serving::Front;
use super::spin;
use super::thaw::{Returning, thaw};
use crate::lifecycle::{Lifecycle, run_on};
use crate::net::limits::Room;
use crate::telemetry::log;
use crate::tunnel::farewell::{Cause, Why};
use crate::tunnel::registry::{Ask, Registries, Registry};
use crate::upstream::Connections;

/// TLS handshakes that may be under way at once on a worker: a flood of them waits, and what is open goes on.
const TLS_HANDSHAKES: usize = 256;

/// Shorter than most of what a handshake waits for.
const BEAT: Duration = Duration::from_millis(100);

/// All workers, as those see them who have work to give or questions to ask.
#[derive(Clone, Debug)]
pub struct Workers {
    pub(super) all: Arc<[Worker]>,
    stop: CancellationToken,
    /// Cancelled when listeners may accept.
    pub(super) open: CancellationToken,
    room: Room,
    /// The connections that are being refused for want of room.
    refused: Load,
}

#[derive(Debug)]
pub(super) struct Worker {
    inbox: mpsc::UnboundedSender<Job>,
    questions: mpsc::UnboundedSender<Ask>,
    pub(super) load: Load,
}

/// How many connections a worker has. Those that are refused have a count of their own.
type Load = Arc<AtomicUsize>;

/// Work for a worker.
pub enum Job {
    /// Accept connections of this listener, and share them among all workers.
    Listen(Arc<std::net::TcpListener>, Arc<Front>, Workers),
    /// Serve this connection.
    Serve(Arrival),
    /// Take in these tunnels of another process, and say whether all are here.
    Thaw(Vec<Returning>, oneshot::Sender<io::Result<()>>),
}

/// An accepted connection on its way to its worker.
pub struct Arrival {
    pub(super) socket: OwnedFd,
    /// `None` on a Unix socket.
    pub(super) peer: Option<SocketAddr>,
    pub(super) front: Arc<Front>,
    pub(super) seat: Seat,
    /// Whether there is room for it; else it is told that there is none.
    pub(super) welcome: bool,
}

/// A connection's place: in its listener's limit, and in the load that it counts for. Given back when dropped.
pub struct Seat {
    /// None, if the listener is gone.
    pub(super) _taken: Option<Taken>,
    pub(super) load: Load,
}

/// What the tasks of a worker share.
pub struct Local {
    /// Its tunnels.
    pub registry: Rc<Registry>,
    /// Its tasks.
    pub lifecycle: Lifecycle,
    /// Turns for TLS handshakes, which cost more than anything else a client can ask for.
    pub tls_handshakes: Semaphore,
    /// Its connections to servers that wait for a request.
    pub connections: Rc<Connections>,
}

impl Workers {
    /// Starts `count` threads, which take as many connections as `room` says. One that has nothing to do keeps looking
    /// for `busy_poll` before it sleeps. Once `stop` is cancelled they run until their tunnels have ended, for
    /// `patience` at most.
    ///
    /// # Errors
    /// A thread or its runtime cannot be made.
    pub fn start(
        count: usize,
        room: Room,
        busy_poll: Duration,
        stop: &CancellationToken,
        patience: Duration,
    ) -> io::Result<(Workers, Vec<JoinHandle<()>>)> {
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        let (ready, started) = std::sync::mpsc::channel();
        for number in 0..count {
            let (inbox, jobs) = mpsc::unbounded_channel();
            let (questions, asked) = mpsc::unbounded_channel();
            let (ready, stop) = (ready.clone(), stop.clone());
            let work = move || {
                log::gather();
                let mut builder = Builder::new_current_thread();
                builder.enable_all().on_thread_park(log::flush);
                if !busy_poll.is_zero() {
                    builder.on_thread_unpark(spin::woken);
                }
                // A local runtime belongs to the thread that builds it.
                run_on(builder.build_local(LocalOptions::default()), &ready, async {
                    tokio::select! {
                        () = run(jobs, asked, &stop, patience) => {}
                        () = spin::spin(busy_poll), if !busy_poll.is_zero() => {}
                    }
                });
            };
            threads.push(thread::Builder::new().name(format!("worker-{number}")).spawn(work)?);
            workers.push(Worker { inbox, questions, load: Load::default() });
        }
        started.iter().take(count).collect::<io::Result<()>>()?;
        let (stop, open) = (stop.clone(), CancellationToken::new());
        Ok((Workers { all: workers.into(), stop, open, room, refused: Load::default() }, threads))
    }

    /// Has listeners accept, those included that are still to come.
    pub fn open(&self) {
        self.open.cancel();
    }

    /// Has one of the workers accept the connections of `front`, once they are [open](Self::open).
    ///
    /// `number` is the listener's: they are spread over the workers.
    pub fn listen(&self, number: usize, listener: Arc<std::net::TcpListener>, front: Arc<Front>) {
        self.all[number % self.all.len()].give(Job::Listen(listener, front, self.clone()));
    }

    /// Cancelled when it is time to stop.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// How many connections there are, tunnels among them.
    pub fn connections(&self) -> usize {
        self.all.iter().map(|worker| worker.load.load(Ordering::Relaxed)).sum()
    }

    /// Where to ask about tunnels.
    pub fn registries(&self) -> Registries {
        Registries::new(self.all.iter().map(|worker| worker.questions.clone()).collect())
    }

    /// Gives a connection to the worker with the fewest: a long-lived connection stays where it falls. `false` when
    /// there is no room for it: it is told so, or just closed where many are being told.
    pub(super) fn give(
        &self,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        front: &Arc<Front>,
        taken: Taken,
    ) -> bool {
        let idlest = self.all.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed));
        let Some(worker) = idlest else { return false };
        let welcome = self.connections() < self.room.connections;
        if !welcome && self.refused.load(Ordering::Relaxed) >= self.room.refusals {
            return false;
        }
        let load = if welcome { &worker.load } else { &self.refused };
        load.fetch_add(1, Ordering::Relaxed);
        let seat = Seat { _taken: Some(taken), load: load.clone() };
        worker.give(Job::Serve(Arrival { socket, peer, front: front.clone(), seat, welcome }));
        welcome
    }
}

impl Worker {
    pub(super) fn give(&self, job: Job) {
        // A worker that has stopped takes nothing: the connection is closed.
        let _ = self.inbox.send(job);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A worker's life.
async fn run(
    mut jobs: mpsc::UnboundedReceiver<Job>,
    asked: mpsc::UnboundedReceiver<Ask>,
    stop: &CancellationToken,
    patience: Duration,
) {
    let lifecycle = Lifecycle::new(stop);
    let connections = Rc::new(Connections::new(&lifecycle));
    let tls_handshakes = Semaphore::new(TLS_HANDSHAKES);
    let local = Rc::new(Local { registry: Rc::default(), connections, lifecycle, tls_handshakes });
    let arrivals = Notify::new();
    // The one task that is not waited for. That nobody can ask any more is no reason to end: tunnels may live.
    let answering = async {
        local.registry.clone().answer(asked, &local.lifecycle).await;
        pending::<()>().await;
    };
    let working = async {
        while let Some(job) = take(&mut jobs, &local.lifecycle).await {
            let task = local.clone();
            match job {
                Job::Listen(listener, front, workers) => {
                    local.lifecycle.spawn(async move { accept(listener, &front, &workers).await });
                }
                Job::Serve(arrival) => {
                    arrivals.notify_one();
                    // Boxed: a task's future is copied three times, and this one has kilobytes.
                    local.lifecycle.spawn(Box::pin(serve_connection(arrival, task)));
                }
                // Who asked and left has them released.
                Job::Thaw(tunnels, reply) => drop(reply.send(thaw(tunnels, &local))),
            }
        }
        local.connections.close();
        local.registry.end_all(Cause::Drain(Why::Shutdown));
        let left = local.lifecycle.ended(patience).await;
        if left > 0 {
            tracing::warn!(left, "connections were cut: they did not end in time");
        }
    };
    tokio::select! {
        () = working => {}
        () = answering => {}
        () = beat(&arrivals) => {}
    }
}

/// While connections arrive, keeps a timer set that is due before theirs: a runtime wakes itself, by a system call, for
/// each timer that becomes its earliest, which three of every handshake would be. None is set for tunnels, as
/// a runtime without timers sleeps at less cost.
async fn beat(arrivals: &Notify) {
    loop {
        arrivals.notified().await;
        sleep(BEAT).await;
    }
}

/// The next job. Once it is time to stop only what was given before: those connections are here, and are told.
async fn take(jobs: &mut mpsc::UnboundedReceiver<Job>, lifecycle: &Lifecycle) -> Option<Job> {
    tokio::select! {
        () = lifecycle.stopping() => jobs.try_recv().ok(),
        job = jobs.recv() => job,
    }
}
