//! Which server of a pool gets the next handshake.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How servers take turns.
#[derive(Debug)]
pub(super) enum Balancer {
    /// One after the other, over all workers.
    RoundRobin(AtomicUsize),
    /// Each with the same chance.
    Random,
    /// Each with a chance by its weight.
    WeightedRandom(Vec<u32>),
}

impl Balancer {
    /// Where to begin among `count` servers, which is not 0.
    pub(super) fn first(&self, count: usize) -> usize {
        match self {
            Balancer::RoundRobin(turn) => turn.fetch_add(1, Ordering::Relaxed) % count,
            Balancer::Random => fastrand::usize(..count),
            Balancer::WeightedRandom(weights) => weighted(weights).min(count - 1),
        }
    }
}

/// The place that a uniform choice within the sum of `weights` hits.
fn weighted(weights: &[u32]) -> usize {
    let mut left = fastrand::u32(..weights.iter().sum::<u32>().max(1));
    let hit = weights.iter().position(|&weight| match left.checked_sub(weight) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    hit.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round() {
        let balancer = Balancer::RoundRobin(AtomicUsize::new(0));
        let picks: Vec<_> = (0..7).map(|_| balancer.first(3)).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn chances_follow_the_weights() {
        let weights = [1, 0, 3];
        let mut hits = [0_u32; 3];
        for _ in 0..40_000 {
            hits[weighted(&weights)] += 1;
        }
        assert_eq!(hits[1], 0);
        let share = f64::from(hits[2]) / 40_000.0;
        assert!((0.72..0.78).contains(&share), "three quarters are wanted, not {share}");
    }

    #[test]
    fn chances_are_equal_without_weights() {
        let mut hits = [0_u32; 4];
        for _ in 0..40_000 {
            hits[Balancer::Random.first(4)] += 1;
        }
        assert!(hits.iter().all(|hits| (9_000..11_000).contains(hits)), "{hits:?}");
    }
}
