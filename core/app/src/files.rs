//! Where the reader gets its files from: whoever calls it, who alone touches the disk.

use std::collections::BTreeMap;

use crate::limits;

/// The files of a project: compose files and files of variables, never a component or a site.
///
/// A path starts at the project's folder: parts between `/`, none of them `.`, `..` or empty. So an implementation
/// that follows no symbolic link out of that folder reads nothing outside it.
pub trait Files {
    /// The text of a file, of at most [`limits::FILE_BYTES`].
    ///
    /// # Errors
    /// Why there is none.
    fn text(&self, path: &str) -> Result<String, Unread>;

    /// The file as findings name it.
    fn name(&self, path: &str) -> String {
        path.to_owned()
    }
}

/// Why a file has no text for the reader. Reads after the file's name: "the file x …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is not there.
    #[error("does not exist")]
    Missing,
    /// It is a folder, or something stranger.
    #[error("is no file")]
    NoFile,
    /// A symbolic link leads to it from inside the project.
    #[error("lies outside the project's folder, behind a link; copy it into the folder")]
    Outside,
    /// It is larger than any file that the reader takes.
    #[error("has more than the limit of {} bytes", limits::FILE_BYTES)]
    TooLarge,
    /// It is not UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
    /// The operating system says no.
    #[error("cannot be read; make it readable")]
    Denied,
}

/// Texts by path.
impl Files for BTreeMap<String, String> {
    fn text(&self, path: &str) -> Result<String, Unread> {
        self.get(path).cloned().ok_or(Unread::Missing)
    }
}
