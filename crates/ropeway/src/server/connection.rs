//! One client connection: its requests, and the tunnel that one of them may become.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::reception::receive;
use super::request::{Opening, Routed};
use super::serving::Front;
use super::spin;
use super::worker::{Arrival, Local, Seat};
use crate::fault::Fault;
use crate::net::Stream;
use crate::net::address::Written;
use crate::net::begun::Begun;
use crate::net::forwarded::Peer;
use crate::net::head::{self, Spelling, USUAL};
use crate::net::linger::linger;
use crate::net::patient::Patient;
use crate::net::reply::{Reply, refusal};
use crate::telemetry::Metrics;
use crate::tunnel::{Leg, Start, Tunnel};

/// Longer heads get a 431.
pub(super) const MAX_HEAD: usize = 32 * 1024;

/// A head that comes in more parts is left to hyper: each of them is looked at from the beginning.
const MOST_PARTS: usize = 16;

/// What a client may send before it has its answer; the rest stays in the kernel.
const MAX_EARLY: usize = 32 * 1024;

/// How long requests may go on once it is time to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client for which there is no room may take for its request.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// How long a client may take to receive its 101.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may go on sending after its last answer.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Any request, after which the connection ends.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";

/// A client connection on which requests are answered.
pub(super) struct Visit {
    pub(super) peer: Peer,
    pub(super) front: Arc<Front>,
    pub(super) local: Rc<Local>,
    /// Whether there is room for it.
    pub(super) welcome: bool,
    /// Cancelled when the request that is under way is to be the last.
    pub(super) era: Arc<CancellationToken>,
    /// What the last answer leaves behind, if it was a 101.
    opening: Cell<Option<Opening>>,
    /// The answer to the first request, where it is hyper's to write.
    prepared: Cell<Option<Reply>>,
}

/// A connection that serves no more requests, and what was read behind the last one.
type Free = (Stream, Bytes);

/// Serves a connection to its end, or to the start of its tunnel.
pub(super) async fn serve_connection(arrival: Arrival, local: Rc<Local>) {
    let Arrival { socket, peer, front, seat, welcome } = arrival;
    let era = front.era();
    let (secured, peer) = match receive(socket, peer, &front, &local).await {
        Ok(secured) => secured,
        Err(error) => return tracing::debug!(?peer, %error, "connection lost"),
    };
    let (opening, prepared) = (Cell::default(), Cell::default());
    let visit = Visit { peer, front, local, welcome, era, opening, prepared };
    if secured.http2 {
        // Boxed, as what is not the way of most connections.
        return Box::pin(Rc::new(visit).serve_http2(secured.stream)).await;
    }
    let Some((stream, early)) = visit.serve(secured.stream).await else { return };
    match visit.opening.take() {
        Some(opening) => {
            start_tunnel(opening, Leg { stream, early }, &visit.front.metrics, seat, &visit.local);
        }
        None => linger(stream, LINGER).await,
    }
}

impl Visit {
    /// Answers requests until the connection is over or has become a WebSocket. `None` when it is lost.
    ///
    /// Nearly every WebSocket is asked for by the first request of a connection: that is read and answered here. All else
    /// is hyper's.
    async fn serve(&self, mut stream: Stream) -> Option<Free> {
        let begin = self.read_first(&mut stream).await?;
        if let Some((head, length)) = head::read_request(&begin) {
            let mut early = BytesMut::from(&begin[length..]);
            let reply = tokio::select! {
                reply = Routed::new(head, None, self).answer(self, &self.opening) => reply,
                () = leaves(&mut stream, &mut early) => return None,
                () = self.too_long() => return None,
            };
            let spelling = reply.extensions().get::<Spelling>();
            let Some(spelling) = spelling.filter(|_| reply.status() == StatusCode::SWITCHING_PROTOCOLS)
            else {
                self.prepared.set(Some(reply));
                return self.go_on(stream, [&begin[..length], &early].concat().into()).await;
            };
            let switching = head::write_switching(reply.headers(), spelling);
            timeout(WRITE_PATIENCE, stream.write_all(&switching)).await.ok()?.ok()?;
            return Some((stream, early.freeze()));
        }
        if let Some(fault) = head::judge(&begin) {
            // hyper would refuse it without a name. So it is given a request that it answers with our refusal.
            self.front.metrics.answered(fault.status(), Some(fault.label()));
            self.prepared.set(Some(refusal(&fault)));
            return self.go_on(stream, Bytes::from_static(STAND_IN)).await;
        }
        self.go_on(stream, begin).await
    }

    /// The first bytes of the connection, with all of the head if that comes in few parts. `None` when none come in time.
    async fn read_first(&self, stream: &mut Stream) -> Option<Bytes> {
        let mut begin = Vec::with_capacity(USUAL);
        if stream.read_at_once(&mut begin).ok()? == Some(0) {
            return None;
        }
        if begin.is_empty() || head::is_begun(&begin) {
            tokio::select! {
                () = read_head(stream, &mut begin) => {}
                () = sleep(self.head_timeout()) => return None,
                () = self.era.cancelled() => return None,
            }
        }
        (!begin.is_empty()).then(|| begin.into())
    }

