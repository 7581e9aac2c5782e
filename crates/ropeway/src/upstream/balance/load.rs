//! How much a server carries.

/// A server's tunnels at one moment, and how many it is meant to carry beside others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) live: u32,
    pub(super) weight: u32,
}

impl Load {
    /// More than any that has weight.
    pub(super) const FULL: Load = Load { live: 1, weight: 0 };

    /// Whether one tunnel more is at most 1.25 times this server's share, rounded up, of the `live` tunnels of its
    /// pool and the new one, where all weights together are `weights`.
    ///
    /// Not all servers can be out of room: then they would have more tunnels than there are.
    pub(super) fn leaves_room(self, live: u64, weights: u64) -> bool {
        4 * u64::from(self.live) * weights < 5 * (live + 1) * u64::from(self.weight)
    }

    /// Whether this server has fewer tunnels for each unit of weight. One without weight never has.
    pub(super) fn is_below(self, other: Load) -> bool {
        u64::from(self.live) * u64::from(other.weight) < u64::from(other.live) * u64::from(self.weight)
    }

    /// One of `weight` at most is below this server with fewer than so many tunnels only.
    pub(super) fn ceiling(self, weight: u32) -> u64 {
        let tunnels = u64::from(self.live) * u64::from(weight);
        if self.weight == 0 { u64::MAX } else { tunnels.div_ceil(self.weight.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_compared_by_weight() {
        let load = |live, weight| Load { live, weight };
        for (less, more) in [
            (load(1, 2), load(1, 1)),
            (load(1, 1), load(3, 2)),
            (load(u32::MAX, 1), Load::FULL),
            (load(0, 1), Load::FULL),
        ] {
            assert!(less.is_below(more) && !more.is_below(less), "{less:?} {more:?}");
            assert!(u64::from(less.live) < more.ceiling(less.weight), "{less:?} {more:?}");
        }
        for (one, other) in [
            (load(49, 49), load(1, 1)),
            (load(0, 1), load(0, 100)),
            (load(0, 0), load(0, 1)),
            (load(0, 0), Load::FULL),
            (load(2, 1), load(4, 2)),
        ] {
            assert!(!one.is_below(other) && !other.is_below(one), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_server_has_room_up_to_a_quarter_above_its_share() {
        for (live, of, weight, weights, expected) in [
            (0, 0, 1, 1, true),
            (0, 0, 1, 1000, true),
            (1, 1, 1, 2, true),    // 2 of 2: 1.25 rounded up
            (2, 2, 1, 2, false),   // 3 of 3: 1.875
            (12, 99, 1, 10, true), // 13 of 100: 12.5
            (13, 99, 1, 10, false),
            (24, 99, 2, 10, true), // 25 of 100: 25
            (25, 99, 2, 10, false),
        ] {
            let load = Load { live, weight };
            assert_eq!(load.leaves_room(of, weights), expected, "{load:?} of {of}, {weights}");
        }
    }
}
