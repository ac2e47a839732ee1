//! The compiler's child process: limits itself, turns a component into native code, and ends.
//!
//! Compiling runs megabytes of a stranger's choice through an optimiser, which may take any time and memory, or
//! find a fault in it. So it happens in a process of its own that has nothing to lose: no environment, no input,
//! and limits on processor time, address space, file size and open files that the system enforces.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | the code is at OUTPUT |
//! | 65 | the component is not valid; standard error says why |
//! | 74 | a file cannot be read or written |
//! | 70 | the limits or the engine could not be set up |

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit};

use crate::error::EngineError;
use crate::wasm::engine;

/// The subcommand by which a host's binary is asked to compile.
pub(crate) const SUBCOMMAND: &str = "compile-component";
/// The exit code for a component that is not valid.
pub(crate) const INVALID: u8 = 65;

/// Processor time, in seconds: a component of 64 MiB takes about 40 s on one slow core.
const PROCESSOR_SECONDS: u64 = 170;
/// Address space: the optimiser takes up to forty times a component's size.
const ADDRESS_SPACE: u64 = 8 << 30;
/// What it may write: native code is three to six times as large as a component.
const FILE_SIZE: u64 = 512 << 20;
/// The input, the output, and what the system opens by itself.
const OPEN_FILES: u64 = 64;

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The process could not be limited, so nothing was compiled.
    #[error("cannot limit the compiler's process")]
    Limit {
        /// Why.
        source: io::Error,
    },
    /// The engine could not be made.
    #[error("cannot make the wasm engine")]
    Engine {
        /// Why.
        source: EngineError,
    },
    /// The component cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The component is not valid.
    #[error("not a valid component")]
    Invalid {
        /// The validator's words.
        source: EngineError,
    },
    /// The code cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl CompileError {
    /// The exit code that tells the parent.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Invalid { .. } => INVALID,
            Self::Read { .. } | Self::Write { .. } => 74,
            Self::Limit { .. } | Self::Engine { .. } => 70,
        }
    }
}

/// Limits this process for good, compiles the component at `input`, and writes native code to `output`.
///
/// Only for a process that does nothing else: the limits stay.
pub fn compile_component(input: &Path, output: &Path) -> Result<(), CompileError> {
    limit_process().map_err(|source| CompileError::Limit { source })?;
    let engine = wasmtime::Engine::new(&engine::configuration())
        .map_err(|error| CompileError::Engine { source: error.into() })?;
    let component = std::fs::read(input).map_err(|source| CompileError::Read { path: input.into(), source })?;
    let code =
        engine.precompile_component(&component).map_err(|error| CompileError::Invalid { source: error.into() })?;
    write_private(output, &code).map_err(|source| CompileError::Write { path: output.into(), source })
}

/// Carries out a host's hidden subcommand `compile-component INPUT OUTPUT`: [`compile_component`], with the error
/// on standard error and the exit code that the parent understands.
#[must_use]
pub fn run_compile_component(input: &Path, output: &Path) -> ExitCode {
    match compile_component(input, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
            if !matches!(error, CompileError::Invalid { .. }) {
                eprintln!("{error}");
            }
            while let Some(error) = cause {
                eprintln!("{error}");
                cause = error.source();
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn limit_process() -> io::Result<()> {
    let limits = [
        (Resource::Cpu, PROCESSOR_SECONDS),
        (Resource::As, ADDRESS_SPACE),
        (Resource::Fsize, FILE_SIZE),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        // A limit that is already lower stays; no process may raise it.
        let present = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limit = Some(limit.min(present));
        rustix::process::setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
    }
    // What serves goes before what compiles.
    rustix::process::nice(10)?;
    Ok(())
}

/// Writes a new file that only this user can read.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
