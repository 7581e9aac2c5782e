//! Which routes can be meant by a host and a path, without a look at all of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::{HostMatch, PathMatch, Route, Rule};

/// Made of rules when they are loaded. It only leaves out what cannot match: what it names is still to be held against
/// the request, in the order in which it is named.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The routes of rules that name the host.
    by_host: HashMap<String, Paths>,
    /// Those of rules for every host, or for hosts of some form.
    others: Paths,
    /// Hashes paths and their beginnings.
    hasher: RandomState,
    /// Rules that do not let everybody pass.
    pub(super) guarded: Vec<usize>,
    /// Rules for every host.
    pub(super) open: Vec<usize>,
}

/// Routes by their paths.
///
/// With many hosts each look at another place in memory is one that waits for it: so hashes stand for the texts, which
/// are compared in the route itself, and in sorted lists.
#[derive(Debug, Default)]
struct Paths {
    whole: Vec<(u64, Candidate)>,
    /// By what a path has to begin with, which may be nothing.
    beginnings: Vec<(u64, Candidate)>,
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
        let Index { by_host, others, hasher, guarded, open } = &mut index;
        for (number, rule) in rules.iter().enumerate() {
            if rule.hosts.is_empty() {
                open.push(number);
                others.add(number, rule, false, hasher);
            }
            if !rule.ip_filter.is_open() {
                guarded.push(number);
            }
            for host in &rule.hosts {
                match host {
                    HostMatch::Exact(name) => {
                        by_host.entry(name.clone()).or_default().add(number, rule, false, hasher);
                    }
                    _ => others.add(number, rule, true, hasher),
                }
            }
        }
        by_host.values_mut().chain([others]).for_each(Paths::sort);
        index
    }

    /// The routes that can be meant, in their order.
    pub(super) fn candidates(&self, host: &str, path: &str) -> Vec<Candidate> {
        let mut found = Vec::new();
        let whole = self.hasher.hash_one(path);
        for paths in self.by_host.get(host).into_iter().chain([&self.others]) {
            found.extend(named(&paths.whole, whole));
            for beginning in paths.lengths.iter().filter_map(|length| path.get(..*length)) {
                found.extend(named(&paths.beginnings, self.hasher.hash_one(beginning)));
            }
        }
        found.sort_unstable();
        // Of two for one route the first asks no host.
        found.dedup_by_key(|candidate| (candidate.rule, candidate.route));
        found
    }
}

impl Paths {
    fn add(&mut self, rule: usize, of: &Rule, asks_host: bool, hasher: &RandomState) {
        for (route, spec) in of.routes.iter().enumerate() {
            self.add_route(spec, Candidate { rule, route, asks_host }, hasher);
        }
    }

    fn add_route(&mut self, route: &Route, candidate: Candidate, hasher: &RandomState) {
        let mut add_beginning = |beginning: &str| {
            self.beginnings.push((hasher.hash_one(beginning), candidate));
            self.lengths.push(beginning.len());
        };
        if route.paths.is_empty() {
            add_beginning("");
        }
        for path in &route.paths {
            match path {
                PathMatch::Exact(path) => self.whole.push((hasher.hash_one(path), candidate)),
                PathMatch::Prefix(prefix) => add_beginning(prefix),
                PathMatch::Pattern(pattern) => add_beginning(pattern.beginning()),
                PathMatch::Regexp(_) => add_beginning(""),
            }
        }
    }

    fn sort(&mut self) {
        self.whole.sort_unstable();
        self.beginnings.sort_unstable();
        self.lengths.sort_unstable();
        self.lengths.dedup();
    }
}

/// Those of a sorted list that have this hash.
fn named(list: &[(u64, Candidate)], hash: u64) -> impl Iterator<Item = Candidate> {
    let first = list.partition_point(|(known, _)| *known < hash);
    let rest = list.get(first..).unwrap_or_default();
    rest.iter().take_while(move |(known, _)| *known == hash).map(|(_, candidate)| *candidate)
}
