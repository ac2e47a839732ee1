//! A replica's share of a processor: a bucket of processor time, and the future that pays from it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::ticker::Ticker;

/// How much of its share a replica may save up, so that a short burst after a pause is not slowed down.
const BURST: Duration = Duration::from_millis(200);

/// A replica's share of a processor.
///
/// Time flows in at `millis` thousandths of real time, up to a burst; running takes it out. Below zero, the
/// replica waits until it is paid. A run ends at the next tick, so the debt is at most a tick per thread.
#[derive(Debug)]
pub(super) struct Processor {
    millis: u32,
    account: Mutex<Account>,
    used: AtomicU64,
}

#[derive(Debug)]
struct Account {
    /// Nanoseconds, negative while in debt.
    balance: i128,
    since: Instant,
}

impl Processor {
    pub(super) fn new(millis: u32, now: Instant) -> Self {
        let millis = millis.max(1);
        let account = Account { balance: burst(millis), since: now };
        Self { millis, account: Mutex::new(account), used: AtomicU64::new(0) }
    }

    /// When the replica may run; `None` if now.
    fn ready_at(&self, now: Instant) -> Option<Instant> {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(account.since);
        account.since = account.since.max(now);
        let income = nanos(passed).saturating_mul(i128::from(self.millis)) / 1_000;
        account.balance = (account.balance + income).min(burst(self.millis));
        if account.balance >= 0 {
            return None;
        }
        let wait = -account.balance * 1_000 / i128::from(self.millis);
        now.checked_add(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    fn charge(&self, time: Duration) {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).balance -= nanos(time);
        self.used.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Processor time since the replica started.
    pub(super) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

fn burst(millis: u32) -> i128 {
    nanos(BURST) * i128::from(millis) / 1_000
}

/// A request used up the processor time that one request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UsedUp;

/// Runs a component's future: keeps the clock ticking while it runs, charges its replica, and ends it when it used
/// up the time of a request.
pub(super) struct Metered<'a, F> {
    inner: Pin<&'a mut F>,
    processor: Arc<Processor>,
    ticker: Arc<Ticker>,
    left: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<'a, F: Future> Metered<'a, F> {
    pub(super) const fn new(
        inner: Pin<&'a mut F>,
        processor: Arc<Processor>,
        ticker: Arc<Ticker>,
        limit: Duration,
    ) -> Self {
        Self { inner, processor, ticker, left: limit, pause: None }
    }
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = Result<F::Output, UsedUp>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let started = loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            let now = Instant::now();
            match self.processor.ready_at(now) {
                None => break now,
                Some(then) => self.pause = Some(Box::pin(tokio::time::sleep_until(then.into()))),
            }
        };
        let this = &mut *self;
        let running = this.ticker.run();
        let polled = this.inner.as_mut().poll(context);
        drop(running);
        let time = started.elapsed();
        this.processor.charge(time);
        this.left = this.left.saturating_sub(time);
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if this.left.is_zero() => Poll::Ready(Err(UsedUp)),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_paid_back_at_its_rate_and_saved_up_to_a_burst() {
        let start = Instant::now();
        let processor = Processor::new(250, start);
        let at = |millis| start + Duration::from_millis(millis);
        // A quarter of a processor has saved 50 ms.
        processor.charge(Duration::from_millis(50));
        assert_eq!(processor.ready_at(start), None);
        // 10 ms of debt take 40 ms to pay.
        processor.charge(Duration::from_millis(10));
        assert_eq!(processor.ready_at(start), Some(at(40)));
        assert_eq!(processor.ready_at(at(20)), Some(at(40)));
        assert_eq!(processor.ready_at(at(40)), None);
        // However long it rests, no more than a burst is saved.
        assert_eq!(processor.ready_at(at(1_000_000)), None);
        processor.charge(Duration::from_millis(51));
        assert_eq!(processor.ready_at(at(1_000_000)), Some(at(1_000_004)));
        assert_eq!(processor.used(), Duration::from_millis(111));
    }
}
