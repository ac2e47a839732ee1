//! Flushes a growing file for many at once: whoever needs a line on the disk waits for the next flush that covers it.
//!
//! A flush for each line would cost a thousand calls a second a flush each, on the disk that votes are flushed to. One
//! thread flushes for all who wait; while it does, the next ones gather. A line that nobody waits for is flushed with the
//! next one that somebody needs, or [`SOON`].

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// What is needed, but by nobody who waits, is on the disk after this.
const SOON: Duration = Duration::from_millis(100);

/// The flushing thread of one file. Dropped, it flushes what is needed and ends.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// The number of the last line that is on the disk, as far as anybody asked.
    flushed: watch::Sender<u64>,
}

struct State {
    file: Arc<File>,
    /// The last line in the file.
    written: u64,
    /// The last line that somebody waits for.
    due: u64,
    /// When the oldest line is due that is needed soon.
    soon: Option<Instant>,
    /// Flushes that the disk refused.
    failed: u64,
    closing: bool,
}

impl Flusher {
    /// Begins with a file whose last line has this number and is on the disk.
    pub(crate) fn start(file: Arc<File>, written: u64) -> io::Result<Self> {
        let state = Mutex::new(State { file, written, due: written, soon: None, failed: 0, closing: false });
        let shared = Arc::new(Shared { state, wake: Condvar::new(), flushed: watch::Sender::new(written) });
        let thread = Builder::new().name("audit-flush".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.flush_as_asked()
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The line with this number is in the file.
    pub(crate) fn wrote(&self, number: u64) {
        self.shared.lock().written = number;
    }

    /// Ready when the line with this number is on the disk, or the disk has refused it.
    pub(crate) fn durable(&self, number: u64) -> BoxFuture<'static, ()> {
        let mut flushed = self.shared.flushed.subscribe();
        let mut state = self.shared.lock();
        state.due = state.due.max(number);
        drop(state);
        self.shared.wake.notify_one();
        // The sender may be gone before the line is flushed only if the node ends: nobody is answered any more.
        async move { drop(flushed.wait_for(|flushed| *flushed >= number).await) }.boxed()
    }

    /// The last line in the file is needed on the disk, and nobody waits for it.
    pub(crate) fn soon(&self) {
        let mut state = self.shared.lock();
        if state.soon.is_none() {
            state.soon = Some(Instant::now() + SOON);
            drop(state);
            self.shared.wake.notify_one();
        }
    }

    /// From now on another file grows. What is in the one before was flushed by whoever turns.
    pub(crate) fn turn_to(&self, file: Arc<File>) {
        self.shared.lock().file = file;
    }

    /// How many flushes the disk refused.
    pub(crate) fn failed(&self) -> u64 {
        self.shared.lock().failed
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush_as_asked(&self) {
        let mut flushed = *self.flushed.borrow();
        while let Some((file, upto)) = self.next(flushed) {
            if let Err(error) = file.sync_data() {
                self.lock().failed += 1;
                tracing::error!(%error, "audit.not_flushed");
            }
            flushed = upto;
            self.flushed.send_replace(upto);
        }
    }

    /// Waits until a flush is due: of which file, and up to which line. Nothing when it is closed and all is flushed.
    fn next(&self, flushed: u64) -> Option<(Arc<File>, u64)> {
        let mut state = self.lock();
        loop {
            let left = state.soon.map(|soon| soon.saturating_duration_since(Instant::now()));
            let over = left.is_some_and(|left| left.is_zero() || state.closing);
            if state.due > flushed || over {
                state.soon = None;
                return Some((Arc::clone(&state.file), state.written.max(state.due)));
            }
            if state.closing {
                return None;
            }
            state = match left {
                Some(left) => {
                    self.wake.wait_timeout(state, left).map_or_else(|poisoned| poisoned.into_inner().0, |woken| woken.0)
                }
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_flush_is_for_all_who_wait_and_no_line_is_waited_for_in_vain() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| Arc::new(File::create(folder.path().join(name)).unwrap());
        let flusher = Flusher::start(open("a"), 7).unwrap();
        // What is on the disk already is not waited for.
        flusher.durable(7).await;
        flusher.wrote(9);
        let both = [flusher.durable(8), flusher.durable(9)];
        flusher.turn_to(open("b"));
        futures_util::future::join_all(both).await;
        flusher.wrote(10);
        let last = flusher.durable(10);
        drop(flusher);
        last.await;
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_flushed_soon_and_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let flusher = Flusher::start(Arc::new(File::create(folder.path().join("a")).unwrap()), 0).unwrap();
        let mut flushed = flusher.shared.flushed.subscribe();
        for line in 1..=3 {
            flusher.wrote(line);
            flusher.soon();
        }
        flushed.wait_for(|flushed| *flushed == 3).await.unwrap();
        flusher.wrote(4);
        flusher.soon();
        drop(flusher);
        assert_eq!(*flushed.borrow(), 4);
    }

    #[tokio::test]
    async fn a_refused_flush_is_counted_and_holds_nobody_up() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(reader));
        let flusher = Flusher::start(Arc::new(pipe), 0).unwrap();
        flusher.durable(1).await;
        assert_eq!(flusher.failed(), 1);
    }
}
