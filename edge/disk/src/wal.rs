//! The write-ahead log of consensus: what a validator said at the height it is deciding.

use std::path::Path;

use grange_types::{Height, limits};

use crate::error::DiskError;
use crate::journal::{Journal, Tail};

/// Entries of one height. A reset for the next height empties the file.
#[derive(Debug)]
pub struct Wal {
    journal: Journal,
}

/// What a log held when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The height it was last reset to.
    pub height: Height,
    /// The entries since, oldest first.
    pub entries: Vec<Vec<u8>>,
    /// What was behind the last intact entry.
    pub tail: Tail,
}

impl Wal {
    /// Opens the log; gives what it holds.
    pub fn open(path: &Path) -> Result<(Self, Logged), DiskError> {
        let mut records = Vec::new();
        let (journal, tail) = Journal::open(path, limits::MESSAGE_BYTES, |_, payload| records.push(payload))?;
        let mut entries = records.into_iter();
        let height = entries.next().and_then(|first| Some(u64::from_le_bytes(first.try_into().ok()?)));
        let logged = Logged { height: Height(height.unwrap_or(0)), entries: entries.collect(), tail };
        Ok((Self { journal }, logged))
    }

    /// Adds an entry; durable only after [`Wal::flush`].
    pub fn append(&mut self, entry: &[u8]) -> Result<(), DiskError> {
        self.journal.append(entry).map(drop)
    }

    /// Waits until every entry is on the disk.
    pub fn flush(&self) -> Result<(), DiskError> {
        self.journal.flush()
    }

    /// Forgets all entries: from now on they are those of `height`. Durable with the first flush after it; if the machine
    /// dies before that, the entries of the height before are found, or none, and nothing was said at this height.
    pub fn reset(&mut self, height: Height) -> Result<(), DiskError> {
        self.journal.clear()?;
        self.journal.append(&height.0.to_le_bytes()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_since_the_last_reset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wal");
        let (mut wal, logged) = Wal::open(&path).unwrap();
        assert_eq!((logged.height, logged.entries.len()), (Height(0), 0));
        wal.reset(Height(7)).unwrap();
        wal.append(b"vote").unwrap();
        wal.flush().unwrap();
        let (mut wal, logged) = Wal::open(&path).unwrap();
        assert_eq!((logged.height, logged.entries), (Height(7), vec![b"vote".to_vec()]));
        wal.reset(Height(8)).unwrap();
        let (_, logged) = Wal::open(&path).unwrap();
        assert_eq!((logged.height, logged.entries.len()), (Height(8), 0));
    }
}
