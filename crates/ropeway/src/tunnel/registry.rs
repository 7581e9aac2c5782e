//! The tunnels of a worker, and what can be asked of them from outside.
//!
//! A tunnel's state that others look at stands here and not in its future: its counters, its waker, and the
//! word that it is to end. All of it belongs to one thread; questions come to the worker as messages, so the
//! message path takes no lock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::drain::{Drain, Whose};
use super::farewell::Cause;
use super::frozen::Frozen;
use super::hold::{Freezing, Hold};
use super::{Account, Claim, Movable, TunnelId};
use crate::lifecycle::Lifecycle;

/// The live tunnels of one worker.
#[derive(Default)]
pub struct Registry {
    pub(super) live: RefCell<HashMap<TunnelId, Rc<Entry>>>,
    /// What tunnels that have ended had moved.
    ended: Cell<Progress>,
    /// All tunnels are to end, those that begin from now on included.
    order: Cell<Option<Cause>>,
    pub(super) freezing: RefCell<Option<Freezing>>,
}

/// The word to a tunnel that it is to end. It is said once: the first cause stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    None,
    Given(Cause),
    Heard,
}

/// What does not change of a tunnel.
pub(super) struct Identity {
    pub(super) id: TunnelId,
    pub(super) opened: Instant,
    /// `server/rule/path`.
    pub(super) route: Arc<str>,
    pub(super) client: IpAddr,
    pub(super) account: Claim,
    /// It can go on in another process.
    pub(super) is_movable: bool,
}

/// What a tunnel shows to the rest of its worker.
pub(super) struct Entry {
    pub(super) registry: Rc<Registry>,
    identity: Identity,
    pub(super) progress: Cell<Progress>,
    /// The generation of the policy that the tunnel obeys.
    pub(super) obeyed: Cell<u32>,
    /// Given from outside, heard by the tunnel.
    order: Cell<Order>,
    pub(super) hold: Cell<Hold>,
    pub(super) waker: RefCell<Option<Waker>>,
}

/// What was passed on so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Progress {
    /// From clients to servers.
    pub to_server: Moved,
    /// From servers to clients.
    pub to_client: Moved,
}

/// Whole data messages, and payload bytes of data frames.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Moved {
    /// Messages whose last frame has passed.
    pub messages: u64,
    /// Payload as it is on the wire: compressed where the tunnel compresses.
    pub bytes: u64,
}

/// The tunnels of an account that a worker has, by one route.
#[derive(Debug)]
pub struct Share {
    /// Whose they are.
    pub account: Arc<Account>,
    /// `server/rule/path`.
    pub route: Arc<str>,
    /// Those that were not told to end.
    pub untold: usize,
    /// Those that were, and have not ended yet.
    pub told: usize,
}

/// The registries of all workers, as those see them who have questions.
#[derive(Clone, Debug)]
pub struct Registries(Arc<[mpsc::UnboundedSender<Ask>]>);

/// What a worker can be asked about its tunnels.
#[derive(Debug)]
pub enum Ask {
    /// Live tunnels, and what all tunnels so far have moved.
    Totals(oneshot::Sender<(usize, Progress)>),
    /// Live tunnels by route.
    Routes(oneshot::Sender<HashMap<Arc<str>, usize>>),
    /// Live tunnels by account and route.
    Accounts(oneshot::Sender<Vec<Share>>),
    /// To end some of them.
    Drain(Drain),
    /// How many can go on in another process.
    Movable(oneshot::Sender<Movable>),
    /// To hold still, so many at most.
    Freeze {
        /// Which ones.
        whose: Whose,
        /// How many at most.
        most: usize,
        /// Where they go.
        reply: oneshot::Sender<io::Result<Vec<Frozen>>>,
    },
    /// What those that have ended had moved.
    Ended(oneshot::Sender<Progress>),
    /// To count this with it.
    Carry(Progress),
    /// To have those that hold still go on.
    Resume,
    /// To have those that hold still leave.
    Release,
}

