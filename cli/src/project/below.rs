//! The files of a project for the reader: those below one folder, and nothing that a link leads to outside it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use grange_app::{Files, Unread, limits};

/// The files below a project's folder.
#[derive(Debug)]
pub(super) struct Below {
    folder: PathBuf,
    /// The same without links; none when it cannot be found out, and then no file is inside.
    real: Option<PathBuf>,
    /// Files that the user named, with the names that he gave them. What he names may be a link to anywhere.
    named: Vec<(String, PathBuf)>,
}

impl Below {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), real: fs::canonicalize(folder).ok(), named: Vec::new() }
    }

    /// A file that the user named: as the reader shall ask for it. None when it lies elsewhere.
    pub(super) fn add(&mut self, file: &Path) -> Option<String> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let inside = fs::canonicalize(folder).ok()?;
        let inside = inside.strip_prefix(self.real.as_ref()?).ok()?.join(file.file_name()?);
        let parts: Option<Vec<&str>> = inside.iter().map(|part| part.to_str()).collect();
        let path = parts?.join("/");
        self.named.push((path.clone(), file.to_path_buf()));
        Some(path)
    }

    fn as_named(&self, path: &str) -> Option<&Path> {
        self.named.iter().find(|(name, _)| name == path).map(|(_, file)| file.as_path())
    }

    fn at(&self, path: &str) -> PathBuf {
        // `.` would only make the diagnostics' file name longer.
        if self.folder == Path::new(".") { PathBuf::from(path) } else { self.folder.join(path) }
    }
}

/// Whether a file lies below a folder once all links are followed.
pub(super) fn lies_below(folder: &Path, file: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(folder).zip(real(file)).is_some_and(|(folder, file)| file.starts_with(folder))
}

impl Files for Below {
    fn text(&self, path: &str) -> Result<String, Unread> {
        let unread = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Unread::Missing,
            _ => Unread::Denied,
        };
        let file = match self.as_named(path) {
            Some(file) => file.to_path_buf(),
            None => {
                let real = fs::canonicalize(self.at(path)).map_err(unread)?;
                if !self.real.as_ref().is_some_and(|folder| real.starts_with(folder)) {
                    return Err(Unread::Outside);
                }
                real
            }
        };
        // A pipe or a device would keep whoever opens it waiting.
        if !fs::metadata(&file).map_err(unread)?.is_file() {
            return Err(Unread::NoFile);
        }
        let mut bytes = Vec::new();
        let limit = limits::FILE_BYTES as u64 + 1;
        File::open(&file).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unread)?;
        if bytes.len() > limits::FILE_BYTES {
            return Err(Unread::TooLarge);
        }
        String::from_utf8(bytes).map_err(|_| Unread::NotText)
    }

    fn name(&self, path: &str) -> String {
        self.as_named(path).map_or_else(|| self.at(path), Path::to_path_buf).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_files_below_the_folder_are_read() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("app");
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(parent.path().join("secret"), "outside").unwrap();
        fs::write(folder.join("sub/a.yaml"), "inside").unwrap();
        fs::write(folder.join("binary"), [0xff]).unwrap();
        fs::write(folder.join("large"), vec![b' '; limits::FILE_BYTES + 1]).unwrap();
        symlink("../secret", folder.join("link")).unwrap();
        symlink("sub/a.yaml", folder.join("inner")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        let mut below = Below::new(&folder);
        assert_eq!(below.text("sub/a.yaml").as_deref(), Ok("inside"));
        assert_eq!(below.text("inner").as_deref(), Ok("inside"));
        for (path, expected) in [
            ("link", Unread::Outside),
            ("up/secret", Unread::Outside),
            ("missing", Unread::Missing),
            ("binary/x", Unread::Missing),
            ("sub", Unread::NoFile),
            ("binary", Unread::NotText),
            ("large", Unread::TooLarge),
        ] {
            assert_eq!(below.text(path), Err(expected), "{path}");
        }
        // What the user names himself may be a link.
        assert_eq!(below.add(&folder.join("link")).as_deref(), Some("link"));
        assert_eq!(below.text("link").as_deref(), Ok("outside"));
        assert_eq!(below.add(&parent.path().join("secret")), None);
    }
}
