//! The rules of the house, checked on the tree itself: nobody remembers them all, and nothing is excepted by hand.

mod arrows;
mod crates;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Where.
    pub(crate) place: String,
    /// Which rule, as a word.
    pub(crate) rule: &'static str,
    /// What to do about it.
    pub(crate) what: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, rule: &'static str, what: impl Into<String>) -> Self {
        Self { place: place.into(), rule, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.rule, self.what)
    }
}

/// Why the tree could not be checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TidyError {
    /// Cargo does not describe the workspace.
    #[error("cargo does not describe the workspace")]
    Metadata(#[from] cargo_metadata::Error),
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A source file is no Rust.
    #[error("cannot parse {}", .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: syn::Error,
    },
}

/// Checks the whole tree.
pub(crate) fn run(root: &Path) -> Result<Vec<Finding>, TidyError> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).exec()?;
    let mut findings = arrows::check(&metadata);
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().map_or_else(|| root.to_path_buf(), |folder| folder.into());
        let description = package.description.clone().unwrap_or_default();
        findings.extend(crates::check(&folder, package.name.as_str(), &description)?);
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
}

pub(crate) fn read(path: &Path) -> Result<String, TidyError> {
    std::fs::read_to_string(path).map_err(|source| TidyError::Read { path: path.to_path_buf(), source })
}
