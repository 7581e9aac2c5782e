//! Kind `Pipeline`: filters, and the order in which a request runs through them.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Check, Diagnostic, NotYet, Raw, Reader, Spanned, Untyped, closest,
    kinds::{FilterSpec, Header, KindReader, Role, unknown_kind},
    template::Data,
    types::Name,
};

/// The filter name that ends a flow.
pub const END: &str = "END";

/// Filters, each with its name, and the flow through them.
#[derive(Debug, PartialEq)]
pub struct Pipeline {
    /// The filters, in the order of the file. Names are unique.
    pub filters: Vec<Filter>,
    /// The steps a request takes; each names a filter or [`END`].
    pub flow: Vec<FlowNode>,
}

/// A filter of a pipeline.
#[derive(Debug)]
pub struct Filter {
    /// What it is called.
    pub name: Name,
    /// What it is.
    pub kind: KindReader,
    /// What it says.
    pub spec: Box<dyn FilterSpec>,
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.spec.same(&*other.spec)
    }
}

/// Filters, and the order in which a request runs through them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Pipeline")]
#[serde(rename_all = "camelCase")]
pub struct PipelineText {
    /// The filters: each has a `name`, a `kind`, and the fields of that kind.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub filters: Vec<Raw>,
    /// The steps a request takes. Default: all filters in the order of `filters`.
    #[serde(default)]
    pub flow: Vec<FlowNode>,
    /// Policies for retries and circuit breakers. Not supported yet.
    #[serde(default)]
    pub resilience: NotYet<Vec<Untyped>>,
    /// Values by their names, for the `template` of filters.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub data: Spanned<Data>,
}

impl Check for PipelineText {
    fn check(&self, _: &Reader) {}
}

/// One step of a flow.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FlowNode {
    /// The name of the filter to run, or `END` to stop.
    pub filter: Spanned<Name>,
    /// Another name for this step, for `jumpIf`: so a filter can run more than once. Default: the filter's name.
    #[serde(default)]
    pub alias: Option<Spanned<Name>>,
    /// Where to go on after a result of the filter: a later step, or `END`. A result that is not listed ends the
    /// flow; no result goes on to the next step.
    #[serde(default)]
    pub jump_if: BTreeMap<Spanned<String>, Spanned<Name>>,
    /// The request and the answer that the filter works on. `DEFAULT` are the client's request and the answer that it
    /// gets; any other name stands for a copy of the request's head, with an answer of its own. Default: `DEFAULT`.
    #[serde(default)]
    pub namespace: Option<Spanned<Name>>,
}

/// The namespace of the client's request.
const DEFAULT: &str = "DEFAULT";

impl FlowNode {
    /// What `jumpIf` calls this step.
    pub fn name(&self) -> &Spanned<Name> {
        self.alias.as_ref().unwrap_or(&self.filter)
    }

    /// Whether the flow stops here.
    pub fn is_end(&self) -> bool {
        self.filter.as_str() == END
    }

    /// What the filter works on, if not on the client's request.
    pub fn namespace(&self) -> Option<&Spanned<Name>> {
        self.namespace.as_ref().filter(|name| name.as_str() != DEFAULT)
    }

    fn run(filter: Spanned<Name>) -> Self {
        Self { filter, alias: None, jump_if: BTreeMap::new(), namespace: None }
    }
}

impl Pipeline {
    /// A pipeline of one filter, which stands at `at`.
    pub fn of<T>(filter: Filter, at: &Spanned<T>) -> Self {
        let flow = vec![FlowNode::run(at.with(filter.name.clone()))];
        Self { filters: vec![filter], flow }
    }

