//! Frees the room of what the peer no longer wants on this node's disk.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use grange_disk::Blobs;
use grange_peer::Kept;
use grange_sandbox::Sandboxes;
use grange_types::{BlobId, SiteIndex, Wire};

use crate::shares::Shares;

/// A blob that nobody names yet may be part of an upload.
const BLOB_GRACE: Duration = Duration::from_secs(3_600);
/// A key is there before the ledger knows of its deployment, and a share may be before we do.
const SHARE_GRACE: Duration = Duration::from_secs(3_600);
/// How long after the last write data is kept of a deployment that the ledger does not show any more;
/// docs/src/reference/cli.md says so too.
const DATA_GRACE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Removes what is not among `kept` and is old enough. Reads and removes files.
pub(crate) fn retain(kept: Kept, blobs: &Arc<Blobs>, sandboxes: &Arc<Sandboxes>, shares: &Shares) {
    let now = SystemTime::now();
    let mut wanted = kept.blobs;
    for index in kept.sites {
        wanted.insert(index);
        match files(blobs, index) {
            Some(files) => wanted.extend(files),
            // What is listed in an index that cannot be read is not known, so nothing goes.
            None if blobs.has(index) => return tracing::warn!(index = %index, "retain.unreadable_index"),
            None => {}
        }
    }
    match blobs.retain(|id| wanted.contains(&id), now - BLOB_GRACE) {
        Ok((0, _)) => {}
        Ok((count, bytes)) => tracing::info!(count, bytes = bytes.0, "retain.blobs_removed"),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "retain.blobs_failed"),
    }
    if let Err(error) = shares.retain(&kept.deployments, now - SHARE_GRACE) {
        tracing::warn!(error = &error as &dyn std::error::Error, "retain.shares_failed");
    }
    match sandboxes.retain(|id| kept.deployments.contains(&id), now - DATA_GRACE) {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "retain.stores_removed"),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "retain.stores_failed"),
    }
}

fn files(blobs: &Blobs, index: BlobId) -> Option<BTreeSet<BlobId>> {
    let bytes = blobs.read(index).ok()??;
    Some(SiteIndex::decode(&bytes).ok()?.files.iter().map(|file| file.blob).collect())
}
