//! Kinds of objects and filters, and how this layer learns of those that stand above it.

use std::{any::Any, fmt::Debug, path::Path};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::{Check, Diagnostic, Raw, Reader, Span, Spanned, closest, template::Data, types::Name};

/// A spec of some kind of filter, whose type only that kind's own code knows.
pub trait FilterSpec: Any + Debug + Send + Sync {
    /// Whether `other` is of the same type and says the same, wherever it stands in a file.
    fn same(&self, other: &dyn FilterSpec) -> bool;

    /// See [`Check::take_up`].
    fn take_up(&mut self, data: &Data, reader: &Reader);

    /// See [`Check::files`].
    fn files(&self) -> Vec<&Path>;
}

impl<T: Any + Check + Debug + PartialEq + Send + Sync> FilterSpec for T {
    fn take_up(&mut self, data: &Data, reader: &Reader) {
        Check::take_up(self, data, reader);
    }

    fn files(&self) -> Vec<&Path> {
        Check::files(self)
    }

    fn same(&self, other: &dyn FilterSpec) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }
}

impl dyn FilterSpec {
    /// The spec as the type it is of.
    pub fn downcast<T: FilterSpec>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// A kind of filter, as far as reading a configuration needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct KindReader {
    /// What stands in `kind`.
    pub name: &'static str,
    /// The results a filter of this kind can have besides the empty one: what `jumpIf` may name.
    pub results: &'static [&'static str],
    /// Whether it is of use to handshakes for WebSockets only.
    pub only_websockets: bool,
    /// What it has to do with answers.
    pub role: Role,
    /// Reads the spec.
    pub read: fn(&Raw, &Reader) -> Option<Box<dyn FilterSpec>>,
    /// The JSON Schema of the spec, without the keys that all filters have.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// What a filter that has no result has to do with answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Nothing: there is none yet, or it stays.
    Other,
    /// It has brought one.
    Proxy,
    /// It gives one in the place of any other.
    Fallback,
    /// It changes one, and without one it has a result.
    Adaptor,
}

impl KindReader {
    /// A kind whose spec is of type `T`.
    pub const fn of<T>(
        name: &'static str,
        results: &'static [&'static str],
        only_websockets: bool,
        role: Role,
    ) -> Self
    where
        T: Check + DeserializeOwned + FilterSpec + JsonSchema,
    {
        let schema = SchemaGenerator::subschema_for::<T>;
        Self { name, results, only_websockets, role, read: read_filter::<T>, schema }
    }
}

/// The keys that every object and filter has.
#[derive(Debug, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
pub struct Header {
    /// What it is called.
    pub name: Option<Spanned<Name>>,
    /// What it is.
    pub kind: Option<Spanned<String>>,
    version: Option<String>,
    labels: std::collections::BTreeMap<String, String>,
    created_at: Option<String>,
}

impl Header {
    /// The keys, for readers of the rest.
    pub const KEYS: &[&str] = &["name", "kind", "version", "labels", "createdAt"];

    /// Reads them from `raw`; reports what is wrong or missing.
    pub fn read(raw: &Raw, reader: &Reader) -> Self {
        let Some(header) = reader.read_some::<Self>(raw) else { return Self::default() };
        for (key, found) in [("name", reader.peek(raw, "name")), ("kind", reader.peek(raw, "kind"))] {
            if found.is_none() {
                reader.report(Diagnostic::error(format!("missing field `{key}`")).at(raw.first_line()));
            }
        }
        header
    }
}

/// What is to be said about a `kind` that is not among `known`.
///
/// `others` are kinds that are known, but not in this place; `hint` says where they belong.
pub fn unknown_kind(kind: &str, at: Span, known: &[&str], others: &[&str], hint: &str) -> Diagnostic {
    if others.contains(&kind) {
        return Diagnostic::error(format!("`{kind}` cannot stand here")).at(at).help(hint);
    }
    if NOT_YET.contains(&kind) {
        return Diagnostic::error(format!("kind `{kind}` is not supported yet")).at(at);
    }
    let help = match closest(kind, known.iter().chain(others).chain(NOT_YET).copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known kinds: {}", known.join(", ")),
    };
    Diagnostic::error(format!("unknown kind `{kind}`")).at(at).help(help)
}

/// Kinds that Easegress has and Ropeway does not have yet.
const NOT_YET: &[&str] = &[
    "AIGatewayController",
    "AIGatewayProxy",
    "AutoCertManager",
    "CertExtractor",
    "ConnectControl",
    "ConsulServiceRegistry",
    "DataBuilder",
    "EaseMonitorMetrics",
    "EtcdServiceRegistry",
    "EurekaServiceRegistry",
    "FaaSController",
    "FileServer",
    "GRPCProxy",
    "GRPCServer",
    "GatewayController",
    "GlobalFilter",
    "HeaderLookup",
    "HeaderToJSON",
    "IngressController",
    "Kafka",
    "KafkaMQTT",
    "MQTTClientAuth",
    "MQTTProxy",
    "MeshAdaptor",
    "MeshController",
    "MockNamespacer",
    "NacosServiceRegistry",
    "OIDCAdaptor",
    "OPAFilter",
    "RateLimiter",
    "RawConfigTrafficController",
    "RedirectorV2",
    "RemoteFilter",
    "RequestBuilder",
    "ResponseBuilder",
    "ResultBuilder",
    "ServiceRegistry",
    "SimpleHTTPProxy",
    "StatusSyncController",
    "TopicMapper",
    "TrafficController",
    "Validator",
    "WAF",
    "WAFController",
    "WasmHost",
    "ZookeeperServiceRegistry",
];

fn read_filter<T: Check + DeserializeOwned + FilterSpec>(
    raw: &Raw,
    reader: &Reader,
) -> Option<Box<dyn FilterSpec>> {
    reader.read_object::<T>(raw, Header::KEYS).map(|spec| Box::new(spec) as Box<dyn FilterSpec>)
}
