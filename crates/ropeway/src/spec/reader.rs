//! Reads typed values from files, and collects all that is wrong with them.

use std::path::Path;
use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
};

use serde::de::DeserializeOwned;

use super::{
    de::NodeDeserializer,
    diagnostics::{Diagnostic, Diagnostics, Span},
    fields::Raw,
    read_error::ReadError,
    source::Source,
    suggest,
    template::Data,
    tree::{NodeId, Tree},
};

/// What a spec says about itself beyond the types of its fields: rules between fields, and what is worth a warning.
pub trait Check {
    /// Reports to `reader` what is wrong. Parts of the value may be missing because they could not be read; the reader
    /// drops what is said of a place around such a part.
    fn check(&self, reader: &Reader);

    /// Takes up the data of the pipeline that it stands in; reports what cannot be.
    fn take_up(&mut self, _: &Data, _: &Reader) {}

    /// The files it names besides those that it stands in. What they held when it was read is part of it.
    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }
}

/// A number of files read together, and what was found wrong with them so far.
#[derive(Debug)]
pub struct Reader {
    trees: Vec<Tree>,
    diagnostics: RefCell<Diagnostics>,
    /// Values read so far, by file. An alias counts each time it is read.
    visited: Vec<Cell<usize>>,
    /// Errors of types found so far, by file.
    faults: Vec<Cell<usize>>,
    /// What was left out because it is at fault.
    left_out: RefCell<Vec<Span>>,
}

impl Reader {
    /// How many values may be read from a file, where one that is reached through aliases counts each time.
    pub const MAX_VISITED: usize = 100_000;

    /// How many wrong values of one file are looked for before giving up on it.
    pub const MAX_FAULTS: usize = 64;

    /// Parses all of `sources`. What cannot be parsed is reported and left out.
    pub fn new(sources: &[Source]) -> Self {
        let mut diagnostics = Diagnostics::default();
        let trees = sources.iter().map(|source| {
            let file = diagnostics.add_file(source.clone());
            let (tree, faults) = Tree::parse(source, file);
            diagnostics.set_secrets(file, tree.secrets.clone());
            faults.into_iter().for_each(|fault| diagnostics.push(fault));
            tree
        });
        let trees: Vec<Tree> = trees.collect();
        let zeros = || trees.iter().map(|_| Cell::new(0)).collect();
        Self {
            visited: zeros(),
            faults: zeros(),
            left_out: RefCell::default(),
            diagnostics: diagnostics.into(),
            trees,
        }
    }

    /// The documents of all files, in order.
    pub fn documents(&self) -> Vec<Raw> {
        let of_tree = |tree: &Tree| -> Vec<Raw> {
            tree.documents.iter().map(|id| Raw { node: id.0, span: tree.node(*id).span }).collect()
        };
        self.trees.iter().flat_map(of_tree).collect()
    }

    /// Reads a value and checks it. Reports everything that is wrong, and gives what could be read: if something could
    /// not, there is an error among the findings.
    pub fn read<T: Check + DeserializeOwned>(&self, raw: &Raw) -> Option<T> {
        self.read_object(raw, &[])
    }

