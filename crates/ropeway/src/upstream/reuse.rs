//! Connections to servers that carry one ordinary request after the other.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep};

use super::Server;
use super::handshake::connect_to;
use crate::fault::Fault;
use crate::lifecycle::{Held, Lifecycle};
use crate::net::Stream;
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
    sender: SendRequest<RequestBody>,
    driver: Driver,
}

/// Who moves the bytes of a connection.
enum Driver {
    /// Who waits for something of it: that costs a request fewer turns than a task of its own, and it is passed on while
    /// it is in the processor's cache.
    Owner(Pin<Box<Connection<TokioIo<Stream>, RequestBody>>>),
    /// A task.
    Task { _held: Held },
    /// Nobody: it is over.
    None,
}

impl Link {
    /// Sends `request` and waits for the head of the answer.
    ///
    /// # Errors
    /// As hyper has them; with the request, if nothing of it was sent.
    ///
    /// Cancel safe only in that the connection may be dropped.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let Link { sender, driver } = self;
        // Its turn is that of who waits: without a waker it could not be told to wait for another one.
        let mut answer = pin!(unconstrained(sender.try_send_request(request)));
        poll_fn(|cx| driver.drive_for(cx, |cx| answer.as_mut().poll(cx))).await
    }

    /// The next part of the body of an answer.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.driver.drive_for(cx, |cx| Pin::new(&mut *body).poll_frame(cx))
    }

    /// Whether it can take a request now.
    fn is_ready(&mut self) -> bool {
        self.driver.drive(&mut Context::from_waker(Waker::noop()));
        self.sender.is_ready()
    }
}

impl Driver {
    /// What `poll` comes to, which waits for something of the connection.
    fn drive_for<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // What the connection has for us is there as soon as it was driven: to be woken for that would be one turn more.
        let mut unheard = Context::from_waker(Waker::noop());
        if let Driver::Owner(_) = self {
            if let Poll::Ready(ready) = poll(&mut unheard) {
                return Poll::Ready(ready);
            }
            self.drive(cx);
        }
        poll(if let Driver::Owner(_) = self { &mut unheard } else { cx })
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        let Driver::Owner(connection) = self else { return };
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            *self = Driver::None;
            note_end(ended);
        }
    }
}

fn note_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection to a server ended");
    }
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
        while let Some(mut last) = waiting.pop_if(|one| one.since.elapsed() < most) {
            if last.link.is_ready() {
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
        client.title_case_headers(true).max_buf_size(MAX_HEAD);
        let (sender, connection) =
            client.handshake(TokioIo::new(stream)).await.map_err(|_| Fault::ConnectFailed)?;
        Ok(Link { sender, driver: Driver::Owner(Box::pin(connection)) })
    }

    /// Has a task drive it from now on: for what is to go on while nobody waits for it.
    pub(super) fn set_apart(&self, link: &mut Link) {
        link.driver = match std::mem::replace(&mut link.driver, Driver::None) {
            Driver::Owner(connection) => {
                let task = self.lifecycle.hold(async move { note_end(connection.await) });
                Driver::Task { _held: task }
            }
            other => other,
        };
    }

    /// Keeps one for the next request. One that cannot take it, such as one on which a body is under way, is closed.
    pub(super) fn keep(self: &Rc<Self>, server: u64, mut link: Link) {
        if self.closed.get() || !link.is_ready() {
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
                waiting.retain_mut(|one| one.since.elapsed() < MAX_IDLE && one.link.is_ready());
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
