//! The pools of a filter, and which of them a request is for.

use std::sync::Arc;

use super::{Asker, Matcher, Pool};

/// Pools of which each request is for one.
#[derive(Debug)]
pub struct Choice {
    /// Each with the requests it is for; the first that fits is taken.
    pub candidates: Vec<(Matcher, Arc<Pool>)>,
    /// For all other requests.
    pub main: Arc<Pool>,
}

impl Choice {
    /// The pool that a request is for.
    pub fn pool(&self, asker: Asker<'_>) -> &Arc<Pool> {
        let candidate = self.candidates.iter().find(|(matcher, _)| matcher.matches(asker));
        candidate.map_or(&self.main, |(_, pool)| pool)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.candidates.iter().map(|(_, pool)| pool).chain([&self.main])
    }
}
