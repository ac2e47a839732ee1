//! One record that is replaced as a whole: read at the start, written now and then.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{DiskError, sync_folder};

/// A file with one record behind its checksum.
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
}

impl Page {
    /// The page at a path; nothing has to be there yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    /// What was written last; `None` when there is nothing, or nothing intact.
    pub fn read(&self) -> Result<Option<Vec<u8>>, DiskError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DiskError::read(&self.path)(error)),
        };
        let Some((checksum, content)) = bytes.split_first_chunk::<32>() else { return Ok(None) };
        Ok((blake3::hash(content).as_bytes() == checksum).then(|| content.to_vec()))
    }

    /// Replaces it; durable when this returns.
    pub fn write(&self, content: &[u8]) -> Result<(), DiskError> {
        let beside = self.path.with_extension("partial");
        let mut file = File::create(&beside).map_err(DiskError::open(&beside))?;
        file.write_all(blake3::hash(content).as_bytes()).map_err(DiskError::write(&beside))?;
        file.write_all(content).map_err(DiskError::write(&beside))?;
        file.sync_all().map_err(DiskError::write(&beside))?;
        fs::rename(&beside, &self.path).map_err(DiskError::write(&self.path))?;
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_written_is_read_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust");
        let page = Page::at(&path);
        assert_eq!(page.read().unwrap(), None);
        page.write(b"first, and longer").unwrap();
        page.write(b"second").unwrap();
        assert_eq!(Page::at(&path).read().unwrap().as_deref(), Some(&b"second"[..]));
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(page.read().unwrap(), None);
        fs::write(&path, b"short").unwrap();
        assert_eq!(page.read().unwrap(), None);
    }
}
