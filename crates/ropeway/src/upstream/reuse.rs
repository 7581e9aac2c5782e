//! Connections to servers that carry one ordinary request after the other.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep};

use super::Server;
use super::handshake::connect_to;
use crate::fault::Fault;
use crate::lifecycle::{Held, Lifecycle};
use crate::net::body::RequestBody;

/// How long a connection may wait for its next request.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// Servers close what is idle, most after five seconds: a request that cannot be sent twice takes no connection that
/// has waited for longer than this.
const FRESH: Duration = Duration::from_secs(1);

/// More connections to one server do not wait.
const MAX_WAITING: usize = 256;

/// Longer heads of answers are faults of the server.
const MAX_HEAD: usize = 32 * 1024;

/// A connection to a server. Dropped, it is closed, whatever is under way on it.
pub(super) struct Link {
    pub(super) sender: SendRequest<RequestBody>,
    _task: Held,
}

/// A worker's connections to servers that wait for a request.
pub struct Connections {
    lifecycle: Lifecycle,
    /// By server; the last that came is the first that goes.
    waiting: RefCell<HashMap<u64, Vec<Waiting>>>,
    /// Whether somebody closes what waits for too long.
    watched: Cell<bool>,
    closed: Cell<bool>,
}

struct Waiting {
    link: Link,
    since: Instant,
}

impl Connections {
    /// None yet. Their tasks run in `lifecycle`.
    pub fn new(lifecycle: &Lifecycle) -> Self {
        Connections {
            lifecycle: lifecycle.clone(),
            waiting: RefCell::default(),
            watched: Cell::new(false),
            closed: Cell::new(false),
        }
    }

    /// Closes those that wait; none waits from now on.
    pub fn close(&self) {
        self.closed.set(true);
        self.waiting.borrow_mut().clear();
    }

    /// One that waits; a fresh one for a request that cannot be sent `again`.
    pub(super) fn take(&self, server: &Server, again: bool) -> Option<Link> {
        let mut waiting = self.waiting.borrow_mut();
        let waiting = waiting.get_mut(&server.id())?;
        let most = if again { MAX_IDLE } else { FRESH };
        while let Some(last) = waiting.pop_if(|one| one.since.elapsed() < most) {
            if last.link.sender.is_ready() {
                return Some(last.link);
            }
        }
        None
    }

    /// A new one.
    ///
    /// Cancel safe: dropped, the attempt is given up.
    pub(super) async fn open(&self, server: &Server, patience: Duration) -> Result<Link, Fault> {
        let stream = connect_to(server, patience).await?;
        let mut client = Builder::new();
        client.preserve_header_case(true).title_case_headers(true).max_buf_size(MAX_HEAD);
        let (sender, connection) =
            client.handshake(TokioIo::new(stream)).await.map_err(|_| Fault::ConnectFailed)?;
        let task = self.lifecycle.hold(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a server ended");
            }
        });
        Ok(Link { sender, _task: task })
    }

    /// Keeps one for the next request. One that cannot take it, such as one on which a body is under way, is closed.
    pub(super) fn keep(self: &Rc<Self>, server: u64, link: Link) {
        if self.closed.get() || !link.sender.is_ready() {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        let waiting = waiting.entry(server).or_default();
        if waiting.len() < MAX_WAITING {
            waiting.push(Waiting { link, since: Instant::now() });
        }
        // Only while any wait: a timer that is set costs every message of every tunnel a look at the clock.
        if !self.watched.replace(true) {
            let all = self.clone();
            self.lifecycle.spawn(async move { all.expire().await });
        }
    }

    /// Closes what has waited for too long, until none waits.
    async fn expire(&self) {
        while !self.waiting.borrow().is_empty() {
            tokio::select! {
                () = sleep(MAX_IDLE / 2) => {}
                () = self.lifecycle.stopping() => return,
            }
            self.waiting.borrow_mut().retain(|_, waiting| {
                waiting.retain(|one| one.since.elapsed() < MAX_IDLE && !one.link.sender.is_closed());
                !waiting.is_empty()
            });
        }
        self.watched.set(false);
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("servers", &self.waiting.borrow().len()).finish_non_exhaustive()
    }
}
