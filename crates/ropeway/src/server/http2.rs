//! HTTP/2 with a client: many requests on one connection, each led the way of one of HTTP/1.1.
//!
//! WebSockets over HTTP/2 (RFC 8441) are not announced, so clients open them on connections of their own.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::header::{CONNECTION, COOKIE, EXPECT, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, Uri, request};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connection::{LINGER, MAX_HEAD, Visit};
use super::request::Routed;
use crate::fault::Fault;
use crate::lifecycle::Lifecycle;
use crate::net::Stream;
use crate::net::h2_meter::H2Meter;
use crate::net::head::MOST_HEADERS;
use crate::net::linger::linger;
use crate::net::paced::{Queue, Taker, Watched};
use crate::net::patient::Patient;
use crate::net::reply::{Reply, refusal};
use crate::net::unread::{ClientBody, Unread};

/// Requests that may be under way at once on a connection.
const STREAMS: u32 = 100;

/// What a client may send of one body before somebody takes it, and of all of them together: the most that is kept of
/// bodies for a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const WINDOW: u32 = 1024 * 1024;

/// What is kept of each answer that the client does not take yet.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that the client makes us reset before the connection ends; and those that it resets before we see them.
const MAX_FAULTY: usize = 200;
const MAX_UNSEEN: usize = 20;

/// How long a client that was told to open no more streams may take to hear of it.
const GOAWAY_PATIENCE: Duration = Duration::from_secs(5);

impl Visit {
    /// Answers requests until the connection is over.
    pub(super) async fn serve_http2(self: Rc<Self>, stream: Stream) {
        // Without it, patience with slow readers is shorter.
        let _ = stream.tell_soon_of_room();
        let stream = Rc::new(RefCell::new(stream));
        let ended = self.serve_streams(stream.clone()).await;
        // Nobody else has it any more.
        if let (Some(()), Ok(stream)) = (ended, Rc::try_unwrap(stream)) {
            linger(stream.into_inner(), LINGER).await;
        }
    }

    /// `None` when the connection is lost.
    async fn serve_streams(self: Rc<Self>, stream: Rc<RefCell<Stream>>) -> Option<()> {
        let patience = self.front.serving.load().send_timeout;
        let streams = Streams::new(&self.local.lifecycle, patience);
        let last = CancellationToken::new();
        let service = service_fn(|request: Request<Incoming>| {
            let (head, body) = request.into_parts();
            let (body, unread) = ClientBody::with_unread(body);
            let (visit, taker, last) = (self.clone(), streams.next(unread), last.clone());
            let queue = streams.queue.clone();
            let routed = Routed::new(head, Some(body), &visit);
            async move {
                let mut reply = visit.answer_stream(routed).await;
                // Here no header says that the connection is to end, but a GOAWAY (RFC 9113 6.8, 8.2.2).
                if reply.headers_mut().remove(CONNECTION).is_some_and(|word| word == "close") {
                    last.cancel();
                }
                Ok::<_, Infallible>(reply.map(|body| Watched::new(body, taker, queue)))
            }
        });
        let stream = Patient::new(H2Meter::new(stream, streams.queue.clone()), patience);
        let connection = builder(&streams).serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = async {
                tokio::select! {
                    () = streams.idle_for(self.head_timeout()) => {}
                    () = self.era.cancelled() => {}
                    () = last.cancelled() => {}
                }
            } => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = streams.left() => return Some(()),
                    () = self.too_long() => return None,
                }
            }
        };
        let Err(error) = result else { return Some(()) };
        tracing::debug!(peer = %self.peer.address, %error, "connection ended");
        let is_lost = error.source().is_some_and(|cause| cause.is::<io::Error>());
        (!is_lost).then_some(())
    }

    async fn answer_stream(&self, routed: Routed) -> Reply {
        let opening = Cell::default();
        let reply = routed.answer(self, &opening).await;
        // There is nothing to switch to (RFC 9113 8.6).
        if reply.status().is_informational() { refusal(&Fault::HttpVersion) } else { reply }
    }
}