    /// Reads a pipeline with filters of these kinds; reports everything that is wrong.
    pub fn read(raw: &Raw, reader: &Reader, kinds: &[KindReader]) -> Option<Self> {
        let text: PipelineText = reader.read_object(raw, Header::KEYS)?;
        let read = |raw| FilterText::read(raw, reader, kinds, &text.data);
        let filters: Vec<_> = text.filters.iter().map(read).collect();
        check_data(&text, reader);
        check_names(&filters, reader);
        check_flow(&text.flow, &filters, reader);

        let mut specs = Vec::new();
        let mut in_order = Vec::new();
        for filter in filters {
            let name = filter.name?;
            in_order.push(FlowNode::run(name.clone()));
            specs.push(Filter { name: name.into_inner(), kind: *filter.kind?, spec: filter.spec? });
        }
        let flow = if text.flow.is_empty() { in_order } else { text.flow };
        check_answers(&flow, &specs, reader);
        Some(Self { filters: specs, flow })
    }
}

/// What could be read of a filter.
struct FilterText<'k> {
    name: Option<Spanned<Name>>,
    kind: Option<&'k KindReader>,
    spec: Option<Box<dyn FilterSpec>>,
}

impl<'k> FilterText<'k> {
    fn read(raw: &Raw, reader: &Reader, kinds: &'k [KindReader], data: &Data) -> Self {
        let header = Header::read(raw, reader);
        let kind = header.kind.as_ref().and_then(|name| {
            let kind = kinds.iter().find(|kind| kind.name == name.as_str());
            if kind.is_none() {
                let known: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
                let hint = "an object stands in a document of its own, not in a Pipeline";
                reader.report(unknown_kind(name, name.span(), &known, OBJECT_KINDS, hint));
            }
            kind
        });
        let mut spec = kind.and_then(|kind| (kind.read)(raw, reader));
        if let Some(spec) = &mut spec {
            spec.take_up(data, reader);
        }
        Self { name: header.name, kind, spec }
    }
}

/// Kinds of documents.
pub const OBJECT_KINDS: &[&str] = &["HTTPServer", "Pipeline"];

fn check_data(text: &PipelineText, reader: &Reader) {
    let has_template = text.filters.iter().any(|raw| reader.peek(raw, "template").is_some());
    if !text.data.is_empty() && !has_template {
        reader.report(
            Diagnostic::warning("`data` does nothing: no filter has a `template`").at(text.data.span()),
        );
    }
}

