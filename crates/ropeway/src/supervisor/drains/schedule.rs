//! When the tunnels of what is drained end.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::spec::drain::Drain as Spec;
use crate::spec::types::Window;
use crate::tunnel::drain::Pace;

/// How an object is to be drained. What is left out is as its listener has it, or the longest of all listeners.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// Over how many milliseconds the ends are spread.
    pub window_ms: Option<u64>,
    /// How many tunnels may end in a second.
    pub max_rate: Option<u32>,
    /// After how many milliseconds all that are left end at once.
    pub deadline_ms: Option<u64>,
    /// Tunnels live on: only nothing new is taken.
    pub keep_tunnels: bool,
}

/// When tunnels end, counted from the beginning of a drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// Over how long the ends are spread.
    pub window: Duration,
    /// How many may end in a second.
    pub max_rate: u32,
    /// When all that are left end at once.
    pub deadline: Duration,
}

impl Schedule {
    /// The longest time and the highest rate of `drains`, if there are any.
    pub fn longest<'s>(drains: impl Iterator<Item = &'s Spec>) -> Option<Self> {
        drains.map(Schedule::of).reduce(|one, other| Schedule {
            window: one.window.max(other.window),
            max_rate: one.max_rate.max(other.max_rate),
            deadline: one.deadline.max(other.deadline),
        })
    }

    /// That of `drain`.
    pub fn of(drain: &Spec) -> Self {
        let (window, deadline) = (drain.window.get(), drain.deadline().get());
        Schedule { window, max_rate: drain.max_rate.per_second(), deadline }
    }

    /// The same, where `terms` do not say otherwise. A deadline ends the window, too.
    pub(super) fn on(self, terms: &Terms) -> Self {
        let bounded = |millis| Duration::from_millis(millis).min(Window::MAX);
        let deadline = terms.deadline_ms.map(bounded);
        let window = terms.window_ms.map_or(self.window, bounded).min(deadline.unwrap_or(Window::MAX));
        Schedule {
            window,
            max_rate: terms.max_rate.unwrap_or(self.max_rate).max(1),
            deadline: deadline.unwrap_or(self.deadline.max(window)),
        }
    }

    /// The pace that each of `workers` is to keep, so that together they keep to it.
    pub fn pace(self, began: Instant, workers: usize) -> Pace {
        let max_rate = f64::from(self.max_rate) / workers.max(1) as f64;
        Pace { end: began + self.window, max_rate, deadline: began + self.deadline }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_it_is_set() {
        let set =
            Schedule { window: Duration::from_secs(20), max_rate: 500, deadline: Duration::from_secs(25) };
        let seconds = |window: Option<u64>, max_rate, deadline: Option<u64>| {
            let millis = |seconds| seconds * 1000;
            let (window_ms, deadline_ms) = (window.map(millis), deadline.map(millis));
            let schedule = set.on(&Terms { window_ms, max_rate, deadline_ms, keep_tunnels: false });
            (schedule.window.as_secs(), schedule.max_rate, schedule.deadline.as_secs())
        };
        assert_eq!(seconds(None, None, None), (20, 500, 25));
        assert_eq!(seconds(Some(1), Some(7), None), (1, 7, 25));
        assert_eq!(seconds(Some(60), None, None), (60, 500, 60));
        assert_eq!(seconds(None, None, Some(5)), (5, 500, 5));
        assert_eq!(seconds(Some(60), None, Some(90)), (60, 500, 90));
        // Whoever speaks over the socket may say anything.
        assert_eq!(seconds(Some(u64::MAX / 1000), Some(0), Some(u64::MAX / 1000)), (86_400, 1, 86_400));
    }
}
