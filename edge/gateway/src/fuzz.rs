//! The door for bad bytes: what a stranger's bytes go through here, for `grange-fuzz` and nobody else.

use futures_util::FutureExt as _;
use grange_types::Wire;

use crate::frame::read_frame;
use crate::ingress::host;

/// Reads the frame that a stream begins with. Gives its value and the bytes behind it.
#[must_use]
pub fn frame<T: Wire>(mut bytes: &[u8]) -> Option<(T, &[u8])> {
    // Bytes in memory are always there, so that no read ever waits.
    let value = read_frame(&mut bytes).now_or_never()?.ok()?;
    Some((value, bytes))
}

/// The name that a Host header asks for.
#[must_use]
pub fn name(text: &str) -> Option<String> {
    host::name(text).ok()
}