impl Registries {
    /// One channel for each worker.
    pub fn new(workers: Vec<mpsc::UnboundedSender<Ask>>) -> Self {
        Registries(workers.into())
    }

    /// Asks every worker.
    pub fn ask(&self, mut question: impl FnMut() -> Ask) {
        for worker in self.0.iter() {
            // A worker that has stopped has no tunnels to speak of.
            let _ = worker.send(question());
        }
    }

    /// Where every worker will say how many tunnels it has, and what they have moved.
    pub fn totals(&self) -> Vec<oneshot::Receiver<(usize, Progress)>> {
        self.ask_each(Ask::Totals)
    }

    /// Asks every worker; where each will answer.
    pub(super) fn ask_each<T>(
        &self,
        question: impl Fn(oneshot::Sender<T>) -> Ask,
    ) -> Vec<oneshot::Receiver<T>> {
        let mut answers = Vec::new();
        self.ask(|| {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            question(reply)
        });
        answers
    }

    /// Counts what tunnels had moved that ended in the process before this one.
    pub fn carry(&self, moved: Progress) {
        if let Some(worker) = self.0.first() {
            // As in `ask`.
            let _ = worker.send(Ask::Carry(moved));
        }
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.0.len()
    }

    /// Where every worker will say how many tunnels have come by each route.
    pub fn routes(&self) -> Vec<oneshot::Receiver<HashMap<Arc<str>, usize>>> {
        self.ask_each(Ask::Routes)
    }

    /// Where every worker will say how many tunnels each account has there.
    pub fn accounts(&self) -> Vec<oneshot::Receiver<Vec<Share>>> {
        self.ask_each(Ask::Accounts)
    }

    /// How many tunnels are open. Waits for the workers to say so: not to be called on one of them.
    pub fn tunnels(&self) -> usize {
        // A worker that has stopped has none.
        let totals = self.totals().into_iter().filter_map(|answer| answer.blocking_recv().ok());
        totals.map(|(open, _)| open).sum()
    }
}

impl Registry {
    /// Answers questions until nobody can ask any more. What takes longer becomes a task of `lifecycle`.
    ///
    /// Cancel safe: a question is answered in one go.
    pub async fn answer(self: Rc<Self>, mut questions: mpsc::UnboundedReceiver<Ask>, lifecycle: &Lifecycle) {
        while let Some(question) = questions.recv().await {
            match question {
                // Who asked and left does not want the answer.
                Ask::Totals(reply) => drop(reply.send((self.live.borrow().len(), self.totals()))),
                Ask::Routes(reply) => drop(reply.send(self.routes())),
                Ask::Accounts(reply) => drop(reply.send(self.accounts())),
                Ask::Drain(drain) => {
                    let (registry, task) = (self.clone(), lifecycle.clone());
                    lifecycle.spawn(async move {
                        tokio::select! {
                            () = drain.run(registry) => {}
                            () = task.stopping() => {}
                        }
                    });
                }
                Ask::Movable(reply) => drop(reply.send(self.count_movable())),
                Ask::Freeze { whose, most, reply } => self.freeze(&whose, most, reply),
                Ask::Ended(reply) => drop(reply.send(self.ended.get())),
                Ask::Carry(moved) => self.ended.set(self.ended.get() + moved),
                Ask::Resume => self.resume(),
                Ask::Release => self.release(),
            }
        }
    }

    pub(super) fn enter(self: &Rc<Self>, identity: Identity) -> Rc<Entry> {
        let order = self.order.get().or_else(|| identity.account.left().map(Cause::Drain));
        let entry = Rc::new(Entry {
            registry: self.clone(),
            identity,
            progress: Cell::default(),
            obeyed: Cell::new(0),
            order: Cell::new(order.map_or(Order::None, Order::Given)),
            hold: Cell::new(Hold::None),
            waker: RefCell::default(),
        });
        self.live.borrow_mut().insert(entry.id, entry.clone());
        entry
    }

    fn totals(&self) -> Progress {
        self.live.borrow().values().fold(self.ended.get(), |sum, entry| sum + entry.progress.get())
    }

