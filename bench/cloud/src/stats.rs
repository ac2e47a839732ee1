//! What many measurements come to.

use std::time::Duration;

/// Durations in order of their length.
pub(crate) struct Sample {
    sorted: Vec<Duration>,
}

impl Sample {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { sorted: times }
    }

    pub(crate) fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The least duration that so many thousandths of all do not exceed; zero when there is none.
    pub(crate) fn permille(&self, permille: usize) -> Duration {
        let rank = (self.sorted.len() * permille).div_ceil(1_000).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.permille(500)
    }

    pub(crate) fn longest(&self) -> Duration {
        self.sorted.last().copied().unwrap_or_default()
    }
}

/// A duration as milliseconds.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A duration as microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The middle one of some numbers, or the mean of the middle two; zero when there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.get(half), values.len() % 2) {
        (None, _) => 0.0,
        (Some(middle), 1) => *middle,
        (Some(upper), _) => (values.get(half.wrapping_sub(1)).unwrap_or(upper) + upper) / 2.0,
    }
}

/// One number for each of the other; zero where there is none to share among.
pub(crate) fn per(whole: f64, parts: f64) -> f64 {
    if parts > 0.0 { whole / parts } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let sample = Sample::new((1..=100).rev().map(Duration::from_millis).collect());
        let at = |permille| sample.permille(permille).as_millis();
        assert_eq!((at(0), at(500), at(900), at(990), at(1_000)), (1, 50, 90, 99, 100));
        assert_eq!((sample.count(), sample.longest().as_millis()), (100, 100));
        assert_eq!(Sample::new(Vec::new()).permille(990), Duration::ZERO);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_two() {
        assert_eq!((median(vec![]), median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0])), (0.0, 2.0, 2.5));
    }
}
