//! `tracing` of an HTTPServer: understood, not supported yet.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::{fields::also_as, types::Secret};

/// Where and how to send traces.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[schemars(transform = |schema: &mut Schema| also_as(schema, "attributes", "tags"))]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// The name of this service in traces.
    pub service_name: String,
    /// Attributes of every span.
    #[serde(default, alias = "tags")]
    pub attributes: BTreeMap<String, String>,
    /// The share of requests that are traced, 0 to 1. Default: 1.
    #[serde(default)]
    pub sample_rate: Option<f64>,
    /// The headers that carry a trace. Default: `trace-context`.
    #[serde(default)]
    pub header_format: HeaderFormat,
    /// Limits of one span.
    #[serde(default)]
    pub span_limits: Option<SpanLimits>,
    /// Limits of one batch of spans.
    #[serde(default)]
    pub batch_limits: Option<BatchLimits>,
    /// Where spans go.
    #[serde(default)]
    pub exporter: Option<Exporter>,
    /// Where spans go, deprecated: use `exporter`.
    #[serde(default)]
    pub zipkin: Option<DeprecatedZipkin>,
}

/// The headers that carry a trace.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderFormat {
    /// W3C trace context.
    #[default]
    TraceContext,
    /// Zipkin's B3.
    B3,
}

/// Limits of one span; negative: no limit.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct SpanLimits {
    /// The most bytes of an attribute's value. Default: no limit.
    pub attribute_value_length_limit: Option<i64>,
    /// The most attributes. Default: 128.
    pub attribute_count_limit: Option<i64>,
    /// The most events. Default: 128.
    pub event_count_limit: Option<i64>,
    /// The most links. Default: 128.
    pub link_count_limit: Option<i64>,
    /// The most attributes of an event. Default: 128.
    pub attribute_per_event_count_limit: Option<i64>,
    /// The most attributes of a link. Default: 128.
    pub attribute_per_link_count_limit: Option<i64>,
}

/// Limits of one batch of spans.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct BatchLimits {
    /// The most spans that wait. Default: 2048.
    pub max_queue_size: Option<i64>,
    /// How long to wait for a batch to fill, in milliseconds. Default: 5000.
    pub batch_timeout: Option<i64>,
    /// How long one export may take, in milliseconds. Default: 30000.
    pub export_timeout: Option<i64>,
    /// The most spans in a batch. Default: 512.
    pub max_export_batch_size: Option<i64>,
}

/// Where spans go: one of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Exporter {
    /// To Jaeger.
    pub jaeger: Option<Jaeger>,
    /// To Zipkin.
    pub zipkin: Option<Zipkin>,
    /// To an OpenTelemetry collector.
    pub otlp: Option<Otlp>,
}

/// A Jaeger agent or collector.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Jaeger {
    /// What is spoken to. Default: `agent`.
    pub mode: JaegerMode,
    /// Its address.
    pub endpoint: Option<String>,
    /// The user to log in as.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret<String>>,
}

/// What is spoken to.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum JaegerMode {
    /// An agent, over UDP.
    #[default]
    Agent,
    /// A collector, over HTTP.
    Collector,
}

/// A Zipkin server.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Zipkin {
    /// Its URL.
    pub endpoint: String,
}

/// An OpenTelemetry collector.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Otlp {
    /// How it is spoken to.
    pub protocol: OtlpProtocol,
    /// Its address.
    pub endpoint: String,
    /// Whether to speak without TLS. Default: false.
    #[serde(default)]
    pub insecure: bool,
    /// `gzip`, or nothing.
    #[serde(default)]
    pub compression: String,
}

/// How an OpenTelemetry collector is spoken to.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum OtlpProtocol {
    /// Protobuf over HTTP.
    Http,
    /// gRPC.
    Grpc,
}

/// A Zipkin server, as older configurations have it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeprecatedZipkin {
    /// Its URL.
    #[serde(rename = "serverURL")]
    pub server_url: String,
    /// The share of requests that are traced, 0 to 1.
    #[serde(default)]
    pub sample_rate: Option<f64>,
    /// Whether client and server share a span.
    #[serde(default)]
    pub same_span: bool,
    /// Whether trace ids have 128 bits.
    #[serde(default)]
    pub id_128_bit: bool,
    /// Whether spans are named after hosts.
    #[serde(default)]
    pub host_port: Option<String>,
    /// The name of the service.
    #[serde(default)]
    pub service_name: Option<String>,
}
