//! The audit log: one line for each call of the API, appended, in files of a bounded size.
//!
//! # Rules
//! - A line is written before its answer leaves, and on the disk before that when the call changed something of which this
//!   node alone knows. One flush is for all that wait for one.
//! - What a call changed on the ledger is in a block, which is on the disk: its line follows within a tenth of a second.
//!   After a power cut those of that last moment can be missing, and lines about mere reading.
//! - A file that has grown to [`FILE_BYTES`] becomes `audit.1.ndjson`, that one `audit.2.ndjson`, and so on; the
//!   oldest of them is removed. Numbers go on.
//! - Whoever reaches the port can ask without a token, and without end. Lines about nobody are in files of their own, of
//!   which there are fewer, and nobody waits for the disk on their account: they push out one another and nothing else.
//!   Whoever reads the log reads both in the order of their numbers, and sees by the missing ones how many went.
//! - No line holds a token, a key's secret or a body.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{self, BoxFuture, FutureExt};
use grange_api::{AuditLine, Operation};
use grange_gateway::{CallRecord, CallResult};
use grange_types::{Right, Time};
use tokio::sync::watch;

use crate::flusher::Flusher;

/// A file is full at this size: about 30,000 calls.
const FILE_BYTES: u64 = 8 << 20;
/// The files of calls that somebody made.
const CALLS: Kind = Kind { stem: "audit", files: 5 };
/// The files of calls with no token that is known.
const STRANGERS: Kind = Kind { stem: "strangers", files: 2 };
/// Lines kept in memory for whoever follows.
const RECENT: usize = 512;
/// An object's name in a line; what is longer was no name.
const OBJECT_BYTES: usize = 128;

/// The log of one node.
pub(crate) struct AuditLog {
    open: Mutex<Open>,
    flusher: Flusher,
    last: watch::Sender<u64>,
}

struct Open {
    calls: Roll,
    strangers: Roll,
    seq: u64,
    /// The newest lines.
    recent: VecDeque<AuditLine>,
    counts: Counts,
}

/// Files of one kind of lines.
#[derive(Debug, Clone, Copy)]
struct Kind {
    stem: &'static str,
    /// So many are kept, the growing one included.
    files: usize,
}

/// The growing one of them.
struct Roll {
    kind: Kind,
    folder: PathBuf,
    file: Arc<File>,
    bytes: u64,
    full: u64,
}

/// What the metrics page says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Calls written down.
    pub(crate) calls: u64,
    /// Those that were denied, or that nobody with a token made.
    pub(crate) denied: u64,
    /// Those that nobody with a token made.
    pub(crate) strangers: u64,
    /// Lines that could not be written, and flushes of some that failed.
    pub(crate) lost: u64,
}

