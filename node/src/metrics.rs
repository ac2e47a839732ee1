//! The metrics page, in the text format that Prometheus reads.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use grange_net::NetMetrics;
use grange_sandbox::KeepMetrics;

use crate::audit::Counts;

/// Writes the page: the peer's numbers, the transport's, those of second copies and the API's.
pub(crate) fn page(peer: &[(&'static str, u64)], net: &NetMetrics, keep: &KeepMetrics, api: Counts) -> String {
    let mut page = String::new();
    let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let own = [
        ("grange_keyvalue_entries_replicated", read(&keep.replicated)),
        ("grange_keyvalue_second_copy_microseconds", read(&keep.second_copy_micros)),
        ("grange_keyvalue_entries_waiting", read(&keep.waiting)),
        ("grange_api_calls_total", api.calls),
        ("grange_api_denied_total", api.denied),
        ("grange_api_strangers_total", api.strangers),
        ("grange_api_audit_lost_total", api.lost),
    ];
    for (name, value) in peer.iter().copied().chain(net.named()).chain(own) {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{name} {value}");
    }
    page
}
