//! How fast a peer may talk, and how often it may err.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: so many a second, four seconds' worth in a burst.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

/// Seconds of tokens that may be saved up.
const BURST_SECONDS: f64 = 4.0;

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, tokens: per_second * BURST_SECONDS, filled: now }
    }

    /// Takes one token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.per_second * BURST_SECONDS);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// Counts offences; too many within a window are too many.
#[derive(Debug)]
pub(crate) struct Strikes {
    count: u32,
    since: Instant,
}

/// How many offences within [`STRIKE_WINDOW`] end a link.
pub(crate) const STRIKES: u32 = 100;
/// The window of [`STRIKES`].
const STRIKE_WINDOW: Duration = Duration::from_secs(10);

impl Strikes {
    /// A clean record.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { count: 0, since: now }
    }

    /// Notes an offence; whether it was one too many.
    pub(crate) fn note(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) > STRIKE_WINDOW {
            *self = Self::new(now);
        }
        self.count = self.count.saturating_add(1);
        self.count >= STRIKES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, start);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), 40);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| bucket.take(later)).count(), 10);
        let much_later = later + Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| bucket.take(much_later)).count(), 40);
        // A clock that goes back gives nothing and takes nothing.
        assert!(!bucket.take(start));
    }

    #[test]
    fn strikes_are_forgotten_after_the_window() {
        let start = Instant::now();
        let mut strikes = Strikes::new(start);
        assert!(!(1..STRIKES).any(|_| strikes.note(start)));
        let later = start + STRIKE_WINDOW + Duration::from_millis(1);
        assert!(!strikes.note(later));
        assert!((1..STRIKES).any(|_| strikes.note(later)));
    }
}
