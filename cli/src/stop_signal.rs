//! Ctrl-C, SIGTERM and a terminal that closes: one wish to stop.

use std::cell::Cell;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::output::Output;
use grange_api::Problem;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether somebody wishes that this process stops; for code that waits without a runtime.
pub(crate) struct StopSignal {
    wishes: Receiver<()>,
    told: Cell<bool>,
}

impl StopSignal {
    /// Listens from now on, for the rest of the process.
    pub(crate) fn listen() -> io::Result<Self> {
        let (wish, wishes) = mpsc::channel();
        let (listens, listening) = mpsc::channel();
        thread::Builder::new().name("signals".into()).spawn(move || listen(&wish, &listens))?;
        match listening.recv() {
            Ok(result) => result.map(|()| Self { wishes, told: Cell::new(false) }),
            Err(_) => Err(io::Error::other("the thread that listens for signals ended")),
        }
    }

    /// Whether there is such a wish, now or within this time.
    pub(crate) fn within(&self, patience: Duration) -> bool {
        if self.told.get() {
            return true;
        }
        match self.wishes.recv_timeout(patience) {
            Ok(()) => self.told.set(true),
            Err(RecvTimeoutError::Timeout) => {}
            // The thread is gone, and with it the wish; waiting goes on all the same.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(patience),
        }
        self.told.get()
    }
}

fn listen(wish: &Sender<()>, listens: &Sender<io::Result<()>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = listens.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        let mut wished = match Wish::new() {
            Ok(wished) => wished,
            Err(error) => {
                let _ = listens.send(Err(error));
                return;
            }
        };
        let _ = listens.send(Ok(()));
        loop {
            wished.next().await;
            if wish.send(()).is_err() {
                return;
            }
        }
    });
}

/// What a shell gives for a process that Ctrl-C ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// Held by whoever says how the process ends.
static LAST_WORD: Mutex<()> = Mutex::new(());

/// For whoever says how the process ends: when this returns, nobody else will. It does not return a second time.
pub(crate) fn take_last_word() {
    std::mem::forget(LAST_WORD.lock().unwrap_or_else(PoisonError::into_inner));
}

/// From now on such a wish ends the process, with what is true at that time as its problem.
pub(crate) fn leave_with(output: Output, broken_off: impl Fn() -> Problem + Send + 'static) -> io::Result<()> {
    let signal = StopSignal::listen()?;
    thread::Builder::new().name("farewell".into()).spawn(move || {
        while !signal.within(Duration::from_secs(60)) {}
        take_last_word();
        let problem = broken_off();
        output.problem(&problem);
        std::process::exit(problem.exit.into());
    })?;
    Ok(())
}

/// The same wish, for code with a runtime.
pub(crate) struct Wish {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Wish {
    /// Listens from now on.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Ends with the next wish.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
