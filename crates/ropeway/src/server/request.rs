//! One client connection: its requests, and the tunnel that one of them may become.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::uri::Authority;
use http::{Request, StatusCode, Version, request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::serving::Front;
use super::worker::{Arrival, Local, Seat};
use crate::context::{Context, Upgrade};
use crate::fault::Fault;
use crate::net::Stream;
use crate::net::linger::linger;
use crate::net::reply::{ERROR_HEADER, Reply, refusal};
use crate::tunnel::{Leg, Start, Tunnel, TunnelId};

/// Longer heads get a 431.
const MAX_HEAD: usize = 32 * 1024;

/// How long requests may go on once it is time to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may go on sending after its last answer.
const LINGER: Duration = Duration::from_secs(1);

/// What a request leaves behind when its answer is a 101.
struct Opening {
    id: TunnelId,
    route: Arc<str>,
    address: IpAddr,
    upgrade: Upgrade,
}

/// Serves a connection to its end, or to the start of its tunnel.
pub(super) async fn serve_connection(arrival: Arrival, local: Rc<Local>) {
    let Arrival { tcp, peer, front, seat } = arrival;
    let tcp = match TcpStream::from_std(tcp) {
        Ok(tcp) => tcp,
        Err(error) => return tracing::warn!(%peer, %error, "connection lost"),
    };
    let opening = Rc::new(Cell::new(None));
    let Some((tcp, early)) = serve_requests(tcp, peer, &front, &local, &opening).await else { return };
    match opening.take() {
        Some(opening) => start_tunnel(opening, Leg { stream: Stream::Tcp(tcp), early }, front, seat, &local),
        None => linger(tcp, LINGER).await,
    }
}

/// Answers requests until the connection is over or has become a WebSocket; then gives it back, with what was
/// read behind the last request. `None` when it is lost.
async fn serve_requests(
    tcp: TcpStream,
    peer: SocketAddr,
    front: &Arc<Front>,
    local: &Local,
    opening: &Rc<Cell<Option<Opening>>>,
) -> Option<(TcpStream, bytes::Bytes)> {
    let service = service_fn(|request: Request<Incoming>| {
        // Boxed: to be taken apart again, the connection must be movable.
        Box::pin(async move { Ok::<_, Infallible>(answer(request, peer, front, local, opening).await) })
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .preserve_header_case(true)
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD)
        .keep_alive(front.keep_alive)
        .header_read_timeout(front.head_timeout);
    let mut connection = http.serve_connection(TokioIo::new(tcp), service);
    let mut stopping = pin!(local.lifecycle.stopping());
    let mut graceful = false;
    let served = poll_fn(|cx| {
        if !graceful && stopping.as_mut().poll(cx).is_ready() {
            graceful = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    });
    let too_long = async {
        local.lifecycle.stopping().await;
        sleep(STOP_PATIENCE).await;
    };
    let result = tokio::select! {
        result = served => result,
        () = too_long => return None,
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection ended");
        if !error.is_parse() {
            return None;
        }
    }
    let parts = connection.into_parts();
    Some((parts.io.into_inner(), parts.read_buf))
}

/// One request's life.
async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    front: &Front,
    local: &Local,
    opening: &Cell<Option<Opening>>,
) -> Reply {
    let wants_upgrade = request.headers().contains_key(UPGRADE);
    let (head, _) = request.into_parts();
    let routed =
        if local.lifecycle.is_stopping() { Err(Fault::Stopping) } else { route(head, peer, front).await };
    let (mut reply, upgraded) = match routed {
        Ok(context) => conclude(context),
        Err(fault) => (refusal(&fault), None),
    };
    if upgraded.is_none() && (wants_upgrade || reply.status() == StatusCode::SWITCHING_PROTOCOLS) {
        // Behind a refused upgrade may stand frames that look like requests: none of it is served.
        reply.headers_mut().append(CONNECTION, HeaderValue::from_static("close"));
    }
    let error = reply.headers().get(ERROR_HEADER).and_then(|label| label.to_str().ok());
    front.metrics.answered(reply.status(), error);
    opening.set(upgraded);
    reply
}

/// Finds the request's pipeline and leads it through.
async fn route(mut head: request::Parts, peer: SocketAddr, front: &Front) -> Result<Context, Fault> {
    settle_host(&mut head)?;
    let serving = front.serving.load_full();
    let client = serving.trusted.client(peer, &head.headers);
    let found = serving.router.find(&head, client.address)?;
    let pipeline = serving.pipelines.get(&*found.backend).cloned().ok_or(Fault::PipelineMissing)?;
    let mut context = Context {
        id: TunnelId::random(),
        request: head,
        client,
        route: found.route,
        reply: None,
        upgrade: None,
    };
    if let Some(target) = found.target {
        context.request.uri = target;
    }
    pipeline.run(&mut context).await;
    Ok(context)
}

/// Makes `Host` name the one host that is meant, for routing, the check of origins and the server alike: exactly
/// one has to be there, and an absolute target overrules it (RFC 9112 3.2).
fn settle_host(head: &mut request::Parts) -> Result<(), Fault> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let sent = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host.as_bytes()),
        (None, _) => head.version < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    let target = head.uri.authority().map(|authority| authority.as_str());
    if !sent || !target.is_none_or(|target| is_host(target.as_bytes())) {
        return Err(Fault::HostInvalid);
    }
    if let Some(host) = target.and_then(|target| HeaderValue::from_str(target).ok()) {
        head.headers.insert(HOST, host);
    }
    Ok(())
}

/// Whether this is a host, maybe with a port, and nothing else.
fn is_host(text: &[u8]) -> bool {
    Authority::try_from(text).is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// The answer that a pipeline came to.
fn conclude(context: Context) -> (Reply, Option<Opening>) {
    let Context { id, route, client, reply, upgrade, .. } = context;
    let Some(reply) = reply else { return (refusal(&Fault::NoReply), None) };
    let upgrade = upgrade.filter(|_| reply.status() == StatusCode::SWITCHING_PROTOCOLS);
    (reply, upgrade.map(|upgrade| Opening { id, route, address: client.address, upgrade }))
}

/// The connection's task ends here: the tunnel's own is smaller, and it lives for hours.
fn start_tunnel(opening: Opening, client: Leg, front: Arc<Front>, seat: Seat, local: &Local) {
    let Opening { id, route, address, mut upgrade } = opening;
    let Some(server) = upgrade.take() else { return };
    let (account, deflate) = (upgrade.account.clone(), upgrade.deflate);
    tracing::info!(
        target: "ropeway::tunnel",
        %id, client = %address, %route, pool = account.pool, server = account.server, "tunnel open"
    );
    let start = Start { id, route, address, account, deflate, client, server };
    let tunnel = Tunnel::new(start, &local.registry);
    local.lifecycle.spawn(Running { tunnel, front, _seat: seat });
}

/// A tunnel's task. By hand, as an `async` block would hold the tunnel twice.
struct Running {
    tunnel: Tunnel,
    front: Arc<Front>,
    _seat: Seat,
}

impl Future for Running {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let record = ready!(Pin::new(&mut self.tunnel).poll(cx));
        record.log();
        self.front.metrics.ended(record.cause.ended_by(), record.cause.to_string());
        Poll::Ready(())
    }
}
