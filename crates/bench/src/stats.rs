//! Medians, quantiles and spreads of a handful of figures.

/// The middle and the ends of the figures of several rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// `None` of no figures. An even number of them has the mean of the two in the middle as its median.
    pub(crate) fn of(figures: &[f64]) -> Option<Summary> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Summary { median: f64::midpoint(low, high), min, max })
    }
}

/// The least of `sorted` that at least `share` of them (0.0 to 1.0) do not exceed; 0 of nothing.
pub(crate) fn quantile(sorted: &[u32], share: f64) -> u32 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        let odd = Summary::of(&[9.0, 1.0, 4.0]).unwrap();
        assert_eq!(odd, Summary { median: 4.0, min: 1.0, max: 9.0 });
        assert_eq!(Summary::of(&[9.0, 1.0, 4.0, 5.0]).unwrap().median, 4.5);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_quantile_is_one_of_the_figures() {
        let sorted: Vec<u32> = (1..=200).collect();
        assert_eq!(quantile(&sorted, 0.5), 100);
        assert_eq!(quantile(&sorted, 0.99), 198);
        assert_eq!(quantile(&sorted, 1.0), 200);
        assert_eq!(quantile(&[7], 0.5), 7);
        assert_eq!(quantile(&[], 0.5), 0);
    }
}
