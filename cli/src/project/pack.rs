//! From what a service's path names to the blobs that carry it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use grange_app::WorkSource;
use grange_types::{BlobId, ByteCount, SiteFile, SiteIndex, Wire, Workload, limits};

use super::error::PackError;
use super::site;

/// What a service runs, as blobs.
#[derive(Debug)]
pub(crate) struct Packed {
    /// What the manifest says of it.
    pub(crate) workload: Workload,
    /// The blobs, the one that the manifest names last: a node that has it has the others.
    pub(crate) pieces: Vec<Piece>,
}

/// One blob.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A file, read again when it is sent.
    File {
        /// Where it is.
        path: PathBuf,
        /// Its content when it was packed.
        blob: BlobId,
        /// Its size then.
        size: ByteCount,
    },
    /// Bytes that were made.
    Bytes {
        /// Their name.
        blob: BlobId,
        /// They.
        bytes: Vec<u8>,
    },
}

impl Piece {
    /// Its name.
    pub(crate) const fn blob(&self) -> BlobId {
        match self {
            Self::File { blob, .. } | Self::Bytes { blob, .. } => *blob,
        }
    }

    /// Its size.
    pub(crate) const fn size(&self) -> ByteCount {
        match self {
            Self::File { size, .. } => *size,
            Self::Bytes { bytes, .. } => ByteCount(bytes.len() as u64),
        }
    }
}

/// Packs what a service runs, which lies below `root` and takes the paths below `route`.
pub(crate) fn pack(source: &WorkSource, root: &Path, route: Option<&str>) -> Result<Packed, PackError> {
    let path = root.join(source.path());
    match source {
        WorkSource::Wasm { path: name, .. } => component(&path, name),
        WorkSource::Site { path: name, .. } => pack_site(&path, name, route.unwrap_or("/")),
    }
}

/// The first bytes of every wasm binary.
const MAGIC: &[u8] = b"\0asm";
/// Then the layer: 1 for a component, 0 for a core module, in the second half of the version.
const COMPONENT_LAYER: [u8; 2] = [1, 0];

fn component(path: &Path, name: &str) -> Result<Packed, PackError> {
    let named = || name.to_owned();
    let metadata = look(path, name, false)?;
    if metadata.is_dir() {
        return Err(PackError::NotFile { path: named() });
    }
    let (size, limit) = (ByteCount(metadata.len()), limits::COMPONENT_BYTES);
    if size > limit {
        return Err(PackError::TooLarge { path: named(), size, limit });
    }
    let bytes = fs::read(path).map_err(|source| PackError::Read { path: named(), source })?;
    match (bytes.get(..4), bytes.get(6..8)) {
        (Some(MAGIC), Some(layer)) if layer == COMPONENT_LAYER => {}
        (Some(MAGIC), Some(_)) => return Err(PackError::Module { path: named() }),
        _ => return Err(PackError::NotWasm { path: named() }),
    }
    let (blob, size) = (BlobId::of(&bytes), ByteCount(bytes.len() as u64));
    let workload = Workload::Wasm { component: blob, size };
    Ok(Packed { workload, pieces: vec![Piece::File { path: path.to_path_buf(), blob, size }] })
}

/// The page of a site for what is not there: looked up by its own name, wherever the site is.
const MISSING_PAGE: &str = "404.html";

fn pack_site(path: &Path, name: &str, route: &str) -> Result<Packed, PackError> {
    if !look(path, name, true)?.is_dir() {
        return Err(PackError::NotFolder { path: name.to_owned() });
    }
    let files = site::files(path, name)?;
    let size = ByteCount(files.iter().map(|(file, _)| file.size.0).sum());
    let mut pieces: Vec<Piece> =
        files.iter().map(|(file, path)| Piece::File { path: path.clone(), blob: file.blob, size: file.size }).collect();
    let index = SiteIndex { files: below(route, files.into_iter().map(|(file, _)| file)) };
    let bytes = index.encode();
    if bytes.len() > SiteIndex::LIMIT {
        let (size, limit) = (bytes.len(), SiteIndex::LIMIT);
        return Err(PackError::IndexTooLarge { path: name.to_owned(), size, limit });
    }
    let blob = BlobId::of(&bytes);
    pieces.push(Piece::Bytes { blob, bytes });
    Ok(Packed { workload: Workload::Site { index: blob, size }, pieces })
}

/// The files as requests name them, in the order of their paths: the gateway hands a path on whole, with the route that led to
/// the site.
fn below(route: &str, files: impl Iterator<Item = SiteFile>) -> Vec<SiteFile> {
    let route = route.trim_matches('/');
    let placed = |file: SiteFile| match file.path.as_str() {
        _ if route.is_empty() => file,
        MISSING_PAGE => file,
        path => SiteFile { path: format!("{route}/{path}"), ..file },
    };
    let mut files: Vec<SiteFile> = files.map(placed).collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

fn look(path: &Path, name: &str, folder: bool) -> Result<fs::Metadata, PackError> {
    fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound if folder => PackError::MissingFolder { path: name.to_owned() },
        io::ErrorKind::NotFound => PackError::MissingFile { path: name.to_owned() },
        _ => PackError::Read { path: name.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_api::ProblemCode;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        fs::write(&path, bytes).unwrap();
        assert_eq!(component(&path, "a.wasm").unwrap_err().to_string(), expected);
    }

    #[test]
    fn only_a_component_is_taken_for_one() {
        check(b"", "a.wasm is no wasm component: it does not begin as one");
        check(b"\0asm", "a.wasm is no wasm component: it does not begin as one");
        check(b"#!/bin/sh\n", "a.wasm is no wasm component: it does not begin as one");
        let module = "a.wasm is a wasm core module, not a component; make one with `wasm-tools component new`";
        check(b"\0asm\x01\0\0\0", module);
    }

    #[test]
    fn a_component_above_the_limit_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        fs::File::create(&path).unwrap().set_len(limits::COMPONENT_BYTES.0 + 1).unwrap();
        let error = component(&path, "a.wasm").unwrap_err();
        assert_eq!(error.code(), ProblemCode::TooLarge);
    }

    #[test]
    fn the_index_of_a_site_comes_last() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.html"), "hello").unwrap();
        let packed = pack_site(folder.path(), "public", "/").unwrap();
        let last = packed.pieces.last().unwrap();
        assert_eq!(last.blob(), packed.workload.blob());
        let Piece::Bytes { bytes, .. } = last else { panic!("the index is no file") };
        assert_eq!(SiteIndex::decode(bytes).unwrap().files[0].path, "index.html");
        assert_eq!(
            pack_site(&folder.path().join("index.html"), "public", "/").unwrap_err().to_string(),
            "public is no folder; `site` names one"
        );
    }
}
