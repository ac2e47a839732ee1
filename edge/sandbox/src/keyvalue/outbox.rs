//! Entries that are durable here, on their way to keepers, and who waits for that.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use grange_objects::log::Entry;
use grange_types::PeerId;
use tokio::sync::{Notify, mpsc, oneshot};

use super::KeyValueError;
use super::content::Sealer;
use super::lane::Answer;
use crate::keep::KeepMetrics;

/// How long a write waits for a second copy.
pub(super) const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// Entries that may wait for a second copy; further writes wait before they are made.
const WAITING: usize = 256;
/// Bytes of them.
const WAITING_BYTES: usize = 16 << 20;

/// An entry that is durable here.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) sequence: u64,
    pub(super) entry: Entry,
}

pub(super) type Waiter = (oneshot::Sender<Answer>, Answer);

/// Where the lane puts entries and the replication takes them.
pub(super) struct Outbox {
    pub(super) sealer: Sealer,
    metrics: Arc<KeepMetrics>,
    entries: mpsc::UnboundedSender<Committed>,
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    since: Instant,
    waiters: Vec<Waiter>,
}

#[derive(Debug, Default)]
struct State {
    /// Entries that are not acknowledged, by their number.
    waiting: BTreeMap<u64, Waiting>,
    bytes: usize,
    silent: Vec<PeerId>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Outbox {
    pub(super) fn new(sealer: Sealer, metrics: Arc<KeepMetrics>) -> (Self, mpsc::UnboundedReceiver<Committed>) {
        let (entries, taken) = mpsc::unbounded_channel();
        (Self { sealer, metrics, entries, state: Mutex::default(), moved: Notify::new() }, taken)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry is durable here. Whoever waits for it is answered once a keeper has it too.
    pub(super) fn committed(&self, sequence: u64, entry: Entry, waiters: Vec<Waiter>) {
        {
            let mut state = self.lock();
            let bytes = entry.bytes();
            state.bytes += bytes;
            state.waiting.insert(sequence, Waiting { bytes, since: Instant::now(), waiters });
            self.metrics.waiting.fetch_add(1, Ordering::Relaxed);
        }
        // The replication ends with the replica; then nobody writes.
        let _ = self.entries.send(Committed { sequence, entry });
    }

    /// Answers once a keeper has everything up to this entry: what changed nothing rests on what was there.
    pub(super) fn after(&self, sequence: u64, waiters: Vec<Waiter>) {
        {
            let mut state = self.lock();
            if let Some(waiting) = state.waiting.get_mut(&sequence) {
                return waiting.waiters.extend(waiters);
            }
        }
        answer(waiters);
    }

    /// A keeper has all entries up to this one.
    pub(super) fn acknowledged(&self, through: u64) {
        let done = {
            let mut state = self.lock();
            let later = state.waiting.split_off(&through.saturating_add(1));
            let done = std::mem::replace(&mut state.waiting, later);
            state.bytes = state.waiting.values().map(|waiting| waiting.bytes).sum();
            done
        };
        self.metrics.waiting.fetch_sub(done.len() as u64, Ordering::Relaxed);
        for waiting in done.into_values() {
            self.metrics.replicated.fetch_add(1, Ordering::Relaxed);
            let took = u64::try_from(waiting.since.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.metrics.second_copy_micros.fetch_add(took, Ordering::Relaxed);
            answer(waiting.waiters);
        }
        self.moved.notify_waiters();
    }

    /// A newer generation has begun: nobody who waits is acknowledged any more.
    pub(super) fn stopped(&self, generation: u64) {
        for waiting in self.clear().into_values() {
            for (sender, _) in waiting.waiters {
                let _ = sender.send(Err(KeyValueError::Sealed { generation }));
            }
        }
        self.moved.notify_waiters();
    }

    fn clear(&self) -> BTreeMap<u64, Waiting> {
        let mut state = self.lock();
        state.bytes = 0;
        let waiting = std::mem::take(&mut state.waiting);
        self.metrics.waiting.fetch_sub(waiting.len() as u64, Ordering::Relaxed);
        waiting
    }

    /// Keepers that count and do not answer.
    pub(super) fn set_silent(&self, silent: Vec<PeerId>) {
        self.lock().silent = silent;
    }

    /// Why a write is not acknowledged.
    pub(super) fn no_second_copy(&self) -> KeyValueError {
        KeyValueError::NoSecondCopy { keepers: self.lock().silent.clone(), within: WRITE_WITHIN }
    }

    /// Waits until there is room for one more.
    pub(super) async fn room(&self) {
        loop {
            let moved = self.moved.notified();
            {
                let state = self.lock();
                if state.waiting.len() < WAITING && state.bytes < WAITING_BYTES {
                    return;
                }
            }
            moved.await;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Answers those who waited.
pub(super) fn answer(waiters: Vec<Waiter>) {
    for (sender, answer) in waiters {
        // One who no longer waits is told nothing; the write stays.
        let _ = sender.send(answer);
    }
}
