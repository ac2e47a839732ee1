//! The metrics page, in the text format that Prometheus reads.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use grange_net::NetMetrics;
use grange_sandbox::KeepMetrics;

/// Writes the page: the peer's numbers, the transport's, and those of second copies.
pub(crate) fn page(peer: &[(&'static str, u64)], net: &NetMetrics, keep: &KeepMetrics) -> String {
    let mut page = String::new();
    let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let kept = [
        ("grange_keyvalue_entries_replicated", read(&keep.replicated)),
        ("grange_keyvalue_second_copy_microseconds", read(&keep.second_copy_micros)),
        ("grange_keyvalue_entries_waiting", read(&keep.waiting)),
    ];
    for (name, value) in peer.iter().copied().chain(net.named()).chain(kept) {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{name} {value}");
    }
    page
}
