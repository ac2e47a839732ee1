//! Where the bytes of a workload come from.

use std::path::PathBuf;

use grange_types::BlobId;

/// The node's own blobs: whole files, verified against their name when they arrived, and never changed after.
pub trait BlobSource: Send + Sync {
    /// The file that holds a blob, if this node has it. It stays readable while a replica that uses it runs.
    fn path(&self, blob: &BlobId) -> Option<PathBuf>;
}
