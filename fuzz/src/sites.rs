//! Sites as targets: what a browser may ask of one, and what an index may name.
//!
//! The sandbox is the real one, on a folder in memory. What a path stands for is worked out here a second time, from the
//! words of its module: another program that reads the same sentence must find the same file.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use grange_sandbox::{BlobSource, Config, Replica, Sandboxes, body};
use grange_types::{BlobId, ByteCount, DeploymentId, LeaseId, Resources, SiteFile, SiteIndex, Wire, Work, Workload};
use http::header::{CONTENT_LENGTH, ETAG, HeaderName, IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE};
use http::{Method, Request, Response, StatusCode, Uri};
use tokio::runtime::Runtime;

/// The files of the site that is asked, each of a size of its own.
const FILES: &[&str] = &[
    "...",
    ".well-known/security.txt",
    "404.html",
    "a b.txt",
    "docs/index.html",
    "docs/über/index.html",
    "empty.css",
    "index.html",
    "x%2fy",
];

/// The index of whatever site is asked for; all its files are here.
struct Blobs(PathBuf);

impl BlobSource for Blobs {
    fn path(&self, _: &BlobId) -> Option<PathBuf> {
        Some(self.0.clone())
    }
}

/// A sandbox, and the one site that it serves.
struct Stage {
    folder: tempfile::TempDir,
    runtime: Runtime,
    sandboxes: Sandboxes,
    site: Arc<dyn Replica>,
}

thread_local! {
    static STAGE: Stage = stage().unwrap_or_else(|error| unreachable!("a site cannot be served here: {error}"));
}

fn stage() -> Result<Stage, Box<dyn std::error::Error>> {
    let folder = folder()?;
    let mut config = Config::new(folder.path().join("data"), "none");
    config.limits.instances = 1;
    let index = folder.path().join("index");
    let files = FILES.iter().map(|path| file(path)).collect();
    std::fs::write(&index, SiteIndex { files }.encode())?;
    let sandboxes = Sandboxes::open(config, Arc::new(Blobs(index)))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let site = runtime.block_on(sandboxes.start(work()))?;
    Ok(Stage { folder, runtime, sandboxes, site })
}

/// A folder in memory where there is one: a hunt writes a file for each input.
pub(crate) fn folder() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

fn file(path: &str) -> SiteFile {
    let size = if path == "empty.css" { 0 } else { 10 + path.len() as u64 };
    SiteFile { path: path.to_owned(), blob: BlobId::of(path.as_bytes()), size: ByteCount(size) }
}

fn work() -> Work {
    Work {
        lease: LeaseId([1; 32]),
        deployment: DeploymentId([2; 32]),
        name: "fuzz".into(),
        service: "web".into(),
        replica: 0,
        generation: 1,
        previous: None,
        keepers: Vec::new(),
        before: Vec::new(),
        seal: None,
        workload: Workload::Site { index: BlobId([3; 32]), size: ByteCount(0) },
        resources: Resources::default(),
        environment: BTreeMap::new(),
        allow_http: Vec::new(),
    }
}

/// An index that comes with a deployment: what is served of it lies below its root.
pub(crate) fn index(bytes: &[u8]) -> bool {
    STAGE.with(|stage| {
        let written = std::fs::write(stage.folder.path().join("index"), bytes);
        if written.is_err() || stage.runtime.block_on(stage.sandboxes.prepare(&work())).is_err() {
            return false;
        }
        let index = SiteIndex::decode(bytes);
        assert!(index.is_ok(), "a site is served whose index does not decode");
        for file in index.into_iter().flat_map(|index| index.files) {
            let inside = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
            assert!(inside && !file.path.is_empty(), "{:?} is served", file.path);
        }
        true
    })
}

/// A request of a browser: its first line is the path, the others are a range and tags.
pub(crate) fn request(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else { return false };
    let headers: Vec<(HeaderName, &[u8])> = [RANGE, IF_RANGE, IF_NONE_MATCH].into_iter().zip(lines).collect();
    let Some(answer) = ask(&uri, &headers) else { return false };
    let (path, status) = (uri.path(), answer.status());
    match meant(path) {
        Meant::File(name) => {
            let file = file(name);
            assert_eq!(header(&answer, ETAG), format!("\"{}\"", file.blob), "{path} is {name}");
            let length = header(&answer, CONTENT_LENGTH).parse::<u64>().unwrap_or(0);
            match status {
                StatusCode::OK => assert_eq!(length, file.size.0, "{path} is sent whole"),
                StatusCode::PARTIAL_CONTENT => part(&answer, length, file.size.0),
                StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE => assert!(!headers.is_empty()),
                other => assert_eq!(other, StatusCode::OK, "{path} is {name}"),
            }
            true
        }
        Meant::Folder => {
            assert_eq!(status, StatusCode::PERMANENT_REDIRECT, "{path} is a folder");
            let location = header(&answer, LOCATION);
            // Two slashes at the start of a location would name another host.
            assert!(location.starts_with('/') && !location.starts_with("//"), "{path} leads to {location}");
            let there = location.parse().ok().and_then(|uri| ask(&uri, &[])).map(|answer| answer.status());
            assert_eq!(there, Some(StatusCode::OK), "{path} leads to {location}");
            true
        }
        Meant::Nothing => {
            assert_eq!(status, StatusCode::NOT_FOUND, "{path} is nothing");
            false
        }
    }
}

/// What the site says; nothing where no browser could ask.
fn ask(uri: &Uri, headers: &[(HeaderName, &[u8])]) -> Option<Response<body::Body>> {
    let mut request = Request::builder().method(Method::HEAD).uri(uri.clone());
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(body::empty()).ok()?;
    let answer = STAGE.with(|stage| stage.runtime.block_on(stage.site.serve(request)));
    assert!(answer.is_ok(), "{uri} is not answered: {:?}", answer.err());
    answer.ok()
}

/// A part lies within the file and is as long as it says.
fn part(answer: &Response<body::Body>, length: u64, size: u64) {
    let range = header(answer, http::header::CONTENT_RANGE);
    let numbers: Vec<u64> = range.split(|letter: char| !letter.is_ascii_digit()).flat_map(str::parse).collect();
    let [first, last, of] = numbers[..] else { unreachable!("a part without its place: {range}") };
    assert!(first <= last && last < size && of == size && length == last - first + 1, "{range} of {size}: {length}");
}

fn header(answer: &Response<body::Body>, name: HeaderName) -> String {
    let value = answer.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    value.unwrap_or_default()
}

/// What a path stands for.
enum Meant {
    File(&'static str),
    Folder,
    Nothing,
}

/// Decodes a path and finds it among the files; a folder stands for its page.
fn meant(path: &str) -> Meant {
    let Some(path) = unescaped(path.trim_start_matches('/')) else { return Meant::Nothing };
    let named = |name: String| FILES.iter().copied().find(|file| *file == name);
    if path.is_empty() || path.ends_with('/') {
        return named(path + "index.html").map_or(Meant::Nothing, Meant::File);
    }
    match named(path.clone()) {
        Some(file) => Meant::File(file),
        None if named(path + "/index.html").is_some() => Meant::Folder,
        None => Meant::Nothing,
    }
}

/// A text without its escapes, if that is a text: a percent sign and two digits stand for a byte.
fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let escaped = (*first == b'%').then(|| Some(digit(0)? * 16 + digit(1)?)).flatten();
        let escaped = escaped.and_then(|byte| u8::try_from(byte).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}
