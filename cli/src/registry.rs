//! `nodes.json`: which nodes this user runs, so that commands find one and its token.
//!
//! # Rules
//! - It is replaced in one step, under a lock, so that a reader needs none and two writers lose nothing.
//! - A node is known by its folder: a node that is written again takes its old place in the list.
//! - Upon each write, nodes whose folder is gone are dropped.
//! - A file that cannot be read is written anew: everything in it can be.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

/// The most nodes kept; the oldest are dropped first.
const MOST: usize = 256;

/// A node of this user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its API, such as `http://127.0.0.1:8081`.
    pub(crate) api: String,
    /// The file that holds the API's token.
    pub(crate) token_file: PathBuf,
    /// Its folder.
    pub(crate) data: PathBuf,
    /// What started it.
    pub(crate) kind: Kind,
    /// Which node of its dev cloud it is.
    pub(crate) index: Option<u32>,
    /// The node.
    pub(crate) peer: String,
    /// Its name for people.
    #[serde(default)]
    pub(crate) display: String,
}

/// What started a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// `grange up`.
    Up,
    /// `grange dev`.
    Dev,
}

/// The file's form.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    nodes: Vec<Entry>,
}

/// Why the list was not read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not of this form", .path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// The nodes in the file; none where there is no file.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, RegistryError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RegistryError::Read { path: path.into(), source }),
    };
    let content: Content =
        serde_json::from_slice(&text).map_err(|source| RegistryError::Form { path: path.into(), source })?;
    Ok(content.nodes)
}

/// Puts nodes into the file.
pub(crate) fn add(path: &Path, nodes: &[Entry]) -> Result<(), RegistryError> {
    change(path, |present| *present = merged(std::mem::take(present), nodes))
}

/// Takes the nodes out of the file whose folders are the given one or lie below it.
pub(crate) fn remove(path: &Path, data: &Path) -> Result<(), RegistryError> {
    change(path, |present| present.retain(|entry| !entry.data.starts_with(data)))
}

fn change(path: &Path, edit: impl FnOnce(&mut Vec<Entry>)) -> Result<(), RegistryError> {
    let failed = |source| RegistryError::Write { path: path.into(), source };
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    let lock = lock(&path.with_extension("lock")).map_err(failed)?;
    let mut nodes = match read(path) {
        Ok(nodes) => nodes,
        Err(RegistryError::Form { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    edit(&mut nodes);
    nodes.retain(|entry| entry.data.is_dir());
    let text = serde_json::to_string_pretty(&Content { nodes }).map_err(|source| failed(source.into()))?;
    let beside = path.with_extension("new");
    let mut file = File::create(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    drop(lock);
    Ok(())
}

/// Waits for the lock; it is held for the time of one small write.
fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn merged(mut present: Vec<Entry>, nodes: &[Entry]) -> Vec<Entry> {
    for node in nodes {
        match present.iter_mut().find(|entry| entry.data == node.data) {
            Some(place) => *place = node.clone(),
            None => present.push(node.clone()),
        }
    }
    let surplus = present.len().saturating_sub(MOST);
    present.drain(..surplus);
    present
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(data: &Path, api: &str) -> Entry {
        let data = data.to_path_buf();
        let (token_file, peer) = (data.join("token"), "00".repeat(32));
        Entry { api: api.into(), token_file, data, kind: Kind::Dev, index: Some(0), peer, display: "ada".into() }
    }

    #[test]
    fn nodes_are_kept_in_their_place_and_dropped_with_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/nodes.json");
        assert_eq!(read(&path).unwrap(), []);
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&two).unwrap();
        add(&path, &[entry(&one, "http://127.0.0.1:1"), entry(&two, "http://127.0.0.1:2")]).unwrap();
        add(&path, &[entry(&one, "http://127.0.0.1:3")]).unwrap();
        let apis = || read(&path).unwrap().into_iter().map(|entry| entry.api).collect::<Vec<_>>();
        assert_eq!(apis(), ["http://127.0.0.1:3", "http://127.0.0.1:2"]);
        fs::remove_dir(&two).unwrap();
        add(&path, &[]).unwrap();
        assert_eq!(apis(), ["http://127.0.0.1:3"]);
        remove(&path, folder.path()).unwrap();
        assert_eq!(apis(), Vec::<String>::new());
    }

    #[test]
    fn a_file_of_another_form_is_told_to_readers_and_replaced_by_writers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.json");
        fs::write(&path, "not json").unwrap();
        assert!(matches!(read(&path), Err(RegistryError::Form { .. })));
        add(&path, &[entry(folder.path(), "http://127.0.0.1:1")]).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
    }

    #[test]
    fn many_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.json");
        let data: Vec<PathBuf> = (0..16).map(|number| folder.path().join(number.to_string())).collect();
        data.iter().for_each(|data| fs::create_dir(data).unwrap());
        std::thread::scope(|scope| {
            for data in &data {
                scope.spawn(|| add(&path, &[entry(data, "http://127.0.0.1:1")]).unwrap());
            }
        });
        assert_eq!(read(&path).unwrap().len(), data.len());
    }

    #[test]
    fn the_list_has_an_end() {
        let nodes: Vec<Entry> = (0..MOST + 3).map(|number| entry(Path::new(&number.to_string()), "")).collect();
        let kept = merged(Vec::new(), &nodes);
        assert_eq!(kept.len(), MOST);
        assert_eq!(kept[0].data, Path::new("3"));
    }
}
