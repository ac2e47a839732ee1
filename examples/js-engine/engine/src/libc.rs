//! What the C library under QuickJS asks of its host: the time, and nothing else.

use std::cell::Cell;

use crate::bindings::wasi::clocks::wall_clock;

thread_local! {
    static STARTED: Cell<bool> = const { Cell::new(false) };
}

/// From now on the time is the host's. There is no host while the component is built, and then it is 1970.
pub(crate) fn start_clock() {
    STARTED.set(true);
}

/// Microseconds since 1970. rquickjs would import this function if it were not here.
#[unsafe(no_mangle)]
extern "C" fn __rquickjs_host_now_us() -> f64 {
    if !STARTED.get() {
        return 0.0;
    }
    let now = wall_clock::now();
    now.seconds as f64 * 1e6 + f64::from(now.nanoseconds / 1_000)
}
