//! The administration listener: is it alive, is it ready, how is it.

pub mod control;
pub mod operations;
pub mod socket;
mod status;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::lifecycle::Lifecycle;
use crate::net::reply::{Reply, ReplyBody};
use crate::supervisor::drains::{self, Drained};
use crate::telemetry::{Live, Metrics, Traffic};
use crate::tunnel::registry::{Progress, Registries};
use crate::upstream::Pool;
use crate::upstream::health::Conduct;

/// How long to wait for a worker's answer; a busy one is left out.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the administration listener looks at.
pub struct Admin {
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// Whether connections are accepted.
    pub ready: Arc<AtomicBool>,
    /// The tunnels.
    pub registries: Registries,
    /// The pools that are in force.
    pub pools: RefCell<Vec<Arc<Pool>>>,
    /// Those that are in force no more and may still have tunnels.
    pub departed: RefCell<Vec<Arc<Pool>>>,
    /// The objects that are in force: kind and name.
    pub objects: RefCell<Vec<(&'static str, String)>>,
    /// What is drained by command.
    pub drains: RefCell<Vec<Drained>>,
    /// When all tunnels of a gateway that stops are to have ended.
    pub stopping: Cell<Option<Instant>>,
}

impl Admin {
    /// Nothing is in force yet.
    pub fn new(metrics: Arc<Metrics>, ready: Arc<AtomicBool>, registries: Registries) -> Self {
        let (pools, departed, objects, drains) = Default::default();
        Admin { metrics, ready, registries, pools, departed, objects, drains, stopping: Cell::default() }
    }
}

/// Answers until it is time to stop.
pub async fn serve(listener: TcpListener, admin: Rc<Admin>, lifecycle: Lifecycle) {
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((tcp, peer)) => {
                    lifecycle.spawn(serve_connection(tcp, peer, admin.clone(), lifecycle.clone()));
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = lifecycle.stopping() => {}
    }
}

async fn serve_connection(tcp: TcpStream, peer: SocketAddr, admin: Rc<Admin>, lifecycle: Lifecycle) {
    let service = service_fn(|request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(answer(&request, &admin).await) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(tcp), service);
    tokio::select! {
        served = connection => if let Err(error) = served {
            tracing::debug!(%peer, %error, "administration connection ended");
        },
        () = lifecycle.stopping() => {}
    }
}

async fn answer(request: &Request<Incoming>, admin: &Admin) -> Reply {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "only GET can be used here\n".into());
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return reply;
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".into()),
        "/readyz" if admin.ready.load(Ordering::Relaxed) => text(StatusCode::OK, "ok\n".into()),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n".into()),
        "/metrics" => {
            let live = live(admin).await;
            note_servers(admin);
            note_drains(admin, &routes(admin).await);
            let mut reply = text(StatusCode::OK, admin.metrics.text(live));
            let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            reply.headers_mut().insert(CONTENT_TYPE, kind);
            reply
        }
        "/status" => {
            let tunnels = live(admin).await.tunnels;
            let mut reply = text(StatusCode::OK, status::status(admin, tunnels, &routes(admin).await));
            reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            reply
        }
        _ => text(StatusCode::NOT_FOUND, "there are /livez, /readyz, /metrics and /status\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Reply {
    let mut reply = Response::new(ReplyBody::whole(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}

/// Servers that are gone leave no figures behind.
fn note_servers(admin: &Admin) {
    admin.metrics.forget_servers();
    let pools = admin.pools.borrow();
    let has_verdict = |pool: &&Arc<Pool>| pool.is_watched() || pool.passive().is_some();
    for server in pools.iter().filter(has_verdict).flat_map(|pool| pool.servers()) {
        admin.metrics.server(server.pool(), server.name(), server.health().is_usable());
    }
    for (pool, passive) in pools.iter().filter_map(|pool| Some((pool, pool.passive()?))) {
        for Conduct { server, failures, ejections, ejected, .. } in passive.conducts() {
            admin.metrics.conduct(&pool.identity, &server, failures, ejections, ejected.is_some());
        }
    }
}

/// What is drained no more leaves no figures behind.
fn note_drains(admin: &Admin, routes: &BTreeMap<Arc<str>, usize>) {
    admin.metrics.forget_drains();
    for drained in &*admin.drains.borrow() {
        let target = &drained.target;
        let (pool, left) = (target.pool().unwrap_or_default(), left(admin, drained, routes));
        admin.metrics.drained(target.kind(), target.name(), pool, left);
    }
}

/// How many tunnels of what is drained are left.
fn left(admin: &Admin, drained: &Drained, routes: &BTreeMap<Arc<str>, usize>) -> usize {
    let (pools, departed) = (admin.pools.borrow(), admin.departed.borrow());
    drained.target.left(pools.iter().chain(departed.iter()), routes)
}

/// How many tunnels have come by each route.
async fn routes(admin: &Admin) -> BTreeMap<Arc<str>, usize> {
    let mut shares = Vec::new();
    for answer in admin.registries.routes() {
        if let Ok(Ok(counts)) = timeout(PATIENCE, answer).await {
            shares.extend(counts);
        }
    }
    drains::sum(shares.into_iter())
}

/// What the tunnels of all workers have done so far.
async fn live(admin: &Admin) -> Live {
    let (mut tunnels, mut progress) = (0, Progress::default());
    for answer in admin.registries.totals() {
        if let Ok(Ok((open, moved))) = timeout(PATIENCE, answer).await {
            tunnels += open as u64;
            progress = progress + moved;
        }
    }
    let traffic = |messages, bytes| Traffic { messages, bytes };
    Live {
        tunnels,
        to_server: traffic(progress.to_server.messages, progress.to_server.bytes),
        to_client: traffic(progress.to_client.messages, progress.to_client.bytes),
    }
}
