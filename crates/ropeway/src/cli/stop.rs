//! The end of `ropeway run`: what is left is drained, and whoever asks meanwhile is answered.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::notify;
use super::plan::forecast;
use super::run::take_in;
use crate::admin::operations::{Failure, Order};
use crate::app::Gateway;
use crate::supervisor::handover::outgoing::Outgoing;

/// Longer than any drain.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How a gateway came to carry no more.
pub(super) enum Outcome {
    Stopped,
    /// Another process has taken over.
    HandedOver(Outgoing),
}

/// Where what came of an order goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// Lets go of what is left, and of the gateway.
pub(super) fn stop(mut gateway: Gateway, requests: Receiver<Order>, outcome: Outcome) {
    let hurry = CancellationToken::new();
    match outcome {
        Outcome::Stopped => {
            notify::stopping();
            tracing::info!("draining; a second signal stops at once");
        }
        Outcome::HandedOver(mut outgoing) => {
            gateway.settle(&hurry);
            match gateway.send_rest(&mut outgoing) {
                Ok(tunnels) => tracing::info!(tunnels, "upgrade: the rest has moved that can"),
                Err(error) => tracing::error!("upgrade: {error}: what is left is drained"),
            }
            hurry_when_forced(outgoing, &hurry);
        }
    }
    let wait = |gateway: &Gateway, time| match requests.recv_timeout(time) {
        Ok(order) => decline(order, gateway),
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => thread::sleep(time),
    };
    gateway.drain(&hurry, |tunnels| tracing::info!(tunnels, "draining"), wait);
    tracing::info!("stopping");
    // Whoever asks from now on hears at once that it is too late.
    drop(requests);
    gateway.stop();
}

/// Answers an order to a gateway that stops: nothing is changed any more.
fn decline(order: Order, gateway: &Gateway) {
    let refused = || Failure::from("the gateway stops, and changes nothing any more".to_owned());
    match order {
        Order::Plan(documents, reply) => drop(reply.send(forecast(gateway, &documents))),
        Order::Reload(reply) => answer(reply, Err(refused())),
        Order::Upgrade { reply, .. } => answer(reply, Err(refused())),
        Order::Drain(_, reply) | Order::Undrain(_, reply) => answer(Some(reply), Err(refused())),
        // They drain with the others.
        Order::Thaw(tunnels) => take_in(gateway, tunnels),
        Order::Stop | Order::Alone => {}
    }
}

/// Sends the answer, if one is wanted.
pub(super) fn answer<T>(reply: Option<Reply<T>>, result: Result<T, Failure>) {
    if let Some(reply) = reply {
        // Who asked and left does not want to know.
        let _ = reply.send(result);
    }
}

/// What is left here is to end at once when the new process asks for it.
fn hurry_when_forced(mut outgoing: Outgoing, hurry: &CancellationToken) {
    let hurry = hurry.clone();
    let listen = move || {
        if outgoing.wait_for_force(Instant::now() + FOR_EVER) {
            tracing::info!("another upgrade is forced: ending what is left");
            hurry.cancel();
        }
    };
    if let Err(error) = thread::Builder::new().name("successor".into()).spawn(listen) {
        tracing::error!(%error, "the new process cannot be listened to");
    }
}
