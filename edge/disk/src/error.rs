//! What can go wrong with the disk: always which file, which operation, and the system's reason.

use std::io;
use std::path::{Path, PathBuf};

use grange_types::{BlobId, ByteCount};

/// Why an operation on the disk failed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file could not be opened or made.
    #[error("cannot open {}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file could not be written or synced. What was being written is not durable.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another format, or not ours.
    #[error("{} is no grange journal", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// A block that does not follow the last one.
    #[error("block {given} does not follow block {last}")]
    Gap {
        /// The height given.
        given: u64,
        /// The last height stored.
        last: u64,
    },
    /// The content is not what its name says.
    #[error("the content is blob {}, not {}", .actual.short(), .expected.short())]
    Mismatch {
        /// The name it was given under.
        expected: BlobId,
        /// What it is.
        actual: BlobId,
    },
    /// A blob above the limit.
    #[error("the blob is larger than {limit}")]
    TooLarge {
        /// The limit.
        limit: ByteCount,
    },
}

impl DiskError {
    pub(crate) fn open(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Open { path, source }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Write { path, source }
    }
}

/// Makes a rename or a new file in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    let file = std::fs::File::open(folder).map_err(DiskError::open(folder))?;
    file.sync_all().map_err(DiskError::write(folder))
}
