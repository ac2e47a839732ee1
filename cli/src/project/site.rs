//! The files of a site, in the order of their paths.
//!
//! # Rules
//! - A name that begins with a dot is left out, since it is rarely meant for the world (`.git`, `.env`); `.well-known`
//!   is taken, since it is made for it.
//! - A symbolic link is taken for the file it leads to, if that lies in the site.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use grange_types::{BlobId, ByteCount, SiteFile, limits};

use super::error::PackError;

/// How deep folders may nest.
const DEPTH: usize = 32;
const WELL_KNOWN: &str = ".well-known";

/// Every file to serve, with where it lies; `name` is the folder's name in messages.
pub(super) fn files(root: &Path, name: &str) -> Result<Vec<(SiteFile, PathBuf)>, PackError> {
    let read = |source| PackError::Read { path: name.to_owned(), source };
    let home = root.canonicalize().map_err(read)?;
    let mut walk = Walk { home, name, found: Vec::new() };
    walk.folder(root, "", 0)?;
    if walk.found.is_empty() {
        return Err(PackError::Empty { path: name.to_owned() });
    }
    walk.found.sort();
    walk.found.into_iter().map(|(path, place)| site_file(name, path, place)).collect()
}

struct Walk<'a> {
    home: PathBuf,
    name: &'a str,
    found: Vec<(String, PathBuf)>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, path: &str, depth: usize) -> Result<(), PackError> {
        let shown = shown(self.name, path);
        if depth > DEPTH {
            return Err(PackError::TooDeep { path: shown, limit: DEPTH });
        }
        let read = |source: io::Error| PackError::Read { path: shown.clone(), source };
        for entry in fs::read_dir(folder).map_err(read)? {
            let entry = entry.map_err(read)?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(PackError::Name { path: shown_below(&shown, &entry.file_name().to_string_lossy()) });
            };
            if name.starts_with('.') && name != WELL_KNOWN {
                continue;
            }
            if name.chars().any(|letter| letter.is_control() || letter == '\\') {
                return Err(PackError::Name { path: shown_below(&shown, &name.escape_debug().to_string()) });
            }
            let below = if path.is_empty() { name } else { format!("{path}/{name}") };
            self.entry(&entry, below, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &fs::DirEntry, path: String, depth: usize) -> Result<(), PackError> {
        let place = entry.path();
        let read = |source| PackError::Read { path: shown(self.name, &path), source };
        let kind = entry.file_type().map_err(read)?;
        if kind.is_dir() {
            return self.folder(&place, &path, depth + 1);
        }
        if kind.is_symlink() {
            let target = place.canonicalize().map_err(read)?;
            if !target.starts_with(&self.home) || !target.is_file() {
                return Err(PackError::Link { path: shown(self.name, &path) });
            }
        } else if !kind.is_file() {
            // A socket or a pipe has no content to serve.
            return Ok(());
        }
        if self.found.len() == limits::SITE_FILES {
            return Err(PackError::TooManyFiles { path: self.name.to_owned() });
        }
        self.found.push((path, place));
        Ok(())
    }
}

fn site_file(name: &str, path: String, place: PathBuf) -> Result<(SiteFile, PathBuf), PackError> {
    let read = |source| PackError::Read { path: shown(name, &path), source };
    let (size, limit) = (ByteCount(fs::metadata(&place).map_err(read)?.len()), limits::SITE_FILE_BYTES);
    if size > limit {
        return Err(PackError::TooLarge { path: shown(name, &path), size, limit });
    }
    let bytes = fs::read(&place).map_err(read)?;
    Ok((SiteFile { path, blob: BlobId::of(&bytes), size: ByteCount(bytes.len() as u64) }, place))
}

fn shown(name: &str, path: &str) -> String {
    if path.is_empty() { name.to_owned() } else { shown_below(name, path) }
}

fn shown_below(folder: &str, path: &str) -> String {
    format!("{folder}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder with these files, each with its own path as content.
    fn folder(paths: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in paths {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, path).unwrap();
        }
        folder
    }

    fn paths(folder: &Path) -> Result<Vec<String>, String> {
        let files = files(folder, "public").map_err(|error| error.to_string())?;
        Ok(files.into_iter().map(|(file, _)| file.path).collect())
    }

    #[test]
    fn files_are_in_the_order_of_their_paths_and_hidden_ones_left_out() {
        let folder =
            folder(&["b.css", "a/z.html", "a.html", "a/b/c.js", ".env", ".git/config", ".well-known/x", "d/.x"]);
        assert_eq!(paths(folder.path()).unwrap(), [".well-known/x", "a.html", "a/b/c.js", "a/z.html", "b.css"]);
        let (file, place) = files(folder.path(), "public").unwrap().remove(1);
        assert_eq!(file.blob, BlobId::of(b"a.html"));
        assert_eq!((file.size, place), (ByteCount(6), folder.path().join("a.html")));
    }

    #[test]
    fn a_link_is_taken_only_within_the_site() {
        let folder = folder(&["a.html"]);
        symlink("a.html", folder.path().join("b.html")).unwrap();
        assert_eq!(paths(folder.path()).unwrap(), ["a.html", "b.html"]);
        symlink("/etc/hostname", folder.path().join("c.html")).unwrap();
        let expected = "public/c.html is a symbolic link that leads out of the site, or to a folder";
        assert_eq!(paths(folder.path()).unwrap_err(), expected);
        fs::remove_file(folder.path().join("c.html")).unwrap();
        symlink(".", folder.path().join("round")).unwrap();
        assert!(paths(folder.path()).unwrap_err().starts_with("public/round is a symbolic link"));
    }

    #[test]
    fn limits_are_kept() {
        let empty = folder(&[".hidden"]);
        assert_eq!(paths(empty.path()).unwrap_err(), "the folder public has no files to serve");
        let deep = folder(&[&format!("{}x.html", "d/".repeat(DEPTH + 1))]);
        assert!(paths(deep.path()).unwrap_err().ends_with("is nested deeper than 32 folders"));
        let large = folder(&["a.html"]);
        let file = fs::File::create(large.path().join("b.bin")).unwrap();
        file.set_len(limits::SITE_FILE_BYTES.0 + 1).unwrap();
        assert_eq!(paths(large.path()).unwrap_err(), "public/b.bin of 64 MiB is above the limit of 64 MiB");
        let odd = folder(&["a\nb.html"]);
        assert!(paths(odd.path()).unwrap_err().starts_with("public/a\\nb.html has a name"));
        let many = folder(&[]);
        (0..=limits::SITE_FILES).for_each(|number| fs::write(many.path().join(number.to_string()), "").unwrap());
        assert_eq!(paths(many.path()).unwrap_err(), "the folder public has more than 10000 files");
    }
}
