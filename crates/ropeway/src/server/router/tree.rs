//! The order in which a tree of paths is searched.

use super::{PathMatch, Route};
use crate::spec::types::Rank;

/// Puts the routes of a rule in the order in which a search of the tree of their paths comes to them: whole paths first;
/// where patterns part, what stands for itself, then parameters with an expression, then those without, of these the ones that end within a segment before those that end it, then `*`. What
/// is equal stays in its order.
pub fn sort(routes: &mut [Route]) {
    let mut regexps = Vec::new();
    routes.sort_by_cached_key(|route| match route.paths.first() {
        Some(PathMatch::Pattern(pattern)) => pattern.precedence(&mut regexps),
        _ => Vec::<Rank>::new(),
    });
}
