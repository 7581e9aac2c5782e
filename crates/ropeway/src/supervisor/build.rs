//! From what the user wrote to objects that work.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::load::{Named, Objects};
use super::routes::router;
use crate::filters;
use crate::net::forwarded::TrustedProxies;
use crate::pipeline::{Pipeline, Step, Target};
use crate::server::serving::{Front, Serving};
use crate::spec::http_server::HttpServer;
use crate::spec::pipeline::{END, FlowNode, Pipeline as PipelineSpec};
use crate::telemetry::Metrics;
use crate::upstream::health::Watch;

/// How long a connection may wait with its next request: not so long that silence is a way to hold all seats.
const HEAD_TIMEOUT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// Listeners with everything behind them, in the order of the documents.
    pub fronts: Vec<(SocketAddr, Arc<Front>)>,
    /// Who is to watch over servers.
    pub watches: Vec<Watch>,
}

/// Builds all of `objects`, which were found to be without errors.
pub fn build(objects: &Objects, metrics: &Arc<Metrics>) -> Built {
    let built: Vec<_> = objects.pipelines.iter().map(build_pipeline).collect();
    let pipelines: HashMap<_, _> =
        built.iter().map(|pipeline| (pipeline.name.clone(), pipeline.clone())).collect();
    let watches = built.iter().flat_map(|pipeline| watches(pipeline)).collect();
    let served = objects.servers.iter().filter(|server| server.spec.is_served());
    let fronts = served.map(|server| (address(&server.spec), front(server, &pipelines, metrics))).collect();
    Built { fronts, watches }
}

/// Those of every filter in the flow, once even where it stands there twice.
fn watches(pipeline: &Pipeline) -> Vec<Watch> {
    let filters = || pipeline.steps.iter().map(|step| &step.filter);
    let is_first = |at: usize, filter| !filters().take(at).any(|earlier| Arc::ptr_eq(earlier, filter));
    let filters = filters().enumerate().filter(|(at, filter)| is_first(*at, filter));
    filters.flat_map(|(_, filter)| filter.watches()).collect()
}

/// How long workers look for events before they sleep. They serve all listeners, so the longest counts.
pub fn busy_poll(objects: &Objects) -> Duration {
    let served = objects.servers.iter().filter(|server| server.spec.is_served());
    served.map(|server| server.spec.busy_poll.get()).max().unwrap_or_default()
}

fn address(server: &HttpServer) -> SocketAddr {
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    SocketAddr::new(server.address.as_deref().copied().unwrap_or(any), server.port.get())
}

fn front(
    server: &Named<HttpServer>,
    pipelines: &HashMap<String, Arc<Pipeline>>,
    metrics: &Arc<Metrics>,
) -> Arc<Front> {
    let name = server.name.to_string();
    let serving = Serving {
        trusted: TrustedProxies::new(server.spec.trusted_proxies.clone()),
        router: router(&name, &server.spec),
        pipelines: pipelines.clone(),
    };
    Arc::new(Front {
        name,
        serving: ArcSwap::from_pointee(serving),
        seats: Arc::new(Semaphore::new(server.spec.max_connections.get() as usize)),
        keep_alive: server.spec.keep_alive,
        head_timeout: server.spec.keep_alive_timeout.get().clamp(HEAD_TIMEOUT.0, HEAD_TIMEOUT.1),
        metrics: metrics.clone(),
    })
}

fn build_pipeline(pipeline: &Named<PipelineSpec>) -> Arc<Pipeline> {
    let name = pipeline.name.to_string();
    let filters: HashMap<_, _> = pipeline
        .spec
        .filters
        .iter()
        .filter_map(|filter| {
            Some((&filter.name, filters::build(filter, &format!("{name}/{}", filter.name))?))
        })
        .collect();
    let flow = &pipeline.spec.flow;
    // A flow that was found to be without errors names filters that exist, or the end.
    let steps = flow.iter().enumerate().map_while(|(at, node)| {
        let filter = filters.get(&*node.filter)?.clone();
        Some(Step { filter, jumps: jumps(node, at, flow) })
    });
    Arc::new(Pipeline { steps: steps.collect(), name })
}

fn jumps(node: &FlowNode, at: usize, flow: &[FlowNode]) -> Vec<(String, Target)> {
    let target = |name: &str| {
        let later = flow.iter().skip(at + 1).position(|step| step.name().as_str() == name);
        match later {
            Some(later) if name != END => Target::Step(at + 1 + later),
            _ => Target::End,
        }
    };
    node.jump_if.iter().map(|(result, name)| (result.to_string(), target(name.as_str()))).collect()
}