fn check_names(filters: &[FilterText<'_>], reader: &Reader) {
    let mut seen: HashMap<&str, &Spanned<Name>> = HashMap::new();
    for name in filters.iter().filter_map(|filter| filter.name.as_ref()) {
        if name.as_str() == END {
            reader
                .report(Diagnostic::error("a filter cannot be called `END`: it ends a flow").at(name.span()));
        }
        if let Some(first) = seen.insert(name.as_str(), name) {
            reader.report(
                Diagnostic::error(format!("two filters are called `{}`", **name))
                    .at(name.span())
                    .other(first.span(), "this is the first"),
            );
        }
    }
}

fn check_flow(flow: &[FlowNode], filters: &[FilterText<'_>], reader: &Reader) {
    let names: Vec<&str> = filters.iter().filter_map(|f| f.name.as_ref()).map(|name| name.as_str()).collect();
    // a filter whose name could not be read has been reported; flow may mean it
    let all_named = names.len() == filters.len();
    let by_name: HashMap<&Name, &FilterText<'_>> =
        filters.iter().filter_map(|filter| Some((&**filter.name.as_ref()?, filter))).collect();
    for (at, node) in flow.iter().enumerate() {
        let filter = by_name.get(&*node.filter);
        if filter.is_none() && !node.is_end() && all_named {
            let diagnostic =
                Diagnostic::error(format!("no filter is called `{}`", *node.filter)).at(node.filter.span());
            reader.report(match closest(node.filter.as_str(), names.iter().copied()) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help("name one of `filters`, or `END`"),
            });
        }
        if let Some(kind) = filter.and_then(|filter| filter.kind) {
            check_results(node, kind, reader);
            check_namespace(node, kind, reader);
        }
        check_targets(node, &flow[at + 1..], reader);
    }
}

/// `jumpIf` may name the results of the filter's kind, and the empty one.
fn check_results(node: &FlowNode, kind: &KindReader, reader: &Reader) {
    for result in node.jump_if.keys().filter(|result| !result.is_empty()) {
        if !kind.results.contains(&result.as_str()) {
            reader.report(
                Diagnostic::error(format!("a {} has no result `{}`", kind.name, **result))
                    .at(result.span())
                    .help(super::help_for(result, kind.results)),
            );
        }
    }
}

/// A copy of a request is an ordinary one.
fn check_namespace(node: &FlowNode, kind: &KindReader, reader: &Reader) {
    if let Some(namespace) = node.namespace().filter(|_| kind.only_websockets) {
        reader.report(
            Diagnostic::error(format!(
                "a {} has nothing to do in the namespace `{}`",
                kind.name, **namespace
            ))
            .at(namespace.span())
            .help("only the client's request can become a WebSocket: leave `namespace` out"),
        );
    }
}

/// Warns of steps that cannot do what they are for: those that change an answer where there is none, and those that take
/// the place of every answer.
fn check_answers(flow: &[FlowNode], filters: &[Filter], reader: &Reader) {
    let roles: HashMap<&Name, Role> = filters.iter().map(|filter| (&filter.name, filter.kind.role)).collect();
    let mut targets = HashSet::new();
    let mut answered = HashSet::new();
    // The step of each namespace that asked servers last, where requests come from without a jump.
    let mut asked: HashMap<Option<&Name>, &FlowNode> = HashMap::new();
    for node in flow {
        let namespace = node.namespace().map(|name| &**name);
        match roles.get(&*node.filter).unwrap_or(&Role::Other) {
            Role::Adaptor if !answered.contains(&namespace) && !targets.contains(&**node.name()) => {
                report_nothing_to_change(node, reader);
            }
            Role::Fallback => {
                if let Some(proxy) = asked.get(&namespace) {
                    report_every_answer_replaced(node, proxy, reader);
                }
                answered.insert(namespace);
            }
            Role::Proxy => {
                answered.insert(namespace);
                asked.insert(namespace, node);
            }
            Role::Adaptor | Role::Other => {}
        }
        if node.is_end() || node.jump_if.keys().any(|result| result.is_empty()) {
            asked.clear();
        }
        targets.extend(node.jump_if.values().map(|target| &**target));
    }
}

fn report_nothing_to_change(node: &FlowNode, reader: &Reader) {
    let title = format!("`{}` has no answer to change: no step before it gives one", *node.filter);
    let help = "put it behind the filter that asks the servers: answers take the steps in their order, too";
    reader.report(Diagnostic::warning(title).at(node.filter.span()).help(help));
}

fn report_every_answer_replaced(node: &FlowNode, proxy: &FlowNode, reader: &Reader) {
    let title = format!("`{}` takes the place of every answer of `{}`", *node.filter, *proxy.filter);
    reader.report(
        Diagnostic::warning(title)
            .at(node.filter.span())
            .other(proxy.filter.span(), "without a result, requests go on from here")
            .help("put a step `filter: END` in front of it, and lead failures to it by `jumpIf`"),
    );
}

/// `jumpIf` may go to one later step, or to the end.
fn check_targets(node: &FlowNode, later: &[FlowNode], reader: &Reader) {
    let mut reported = HashSet::new();
    for target in node.jump_if.values().filter(|target| target.as_str() != END) {
        if !reported.insert(target.as_str()) {
            continue;
        }
        let mut steps = later.iter().map(FlowNode::name).filter(|name| *name == target);
        match (steps.next(), steps.next()) {
            (Some(_), None) => {}
            (None, _) => {
                let names = later.iter().map(|node| node.name().as_str()).chain([END]);
                let help = match closest(target.as_str(), names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "a jump goes forward: name a later step of the flow, or `END`".into(),
                };
                let title = format!("no later step is called `{}`", **target);
                reader.report(Diagnostic::error(title).at(target.span()).help(help));
            }
            (Some(_), Some(second)) => {
                let title = format!("two later steps are called `{}`", **target);
                reader.report(
                    Diagnostic::error(title)
                        .at(target.span())
                        .other(second.span(), "this is the second")
                        .help("give one of them an `alias`"),
                );
            }
        }
    }
}
