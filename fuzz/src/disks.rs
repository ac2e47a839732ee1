//! Files as targets: what a disk makes of a journal, a mark or a snapshot while nobody looks.

use std::path::Path;

use grange_disk::{Chain, Snapshots, Tail, Wal};
use grange_types::{Height, LeaseId};

use crate::sites::folder;

thread_local! {
    static FOLDER: Option<tempfile::TempDir> = folder().ok();
}

/// Gives the bytes to a target as a file of this name. What could not be written is refused.
pub(crate) fn with_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> bool) -> bool {
    FOLDER.with(|folder| {
        let Some(path) = folder.as_ref().map(|folder| folder.path().join(name)) else { return false };
        let folder = path.parent().map(std::fs::create_dir_all);
        folder.is_none_or(|made| made.is_ok()) && std::fs::write(&path, bytes).is_ok() && read(&path)
    })
}

/// A write-ahead log: what is read once is read twice, and what is cut off is cut off once.
pub(crate) fn wal(bytes: &[u8]) -> bool {
    with_file("wal", bytes, |path| {
        let _ = std::fs::remove_file(path.with_extension("mark"));
        let Ok((_, first)) = Wal::open(path) else { return false };
        let second = Wal::open(path).ok().map(|(_, logged)| logged);
        let expected = grange_disk::Logged { tail: Tail::Clean, ..first.clone() };
        assert!(second.as_ref() == Some(&expected), "a log reads as {first:?} and then as {second:?}");
        !first.entries.is_empty()
    })
}

/// The mark beside a write-ahead log: whatever it says, the log is opened, and damage is not forgotten.
pub(crate) fn mark(bytes: &[u8]) -> bool {
    with_file("marked.mark", bytes, |path| {
        let wal = path.with_extension("log");
        let _ = std::fs::remove_file(&wal);
        let open = || Wal::open(&wal).map(|(_, logged)| logged.damaged);
        let (first, second) = (open(), open());
        let Ok(damaged) = first else { unreachable!("a log cannot be opened for its mark: {first:?}") };
        assert!(matches!(second, Ok(again) if again == damaged), "what was {damaged} damaged is {second:?} now");
        damaged
    })
}

/// The chain: every block that it says it has can be read.
pub(crate) fn chain(bytes: &[u8]) -> bool {
    with_file("chain", bytes, |path| {
        let Ok((chain, _)) = Chain::open(path) else { return false };
        let (first, last) = (chain.first(), chain.last());
        for height in [first, last] {
            assert!(chain.read(height).is_ok(), "block {} cannot be read", height.0);
        }
        let again = Chain::open(path).ok().map(|(chain, tail)| (chain.first(), chain.last(), tail));
        assert!(again == Some((first, last, Tail::Clean)), "a chain of {first:?} to {last:?} becomes {again:?}");
        last >= first
    })
}

/// A snapshot.
pub(crate) fn snapshot(bytes: &[u8]) -> bool {
    with_file("7.snapshot", bytes, |path| {
        let snapshots = path.parent().and_then(|folder| Snapshots::open(folder).ok());
        let read = snapshots.map(|snapshots| snapshots.read(Height(7)));
        assert!(matches!(read, Some(Ok(_))), "a snapshot cannot be looked at");
        matches!(read, Some(Ok(Some(_))))
    })
}

/// A stored line of a log: what is taken is stored again as a line that reads as the same.
pub(crate) fn log_line(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((line, stored)) = grange_sandbox::fuzz::log_line(&text) else { return false };
    let again = stored.strip_suffix('\n').and_then(grange_sandbox::fuzz::log_line).map(|(again, _)| again);
    assert!(again.as_ref() == Some(&line), "{line:?} is stored as {stored:?}, which reads as {again:?}");
    true
}

/// The newest file of a lease's log: whatever is in it, the log goes on behind it, and the new line is read.
pub(crate) fn log(bytes: &[u8]) -> bool {
    const LEASE: LeaseId = LeaseId([7; 32]);
    let name = format!("logs/{LEASE}/{:020}.log", 1);
    with_file(&name, bytes, |path| {
        let Some(folder) = path.parent().and_then(Path::parent) else { return false };
        // What an earlier input left behind its first part.
        for entry in path.parent().into_iter().flat_map(|log| std::fs::read_dir(log).into_iter().flatten()).flatten() {
            if entry.path() != path {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let went_on = grange_sandbox::fuzz::continue_log(folder, LEASE, "a line\rthat is new");
        let Ok((last, lines)) = went_on else { unreachable!("a log cannot be gone on with: {went_on:?}") };
        let newest = lines.iter().rfind(|line| line.sequence == last);
        assert!(newest.is_some_and(|line| line.text == "a line that is new"), "line {last} is {newest:?}");
        lines.len() > 1
    })
}
