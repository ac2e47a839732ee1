//! The files of one log: append to the newest, remove the oldest.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use grange_types::{ByteCount, Time};

use super::line::{LogLine, LogStream};

/// A log's limit is shared by so many files, so that removing the oldest forgets no more than one part in this.
const FILES: u64 = 8;

/// One file of a log: the number of its first line, and its size.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: u64,
    size: u64,
}

/// The files of one log.
#[derive(Debug)]
pub(super) struct LogFile {
    folder: PathBuf,
    part_limit: u64,
    parts: VecDeque<Part>,
    newest: Option<File>,
    next: u64,
}

impl LogFile {
    /// Opens a log where the last writer left it. A line that was cut short by a crash is cut off.
    pub(super) fn open(folder: PathBuf, limit: ByteCount) -> io::Result<Self> {
        let mut parts = Vec::new();
        if folder.try_exists()? {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let first = entry.file_name().to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
                if let Some(first) = first {
                    parts.push(Part { first, size: entry.metadata()?.len() });
                }
            }
        }
        parts.sort_by_key(|part| part.first);
        let mut log = Self { folder, part_limit: limit.0 / FILES, parts: parts.into(), newest: None, next: 1 };
        log.resume()?;
        Ok(log)
    }

    /// Finds the number of the next line, and cuts off what follows the last whole line.
    fn resume(&mut self) -> io::Result<()> {
        let Some(part) = self.parts.back_mut() else { return Ok(()) };
        let path = path(&self.folder, part.first);
        let content = std::fs::read(&path)?;
        let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = content[..whole].split_inclusive(|byte| *byte == b'\n').count();
        part.size = whole as u64;
        self.next = part.first + lines as u64;
        let file = OpenOptions::new().append(true).open(path)?;
        file.set_len(part.size)?;
        self.newest = Some(file);
        Ok(())
    }

    /// The number of the newest line; 0 if there is none.
    pub(super) const fn last(&self) -> u64 {
        self.next - 1
    }

    /// Adds a line and returns its number.
    pub(super) fn append(&mut self, stream: LogStream, text: &str) -> io::Result<u64> {
        // A carriage return inside a line would let a component draw over a terminal's earlier lines.
        let text = text.replace(['\r', '\n'], " ");
        let line = LogLine { sequence: self.next, time: now(), stream, text }.to_text();
        if self.parts.back().is_none_or(|part| part.size + line.len() as u64 > self.part_limit) {
            self.add_part()?;
        }
        let (Some(file), Some(part)) = (&mut self.newest, self.parts.back_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Err(error) = file.write_all(line.as_bytes()) {
            // A half-written line would shift the numbers of all that follow.
            file.set_len(part.size)?;
            return Err(error);
        }
        part.size += line.len() as u64;
        self.next += 1;
        Ok(self.last())
    }

    fn add_part(&mut self) -> io::Result<()> {
        while self.parts.len() as u64 >= FILES {
            if let Some(oldest) = self.parts.front() {
                std::fs::remove_file(path(&self.folder, oldest.first))?;
            }
            self.parts.pop_front();
        }
        std::fs::create_dir_all(&self.folder)?;
        let file = OpenOptions::new().append(true).create(true).open(path(&self.folder, self.next))?;
        self.newest = Some(file);
        self.parts.push_back(Part { first: self.next, size: 0 });
        Ok(())
    }

    /// The files that hold the lines after a number, oldest first.
    pub(super) fn after(&self, sequence: u64) -> Vec<PathBuf> {
        let older = self.parts.iter().skip(1).take_while(|part| part.first <= sequence.saturating_add(1)).count();
        self.parts.iter().skip(older).map(|part| path(&self.folder, part.first)).collect()
    }
}

/// Reads lines from files. A file that was removed meanwhile holds lines that are no longer kept.
pub(super) fn read(files: &[PathBuf], sequence: u64, limit: usize) -> io::Result<Vec<LogLine>> {
    let mut lines = Vec::new();
    for file in files {
        let content = match std::fs::read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            content => content?,
        };
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            if lines.len() >= limit {
                return Ok(lines);
            }
            let whole = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
            lines.extend(whole.and_then(LogLine::parse).filter(|line| line.sequence > sequence));
        }
    }
    Ok(lines)
}

fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
