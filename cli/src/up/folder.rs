//! A folder that only one process uses at a time.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use grange_api::{Problem, ProblemCode};
use rustix::fs::FlockOperation;

use crate::failure::internal;

/// The file whose lock is the right. A running node locks another one of its own.
pub(crate) const FILE: &str = "held";

/// The right to use a folder, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: File,
}

impl Held {
    /// Takes the right, or says that another process has it. Makes the folder, for its owner alone.
    pub(crate) fn take(folder: &Path, operation: &str) -> Result<Self, Problem> {
        let lock = open(folder, operation)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let message = "another process runs the node in this folder";
            Problem::new(ProblemCode::Conflict, operation, folder.display().to_string(), message)
                .with_remedy("stop that process first, or name another folder with --data")
        })?;
        Ok(Self { _lock: lock })
    }

    /// Waits for the right, which is held for the time of a few system calls.
    pub(crate) fn wait(folder: &Path, operation: &str) -> Result<Self, Problem> {
        let lock = open(folder, operation)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| internal(operation, folder.display().to_string(), &error))?;
        Ok(Self { _lock: lock })
    }
}

/// A folder that is made now. A start that fails before its node was ever ready leaves nothing of it, so that the next one
/// begins as this one did.
#[derive(Debug)]
pub(super) struct Fresh {
    folder: PathBuf,
    was_there: bool,
}

impl Fresh {
    /// To be asked before anything is written; none of a folder that holds something.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let was_there = folder.exists();
        let is_empty = || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
        (!was_there || is_empty()).then(|| Self { folder: folder.to_path_buf(), was_there })
    }

    /// Removes what was made. The failure that led here is the one to tell.
    pub(super) fn undo(self) {
        if !self.was_there {
            let _ = fs::remove_dir_all(&self.folder);
            return;
        }
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

fn open(folder: &Path, operation: &str) -> Result<File, Problem> {
    let failed = |error: std::io::Error| {
        internal(operation, folder.display().to_string(), &error)
            .with_remedy("name a folder that you may write with --data")
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(FILE)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_there_before_is_undone() {
        let parent = tempfile::tempdir().unwrap();
        let [new, empty, full] = ["new", "empty", "full"].map(|name| parent.path().join(name));
        fs::create_dir(&empty).unwrap();
        fs::create_dir(&full).unwrap();
        fs::write(full.join("mine"), "kept").unwrap();
        assert!(Fresh::of(&full).is_none());
        for folder in [&new, &empty] {
            let fresh = Fresh::of(folder).unwrap();
            drop(Held::take(folder, "up").unwrap());
            fs::create_dir(folder.join("blobs")).unwrap();
            fresh.undo();
        }
        assert!(!new.exists() && fs::read_dir(&empty).unwrap().next().is_none());
    }

    #[test]
    fn a_folder_is_held_once() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("node");
        let held = Held::take(&folder, "up").unwrap();
        let problem = Held::take(&folder, "up").unwrap_err();
        assert_eq!((problem.code, problem.exit), (ProblemCode::Conflict, 5));
        drop(held);
        Held::take(&folder, "up").unwrap();
    }
}