impl AuditLog {
    /// Opens the log in a node's folder and goes on where it ended.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        Self::with_size(folder, FILE_BYTES)
    }

    fn with_size(folder: PathBuf, full: u64) -> io::Result<Self> {
        let (calls, strangers) = (Roll::open(CALLS, folder.clone(), full)?, Roll::open(STRANGERS, folder, full)?);
        let kept = [calls.kept()?, strangers.kept()?].into_iter().flatten().flat_map(lines);
        let seq = kept.map(|line| line.seq).max().unwrap_or(0);
        let flusher = Flusher::start(Arc::clone(&calls.file), seq)?;
        let open = Open { calls, strangers, seq, recent: VecDeque::new(), counts: Counts::default() };
        Ok(Self { open: Mutex::new(open), flusher, last: watch::Sender::new(0) })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> Counts {
        let counts = self.lock().counts;
        Counts { lost: counts.lost + self.flusher.failed(), ..counts }
    }

    /// Is told of the number of every new line.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// Writes a call down; ready when that is as durable as it has to be.
    pub(crate) fn record(&self, record: CallRecord, now: Time) -> BoxFuture<'static, ()> {
        let mut open = self.lock();
        let open = &mut *open;
        let (needed, known) = (Needed::of(&record), record.principal.is_some());
        let line = line(record, open.seq.saturating_add(1), now);
        open.counts.calls += 1;
        open.counts.denied += u64::from(matches!(line.status, 401 | 403));
        open.counts.strangers += u64::from(!known);
        let written =
            if known { open.calls.append(&line, Some(&self.flusher)) } else { open.strangers.append(&line, None) };
        if let Err(error) = written {
            open.counts.lost += 1;
            tracing::error!(%error, call = %line.call, request = %line.request, "audit.lost");
            return future::ready(()).boxed();
        }
        let seq = line.seq;
        open.seq = seq;
        self.last.send_replace(seq);
        if open.recent.len() >= RECENT {
            open.recent.pop_front();
        }
        open.recent.push_back(line);
        if known {
            self.flusher.wrote(seq);
        }
        match needed {
            Needed::Now => return self.flusher.durable(seq),
            Needed::Soon => self.flusher.soon(),
            Needed::Never => {}
        }
        future::ready(()).boxed()
    }

    /// Lines with greater numbers, oldest first, at most so many; the number up to which was looked.
    pub(crate) fn page(&self, after: u64, principal: Option<&str>, most: usize) -> io::Result<(Vec<AuditLine>, u64)> {
        let open = self.lock();
        let near = open.recent.front().is_some_and(|first| first.seq <= after.saturating_add(1));
        // Whoever follows needs no disk. Others read files that are open already: what is renamed meanwhile stays the same.
        let kept: Vec<AuditLine> = if near { open.recent.iter().cloned().collect() } else { Vec::new() };
        let files = |roll: &Roll| if near { Ok(Vec::new()) } else { roll.kept() };
        let (calls, strangers) = (files(&open.calls)?, files(&open.strangers)?);
        drop(open);
        let (mut page, mut seen) = (Vec::new(), after);
        let read = in_order(calls.into_iter().flat_map(lines), strangers.into_iter().flat_map(lines));
        for line in read.chain(kept).filter(|line| line.seq > after) {
            if page.len() >= most {
                break;
            }
            seen = seen.max(line.seq);
            if principal.is_none_or(|wanted| is_of(&line, wanted)) {
                page.push(line);
            }
        }
        Ok((page, seen))
    }
}

impl Kind {
    fn name(self, index: usize) -> String {
        if index == 0 { format!("{}.ndjson", self.stem) } else { format!("{}.{index}.ndjson", self.stem) }
    }
}

impl Roll {
    fn open(kind: Kind, folder: PathBuf, full: u64) -> io::Result<Self> {
        let path = folder.join(kind.name(0));
        let file = Arc::new(append(&path)?);
        let mut bytes = file.metadata()?.len();
        // A line that a crash tore has no end: it is ended, so that the next one is whole.
        if bytes > 0 && !ends_with_line(&path)? {
            (&*file).write_all(b"\n")?;
            bytes += 1;
        }
        Ok(Self { kind, folder, file, bytes, full })
    }

