//! The door for bad bytes: what a stranger's bytes go through here, for `grange-fuzz` and nobody else.

use futures_util::FutureExt as _;

use crate::address::PeerAddress;
use crate::frame::{append_frame, read_frame};

pub use crate::wire::{GossipFrame, Hello, Notice};

/// Reads frames of at most `limit` bytes until the end, or until one is refused. Gives those that were read, framed again:
/// the bytes they came from.
#[must_use]
pub fn frames(mut bytes: &[u8], limit: usize) -> Vec<u8> {
    let mut again = Vec::new();
    // Bytes in memory are always there, so that no read ever waits.
    while let Some(Ok(Some(frame))) = read_frame(&mut bytes, limit).now_or_never() {
        append_frame(&mut again, &frame);
    }
    again
}

/// An address as it is taken from a greeting or a notice, and whether there is a key to dial.
#[must_use]
pub fn taken(address: PeerAddress) -> (PeerAddress, bool) {
    let cleaned = address.cleaned();
    let dialled = cleaned.to_endpoint().is_some();
    (cleaned, dialled)
}
