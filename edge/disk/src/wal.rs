//! The write-ahead log of consensus: what a validator said at the height it is deciding.
//!
//! An entry that is torn and one that is damaged look alike, and mean opposite things: the torn one was never durable, so
//! nothing was said on it; the damaged one was, and who forgets it may contradict itself. Beside the log a mark says up to
//! where it was durable. It is written after each flush and not flushed itself: it is exact when a process dies, and after
//! a power cut as old as what the kernel had not yet written back, so that it never claims too much.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use grange_types::{Height, limits};

use crate::error::DiskError;
use crate::journal::{Journal, Tail};

/// Height and length, both u64 LE, and the first eight bytes of BLAKE3 over them.
const MARK: usize = 24;

/// Entries of one height. A reset for the next height empties the file.
#[derive(Debug)]
pub struct Wal {
    journal: Journal,
    mark: File,
    mark_path: PathBuf,
    height: Height,
}

/// What a log held when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The height it was last reset to; the one above that where it is damaged: below it nothing may be said any more.
    pub height: Height,
    /// The entries since, oldest first; none where it is damaged.
    pub entries: Vec<Vec<u8>>,
    /// What was behind the last intact entry.
    pub tail: Tail,
    /// Whether entries that were durable cannot be read.
    pub damaged: bool,
}

impl Wal {
    /// Opens the log; gives what it holds.
    pub fn open(path: &Path) -> Result<(Self, Logged), DiskError> {
        let mut records = Vec::new();
        let (journal, tail) = Journal::open(path, limits::MESSAGE_BYTES, |_, payload| records.push(payload))?;
        let mut entries = records.into_iter();
        let height = entries.next().and_then(|first| Some(u64::from_le_bytes(first.try_into().ok()?)));
        let height = Height(height.unwrap_or(0));
        let mark_path = path.with_extension("mark");
        let mut options = OpenOptions::new();
        let mark = options.read(true).write(true).create(true).truncate(false).open(&mark_path);
        let mark = mark.map_err(DiskError::open(&mark_path))?;
        let mut wal = Self { journal, mark, mark_path, height };
        let (marked, length) = wal.marked()?;
        let damaged = marked > height || (marked == height && length > wal.journal.end());
        if damaged {
            wal.height = marked.next();
        } else {
            // What is said again after a power cut has to be as safe as it was.
            wal.flush()?;
        }
        // Or a power cut after this start could make damage that was seen look like a torn end.
        wal.mark.sync_data().map_err(DiskError::write(&wal.mark_path))?;
        let entries = if damaged { Vec::new() } else { entries.collect() };
        let logged = Logged { height: wal.height, entries, tail, damaged };
        Ok((wal, logged))
    }

    /// Adds an entry; durable only after [`Wal::flush`].
    pub fn append(&mut self, entry: &[u8]) -> Result<(), DiskError> {
        self.journal.append(entry).map(drop)
    }

    /// Waits until every entry is on the disk.
    pub fn flush(&self) -> Result<(), DiskError> {
        self.journal.flush()?;
        self.mark.write_all_at(&mark(self.height, self.journal.end()), 0).map_err(DiskError::write(&self.mark_path))
    }

    /// Forgets all entries: from now on they are those of `height`. Durable with the first flush after it; if the machine
    /// dies before that, the entries of the height before are found, or none, and nothing was said at this height.
    pub fn reset(&mut self, height: Height) -> Result<(), DiskError> {
        self.height = height;
        self.journal.clear()?;
        self.journal.append(&height.0.to_le_bytes()).map(drop)
    }

    /// The height and the length that were durable; zero where the mark says nothing, as one that is damaged.
    fn marked(&self) -> Result<(Height, u64), DiskError> {
        let mut bytes = [0; MARK];
        let length = self.mark.metadata().map_err(DiskError::read(&self.mark_path))?.len();
        if length < MARK as u64 {
            return Ok((Height(0), 0));
        }
        self.mark.read_exact_at(&mut bytes, 0).map_err(DiskError::read(&self.mark_path))?;
        let number = |from: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[from..from + 8]);
            u64::from_le_bytes(number)
        };
        let (height, length) = (Height(number(0)), number(8));
        Ok(if mark(height, length) == bytes { (height, length) } else { (Height(0), 0) })
    }
}

fn mark(height: Height, length: u64) -> [u8; MARK] {
    let mut bytes = [0; MARK];
    bytes[..8].copy_from_slice(&height.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&length.to_le_bytes());
    let sum = blake3::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&sum.as_bytes()[..8]);
    bytes
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

    /// A log at height 7 with one durable entry and one that is not, and where each ends.
    fn written(path: &Path) -> (u64, u64) {
        let (mut wal, _) = Wal::open(path).unwrap();
        wal.reset(Height(7)).unwrap();
        wal.append(b"vote").unwrap();
        wal.flush().unwrap();
        let durable = wal.journal.end();
        wal.append(b"timeout").unwrap();
        (durable, wal.journal.end())
    }

    #[test]
    fn what_was_durable_and_cannot_be_read_is_damage_and_the_rest_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wal");
        let (durable, end) = written(&path);
        let whole = std::fs::read(&path).unwrap();
        for place in 8..end {
            let mut bytes = whole.clone();
            bytes[place as usize] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            // It stays damaged over a second start, until it is reset.
            for _ in 0..2 {
                let (_, logged) = Wal::open(&path).unwrap();
                let damaged = place < durable;
                assert_eq!(logged.damaged, damaged, "a bit flips at {place}");
                let expected = if damaged { (Height(8), 0) } else { (Height(7), 1) };
                assert_eq!((logged.height, logged.entries.len()), expected, "a bit flips at {place}");
            }
        }
        let (mut wal, _) = Wal::open(&path).unwrap();
        wal.reset(Height(8)).unwrap();
        wal.append(b"vote").unwrap();
        wal.flush().unwrap();
        let (_, logged) = Wal::open(&path).unwrap();
        assert_eq!((logged.height, logged.entries.len(), logged.damaged), (Height(8), 1, false));
    }

    #[test]
    fn a_mark_never_claims_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wal");
        let (durable, end) = written(&path);
        let (whole, mark) = (std::fs::read(&path).unwrap(), std::fs::read(path.with_extension("mark")).unwrap());
        let open = || Wal::open(&path).unwrap().1;
        for cut in durable..end {
            std::fs::write(&path, &whole[..cut as usize]).unwrap();
            assert!(!open().damaged, "torn at {cut}");
        }
        // A mark that is missing, short or damaged says nothing.
        for place in 0..mark.len() {
            let mut bytes = mark.clone();
            bytes[place] ^= 1;
            for bytes in [bytes, mark[..place].to_vec()] {
                std::fs::write(path.with_extension("mark"), bytes).unwrap();
                std::fs::write(&path, &whole[..20]).unwrap();
                assert!(!open().damaged);
            }
        }
        // One of a height that is over: the power went when the log was reset.
        std::fs::write(path.with_extension("mark"), &mark).unwrap();
        let mut wal = Wal::open(&path).unwrap().0;
        wal.reset(Height(8)).unwrap();
        drop(wal);
        let logged = open();
        assert_eq!((logged.height, logged.damaged), (Height(8), false));
        std::fs::write(path.with_extension("mark"), &mark).unwrap();
        std::fs::write(&path, b"").unwrap();
        let logged = open();
        assert_eq!((logged.height, logged.damaged), (Height(8), true), "at 7 nothing may be said any more");
    }
}
