//! What is served on the control socket: what administration tells, and orders.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::geteuid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::operations::{Failure, Order, Orders, Question};
use super::socket::ControlSocket;
use super::{Admin, text};
use crate::lifecycle::Lifecycle;
use crate::net::reply::Reply;
use crate::tunnel::Movable;

/// How many may be served at a time; others wait.
const CONNECTIONS: usize = 16;

/// How long a request may take to come, and the order in it to be carried out.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a question that has come to a gateway just before its end may take to be answered.
pub const LAST_WORDS: Duration = Duration::from_millis(500);

/// How many bytes a question may have.
pub const MAX_QUESTION: usize = 32 << 20;

/// Answers until it is time to stop. Orders go to `orders`.
pub async fn serve(socket: Arc<ControlSocket>, orders: Orders, admin: Rc<Admin>, lifecycle: Lifecycle) {
    let listener = socket.listener.try_clone().and_then(UnixListener::from_std);
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the control socket is not available"),
    };
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let accepting = async {
        while let Ok(seat) = seats.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (admin, orders, task) = (admin.clone(), orders.clone(), lifecycle.clone());
                    lifecycle.spawn(async move {
                        serve_connection(stream, &admin, &orders, &task).await;
                        drop(seat);
                    });
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

async fn serve_connection(stream: UnixStream, admin: &Admin, orders: &Orders, lifecycle: &Lifecycle) {
    if !stream.peer_cred().is_ok_and(|peer| is_trusted(peer.uid())) {
        return tracing::warn!("the control socket is for the owner of the gateway and for root");
    }
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(request, admin, orders).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = timeout(PATIENCE + HEAD_PATIENCE, connection) => if let Ok(Err(error)) = served {
            tracing::debug!(%error, "control connection ended");
        },
        () = async {
            lifecycle.stopping().await;
            sleep(LAST_WORDS).await;
        } => {}
    }
}

fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

async fn answer(request: Request<Incoming>, admin: &Admin, orders: &Orders) -> Reply {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/reload") => ordered(orders, |reply| Order::Reload(Some(reply))).await,
        (&Method::GET, "/upgrade") => {
            let Movable { tunnels, movable } = admin.registries.movable().await;
            answered(StatusCode::OK, &json!({ "tunnels": tunnels, "movable": movable }))
        }
        (&Method::POST, "/upgrade") => {
            let force = request.uri().query() == Some("force");
            ordered(orders, |reply| Order::Upgrade { force, reply: Some(reply) }).await
        }
        (&Method::POST, "/plan") => match read::<Question>(request.into_body()).await {
            Ok(question) => ordered(orders, |reply| Order::Plan(question.into(), reply)).await,
            Err(error) => failed(StatusCode::BAD_REQUEST, error.into()),
        },
        (&Method::POST, "/drain") => match read(request.into_body()).await {
            Ok(order) => ordered(orders, |reply| Order::Drain(order, reply)).await,
            Err(error) => failed(StatusCode::BAD_REQUEST, error.into()),
        },
        (&Method::POST, "/undrain") => match read(request.into_body()).await {
            Ok(wish) => ordered(orders, |reply| Order::Undrain(wish, reply)).await,
            Err(error) => failed(StatusCode::BAD_REQUEST, error.into()),
        },
        (&Method::POST, _) => failed(StatusCode::NOT_FOUND, "there is no such command".to_owned().into()),
        _ => super::answer(&request, admin).await,
    }
}

/// What a request brings. Whoever brings it slowly is cut off with the connection.
async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, String> {
    let body = Limited::new(body, MAX_QUESTION).collect().await;
    let body = body.map_err(|error| format!("the question did not come: {error}"))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
}

/// Has an order carried out, and tells what came of it.
async fn ordered<T: Serialize>(
    orders: &Orders,
    order: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> Order,
) -> Reply {
    let (reply, answer) = oneshot::channel();
    let stops = || failed(StatusCode::SERVICE_UNAVAILABLE, "the gateway stops".to_owned().into());
    if orders.send(order(reply)).is_err() {
        return stops();
    }
    match timeout(PATIENCE, answer).await {
        Ok(Ok(Ok(done))) => answered(StatusCode::OK, &done),
        Ok(Ok(Err(failure))) => failed(StatusCode::CONFLICT, failure),
        Ok(Err(_)) => stops(),
        Err(_) => failed(StatusCode::GATEWAY_TIMEOUT, "the gateway takes too long".to_owned().into()),
    }
}

fn failed(status: StatusCode, failure: Failure) -> Reply {
    answered(status, &failure)
}

fn answered(status: StatusCode, data: &impl Serialize) -> Reply {
    // Plain data, with no keys but strings.
    let mut reply = text(status, serde_json::to_string(data).unwrap_or_default());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
