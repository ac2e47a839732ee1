//! Hands a node the blobs it lacks, in as few requests as that takes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;

use grange_api::{Problem, ProblemCode};
use grange_types::{BlobId, ByteCount};

use super::pack::{Packed, Piece};
use crate::client::Client;

/// To send so little costs no more than to ask whether it is there.
const SMALL: ByteCount = ByteCount::kib(64);

/// What was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Blobs.
    pub(crate) blobs: usize,
    /// Bytes.
    pub(crate) bytes: u64,
}

/// Sends what is missing. A node that has the blob that a manifest names is believed to have the blobs behind it,
/// unless `thorough`, for when it said that it lacks one.
pub(crate) fn upload(client: &Client, services: &BTreeMap<String, Packed>, thorough: bool) -> Result<Sent, Problem> {
    let mut sent = Sent::default();
    for packed in services.values() {
        if !thorough && client.has(packed.workload.blob())? {
            continue;
        }
        for piece in &packed.pieces {
            let known_missing = !thorough && piece.blob() == packed.workload.blob();
            if known_missing || piece.size() <= SMALL || !client.has(piece.blob())? {
                client.put(piece.blob(), &content(piece)?)?;
                sent.blobs += 1;
                sent.bytes += piece.size().0;
            }
        }
    }
    Ok(sent)
}

/// The bytes, if they still are what was packed.
fn content(piece: &Piece) -> Result<Cow<'_, [u8]>, Problem> {
    let (path, blob) = match piece {
        Piece::Bytes { bytes, .. } => return Ok(Cow::Borrowed(bytes)),
        Piece::File { path, blob, .. } => (path, *blob),
    };
    let failed = |code: ProblemCode, message: String| Problem::new(code, "deploy", path.display().to_string(), message);
    let bytes =
        fs::read(path).map_err(|error| failed(ProblemCode::NotFound, format!("cannot read it again: {error}")))?;
    if BlobId::of(&bytes) != blob {
        let message = "the file changed while it was being sent".to_owned();
        return Err(failed(ProblemCode::HashMismatch, message).with_remedy("deploy again once it is whole"));
    }
    Ok(Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.html");
        fs::write(&path, "before").unwrap();
        let piece = Piece::File { path: path.clone(), blob: BlobId::of(b"before"), size: ByteCount(6) };
        assert_eq!(content(&piece).unwrap().as_ref(), b"before");
        fs::write(&path, "after").unwrap();
        assert_eq!(content(&piece).unwrap_err().code, ProblemCode::HashMismatch);
        fs::remove_file(&path).unwrap();
        assert_eq!(content(&piece).unwrap_err().code, ProblemCode::NotFound);
    }
}
