//! The clock that interrupts components: it ticks while one runs, and stands still when none does.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How long a component runs before it lets others.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Ticks without a running component after which the clock stands still. Under load it thus never does.
const IDLE_TICKS: u32 = 20;

/// Drives an engine's epoch from a thread of its own.
#[derive(Debug)]
pub(super) struct Ticker {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Components that run on some thread now.
    running: AtomicU32,
    /// Whether the thread sleeps until somebody runs.
    parked: AtomicBool,
    ended: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Ticker {
    /// Starts the thread, standing still. It ends with the ticker.
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let handle = thread::Builder::new().name("wasm-ticker".into()).spawn({
            let (state, engine) = (Arc::clone(&state), engine.weak());
            move || tick(&state, &engine)
        })?;
        // Nobody else sets it.
        let _ = state.thread.set(handle.thread().clone());
        Ok(Self { state })
    }

    /// Says that a component runs on this thread until the guard is dropped.
    pub(super) fn run(&self) -> Running<'_> {
        // Pairs with the thread's last look before it parks: one of the two sees the other.
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.parked.swap(false, Ordering::SeqCst) {
            self.state.wake();
        }
        Running(&self.state)
    }

    #[cfg(test)]
    fn stands_still(&self) -> bool {
        self.state.parked.load(Ordering::SeqCst)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.state.parked.store(false, Ordering::SeqCst);
        self.state.wake();
    }
}

impl State {
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// While it lives, the clock ticks.
pub(super) struct Running<'a>(&'a State);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(state: &State, engine: &EngineWeak) {
    let mut idle = IDLE_TICKS;
    while !state.ended.load(Ordering::SeqCst) {
        if idle >= IDLE_TICKS {
            stand_still(state);
            idle = 0;
        }
        thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        idle = if state.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
    }
}

fn stand_still(state: &State) {
    state.parked.store(true, Ordering::SeqCst);
    if state.running.load(Ordering::SeqCst) > 0 {
        state.parked.store(false, Ordering::SeqCst);
    }
    while state.parked.load(Ordering::SeqCst) && !state.ended.load(Ordering::SeqCst) {
        // A timeout only guards against the moment before the thread's handle is known.
        thread::park_timeout(Duration::from_secs(60));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn wait_until(condition: impl Fn() -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if condition() {
                return true;
            }
            thread::yield_now();
        }
        false
    }

    #[test]
    fn the_clock_stands_still_until_something_runs() {
        let engine = super::super::engine::engine(0).unwrap();
        let ticker = Ticker::start(&engine).unwrap();
        assert!(wait_until(|| ticker.stands_still()));
        let running = ticker.run();
        assert!(!ticker.stands_still());
        drop(running);
        assert!(wait_until(|| ticker.stands_still()));
    }
}
