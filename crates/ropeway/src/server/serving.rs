//! What is in force for a listener.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::router::Router;
use super::seats::Seats;
use super::tls::Tls;
use crate::net::forwarded::TrustedProxies;
use crate::pipeline::Pipeline;
use crate::spec::http_server::HttpServer;
use crate::spec::types::AccessFormat;
use crate::telemetry::Metrics;

/// One listener, and what it serves.
#[derive(Debug)]
pub struct Front {
    /// Loaded once per request and used to the end of it.
    pub serving: ArcSwap<Serving>,
    /// A seat for each open connection.
    pub seats: Arc<Seats>,
    /// Cancelled when nothing is to be accepted here any more, be it that the gateway stops.
    pub closed: CancellationToken,
    /// Cancelled with `closed`, and when connections are made otherwise than before.
    era: ArcSwap<CancellationToken>,
    /// Cancelled before that when another process accepts here: who was accepted so far is still served.
    pub handed_over: CancellationToken,
    /// Where its figures go.
    pub metrics: Arc<Metrics>,
}

/// What is served, and how.
#[derive(Debug)]
pub struct Serving {
    /// The name of the `HTTPServer`.
    pub name: String,
    /// What the user wrote.
    pub spec: Arc<HttpServer>,
    /// Who is believed about the client's address.
    pub trusted: TrustedProxies,
    /// How TLS is spoken here, if it is.
    pub tls: Option<Arc<Tls>>,
    /// Finds the route of a request.
    pub router: Arc<Router>,
    /// By name.
    pub pipelines: Arc<HashMap<String, Arc<Pipeline>>>,
    /// The form of a line for each request, where one is wanted.
    pub access_log: Option<Arc<AccessFormat>>,
    /// Whether a connection may carry more than one request.
    pub keep_alive: bool,
    /// How long a connection may take until the head of its next request is here, idle time included.
    pub head_timeout: Duration,
    /// How long a client may take nothing of what it is sent.
    pub send_timeout: Duration,
    /// How long a server may pause within an answer, if not for ever.
    pub answer_pause: Option<Duration>,
    /// How many connections there may be.
    pub max_connections: usize,
    /// What of it is out of use.
    pub drained: DrainedParts,
}

/// What of a listener is drained by command: requests for it are refused.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct DrainedParts {
    /// Everything.
    pub all: bool,
    /// These routes.
    pub routes: HashSet<Arc<str>>,
}

impl Front {
    /// A listener for `serving`, until `stop` is cancelled.
    pub fn new(serving: Serving, metrics: Arc<Metrics>, stop: &CancellationToken) -> Arc<Self> {
        let closed = stop.child_token();
        Arc::new(Front {
            seats: Seats::new(serving.max_connections),
            serving: ArcSwap::from_pointee(serving),
            era: ArcSwap::from_pointee(closed.child_token()),
            handed_over: closed.child_token(),
            closed,
            metrics,
        })
    }

    /// Serves otherwise from the next request on. Connections that could not be made as they were, and those to what is
    /// drained now, end after the request that is under way.
    pub fn change(&self, serving: Serving) {
        self.seats.resize(serving.max_connections);
        let before = self.serving.swap(Arc::new(serving));
        let now = self.serving.load();
        let is_closing = now.drained.all && !before.drained.all;
        if is_closing || !before.spec.meets_clients_as(&now.spec) {
            self.era.swap(Arc::new(self.closed.child_token())).cancel();
        }
    }

    /// Cancelled when a connection that is made now is to end after its request. To be asked for before anything that is in
    /// force is looked at.
    pub fn era(&self) -> Arc<CancellationToken> {
        self.era.load_full()
    }
}
