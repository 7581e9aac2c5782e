//! What is in force for a listener.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::router::Router;
use crate::net::forwarded::TrustedProxies;
use crate::pipeline::Pipeline;
use crate::telemetry::Metrics;

/// One listener, and what it serves.
#[derive(Debug)]
pub struct Front {
    /// The name of its `HTTPServer`.
    pub name: String,
    /// Loaded once per request and used to the end of it.
    pub serving: ArcSwap<Serving>,
    /// A permit for each open connection; a tunnel keeps its client's.
    pub seats: Arc<Semaphore>,
    /// Whether a connection may carry more than one request.
    pub keep_alive: bool,
    /// How long a connection may take until the head of its next request is here, idle time included.
    pub head_timeout: Duration,
    /// Where its figures go.
    pub metrics: Arc<Metrics>,
}

/// Routes, and the pipelines they lead to.
#[derive(Debug)]
pub struct Serving {
    /// Who is believed about the client's address.
    pub trusted: TrustedProxies,
    /// Finds the route of a request.
    pub router: Router,
    /// By name.
    pub pipelines: HashMap<String, Arc<Pipeline>>,
}
