//! Which routes can be meant by a host and a path, without a look at all of them.

use std::collections::HashMap;

use super::{HostMatch, PathMatch, Route, Rule};

/// Made of rules when they are loaded. It only leaves out what cannot match: what it names is still to be held against
/// the request, in the order in which it is named.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The routes of rules that name the host.
    by_host: HashMap<String, Paths>,
    /// Those of rules for every host, or for hosts of some form.
    others: Paths,
    /// Rules that do not let everybody pass.
    pub(super) guarded: Vec<usize>,
    /// Rules for every host.
    pub(super) open: Vec<usize>,
}

/// Routes by their paths.
#[derive(Debug, Default)]
struct Paths {
    whole: HashMap<String, Vec<Candidate>>,
    /// By what a path has to begin with, which may be nothing.
    beginnings: HashMap<String, Vec<Candidate>>,
    /// Lengths of beginnings.
    lengths: Vec<usize>,
}

/// The place of a route. In the order of the document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Candidate {
    pub(super) rule: usize,
    pub(super) route: usize,
    /// Whether the host is still to be looked at.
    pub(super) asks_host: bool,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Index::default();
        for (number, rule) in rules.iter().enumerate() {
            if rule.hosts.is_empty() {
                index.open.push(number);
                index.others.add(number, rule, false);
            }
            if !rule.ip_filter.is_open() {
                index.guarded.push(number);
            }
            for host in &rule.hosts {
                match host {
                    HostMatch::Exact(name) => {
                        index.by_host.entry(name.clone()).or_default().add(number, rule, false);
                    }
                    _ => index.others.add(number, rule, true),
                }
            }
        }
        index
    }

    /// The routes that can be meant, in their order.
    pub(super) fn candidates(&self, host: &str, path: &str) -> Vec<Candidate> {
        let mut found = Vec::new();
        for paths in self.by_host.get(host).into_iter().chain([&self.others]) {
            paths.candidates(path, &mut found);
        }
        found.sort_unstable();
        // Of two for one route the first asks no host.
        found.dedup_by_key(|candidate| (candidate.rule, candidate.route));
        found
    }
}

impl Paths {
    fn add(&mut self, rule: usize, of: &Rule, asks_host: bool) {
        for (route, spec) in of.routes.iter().enumerate() {
            self.add_route(spec, Candidate { rule, route, asks_host });
        }
    }

    fn add_route(&mut self, route: &Route, candidate: Candidate) {
        if route.paths.is_empty() {
            self.add_beginning("", candidate);
        }
        for path in &route.paths {
            match path {
                PathMatch::Exact(path) => self.whole.entry(path.clone()).or_default().push(candidate),
                PathMatch::Prefix(prefix) => self.add_beginning(prefix, candidate),
                PathMatch::Pattern(pattern) => self.add_beginning(pattern.beginning(), candidate),
                PathMatch::Regexp(_) => self.add_beginning("", candidate),
            }
        }
    }

    fn add_beginning(&mut self, beginning: &str, candidate: Candidate) {
        self.beginnings.entry(beginning.to_owned()).or_default().push(candidate);
        if !self.lengths.contains(&beginning.len()) {
            self.lengths.push(beginning.len());
        }
    }

    fn candidates(&self, path: &str, found: &mut Vec<Candidate>) {
        found.extend(self.whole.get(path).into_iter().flatten());
        let beginnings = self.lengths.iter().filter_map(|length| path.get(..*length));
        found.extend(beginnings.filter_map(|beginning| self.beginnings.get(beginning)).flatten());
    }
}
