//! Why what a service is made of cannot be packed.

use std::io;

use grange_api::ProblemCode;
use grange_types::{ByteCount, limits};

/// Why a service's path cannot be packed. The messages stand behind the path's place in the compose file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    #[error("the file {path} does not exist")]
    MissingFile { path: String },
    #[error("the folder {path} does not exist")]
    MissingFolder { path: String },
    #[error("{path} is a folder; `wasm` names a file")]
    NotFile { path: String },
    #[error("{path} is no folder; `site` names one")]
    NotFolder { path: String },
    #[error("{path} of {size} is above the limit of {limit}")]
    TooLarge { path: String, size: ByteCount, limit: ByteCount },
    #[error("{path} is no wasm component: it does not begin as one")]
    NotWasm { path: String },
    #[error("{path} is a wasm core module, not a component; make one with `wasm-tools component new`")]
    Module { path: String },
    #[error("the folder {path} has no files to serve")]
    Empty { path: String },
    #[error("the folder {path} has more than {} files", limits::SITE_FILES)]
    TooManyFiles { path: String },
    #[error("the names of the files in {path} are too long together: they take {size} of {limit} bytes")]
    IndexTooLarge { path: String, size: usize, limit: usize },
    #[error("{path} has a name that is not UTF-8, or holds control characters or a backslash")]
    Name { path: String },
    #[error("{path} is a symbolic link that leads out of the site, or to a folder")]
    Link { path: String },
    #[error("{path} is nested deeper than {limit} folders")]
    TooDeep { path: String, limit: usize },
    #[error("{path} is no file, and so holds no config or secret")]
    NoContent { path: String },
    #[error("{path} lies outside the project's folder, behind a link; copy it into the folder")]
    Outside { path: String },
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
}

impl PackError {
    /// The code of a problem with this alone.
    pub(crate) const fn code(&self) -> ProblemCode {
        match self {
            Self::TooLarge { .. } | Self::TooManyFiles { .. } | Self::IndexTooLarge { .. } => ProblemCode::TooLarge,
            Self::NotWasm { .. } | Self::Module { .. } => ProblemCode::ComponentInvalid,
            _ => ProblemCode::ManifestInvalid,
        }
    }
}