fn builder(streams: &Streams) -> http2::Builder<Streams> {
    let mut http = http2::Builder::new(streams.clone());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD as u32)
        .max_local_error_reset_streams(MAX_FAULTY)
        .max_pending_accept_reset_streams(MAX_UNSEEN);
    http
}

/// Gives a request the form that it would have over HTTP/1.1.
pub(super) fn settle(head: &mut request::Parts) -> Result<(), Fault> {
    settle_authority(head)?;
    join_cookies(&mut head.headers);
    if head.headers.len() > MOST_HEADERS {
        return Err(Fault::HeadTooLarge);
    }
    // hyper has no way to say 100 here. Clients that wait for it do not wait for long (RFC 9110 10.1.1).
    head.headers.remove(EXPECT);
    if let Some(target) = head.uri.path_and_query().cloned().filter(|_| head.method != Method::CONNECT) {
        if !target.as_str().starts_with('/') && (target != "*" || head.method != Method::OPTIONS) {
            return Err(Fault::PathInvalid);
        }
        head.uri = Uri::from(target);
    }
    Ok(())
}

/// `:authority` becomes `Host`; where both came, they have to say the same (RFC 9113 8.3.1).
fn settle_authority(head: &mut request::Parts) -> Result<(), Fault> {
    let Some(authority) = head.uri.authority() else { return Ok(()) };
    let mut hosts = head.headers.get_all(HOST).iter();
    if !hosts.all(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())) {
        return Err(Fault::HostInvalid);
    }
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Fault::HostInvalid)?;
    head.headers.insert(HOST, host);
    Ok(())
}

/// Makes one line of the crumbs into which HTTP/2 may split `Cookie` (RFC 9113 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, whole);
    }
}

/// The streams of a connection, each a task: hyper gives them here.
#[derive(Clone)]
struct Streams {
    lifecycle: Lifecycle,
    open: watch::Sender<usize>,
    /// How long a client may take nothing of an answer.
    patience: Duration,
    queue: Queue,
    /// Of the request that hyper has just had answered; its stream comes next.
    next: Rc<Cell<(Taker, Unread)>>,
}

/// Counts as one while it lives.
struct Open(watch::Sender<usize>);

impl Streams {
    fn new(lifecycle: &Lifecycle, patience: Duration) -> Self {
        let lifecycle = lifecycle.clone();
        Streams {
            lifecycle,
            open: watch::Sender::default(),
            patience,
            queue: Queue::default(),
            next: Rc::default(),
        }
    }

    /// For the stream that is given here next.
    fn next(&self, unread: Unread) -> Taker {
        let taker = Taker::default();
        self.next.set((taker.clone(), unread));
        taker
    }

    /// Resolves when there has been no stream for `patience`.
    ///
    /// Cancel safe.
    async fn idle_for(&self, patience: Duration) {
        let mut open = self.open.subscribe();
        // The sender is here, so neither of the two can fail.
        while open.wait_for(|open| *open == 0).await.is_ok() {
            if timeout(patience, open.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Resolves when a client that was told to open no more streams does not let the connection end: there are none, and
    /// it takes nothing of what is left of their answers, if anything.
    ///
    /// Cancel safe.
    async fn left(&self) {
        self.idle_for(GOAWAY_PATIENCE).await;
        while self.queue.moves(self.patience) {
            self.idle_for(GOAWAY_PATIENCE).await;
        }
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (open, patience) = (Open::new(&self.open), self.patience);
        let (taker, unread) = self.next.take();
        self.lifecycle.spawn(async move {
            tokio::select! {
                () = stream => unread.throw_away(LINGER).await,
                // Dropped, it is reset.
                () = taker.stalls(patience) => {}
            }
            drop(open);
        });
    }
}

impl Open {
    fn new(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Open(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}
