//! An append-only file of checksummed records; the write-ahead log and the chain are two of them.
//!
//! A record is {length u32 LE, checksum 8 bytes, payload}; the checksum is the first eight bytes of BLAKE3 over the
//! record's offset, its length and its payload, so that an old record left at another place is not taken for one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{DiskError, sync_folder};

const MAGIC: &[u8; 8] = b"grangej1";
const HEAD: u64 = 12;

/// What opening found behind the last intact record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// So many bytes that are no whole record; they were cut off.
    Torn(u64),
}

/// An append-only file of records.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    end: u64,
    limit: usize,
}

impl Journal {
    /// Opens or makes the file; calls `each` with (offset, payload) of every intact record, in order.
    pub(crate) fn open(
        path: &Path,
        limit: usize,
        mut each: impl FnMut(u64, Vec<u8>),
    ) -> Result<(Self, Tail), DiskError> {
        let fresh = !path.exists();
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(DiskError::open(path))?;
        let mut journal = Self { path: path.to_path_buf(), file, end: MAGIC.len() as u64, limit };
        let length = journal.file.metadata().map_err(DiskError::read(path))?.len();
        if length < MAGIC.len() as u64 {
            // New, or torn before even its head was written: nothing can have been acknowledged.
            journal.clear()?;
            if fresh && let Some(folder) = path.parent() {
                sync_folder(folder)?;
            }
            return Ok((journal, Tail::Clean));
        }
        journal.scan(&mut each)?;
        if journal.end == length {
            return Ok((journal, Tail::Clean));
        }
        let torn = length - journal.end;
        journal.file.set_len(journal.end).map_err(DiskError::write(path))?;
        journal.flush()?;
        Ok((journal, Tail::Torn(torn)))
    }

    fn scan(&mut self, each: &mut impl FnMut(u64, Vec<u8>)) -> Result<(), DiskError> {
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        reader.seek(SeekFrom::Start(0)).map_err(DiskError::read(&self.path))?;
        let mut magic = [0; 8];
        reader.read_exact(&mut magic).map_err(DiskError::read(&self.path))?;
        if &magic != MAGIC {
            return Err(DiskError::Format { path: self.path.clone() });
        }
        let mut end = self.end;
        while let Some(payload) = read_record(&mut reader, end, self.limit).map_err(DiskError::read(&self.path))? {
            let next = end + HEAD + payload.len() as u64;
            each(end, payload);
            end = next;
        }
        self.end = end;
        Ok(())
    }

