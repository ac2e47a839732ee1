//! Keep journals, the chain, snapshots and blobs on disk.
//!
//! # Rules
//! - Upon `append` + `flush`: what returned is on the disk (`fdatasync`), in order, or an error halts the caller.
//! - Upon opening after a crash: a torn tail is cut off and reported; records before it are intact, each under a
//!   checksum.
//! - A file that is replaced is written beside, synced, renamed, and its folder synced.
//! - A blob is stored under the BLAKE3 of its content and nothing else; a reader never sees half of one.
//!
//! Everything here blocks; the caller chooses the thread. Limits come from [`grange_types::limits`]. Left out:
//! shards of erasure-coded objects and small records under keys, which come with those who need them.

mod blobs;
mod chain;
mod error;
mod journal;
mod page;
mod snapshots;
mod turns;
mod wal;

pub use blobs::{BlobWriter, Blobs};
pub use chain::{Chain, StoredBlock};
pub use error::DiskError;
pub use journal::Tail;
pub use page::Page;
pub use snapshots::Snapshots;
pub use turns::Turns;
pub use wal::{Logged, Wal};