    /// Has hyper answer the requests, of which the first begins with `begin`.
    async fn go_on(&self, stream: Stream, begin: Bytes) -> Option<Free> {
        // hyper drops its answer to what is no request where that cannot be written yet.
        stream.looked_at().await;
        // Without it, patience with slow readers is shorter.
        let _ = stream.tell_soon_of_room();
        // Boxed: few connections come here, and the task of each has room for its largest part.
        Box::pin(self.serve_requests(Begun::reading(stream, begin))).await
    }

    async fn serve_requests(&self, stream: Begun) -> Option<Free> {
        let service = service_fn(|request: Request<Incoming>| {
            let (head, body) = request.into_parts();
            let known = match self.prepared.take() {
                Some(reply) => Err(reply),
                None => Ok(Routed::new(head, Some(body.into()), self)),
            };
            // Boxed: to be taken apart again, the connection must be movable.
            Box::pin(async move {
                Ok::<_, Infallible>(match known {
                    Ok(routed) => routed.answer(self, &self.opening).await,
                    Err(reply) => reply,
                })
            })
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .title_case_headers(true)
            .max_buf_size(MAX_HEAD)
            .keep_alive(self.front.serving.load().keep_alive && self.welcome)
            .header_read_timeout(self.head_timeout());
        let stream = Patient::new(stream, self.front.serving.load().send_timeout);
        let mut connection = http.serve_connection(TokioIo::new(stream), service);
        let mut over = pin!(self.era.cancelled());
        let mut graceful = false;
        let served = poll_fn(|cx| {
            if !graceful && over.as_mut().poll(cx).is_ready() {
                graceful = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            connection.poll_without_shutdown(cx)
        });
        let result = tokio::select! {
            result = served => result,
            () = self.too_long() => return None,
        };
        if let Err(error) = result {
            tracing::debug!(peer = %self.peer.address, %error, "connection ended");
            if !error.is_parse() {
                return None;
            }
            let fault = if error.is_parse_too_large() { Fault::HeadTooLarge } else { Fault::HeadMalformed };
            self.front.metrics.answered(fault.status(), Some(fault.label()));
        }
        let parts = connection.into_parts();
        Some(parts.io.into_inner().into_inner().into_parts(parts.read_buf))
    }

    pub(super) fn head_timeout(&self) -> Duration {
        if self.welcome { self.front.serving.load().head_timeout } else { REFUSAL_PATIENCE }
    }

    /// Resolves when it has been time to stop for long.
    pub(super) async fn too_long(&self) {
        self.local.lifecycle.stopping().await;
        sleep(STOP_PATIENCE).await;
    }
}

/// Reads more of a head, until it is whole or no usual one. What is lost, or has ended, shows in the next attempt.
async fn read_head(stream: &mut Stream, begin: &mut Vec<u8>) {
    for _ in 0..MOST_PARTS {
        let mut room = begin.limit(MAX_HEAD - begin.len());
        let is_over = stream.read_buf(&mut room).await.map_or(true, |read| read == 0);
        if is_over || !head::is_begun(begin) {
            return;
        }
    }
}

/// Resolves when the client is gone. What it sends before that is put into `early`, as much as is allowed.
async fn leaves(stream: &mut Stream, early: &mut BytesMut) {
    while stream.read_buf(early).await.is_ok_and(|read| read > 0) {
        if early.len() >= MAX_EARLY {
            pending::<()>().await;
        }
    }
}

/// The connection's task ends here: the tunnel's own is smaller, and it lives for hours.
fn start_tunnel(opening: Opening, client: Leg, metrics: &Arc<Metrics>, seat: Seat, local: &Local) {
    let Opening { id, route, address, mut upgrade } = opening;
    let Some((server, account)) = upgrade.take() else { return };
    let deflate = upgrade.deflate;
    tracing::info!(
        target: "ropeway::tunnel",
        %id, client = %Written(address), %route, pool = account.pool, server = account.server, "tunnel open"
    );
    let start = Start { id, route, address, account, deflate, client, server };
    let tunnel = Tunnel::new(start, &local.registry);
    run_tunnel(tunnel, metrics.clone(), seat, local);
}

/// Gives a tunnel a task, and a seat to its end.
pub(super) fn run_tunnel(tunnel: Tunnel, metrics: Arc<Metrics>, seat: Seat, local: &Local) {
    local.lifecycle.spawn(Running { tunnel, metrics, _seat: seat });
}

/// A tunnel's task. By hand, as an `async` block would hold the tunnel twice.
struct Running {
    tunnel: Tunnel,
    metrics: Arc<Metrics>,
    _seat: Seat,
}

impl Future for Running {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        spin::note();
        // None: it goes on in another process, which will say how it ends.
        let Some(record) = ready!(Pin::new(&mut self.tunnel).poll(cx)) else { return Poll::Ready(()) };
        record.log();
        record.tell();
        self.metrics.ended(record.cause.ended_by(), record.cause.to_string());
        Poll::Ready(())
    }
}
