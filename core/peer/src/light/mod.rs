//! What can be known of the ledger without keeping its state.

mod answer;
mod reader;
pub(crate) mod trust;

pub use reader::Reader;
pub use trust::{Sealed, Shown, Trust, TrustError, Turn};
