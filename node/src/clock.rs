//! The node's clock: the wall's time at the start, carried on by a clock that never jumps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use grange_types::Time;

/// A wall clock that is monotonic for this process.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    offset: u64,
}

impl Clock {
    /// Reads the wall clock once.
    #[must_use]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { started: Instant::now(), offset: wall.as_millis() as u64 }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Time {
        Time(self.offset + self.started.elapsed().as_millis() as u64)
    }

    /// How long until an instant; nothing if it has passed.
    #[must_use]
    pub fn until(&self, time: Time) -> Duration {
        Duration::from_millis(time.since(self.now()).0)
    }
}
