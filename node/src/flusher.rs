//! Flushes a growing file for many at once: whoever needs a line on the disk waits for the next flush that covers it.
//!
//! A flush for each line would cost a thousand calls a second a flush each, on the disk that votes are flushed to. One
//! thread flushes for all who wait; while it does, the next ones gather.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// The flushing thread of one file. Dropped, it flushes what somebody waits for and ends.
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
    /// The last line that somebody needs on the disk.
    due: u64,
    /// Flushes that the disk refused.
    failed: u64,
    closing: bool,
}

impl Flusher {
    /// Begins with a file whose last line has this number and is on the disk.
    pub(crate) fn start(file: Arc<File>, written: u64) -> io::Result<Self> {
        let state = Mutex::new(State { file, written, due: written, failed: 0, closing: false });
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
        loop {
            let idle = |state: &mut State| state.due <= flushed && !state.closing;
            let state = self.wake.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            if state.due <= flushed {
                return;
            }
            let (file, upto) = (Arc::clone(&state.file), state.written.max(state.due));
            drop(state);
            if let Err(error) = file.sync_data() {
                self.lock().failed += 1;
                tracing::error!(%error, "audit.not_flushed");
            }
            flushed = upto;
            self.flushed.send_replace(upto);
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
    async fn a_refused_flush_is_counted_and_holds_nobody_up() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(reader));
        let flusher = Flusher::start(Arc::new(pipe), 0).unwrap();
        flusher.durable(1).await;
        assert_eq!(flusher.failed(), 1);
    }
}
