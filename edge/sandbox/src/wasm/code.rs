//! Native code on disk: compiled by a child process, trusted only by its recorded hash.
//!
//! `code/<name>.cwasm` is the code and `code/<name>.blake3` its hash in hexadecimal, written before the code gets
//! its name. The name is a hash of the component, the engine's version and settings, and the kind of machine.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use grange_types::BlobId;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::compile::{INVALID, SUBCOMMAND};
use crate::config::Config;
use crate::error::{CompileBound, SandboxError};

/// How much of the compiler's standard error is read.
const OUTPUT: u64 = 4 << 10;

/// The compiled components of this node.
#[derive(Debug)]
pub(super) struct CodeCache {
    folder: PathBuf,
    config: Config,
    /// One compilation at a time: it uses all processors by itself.
    turn: Semaphore,
    attempts: AtomicU64,
}

impl CodeCache {
    pub(super) fn open(config: &Config) -> Result<Self, SandboxError> {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        let folder = config.data.join("code");
        let make = || -> io::Result<PathBuf> {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
            let folder = folder.canonicalize()?;
            remove_partial(&folder)?;
            Ok(folder)
        };
        let folder = make().map_err(|source| SandboxError::CodeCache { path: folder.clone(), source })?;
        Ok(Self { folder, config: config.clone(), turn: Semaphore::new(1), attempts: AtomicU64::new(0) })
    }

    /// The file that holds a component's code, compiled now if it never was.
    pub(super) async fn code(&self, name: &str, component: BlobId, input: &Path) -> Result<PathBuf, SandboxError> {
        let path = self.folder.join(format!("{name}.cwasm"));
        if self.check(&path).await? {
            return Ok(path);
        }
        // The semaphore is never closed; without a permit there would merely be two at once.
        let _turn = self.turn.acquire().await.ok();
        if self.check(&path).await? {
            return Ok(path);
        }
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        let partial = self.folder.join(format!("{name}.{attempt}.partial"));
        let compiled = self.compile(component, input, &partial).await;
        let kept = match compiled {
            Ok(()) => self.keep(&partial, &path).await,
            Err(error) => Err(error),
        };
        if kept.is_err() {
            // What is left of it is removed at the next start at the latest.
            let _ = std::fs::remove_file(&partial);
        }
        kept.map(|()| path)
    }

    /// Whether the code is there and is what was compiled. Code that is not is removed.
    async fn check(&self, path: &Path) -> Result<bool, SandboxError> {
        let file = path.to_owned();
        self.blocking(path, move || {
            let recorded = match std::fs::read_to_string(hash_path(&file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                recorded => recorded?,
            };
            let actual = match hash(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                actual => actual?,
            };
            if recorded.trim() != actual {
                tracing::warn!(path = %file.display(), "compiled_code_altered");
                std::fs::remove_file(&file)?;
                return Ok(false);
            }
            // What was used last stays longest.
            std::fs::File::options().append(true).open(&file)?.set_modified(SystemTime::now())?;
            Ok(true)
        })
        .await
    }

    /// Records the hash of new code and gives it its name.
    async fn keep(&self, partial: &Path, path: &Path) -> Result<(), SandboxError> {
        let (partial, file) = (partial.to_owned(), path.to_owned());
        let (folder, limit) = (self.folder.clone(), self.config.limits.code.0);
        self.blocking(path, move || {
            std::fs::write(hash_path(&file), hash(&partial)?)?;
            std::fs::rename(&partial, &file)?;
            remove_oldest(&folder, limit, &file)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, SandboxError> {
        let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done);
        done.map_err(|source| SandboxError::CodeCache { path: path.to_owned(), source })
    }

    async fn compile(&self, component: BlobId, input: &Path, output: &Path) -> Result<(), SandboxError> {
        let compiler = &self.config.compiler;
        let run_error = |source| SandboxError::RunCompiler { compiler: compiler.clone(), source };
        let input = std::path::absolute(input).map_err(run_error)?;
        let mut child = Command::new(compiler)
            .arg(SUBCOMMAND)
            .args([input.as_path(), output])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(run_error)?;
        let stderr = child.stderr.take();
        let watched = async {
            let mut text = Vec::new();
            if let Some(stderr) = stderr {
                stderr.take(OUTPUT).read_to_end(&mut text).await?;
            }
            Ok::<_, io::Error>((child.wait().await?, String::from_utf8_lossy(&text).trim().to_owned()))
        };
        let limit = self.config.limits.compile_time;
        let Ok(ended) = tokio::time::timeout(limit, watched).await else {
            return Err(SandboxError::CompileBound { component, exceeded: CompileBound::Time { limit } });
        };
        let (status, text) = ended.map_err(run_error)?;
        self.judge(component, status, text)
    }

    fn judge(&self, component: BlobId, status: ExitStatus, output: String) -> Result<(), SandboxError> {
        if status.success() {
            return Ok(());
        }
        if let Some(signal) = status.signal() {
            return Err(SandboxError::CompileBound { component, exceeded: CompileBound::Resources { signal } });
        }
        if status.code() == Some(i32::from(INVALID)) {
            return Err(SandboxError::InvalidComponent { component, reason: output });
        }
        Err(SandboxError::CompilerFailed { compiler: self.config.compiler.clone(), code: status.code(), output })
    }
}

fn hash_path(code: &Path) -> PathBuf {
    code.with_extension("blake3")
}

fn hash(file: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(file)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Removes what a process that ended left half done.
fn remove_partial(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "partial") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Removes the code that was used least recently until the rest is within the limit. Code that runs stays mapped.
fn remove_oldest(folder: &Path, limit: u64, newest: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path != newest && path.extension().is_some_and(|extension| extension == "cwasm") {
            let metadata = path.metadata()?;
            files.push((metadata.modified()?, metadata.len(), path));
        }
    }
    files.sort();
    let mut total = newest.metadata()?.len() + files.iter().map(|(_, size, _)| size).sum::<u64>();
    for (_, size, path) in files {
        if total <= limit {
            break;
        }
        std::fs::remove_file(&path)?;
        std::fs::remove_file(hash_path(&path))?;
        total -= size;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_least_recently_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, age: u64| {
            let path = folder.path().join(name).with_extension("cwasm");
            std::fs::write(&path, [0; 100]).unwrap();
            std::fs::write(hash_path(&path), "").unwrap();
            let modified = SystemTime::now() - std::time::Duration::from_secs(age);
            std::fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
            path
        };
        let (old, young, newest) = (file("old", 100), file("young", 10), file("newest", 1_000));
        remove_oldest(folder.path(), 200, &newest).unwrap();
        assert!(!old.exists() && !hash_path(&old).exists());
        assert!(young.exists() && newest.exists());
    }
}
