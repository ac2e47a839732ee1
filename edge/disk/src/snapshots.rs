//! Snapshots of the ledger's state: the last two are kept, so that a bad newest one costs a longer replay, not the state.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use grange_types::Height;

use crate::error::{DiskError, sync_folder};

/// A folder of snapshots named by their height.
#[derive(Debug)]
pub struct Snapshots {
    folder: PathBuf,
}

const KEPT: usize = 2;

impl Snapshots {
    /// Opens or makes the folder.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        fs::create_dir_all(folder).map_err(DiskError::open(folder))?;
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// Heights of the snapshots there are, newest first.
    pub fn heights(&self) -> Result<Vec<Height>, DiskError> {
        let entries = fs::read_dir(&self.folder).map_err(DiskError::read(&self.folder))?;
        let mut heights: Vec<Height> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".snapshot")?.parse().ok())
            .map(Height)
            .collect();
        heights.sort_unstable_by(|left, right| right.cmp(left));
        Ok(heights)
    }

    /// The pieces of the snapshot at a height, checked against its checksum; `None` when it is missing or damaged.
    pub fn read(&self, height: Height) -> Result<Option<Vec<Vec<u8>>>, DiskError> {
        let path = self.path(height);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = fs::read(&path).map_err(DiskError::read(&path))?;
        let Some((checksum, content)) = bytes.split_first_chunk::<32>() else { return Ok(None) };
        Ok(if blake3::hash(content).as_bytes() == checksum { split(content) } else { None })
    }

    /// Stores a snapshot durably and forgets all but the newest two.
    pub fn write(&self, height: Height, pieces: &[Vec<u8>]) -> Result<(), DiskError> {
        let path = self.path(height);
        let beside = path.with_extension("partial");
        let mut file = File::create(&beside).map_err(DiskError::open(&beside))?;
        let content = join(pieces);
        file.write_all(blake3::hash(&content).as_bytes()).map_err(DiskError::write(&beside))?;
        file.write_all(&content).map_err(DiskError::write(&beside))?;
        file.sync_all().map_err(DiskError::write(&beside))?;
        fs::rename(&beside, &path).map_err(DiskError::write(&path))?;
        sync_folder(&self.folder)?;
        for old in self.heights()?.into_iter().skip(KEPT) {
            let path = self.path(old);
            fs::remove_file(&path).map_err(DiskError::write(&path))?;
        }
        Ok(())
    }

    fn path(&self, height: Height) -> PathBuf {
        self.folder.join(format!("{}.snapshot", height.0))
    }
}

/// Each piece behind its length as four bytes little-endian.
fn join(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut content = Vec::with_capacity(pieces.iter().map(|piece| piece.len() + 4).sum());
    for piece in pieces {
        content.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        content.extend_from_slice(piece);
    }
    content
}

/// The inverse of [`join`].
fn split(mut content: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut pieces = Vec::new();
    while let Some((length, rest)) = content.split_first_chunk() {
        let (piece, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        pieces.push(piece.to_vec());
        content = rest;
    }
    content.is_empty().then_some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_two_are_kept_and_a_damaged_one_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(folder.path()).unwrap();
        for height in [9, 10, 11] {
            let pieces = [b"state".to_vec(), Vec::new(), vec![height as u8]];
            snapshots.write(Height(height), &pieces).unwrap();
        }
        assert_eq!(snapshots.heights().unwrap(), [Height(11), Height(10)]);
        assert_eq!(snapshots.read(Height(11)).unwrap().unwrap(), [b"state".to_vec(), Vec::new(), vec![11]]);
        assert_eq!(snapshots.read(Height(9)).unwrap(), None);
        let path = folder.path().join("11.snapshot");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(snapshots.read(Height(11)).unwrap(), None);
    }
}