    /// As [`read`](Self::read), for a mapping that also has keys that somebody else reads.
    pub fn read_object<T: Check + DeserializeOwned>(
        &self,
        raw: &Raw,
        also_known: &[&'static str],
    ) -> Option<T> {
        let value = self.recover(raw, Others::Known(also_known));
        value.inspect(|value: &T| value.check(self))
    }

    /// Reads the fields of `T` from a mapping and ignores all others; what is wrong is reported and left out.
    pub fn read_some<T: DeserializeOwned>(&self, raw: &Raw) -> Option<T> {
        self.recover(raw, Others::Any)
    }

    /// The text under `key`, if `raw` is a mapping that has it.
    pub fn peek(&self, raw: &Raw, key: &str) -> Option<(&str, Span)> {
        let tree = self.tree(raw);
        let node = tree.node(tree.get(NodeId(raw.node), key)?);
        Some((node.text(), node.span))
    }

    /// Adds a finding about what was read, unless it is about a place around something that had to be left out: then
    /// it may be a mere consequence.
    pub fn report(&self, diagnostic: Diagnostic) {
        if !diagnostic.span().is_some_and(|span| self.lacks_something(span)) {
            self.push(diagnostic);
        }
    }

    /// Whether nothing inside this place had to be left out.
    pub fn is_whole(&self, place: Span) -> bool {
        !self.lacks_something(place)
    }

    /// Adds findings, if there are any.
    pub fn report_all(&self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        diagnostics.into_iter().for_each(|diagnostic| self.report(diagnostic));
    }

    /// Everything that was found.
    pub fn finish(self) -> Diagnostics {
        self.diagnostics.into_inner()
    }

    /// Reads again and again, each time without the values that were found at fault, so that all faults are found
    /// and not only the first.
    fn recover<T: DeserializeOwned>(&self, raw: &Raw, others: Others<'_>) -> Option<T> {
        let file = raw.span.file as usize;
        let (visited, faults) = (&self.visited[file], &self.faults[file]);
        if visited.get() > Self::MAX_VISITED || faults.get() >= Self::MAX_FAULTS {
            return None;
        }
        let root = NodeId(raw.node);
        let reading = Reading {
            reader: self,
            tree: self.tree(raw),
            visited,
            root,
            others,
            skipped: RefCell::default(),
        };
        let visited_before = visited.get();
        loop {
            visited.set(visited_before);
            let error = match reading.root() {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let culprit = error.culprit.filter(|_| !error.is_fatal);
            let span = error.span.unwrap_or(raw.span);
            // what a value lacks may be what was left out of it; a missing field knows this by itself
            let is_consequence =
                error.is_consequence || error.missing.is_none() && self.lacks_something(span);
            self.left_out.borrow_mut().push(span);
            if !is_consequence {
                self.push(error.into_diagnostic(span));
            }
            faults.set(faults.get() + 1);
            if faults.get() >= Self::MAX_FAULTS {
                self.push(Diagnostic::note("there may be more faults in this file").at(raw.first_line()));
                return None;
            }
            if !reading.skipped.borrow_mut().insert(culprit?) {
                return None;
            }
        }
    }

    /// Whether something inside this place had to be left out.
    fn lacks_something(&self, span: Span) -> bool {
        self.left_out.borrow().iter().any(|left_out| span.is_around(*left_out))
    }

    fn push(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    fn tree(&self, raw: &Raw) -> &Tree {
        &self.trees[raw.span.file as usize]
    }
}

/// Keys of a mapping that are not read with it, but by somebody else.
#[derive(Clone, Copy)]
enum Others<'r> {
    Any,
    Known(&'r [&'static str]),
}

/// One value being read.
pub(super) struct Reading<'r> {
    reader: &'r Reader,
    pub(super) tree: &'r Tree,
    visited: &'r Cell<usize>,
    root: NodeId,
    /// Keys of the root that somebody else reads.
    others: Others<'r>,
    /// Keys and items found at fault, which are left out.
    skipped: RefCell<HashSet<NodeId>>,
}

impl<'r> Reading<'r> {
    fn root<T: DeserializeOwned>(&'r self) -> Result<T, ReadError> {
        self.visit(self.root)?;
        T::deserialize(NodeDeserializer { reading: self, id: self.root, key: None })
    }

    /// Counts one more value.
    pub(super) fn visit(&self, id: NodeId) -> Result<(), ReadError> {
        self.visited.set(self.visited.get() + 1);
        if self.visited.get() <= Reader::MAX_VISITED {
            return Ok(());
        }
        let message =
            format!("more than {} values, counting aliases each time they are used", Reader::MAX_VISITED);
        Err(ReadError::fatal(message, self.tree.node(id).span))
    }

    pub(super) fn is_skipped(&self, id: NodeId) -> bool {
        self.skipped.borrow().contains(&id)
    }

    pub(super) fn report(&self, diagnostic: Diagnostic) {
        self.reader.push(diagnostic);
    }

    /// Reports a key that no field has, unless it is somebody else's.
    pub(super) fn unknown_field(&self, id: NodeId, name: &str, span: Span, known: &[&'static str]) {
        let others = match self.others {
            _ if id != self.root => &[],
            Others::Known(others) if !others.iter().any(|key| key.eq_ignore_ascii_case(name)) => others,
            Others::Any | Others::Known(_) => return,
        };
        let all: Vec<&str> = known.iter().chain(others).copied().collect();
        self.report(
            Diagnostic::error(format!("unknown field `{name}`"))
                .at(span)
                .label("not known here")
                .help(suggest::help_for(name, &all)),
        );
    }

    /// Reports a key whose field does nothing yet.
    pub(super) fn not_supported(&self, key: NodeId) {
        let node = self.tree.node(key);
        let title = format!("`{}` is not supported yet", node.text());
        let diagnostic = Diagnostic::warning(title).at(node.span).label("does nothing");
        self.report(match instead_of(node.text()) {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }
}

/// What to write in the place of a field of Easegress's that is for something which is said otherwise here.
fn instead_of(field: &str) -> Option<&'static str> {
    Some(match field {
        "mtls" => "write `tls` in the pools: a server's certificate is checked in any case",
        "retryPolicy" => "`maxRetries` of the pool says how many more servers are tried",
        "circuitBreakerPolicy" => "`passive` of the pool takes servers that fail out of use for a while",
        "compression" => "let the servers compress: their answers pass as they are",
        "maxRedirection" => "clients get the redirections, and follow them",
        _ => return None,
    })
}