    fn routes(&self) -> HashMap<Arc<str>, usize> {
        let mut routes = HashMap::new();
        for entry in self.live.borrow().values() {
            match routes.get_mut(&entry.route) {
                Some(count) => *count += 1,
                None => drop(routes.insert(entry.route.clone(), 1)),
            }
        }
        routes
    }

    fn accounts(&self) -> Vec<Share> {
        let mut shares = HashMap::new();
        for entry in self.live.borrow().values() {
            let account = entry.account.account();
            let (route, key) = (&entry.route, (Arc::as_ptr(account), entry.route.clone()));
            let none = || Share { account: account.clone(), route: route.clone(), untold: 0, told: 0 };
            let share = shares.entry(key).or_insert_with(none);
            match entry.order() {
                Order::None => share.untold += 1,
                Order::Given(_) | Order::Heard => share.told += 1,
            }
        }
        shares.into_values().collect()
    }

    /// Has every tunnel end, each with its Close frames, and every one that is still to begin.
    pub fn end_all(&self, cause: Cause) {
        self.order.set(Some(cause));
        for entry in self.live.borrow().values() {
            entry.tell(cause);
        }
    }

    /// Those of its tunnels that are meant and were not told to end.
    pub(super) fn untold(&self, whose: &Whose) -> Vec<Rc<Entry>> {
        let is_due = |entry: &Entry| entry.order.get() == Order::None && entry.hold.get() == Hold::None;
        let live = self.live.borrow();
        live.values().filter(|entry| is_due(entry) && whose.means(entry)).cloned().collect()
    }
}

impl Whose {
    /// Whether a tunnel is meant.
    pub(super) fn means(&self, entry: &Entry) -> bool {
        self.concerns(entry.account.account(), &entry.route)
    }

    /// Whether tunnels of this account by this route are meant.
    pub fn concerns(&self, account: &Arc<Account>, by: &str) -> bool {
        match self {
            Whose::All => true,
            Whose::Server(its) => Arc::ptr_eq(its, account),
            Whose::Named { pool, server } => account.pool == *pool && account.server == *server,
            Whose::Pool(pool) => account.pool == *pool,
            Whose::Route(route) => by == route,
            Whose::Listener(listener) => is_of(by, listener),
        }
    }
}

/// Whether a route, `server/rule/path`, is one of this `HTTPServer`.
pub fn is_of(route: &str, listener: &str) -> bool {
    route.strip_prefix(listener).is_some_and(|rest| rest.starts_with('/'))
}

impl Entry {
    /// Has the tunnel end, unless it was told before.
    pub(super) fn tell(&self, cause: Cause) {
        if self.order.get() == Order::None {
            self.order.set(Order::Given(cause));
            self.wake();
        }
    }

    /// Has the tunnel polled. One that was not polled yet will be.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn order(&self) -> Order {
        self.order.get()
    }

    /// Takes up what was said to the tunnel in another process, if anything was.
    pub(super) fn take_up(&self, order: Order) {
        if order != Order::None {
            self.order.set(order);
        }
    }

    /// The cause, the first time that the tunnel asks after it was told.
    pub(super) fn hear(&self) -> Option<Cause> {
        let Order::Given(cause) = self.order.get() else { return None };
        self.order.set(Order::Heard);
        Some(cause)
    }

    /// What the tunnel has moved still counts, unless it goes on elsewhere and counts there.
    pub(super) fn leave(&self) {
        self.registry.live.borrow_mut().remove(&self.id);
        if self.hold.get() != Hold::Released {
            self.registry.ended.set(self.registry.ended.get() + self.progress.get());
        }
        self.leave_freezing();
    }
}

impl std::ops::Deref for Entry {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl std::ops::Add for Progress {
    type Output = Progress;

    fn add(self, other: Progress) -> Progress {
        let add = |a: Moved, b: Moved| Moved {
            messages: a.messages.saturating_add(b.messages),
            bytes: a.bytes.saturating_add(b.bytes),
        };
        Progress {
            to_server: add(self.to_server, other.to_server),
            to_client: add(self.to_client, other.to_client),
        }
    }
}
