//! Text to a tree of nodes that know their places.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    ops::Range,
};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Tag};

use super::{
    diagnostics::{Diagnostic, Span},
    secrecy,
    source::Source,
};

/// The documents of one file. Nodes are named by number; an alias is the number of what it stands for, so a tree
/// never holds more nodes than the text has.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// The top node of every document that is not empty.
    pub(super) documents: Vec<NodeId>,
    /// The places of values that must not be shown.
    pub(super) secrets: Vec<Range<u32>>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct NodeId(pub(super) u32);

#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) enum Value {
    List(Vec<NodeId>),
    /// Keys are always scalars and never twice the same.
    Map(Vec<(NodeId, NodeId)>),
    Scalar {
        text: Box<str>,
        plain: bool,
    },
}

impl Node {
    /// The text of a scalar, else nothing.
    pub(super) fn text(&self) -> &str {
        match &self.value {
            Value::Scalar { text, .. } => text,
            Value::List(_) | Value::Map(_) => "",
        }
    }

    /// Whether the value is absent in all but form.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }
}

impl Tree {
    /// How many nodes a file may have.
    pub(super) const MAX_NODES: usize = 100_000;

    /// How deep lists and mappings may stand in each other.
    pub(super) const MAX_DEPTH: usize = 64;

    /// Reads all documents of `source`. After a fault in the syntax the documents before it are kept.
    pub(super) fn parse(source: &Source, file: u32) -> (Self, Vec<Diagnostic>) {
        let mut builder = Builder { file, text: source.text(), ..Builder::default() };
        if let Err(fault) = builder.run() {
            let place = fault.span().map_or(0, |span| span.start);
            builder.tree.secrets.extend(secrecy::secret_line(source.text(), place));
            builder.faults.push(fault);
        }
        (builder.tree, builder.faults)
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Whether this place must not be shown.
    pub(super) fn is_secret(&self, span: Span) -> bool {
        self.secrets.iter().any(|secret| secret.start <= span.start && span.end <= secret.end)
    }

    /// The value under `key`, if `id` is a mapping that has it; letter case does not matter.
    pub(super) fn get(&self, id: NodeId, key: &str) -> Option<NodeId> {
        match &self.node(id).value {
            Value::Map(entries) => entries
                .iter()
                .find(|(name, _)| self.node(*name).text().eq_ignore_ascii_case(key))
                .map(|(_, value)| *value),
            Value::List(_) | Value::Scalar { .. } => None,
        }
    }
}

/// Puts the parser's events together.
#[derive(Default)]
struct Builder<'a> {
    tree: Tree,
    file: u32,
    text: &'a str,
    /// Lists and mappings that are not closed yet, the innermost last.
    open: Vec<Open>,
    /// Complete nodes by the parser's number of their anchor.
    anchors: HashMap<usize, NodeId>,
    /// Entries that merge keys copied; each counts as a node.
    merged: usize,
    /// Faults that reading can go on after.
    faults: Vec<Diagnostic>,
}

/// A list or mapping that is not closed yet.
struct Open {
    anchor: Option<usize>,
    start: Span,
    content: Content,
}

enum Content {
    List(Vec<NodeId>),
    Map { entries: Vec<(NodeId, NodeId)>, seen: HashMap<Box<str>, Span>, key: Option<Key> },
}

/// A key whose value has not come yet.
struct Key {
    id: NodeId,
    /// Whether the mapping has it already, so that this one is left out.
    is_duplicate: bool,
}

type Step<T = ()> = Result<T, Diagnostic>;

