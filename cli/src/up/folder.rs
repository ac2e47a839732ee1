//! A folder that only one process uses at a time.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

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
