//! Blobs: immutable files named by the BLAKE3 of their content.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use grange_types::{BlobId, ByteCount, limits};

use crate::error::{DiskError, sync_folder};

/// A folder of blobs: `ab/abcd…`, 256 folders.
#[derive(Debug)]
pub struct Blobs {
    folder: PathBuf,
    next: AtomicU64,
}

impl Blobs {
    /// Opens or makes the folder and removes what a crash left half written.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        let partial = folder.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(DiskError::write(&partial))?;
        }
        fs::create_dir_all(&partial).map_err(DiskError::open(&partial))?;
        Ok(Self { folder: folder.to_path_buf(), next: AtomicU64::new(0) })
    }

    /// Whether the blob is here, whole.
    #[must_use]
    pub fn has(&self, id: BlobId) -> bool {
        self.path(id).exists()
    }

    /// Where the blob is or would be.
    #[must_use]
    pub fn path(&self, id: BlobId) -> PathBuf {
        let name = id.to_string();
        self.folder.join(&name[..2]).join(name)
    }

    /// The blob's content, when it is here.
    pub fn read(&self, id: BlobId) -> Result<Option<Vec<u8>>, DiskError> {
        let path = self.path(id);
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DiskError::Read { path, source }),
        }
    }

    /// Stores a content and gives its name.
    pub fn insert(&self, content: &[u8]) -> Result<BlobId, DiskError> {
        let id = BlobId::of(content);
        if self.has(id) {
            return Ok(id);
        }
        let mut writer = self.writer(id)?;
        writer.write(content)?;
        writer.finish()?;
        Ok(id)
    }

    /// Begins to store the blob `id` piece by piece.
    pub fn writer(&self, id: BlobId) -> Result<BlobWriter, DiskError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let partial = self.folder.join("partial").join(number.to_string());
        let file = File::create(&partial).map_err(DiskError::open(&partial))?;
        let hasher = Box::new(blake3::Hasher::new());
        Ok(BlobWriter { id, path: self.path(id), partial, file, hasher, length: 0 })
    }
}

/// A blob being written. Dropped without [`BlobWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    id: BlobId,
    path: PathBuf,
    partial: PathBuf,
    file: File,
    hasher: Box<blake3::Hasher>,
    length: u64,
}

impl BlobWriter {
    /// Adds a piece; refuses what would exceed [`limits::BLOB_BYTES`].
    pub fn write(&mut self, piece: &[u8]) -> Result<(), DiskError> {
        self.length += piece.len() as u64;
        if self.length > limits::BLOB_BYTES.0 {
            return Err(DiskError::TooLarge { limit: limits::BLOB_BYTES });
        }
        self.hasher.update(piece);
        self.file.write_all(piece).map_err(DiskError::write(&self.partial))
    }

    /// Checks the name and makes the blob visible and durable. Gives its size.
    pub fn finish(self) -> Result<ByteCount, DiskError> {
        let actual = BlobId(*self.hasher.finalize().as_bytes());
        if actual != self.id {
            return Err(DiskError::Mismatch { expected: self.id, actual });
        }
        self.file.sync_data().map_err(DiskError::write(&self.partial))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(DiskError::open(folder))?;
        fs::rename(&self.partial, &self.path).map_err(DiskError::write(&self.path))?;
        sync_folder(folder)?;
        Ok(ByteCount(self.length))
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // After a finished write the file has moved and this finds nothing, which is as good.
        let _ = fs::remove_file(&self.partial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_its_content_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let id = blobs.insert(b"content").unwrap();
        assert_eq!(blobs.read(id).unwrap().unwrap(), b"content");
        assert_eq!(blobs.insert(b"content").unwrap(), id);

        let other = BlobId::of(b"other");
        let mut writer = blobs.writer(other).unwrap();
        writer.write(b"something else").unwrap();
        assert!(matches!(writer.finish(), Err(DiskError::Mismatch { .. })));
        assert!(!blobs.has(other));
        drop(blobs.writer(other).unwrap());
        assert_eq!(fs::read_dir(folder.path().join("partial")).unwrap().count(), 0);
    }

    #[test]
    fn a_blob_above_the_limit_is_refused_while_it_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let mut writer = blobs.writer(BlobId([0; 32])).unwrap();
        let piece = vec![0; 1 << 20];
        let refused = (0..=64).find_map(|_| writer.write(&piece).err());
        assert!(matches!(refused, Some(DiskError::TooLarge { .. })));
    }
}