    /// The files there are, the oldest first.
    fn kept(&self) -> io::Result<Vec<File>> {
        let mut files = Vec::new();
        for index in (0..self.kind.files).rev() {
            match File::open(self.folder.join(self.kind.name(index))) {
                Ok(file) => files.push(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// Writes a line into the growing file, or the next one. What has no flusher is on the disk when that pleases.
    fn append(&mut self, line: &AuditLine, flusher: Option<&Flusher>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
        text.push(b'\n');
        // A disk that gives no new file may still take a line into the old one.
        if self.bytes + text.len() as u64 > self.full
            && self.bytes > 0
            && let Err(error) = self.rotate(flusher)
        {
            tracing::error!(%error, "audit.not_rotated");
        }
        (&*self.file).write_all(&text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// The growing file makes room for the next. No file is moved before what it holds is on the disk and the next one is
    /// there: a disk that refuses either would cost a file at each call.
    fn rotate(&mut self, flusher: Option<&Flusher>) -> io::Result<()> {
        if flusher.is_some() {
            self.file.sync_data()?;
        }
        let next = self.folder.join(format!("{}.next.ndjson", self.kind.stem));
        let fresh = Arc::new(append(&next)?);
        fresh.set_len(0)?;
        let path = |index| self.folder.join(self.kind.name(index));
        for index in (1..self.kind.files).rev() {
            match fs::rename(path(index - 1), path(index)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(next, path(0))?;
        if let Some(flusher) = flusher {
            // A line counts as on the disk only if its file is found there under its name. A folder that cannot be flushed is
            // told and does not bring the old file back: it would be moved again at the next call.
            if let Err(error) = File::open(&self.folder).and_then(|folder| folder.sync_all()) {
                tracing::error!(%error, "audit.not_flushed");
            }
            flusher.turn_to(Arc::clone(&fresh));
        }
        (self.file, self.bytes) = (fresh, 0);
        Ok(())
    }
}

/// Both, by their numbers; each has them in order.
fn in_order(
    one: impl Iterator<Item = AuditLine>,
    other: impl Iterator<Item = AuditLine>,
) -> impl Iterator<Item = AuditLine> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if second.seq < first.seq => other.next(),
        (None, _) => other.next(),
        _ => one.next(),
    })
}

fn is_of(line: &AuditLine, wanted: &str) -> bool {
    line.principal == wanted || line.key.is_some_and(|key| key.to_string() == wanted)
}

/// When a line has to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needed {
    Now,
    Soon,
    Never,
}

impl Needed {
    fn of(record: &CallRecord) -> Self {
        let CallRecord { principal, operation, result, .. } = record;
        let reads = matches!(operation.right(), Some(Right::Read));
        match result {
            _ if principal.is_none() || reads || *operation == Operation::PutBlob => Self::Never,
            CallResult::Done if operation.is_on_ledger() => Self::Soon,
            _ => Self::Now,
        }
    }
}

fn line(record: CallRecord, seq: u64, now: Time) -> AuditLine {
    let CallRecord { principal, operation, mut object, status, result, request } = record;
    if object.len() > OBJECT_BYTES {
        let end = (0..=OBJECT_BYTES).rev().find(|end| object.is_char_boundary(*end)).unwrap_or(0);
        object.truncate(end);
    }
    AuditLine {
        seq,
        at: grange_api::Timestamp(now),
        key: principal.as_ref().and_then(|principal| principal.rights.as_ref()).map(|rights| rights.id),
        principal: principal.map(|principal| principal.name).unwrap_or_default(),
        call: operation.id().to_owned(),
        object,
        status,
        result: match result {
            CallResult::Done => "ok".to_owned(),
            CallResult::Failed(code) => code.word().to_owned(),
            CallResult::Cut => "cut".to_owned(),
        },
        request,
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn ends_with_line(path: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The lines of a file that can be read.
fn lines(file: File) -> impl Iterator<Item = AuditLine> {
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_slice(&line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_api::ProblemCode;
    use grange_gateway::Principal;
    use grange_types::AccountId;

    fn record(operation: Operation, result: CallResult) -> CallRecord {
        let status = if let CallResult::Failed(code) = result { code.status() } else { 200 };
        let principal = Some(Principal::owner(AccountId([1; 32])));
        CallRecord { principal, operation, object: "shop".into(), status, result, request: "r".into() }
    }

    #[tokio::test]
    async fn every_call_is_a_line_and_numbers_go_on_across_files_and_starts() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::with_size(folder.path().to_path_buf(), 1_000).unwrap();
        for _ in 0..10 {
            log.record(record(Operation::Deploy, CallResult::Done), Time(5)).await;
        }
        log.record(record(Operation::Down, CallResult::Failed(ProblemCode::Denied)), Time(6)).await;
        assert!(folder.path().join("audit.1.ndjson").exists());
        assert_eq!(log.counts(), Counts { calls: 11, denied: 1, strangers: 0, lost: 0 });
        drop(log);
        // A crash tore the last line.
        let mut file = append(&folder.path().join("audit.ndjson")).unwrap();
        file.write_all(b"{\"seq\":99,\"at").unwrap();
        let log = AuditLog::with_size(folder.path().to_path_buf(), 1_000).unwrap();
        log.record(record(Operation::Status, CallResult::Cut), Time(7)).await;
        let (lines, seen) = log.page(0, None, 100).unwrap();
        assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
        assert_eq!((seen, lines[10].result.as_str(), lines[11].result.as_str()), (12, "denied", "cut"));
        let (few, seen) = log.page(3, Some("owner"), 2).unwrap();
        assert_eq!((few.len(), few[0].seq, seen), (2, 4, 5));
        assert_eq!(log.page(0, Some("ci"), 100).unwrap(), (Vec::new(), 12));
    }

    #[tokio::test]
    async fn a_disk_that_gives_no_new_file_costs_no_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::with_size(folder.path().to_path_buf(), 500).unwrap();
        // Nothing can be created under the name of the next file.
        std::fs::create_dir(folder.path().join("audit.next.ndjson")).unwrap();
        for _ in 0..40 {
            log.record(record(Operation::Deploy, CallResult::Done), Time(5)).await;
        }
        let (lines, _) = log.page(0, None, 100).unwrap();
        assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
        std::fs::remove_dir(folder.path().join("audit.next.ndjson")).unwrap();
        log.record(record(Operation::Deploy, CallResult::Done), Time(5)).await;
        assert!(folder.path().join("audit.1.ndjson").exists());
        assert_eq!(log.counts(), Counts { calls: 41, denied: 0, strangers: 0, lost: 0 });
    }

    #[tokio::test]
    async fn the_oldest_lines_go_first_and_the_log_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::with_size(folder.path().to_path_buf(), 500).unwrap();
        for _ in 0..40 {
            log.record(record(Operation::Status, CallResult::Done), Time(5)).await;
        }
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        let bytes: u64 =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        // And the file of strangers, of whom there are none.
        let most = CALLS.files + 1;
        assert!(files == most && bytes <= 500 * CALLS.files as u64, "{files} files of {bytes} bytes");
        drop(log);
        let log = AuditLog::with_size(folder.path().to_path_buf(), 500).unwrap();
        let (lines, _) = log.page(0, None, 100).unwrap();
        assert_eq!(lines.last().unwrap().seq, 40);
        assert!(lines[0].seq > 1);
    }

    #[tokio::test]
    async fn strangers_push_out_nobody_but_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::with_size(folder.path().to_path_buf(), 1_000).unwrap();
        let unknown = CallResult::Failed(ProblemCode::Unauthorized);
        log.record(record(Operation::Deploy, CallResult::Done), Time(5)).await;
        for _ in 0..1_000 {
            // Also those that would change something: nobody waits for the disk on a stranger's account.
            drop(log.record(CallRecord { principal: None, ..record(Operation::Deploy, unknown) }, Time(6)));
        }
        log.record(record(Operation::Down, CallResult::Done), Time(7)).await;
        let strangers = CallRecord { principal: None, ..record(Operation::Status, CallResult::Cut) };
        log.record(strangers, Time(8)).await;
        assert_eq!(log.counts(), Counts { calls: 1_003, denied: 1_000, strangers: 1_001, lost: 0 });
        drop(log);
        let log = AuditLog::with_size(folder.path().to_path_buf(), 1_000).unwrap();
        let (owners, seen) = log.page(0, Some("owner"), 100).unwrap();
        assert_eq!(owners.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 1_002]);
        assert_eq!(seen, 1_003);
        // In the order of their numbers, without the strangers that went.
        let (all, _) = log.page(0, None, 2_000).unwrap();
        let numbers: Vec<u64> = all.iter().map(|line| line.seq).collect();
        assert!(numbers.is_sorted() && numbers.len() < 30, "{numbers:?}");
        assert_eq!((numbers[0], numbers.ends_with(&[1_001, 1_002, 1_003])), (1, true));
        log.record(record(Operation::Status, CallResult::Done), Time(9)).await;
        assert_eq!(log.page(1_003, None, 10).unwrap().1, 1_004, "numbers go on");
    }
}
