//! The metrics page, in the text format that Prometheus reads.

use std::fmt::Write;

use grange_net::NetMetrics;

/// Writes the page: the peer's numbers and the transport's.
pub(crate) fn page(peer: &[(&'static str, u64)], net: &NetMetrics) -> String {
    let mut page = String::new();
    for (name, value) in peer.iter().copied().chain(net.named()) {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{name} {value}");
    }
    page
}
