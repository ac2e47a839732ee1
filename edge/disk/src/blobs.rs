//! Blobs: immutable files named by the BLAKE3 of their content.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use grange_types::{BlobId, ByteCount, limits};

use crate::error::{DiskError, sync_folder};

/// A folder of blobs: `ab/abcd…`, 256 folders.
#[derive(Debug)]
pub struct Blobs {
    folder: PathBuf,
    next: AtomicU64,
    /// Held while a blob is looked at to be removed, and while one is claimed.
    removing: Mutex<()>,
}

impl Blobs {
    /// Opens or makes the folder and removes what a crash left half written.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        let partial = folder.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(DiskError::write(&partial))?;
        }
        fs::create_dir_all(&partial).map_err(DiskError::open(&partial))?;
        Ok(Self { folder: folder.to_path_buf(), next: AtomicU64::new(0), removing: Mutex::new(()) })
    }

    /// Whether the blob is here, whole.
    #[must_use]
    pub fn has(&self, id: BlobId) -> bool {
        self.path(id).exists()
    }

    /// Whether the blob is here, whole; if so it counts as new, so that [`Blobs::retain`] leaves it to whoever asked.
    pub fn claim(&self, id: BlobId) -> Result<bool, DiskError> {
        let _held = self.removing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(id);
        let file = match File::options().append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(DiskError::Open { path, source }),
        };
        file.set_modified(SystemTime::now()).map_err(DiskError::write(&path))?;
        Ok(true)
    }

    /// Removes the blobs that are not wanted and have been here since `since`. Gives how many, and their size.
    pub fn retain(&self, wanted: impl Fn(BlobId) -> bool, since: SystemTime) -> Result<(usize, ByteCount), DiskError> {
        let (mut count, mut bytes) = (0, 0);
        for folder in entries(&self.folder)? {
            if folder.file_name().len() != 2 {
                continue;
            }
            for entry in entries(&folder.path())? {
                let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
                let path = entry.path();
                let _held = self.removing.lock().unwrap_or_else(PoisonError::into_inner);
                // Only what is named like a blob is ours to remove.
                let (Some(id), Ok(found)) = (id, entry.metadata()) else { continue };
                let old = found.modified().is_ok_and(|modified| modified < since);
                if old && !wanted(id) {
                    fs::remove_file(&path).map_err(DiskError::write(&path))?;
                    (count, bytes) = (count + 1, bytes + found.len());
                }
            }
        }
        Ok((count, ByteCount(bytes)))
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
        if self.claim(id)? {
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

fn entries(folder: &Path) -> Result<impl Iterator<Item = fs::DirEntry>, DiskError> {
    Ok(fs::read_dir(folder).map_err(DiskError::read(folder))?.filter_map(Result::ok))
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
    fn what_nobody_wants_goes_unless_it_came_lately() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let [wanted, claimed, idle] = [b"wanted", b"claims", b"idle!!"].map(|content| blobs.insert(content).unwrap());
        let later = SystemTime::now() + std::time::Duration::from_secs(3_600);
        let hour = std::time::Duration::from_secs(3_600);
        assert_eq!(blobs.retain(|_| false, SystemTime::now() - hour).unwrap(), (0, ByteCount(0)), "all came lately");
        for id in [wanted, claimed, idle] {
            let file = File::options().append(true).open(blobs.path(id)).unwrap();
            file.set_modified(SystemTime::now() - 2 * hour).unwrap();
        }
        assert!(blobs.claim(claimed).unwrap());
        assert!(!blobs.claim(BlobId([9; 32])).unwrap());
        assert_eq!(blobs.retain(|id| id == wanted, SystemTime::now() - hour).unwrap(), (1, ByteCount(6)));
        assert!(blobs.has(wanted) && blobs.has(claimed) && !blobs.has(idle));
        assert_eq!(blobs.retain(|_| false, later).unwrap().0, 2);
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