    /// Adds a record behind the last; durable only after [`Journal::flush`]. Gives its offset.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<u64, DiskError> {
        assert!(payload.len() <= self.limit, "records are kept within the limit by their types");
        let offset = self.end;
        let mut record = Vec::with_capacity(HEAD as usize + payload.len());
        record.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        record.extend_from_slice(&checksum(offset, payload));
        record.extend_from_slice(payload);
        self.file.write_all_at(&record, offset).map_err(DiskError::write(&self.path))?;
        self.end += record.len() as u64;
        Ok(offset)
    }

    /// Waits until everything appended is on the disk.
    pub(crate) fn flush(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(DiskError::write(&self.path))
    }

    /// The payload of the record at `offset`, as `append` or `open` gave it.
    pub(crate) fn read(&self, offset: u64) -> Result<Option<Vec<u8>>, DiskError> {
        let mut head = [0; HEAD as usize];
        self.file.read_exact_at(&mut head, offset).map_err(DiskError::read(&self.path))?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if length > self.limit {
            return Ok(None);
        }
        let mut payload = vec![0; length];
        self.file.read_exact_at(&mut payload, offset + HEAD).map_err(DiskError::read(&self.path))?;
        Ok((head[4..] == checksum(offset, &payload)).then_some(payload))
    }

    /// Empties the file, durably.
    pub(crate) fn clear(&mut self) -> Result<(), DiskError> {
        self.file.set_len(0).map_err(DiskError::write(&self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(DiskError::write(&self.path))?;
        self.file.write_all(MAGIC).map_err(DiskError::write(&self.path))?;
        self.end = MAGIC.len() as u64;
        Ok(())
    }

    /// Lets go of everything from a record's offset on, durably.
    pub(crate) fn cut(&mut self, offset: u64) -> Result<(), DiskError> {
        self.file.set_len(offset).map_err(DiskError::write(&self.path))?;
        self.end = offset;
        self.flush()
    }

    /// An empty file beside another, whose place it is to take; what an earlier attempt left there goes.
    pub(crate) fn replacing(path: &Path, limit: usize) -> Result<Self, DiskError> {
        let path = path.with_extension("partial");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).map_err(DiskError::open(&path))?;
        let mut journal = Self { path, file, end: 0, limit };
        journal.clear()?;
        Ok(journal)
    }

    /// Takes the place of another file, durably.
    pub(crate) fn take_place(mut self, path: &Path) -> Result<Self, DiskError> {
        self.file.sync_all().map_err(DiskError::write(&self.path))?;
        std::fs::rename(&self.path, path).map_err(DiskError::write(path))?;
        if let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        self.path = path.to_path_buf();
        Ok(self)
    }

    /// Where the next record begins.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The record at `offset`, or `None` where no intact one begins. A disk that cannot be read is no end of the file: what is
/// behind it may be whole, and is not cut off.
fn read_record(reader: &mut impl Read, offset: u64, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; HEAD as usize];
    if !fill(reader, &mut head)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length > limit {
        return Ok(None);
    }
    let mut payload = vec![0; length];
    let whole = fill(reader, &mut payload)? && head[4..] == checksum(offset, &payload);
    Ok(whole.then_some(payload))
}

/// Fills the buffer, or says that the file ends before.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn checksum(offset: u64, payload: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&(payload.len() as u64).to_le_bytes());
    hasher.update(payload);
    let mut short = [0; 8];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(path: &Path) -> (Vec<Vec<u8>>, Tail) {
        let mut records = Vec::new();
        let (_, tail) = Journal::open(path, 1 << 10, |_, payload| records.push(payload)).unwrap();
        (records, tail)
    }

    #[test]
    fn a_cut_anywhere_leaves_the_whole_records_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path, 1 << 10, |_, _| ()).unwrap();
        for payload in [&b"one"[..], b"", b"three"] {
            journal.append(payload).unwrap();
        }
        journal.flush().unwrap();
        let whole = std::fs::read(&path).unwrap();
        let ends = [8, 8 + 15, 8 + 15 + 12, whole.len()];
        for cut in 8..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (records, tail) = contents(&path);
            let kept = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(records.len(), kept, "cut at {cut}");
            let torn = (cut - ends[kept]) as u64;
            assert_eq!(tail, if torn == 0 { Tail::Clean } else { Tail::Torn(torn) });
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_journal_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path, 1 << 10, |_, _| ()).unwrap();
        let first = journal.append(b"one").unwrap();
        let second = journal.append(b"two").unwrap();
        assert_eq!(journal.read(first).unwrap().unwrap(), b"one");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[second as usize + 12] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(journal.read(second).unwrap(), None);
        assert_eq!(contents(&path), (vec![b"one".to_vec()], Tail::Torn(15)));
    }

    #[test]
    fn another_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, "a letter to a friend").unwrap();
        assert!(matches!(Journal::open(&path, 1 << 10, |_, _| ()), Err(DiskError::Format { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a letter to a friend");
    }

    #[test]
    fn a_disk_that_cannot_be_read_is_no_end_of_the_file() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("a bad sector"))
            }
        }
        assert!(read_record(&mut Broken, 8, 1 << 10).is_err());
        assert_eq!(read_record(&mut io::empty(), 8, 1 << 10).unwrap(), None);
    }
}
