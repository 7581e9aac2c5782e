//! Figures for Prometheus.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// All figures of a gateway.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    ended: Family<EndLabels, Counter>,
    tunnels: Gauge,
    reloads: Family<ResultLabels, Counter>,
    tls_handshakes: Family<ResultLabels, Counter>,
    servers: Family<ServerLabels, Gauge>,
    ejected: Family<ServerLabels, Gauge>,
    ejections: Family<ServerLabels, Counter>,
    failures: Family<ServerLabels, Counter>,
    drained: Family<DrainLabels, Gauge>,
    messages: Family<DirectionLabels, Counter>,
    bytes: Family<DirectionLabels, Counter>,
}

/// What is read off the workers when somebody asks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Live {
    /// Open tunnels.
    pub tunnels: u64,
    /// From clients to servers.
    pub to_server: Traffic,
    /// From servers to clients.
    pub to_client: Traffic,
}

/// What tunnels have passed on so far, ended ones included.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// Whole data messages.
    pub messages: u64,
    /// Payload bytes.
    pub bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    status: u16,
    error: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct EndLabels {
    ended_by: &'static str,
    cause: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ServerLabels {
    pool: String,
    server: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct DrainLabels {
    object: &'static str,
    name: String,
    pool: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("ropeway");
        let requests = Family::default();
        registry.register("requests", "Requests answered, handshakes included", requests.clone());
        let ended = Family::default();
        registry.register("tunnels_ended", "Tunnels that have ended", ended.clone());
        let tunnels = Gauge::default();
        registry.register("tunnels", "Open tunnels", tunnels.clone());
        let reloads = Family::default();
        registry.register("reloads", "Attempts to put a changed configuration in force", reloads.clone());
        let tls_handshakes = Family::default();
        registry.register("tls_handshakes", "TLS handshakes with clients", tls_handshakes.clone());
        let servers = Family::default();
        let text = "Whether a server with a health check, or that can be ejected, gets new connections";
        registry.register("server_usable", text, servers.clone());
        let ejected = Family::default();
        registry.register("server_ejected", "Whether a server is ejected", ejected.clone());
        let ejections = Family::default();
        registry.register("server_ejections", "Ejections of a server", ejections.clone());
        let failures = Family::default();
        let text = "Failures of a server that can make it ejected";
        registry.register("server_failures", text, failures.clone());
        let drained = Family::default();
        let text = "Connections that are left of what is drained by command";
        registry.register("drained_connections", text, drained.clone());
        let messages = Family::default();
        registry.register("messages", "Data messages passed on", messages.clone());
        let bytes = Family::default();
        let text = "Payload of data frames passed on, as it is on the wire";
        registry.register_with_unit("payload", text, Unit::Bytes, bytes.clone());
        Arc::new(Metrics {
            registry,
            requests,
            ended,
            tunnels,
            reloads,
            tls_handshakes,
            servers,
            ejected,
            ejections,
            failures,
            drained,
            messages,
            bytes,
        })
    }

    /// Counts an answer to a request; `error` is the label of the gateway's own fault.
    pub fn answered(&self, status: StatusCode, error: Option<&str>) {
        let labels = RequestLabels { status: status.as_u16(), error: error.unwrap_or_default().to_owned() };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts an attempt to put a changed configuration in force.
    pub fn reloaded(&self, result: &'static str) {
        self.reloads.get_or_create(&ResultLabels { result }).inc();
    }

    /// Counts a TLS handshake with a client.
    pub fn tls_handshake(&self, result: &'static str) {
        self.tls_handshakes.get_or_create(&ResultLabels { result }).inc();
    }

    /// Counts the end of a tunnel.
    pub fn ended(&self, ended_by: &'static str, cause: String) {
        self.ended.get_or_create(&EndLabels { ended_by, cause }).inc();
    }

    /// Forgets all that is known of servers.
    pub fn forget_servers(&self) {
        self.servers.clear();
        self.ejected.clear();
        self.ejections.clear();
        self.failures.clear();
    }

    /// Takes note of whether a server gets new connections.
    pub fn server(&self, pool: &str, server: &str, is_usable: bool) {
        let labels = ServerLabels { pool: pool.to_owned(), server: server.to_owned() };
        self.servers.get_or_create(&labels).set(i64::from(is_usable));
    }

    /// Takes note of how a server behaves towards clients.
    pub fn conduct(&self, pool: &str, server: &str, failures: u64, ejections: u64, is_ejected: bool) {
        let labels = ServerLabels { pool: pool.to_owned(), server: server.to_owned() };
        self.ejected.get_or_create(&labels).set(i64::from(is_ejected));
        self.ejections.get_or_create(&labels).inner().store(ejections, Ordering::Relaxed);
        self.failures.get_or_create(&labels).inner().store(failures, Ordering::Relaxed);
    }

    /// Forgets all that is known of what is drained.
    pub fn forget_drains(&self) {
        self.drained.clear();
    }

    /// Takes note of how many connections are left of what is drained.
    pub fn drained(&self, object: &'static str, name: &str, pool: &str, left: usize) {
        let labels = DrainLabels { object, name: name.to_owned(), pool: pool.to_owned() };
        self.drained.get_or_create(&labels).set(i64::try_from(left).unwrap_or(i64::MAX));
    }

    /// All figures in the OpenMetrics text format.
    pub fn text(&self, live: Live) -> String {
        // Workers end tunnels one by one while they are asked one by one: a count never goes back.
        let set = |family: &Family<DirectionLabels, Counter>, direction, value| {
            family.get_or_create(&DirectionLabels { direction }).inner().fetch_max(value, Ordering::Relaxed);
        };
        self.tunnels.set(i64::try_from(live.tunnels).unwrap_or(i64::MAX));
        for (direction, traffic) in [("to_server", live.to_server), ("to_client", live.to_client)] {
            set(&self.messages, direction, traffic.messages);
            set(&self.bytes, direction, traffic.bytes);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
