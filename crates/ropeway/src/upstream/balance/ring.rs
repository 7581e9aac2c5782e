//! A circle on which servers and requests have their places: a request goes to the server that comes next.
//!
//! A server more takes its share from all others, and nothing moves between those.

use crate::upstream::hash::{mix, stable};

/// So many points keep servers' shares of the circle within about 3% (one standard deviation) of each other.
const POINTS: usize = 1024;

/// All servers together have no more, so that a ring takes at most 2 MiB. Where that makes their own points fewer, a
/// server more takes away some of each, which is no more than its share again.
const MOST: usize = 256 * POINTS;

/// Every server of a pool, at many points.
#[derive(Debug)]
pub(super) struct Ring {
    /// Where on the circle, and which server.
    points: Vec<(u32, u32)>,
}

impl Ring {
    /// `servers` are names and weights above 0. Points are found by the name alone, and their number by the weight.
    pub(super) fn new<'s>(servers: impl ExactSizeIterator<Item = (&'s str, u32)> + Clone) -> Self {
        let each = (MOST / servers.len().max(1)).clamp(1, POINTS) as u32;
        let heaviest = servers.clone().map(|(_, weight)| weight).max().unwrap_or(1);
        let mut points = Vec::new();
        for (place, (name, weight)) in (0..).zip(servers) {
            let name = stable(name.as_bytes());
            let count = (each * weight / heaviest).max(1);
            points.extend((0..count).map(|number| (upper(mix(name.wrapping_add(u64::from(number)))), place)));
        }
        points.sort_unstable();
        Ring { points }
    }

    /// The servers in the order of the points from `hash` on, once around; each comes many times.
    pub(super) fn walk(&self, hash: u64) -> impl Iterator<Item = usize> {
        let hash = upper(hash);
        let (before, from) = self.points.split_at(self.points.partition_point(|(point, _)| *point < hash));
        from.iter().chain(before).map(|(_, place)| *place as usize)
    }
}

fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}
