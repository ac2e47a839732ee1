//! What many measurements come to.

use std::time::Duration;

/// The least duration that so many hundredths of all do not exceed.
pub(crate) fn at(sorted: &[Duration], hundredth: usize) -> Duration {
    let rank = (sorted.len() * hundredth).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Prints the middle, the ninety-ninth hundredth and the longest.
pub(crate) fn print(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let longest = times.last().copied().unwrap_or_default();
    println!("  {name}: p50 {:.1?}, p99 {:.1?}, max {longest:.1?}", at(&times, 50), at(&times, 99));
}

/// The middle of some durations.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    at(&times, 50)
}
