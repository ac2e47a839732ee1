//! Snapshots of the ledger's state: the last two are kept, so that a bad newest one costs a longer replay, not the state.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
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

    /// How many pieces the snapshot at a height has; `None` when it is missing or cut. Nothing of it is checked.
    pub fn pieces(&self, height: Height) -> Result<Option<u32>, DiskError> {
        Ok(self.lengths(height)?.and_then(|lengths| u32::try_from(lengths.len()).ok()))
    }

    /// One piece, without a look at the others: whoever gets it holds the whole against what names it.
    pub fn piece(&self, height: Height, index: u32) -> Result<Option<Vec<u8>>, DiskError> {
        let Some(lengths) = self.lengths(height)? else { return Ok(None) };
        let Some((offset, length)) = lengths.get(index as usize) else { return Ok(None) };
        let path = self.path(height);
        let file = File::open(&path).map_err(DiskError::open(&path))?;
        let mut piece = vec![0; *length as usize];
        file.read_exact_at(&mut piece, *offset).map_err(DiskError::read(&path))?;
        Ok(Some(piece))
    }

    /// Where each piece stands, and how long it is.
    fn lengths(&self, height: Height) -> Result<Option<Vec<(u64, u32)>>, DiskError> {
        let path = self.path(height);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DiskError::open(&path)(error)),
        };
        let end = file.metadata().map_err(DiskError::read(&path))?.len();
        let (mut offset, mut lengths) = (32, Vec::new());
        while offset < end {
            let mut length = [0; 4];
            if offset + 4 > end {
                return Ok(None);
            }
            file.read_exact_at(&mut length, offset).map_err(DiskError::read(&path))?;
            let length = u32::from_le_bytes(length);
            offset += 4;
            if offset + u64::from(length) > end {
                return Ok(None);
            }
            lengths.push((offset, length));
            offset += u64::from(length);
        }
        Ok(Some(lengths))
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
        assert_eq!((snapshots.pieces(Height(11)).unwrap(), snapshots.pieces(Height(9)).unwrap()), (Some(3), None));
        let piece = |index| snapshots.piece(Height(11), index).unwrap();
        assert_eq!((piece(0).unwrap(), piece(1).unwrap(), piece(2).unwrap()), (b"state".to_vec(), vec![], vec![11]));
        assert_eq!((piece(3), snapshots.piece(Height(9), 0).unwrap()), (None, None));
        let path = folder.path().join("11.snapshot");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(snapshots.read(Height(11)).unwrap(), None);
    }
}