impl Builder<'_> {
    fn run(&mut self) -> Step {
        if self.text.len() > Source::MAX_BYTES {
            let limit = Source::MAX_BYTES >> 20;
            return Err(Diagnostic::error(format!("the file is larger than {limit} MiB")).at(self.span(0..0)));
        }
        if let Some(at) = self.text.find('\0') {
            return Err(Diagnostic::error("this is not a text: it holds a NUL byte").at(self.span(at..at)));
        }
        let options = granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: Tree::MAX_DEPTH,
            block_nesting_limit: Tree::MAX_DEPTH,
        };
        for event in Parser::new_from_str_with_options(self.text, options) {
            let (event, span) = event.map_err(|error| self.unreadable(&error))?;
            let span = self.span(span.byte_range().unwrap_or(0..0));
            self.event(event, span)?;
        }
        Ok(())
    }

    fn unreadable(&self, error: &ScanError) -> Diagnostic {
        let at = error.marker().byte_offset().unwrap_or(self.text.len());
        let span = self.span(at..at);
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => too_deep(span),
            _ => Diagnostic::error(format!("not readable as YAML: {}", error.info())).at(span),
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Step {
        let anchor = event.anchor_id().filter(|&id| id != 0);
        match event {
            Event::Scalar(text, style, _, tag) => {
                let plain = style == ScalarStyle::Plain && !is_text_tag(tag.as_deref(), span)?;
                let id = self.add(Value::Scalar { text: text.into(), plain }, span)?;
                self.complete(id, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(&id) => self.complete(id, None),
                None => Err(Diagnostic::error("an alias cannot stand inside what it stands for").at(span)),
            },
            Event::SequenceStart(_, _, tag) => {
                is_text_tag(tag.as_deref(), span)?;
                self.enter(anchor, span, Content::List(Vec::new()))
            }
            Event::MappingStart(_, _, tag) => {
                is_text_tag(tag.as_deref(), span)?;
                let content = Content::Map { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.enter(anchor, span, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(span),
            _ => Ok(()),
        }
    }

    fn enter(&mut self, anchor: Option<usize>, start: Span, content: Content) -> Step {
        if self.open.len() >= Tree::MAX_DEPTH {
            return Err(too_deep(start));
        }
        self.open.push(Open { anchor, start, content });
        Ok(())
    }

    fn leave(&mut self, end: Span) -> Step {
        let Some(Open { anchor, start, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(self.merge(entries)?),
        };
        let id = self.add(value, Span { end: end.end.max(start.start), ..start })?;
        self.complete(id, anchor)
    }

    fn add(&mut self, value: Value, span: Span) -> Step<NodeId> {
        self.check_budget(span)?;
        let id = NodeId(u32::try_from(self.tree.nodes.len()).expect("bounded by MAX_NODES"));
        self.tree.nodes.push(Node { value, span });
        Ok(id)
    }

    fn check_budget(&self, span: Span) -> Step {
        let limit = Tree::MAX_NODES;
        if self.tree.nodes.len() + self.merged < limit {
            return Ok(());
        }
        Err(Diagnostic::error(format!("more than {limit} values in one file"))
            .at(span)
            .help("split the file: a directory of files can be loaded as one"))
    }

    /// A node is whole: it goes into the list or mapping around it, or is a document.
    fn complete(&mut self, id: NodeId, anchor: Option<usize>) -> Step {
        self.anchors.extend(anchor.map(|anchor| (anchor, id)));
        let node = &self.tree.nodes[id.0 as usize];
        match self.open.last_mut().map(|open| &mut open.content) {
            None if node.is_null() => {}
            None => self.tree.documents.push(id),
            Some(Content::List(items)) => items.push(id),
            Some(Content::Map { entries, seen, key }) => match key.take() {
                None => {
                    let fault = check_key(node, seen)?;
                    *key = Some(Key { id, is_duplicate: fault.is_some() });
                    self.faults.extend(fault);
                }
                Some(Key { id: name, is_duplicate }) => {
                    let name_text = self.tree.nodes[name.0 as usize].text();
                    if secrecy::is_secret(name_text, node.text()) {
                        self.tree.secrets.push(node.span.start..node.span.end);
                    }
                    if !is_duplicate {
                        entries.push((name, id));
                    }
                }
            },
        }
        Ok(())
    }

    /// Replaces `<<` by the entries of the mappings that it names; an entry of the mapping's own wins.
    fn merge(&mut self, entries: Vec<(NodeId, NodeId)>) -> Step<Vec<(NodeId, NodeId)>> {
        let is_merge = |(key, _): &(NodeId, NodeId)| matches!(&self.tree.node(*key).value, Value::Scalar { text, plain: true } if &**text == "<<");
        let Some(&(key, merged)) = entries.iter().find(|entry| is_merge(entry)) else { return Ok(entries) };
        let place = self.tree.node(key).span;
        let mut all: Vec<_> = entries.iter().copied().filter(|entry| !is_merge(entry)).collect();
        let mut known: HashSet<&str> = all.iter().map(|(key, _)| self.tree.node(*key).text()).collect();
        let node = self.tree.node(merged);
        let single = [merged];
        let sources = if let Value::List(items) = &node.value { &items[..] } else { &single };
        for source in sources {
            let Value::Map(inherited) = &self.tree.node(*source).value else {
                return Err(Diagnostic::error("`<<` takes a mapping or a list of mappings").at(place));
            };
            self.merged += inherited.len();
            self.check_budget(place)?;
            all.extend(inherited.iter().filter(|(key, _)| known.insert(self.tree.node(*key).text())));
        }
        Ok(all)
    }

    fn span(&self, bytes: Range<usize>) -> Span {
        // positions beyond 4 GiB cannot be: longer texts are refused before they are parsed
        let at = |byte: usize| u32::try_from(self.text.floor_char_boundary(byte)).unwrap_or(0);
        Span { file: self.file, start: at(bytes.start), end: at(bytes.end) }
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(format!("nested more than {} levels deep", Tree::MAX_DEPTH)).at(span)
}

/// A key has to be a text; the finding says that the mapping has it already.
fn check_key(key: &Node, seen: &mut HashMap<Box<str>, Span>) -> Step<Option<Diagnostic>> {
    let Value::Scalar { text, .. } = &key.value else {
        return Err(Diagnostic::error("a key must be a plain text").at(key.span));
    };
    Ok(match seen.entry(text.clone()) {
        Entry::Occupied(first) => Some(duplicate_key(text, key.span, *first.get())),
        Entry::Vacant(place) => {
            place.insert(key.span);
            None
        }
    })
}

/// The finding for a key that stands twice in one mapping.
pub(super) fn duplicate_key(name: &str, second: Span, first: Span) -> Diagnostic {
    let title = format!("duplicate key `{name}`");
    Diagnostic::error(title).at(second).label("given a second time").other(first, "first here")
}

/// Whether a tag says "this is a text"; tags of one's own are refused.
fn is_text_tag(tag: Option<&Tag>, span: Span) -> Step<bool> {
    let Some(tag) = tag else { return Ok(false) };
    match tag.core_suffix() {
        Some("str") => Ok(true),
        Some("bool" | "float" | "int" | "map" | "null" | "seq") => Ok(false),
        _ => Err(Diagnostic::error(format!("the tag `{}` is not supported", tag.original())).at(span)),
    }
}
