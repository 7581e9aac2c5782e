//! From what the user wrote to objects that work.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::load::{Named, Objects};
use super::routes::router;
use crate::filters::{self, Deps};
use crate::net::forwarded::TrustedProxies;
use crate::net::unix::Place;
use crate::pipeline::{Pipeline, Step, Target};
use crate::server::serving::{DrainedParts, Serving};
use crate::server::tls::Tls;
use crate::spec::http_server::HttpServer;
use crate::spec::pipeline::{END, FlowNode, Pipeline as PipelineSpec};
use crate::spec::types::ListenAddress;
use crate::upstream::Dialler;
use crate::upstream::pool::Pools;

/// How long a connection may wait with its next request: not so long that silence is a way to hold all seats.
const HEAD_TIMEOUT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What stands behind the listeners.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// By name.
    pub pipelines: Arc<HashMap<String, Arc<Pipeline>>>,
    /// Those of all filters in a flow.
    pub pools: Pools,
    /// Those that are in force no more and may still have tunnels: for the case that they come back.
    pub departed: Pools,
}

/// Builds all of `objects`, which were found to be without errors. What says the same as in `old`, where it became
/// `before`, is not built anew. Servers are reached by `dialler`.
pub fn build(objects: &Objects, old: &Objects, before: &InForce, dialler: &Dialler) -> InForce {
    let known = before.departed.iter().chain(&before.pools);
    let known: Pools = known.map(|(identity, pool)| (identity.clone(), pool.clone())).collect();
    let pipelines = objects.pipelines.iter().map(|pipeline| {
        let name = pipeline.name.to_string();
        let same = old.pipelines.contains(pipeline).then(|| before.pipelines.get(&name).cloned()).flatten();
        (name, same.unwrap_or_else(|| build_pipeline(pipeline, &known, dialler)))
    });
    let pipelines: HashMap<_, _> = pipelines.collect();
    let steps = pipelines.values().flat_map(|pipeline| &pipeline.steps);
    let pools = steps.flat_map(|step| step.filter.pools());
    let pools = pools.map(|pool| (pool.identity.clone(), pool.clone())).collect();
    InForce { pipelines: Arc::new(pipelines), pools, departed: Pools::new() }
}

/// What `server` serves, where `before` is what was served there, without what is `drained`.
pub(super) fn serving(
    server: &Named<HttpServer>,
    before: Option<&Serving>,
    pipelines: &Arc<HashMap<String, Arc<Pipeline>>>,
    drained: DrainedParts,
) -> Serving {
    let (name, spec) = (server.name.to_string(), &server.spec);
    let same = before.filter(|before| before.name == name && *before.spec == *spec);
    Serving {
        tls: match same {
            Some(same) => same.tls.clone(),
            None => Tls::new(spec, before.and_then(|before| before.tls.as_deref())),
        },
        spec: same.map_or_else(|| Arc::new(spec.clone()), |same| same.spec.clone()),
        trusted: TrustedProxies::new(spec.trusted_proxies.clone()),
        router: same.map_or_else(|| Arc::new(router(&name, spec)), |same| same.router.clone()),
        pipelines: pipelines.clone(),
        access_log: spec.access_log_format.clone().map(Arc::new),
        keep_alive: spec.keep_alive,
        head_timeout: spec.keep_alive_timeout.get().clamp(HEAD_TIMEOUT.0, HEAD_TIMEOUT.1),
        send_timeout: spec.send_timeout.get(),
        answer_pause: Some(spec.answer_pause_timeout.get()).filter(|pause| !pause.is_zero()),
        max_connections: spec.max_connections.get() as usize,
        drained,
        name,
    }
}

/// Where `server` listens.
pub(super) fn place(server: &HttpServer) -> Place {
    let ip = match server.address.as_deref() {
        Some(ListenAddress::Unix(path)) => return Place::Unix(path.clone()),
        Some(ListenAddress::Ip(ip)) => *ip,
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // One without a port was found to be faulty.
    Place::Tcp(SocketAddr::new(ip, server.port.as_deref().map_or(0, |port| port.get())))
}

fn build_pipeline(pipeline: &Named<PipelineSpec>, pools: &Pools, dialler: &Dialler) -> Arc<Pipeline> {
    let name = pipeline.name.to_string();
    let filters: HashMap<_, _> = pipeline
        .spec
        .filters
        .iter()
        .filter_map(|filter| {
            let identity = &format!("{name}/{}", filter.name);
            Some((&filter.name, filters::build(filter, &Deps { identity, pools, dialler })?))
        })
        .collect();
    let flow = &pipeline.spec.flow;
    // A flow that was found to be without errors names filters that exist, or the end.
    let steps = flow.iter().enumerate().map(|(at, node)| {
        let filter = filters.get(&*node.filter).cloned().unwrap_or_else(filters::end);
        let namespace = node.namespace().map(|name| name.as_str().into());
        Step { filter, jumps: jumps(node, at, flow), namespace }
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
