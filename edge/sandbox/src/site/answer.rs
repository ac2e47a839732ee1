//! Answers a request for a file of a site.
//!
//! The path of a request is decoded and looked up in the map of the site's files. `/a/` means `a/index.html`,
//! and `/a` is sent to `/a/` if that is there. What is not there is answered 404, with the site's own `404.html`
//! if it has one. A file's tag is its hash, so a browser asks again at little cost and is never wrong.

use std::io::{self, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::TryStreamExt as _;
use grange_types::SiteFile;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::io::ReaderStream;

use super::SiteReplica;
use super::media::media_type;
use super::range::{Part, part};
use crate::body::{Body, BodyError, empty, full};
use crate::error::ServeError;

/// What is read of a file at a time, and so the memory of one answer.
const CHUNK: usize = 64 << 10;

/// What a path of a request stands for.
enum Found<'a> {
    File(&'a SiteFile),
    /// A folder that has a page, asked for without its slash.
    Folder,
    Nothing,
}

impl SiteReplica {
    pub(super) async fn answer(&self, request: &Request<Body>) -> Result<Response<Body>, ServeError> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let answer = builder(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, "GET, HEAD");
            return Ok(text(answer, "only GET and HEAD work here\n"));
        }
        match self.find(request.uri().path()) {
            Found::File(file) => self.file(request, file).await,
            Found::Folder => {
                let location = with_slash(request.uri());
                Ok(text(builder(StatusCode::PERMANENT_REDIRECT).header(LOCATION, location), "see the folder\n"))
            }
            Found::Nothing => match self.files.get("404.html") {
                Some(file) => self.send(request, file, builder(StatusCode::NOT_FOUND), 0, file.size.0).await,
                None => Ok(text(builder(StatusCode::NOT_FOUND), "there is nothing here\n")),
            },
        }
    }

    fn find(&self, path: &str) -> Found<'_> {
        let Ok(decoded) = percent_decode_str(path.trim_start_matches('/')).decode_utf8() else { return Found::Nothing };
        let page = |folder: &str| self.files.get(&format!("{folder}index.html"));
        if decoded.is_empty() || decoded.ends_with('/') {
            return page(&decoded).map_or(Found::Nothing, Found::File);
        }
        match self.files.get(decoded.as_ref()) {
            Some(file) => Found::File(file),
            None if page(&format!("{decoded}/")).is_some() => Found::Folder,
            None => Found::Nothing,
        }
    }

    async fn file(&self, request: &Request<Body>, file: &SiteFile) -> Result<Response<Body>, ServeError> {
        let tag = tag(file);
        let size = file.size.0;
        if matches_tag(request.headers(), &IF_NONE_MATCH, &tag) {
            let answer = builder(StatusCode::NOT_MODIFIED).header(ETAG, tag).header(CACHE_CONTROL, "no-cache");
            return Ok(build(answer, empty()));
        }
        let current = !request.headers().contains_key(IF_RANGE) || matches_tag(request.headers(), &IF_RANGE, &tag);
        let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok());
        let asked = if current { part(range, size) } else { Part::Whole };
        let answer = |status| {
            builder(status).header(ETAG, &tag).header(CACHE_CONTROL, "no-cache").header(ACCEPT_RANGES, "bytes")
        };
        match asked {
            Part::Whole => self.send(request, file, answer(StatusCode::OK), 0, size).await,
            Part::Bytes { first, last } => {
                let answer = answer(StatusCode::PARTIAL_CONTENT);
                let answer = answer.header(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
                self.send(request, file, answer, first, last - first + 1).await
            }
            Part::Nothing => {
                let answer = answer(StatusCode::RANGE_NOT_SATISFIABLE);
                Ok(text(answer.header(CONTENT_RANGE, format!("bytes */{size}")), "the file has no such bytes\n"))
            }
        }
    }

    /// Sends `length` bytes of a file from `first` on.
    async fn send(
        &self,
        request: &Request<Body>,
        file: &SiteFile,
        answer: response::Builder,
        first: u64,
        length: u64,
    ) -> Result<Response<Body>, ServeError> {
        let answer = answer.header(CONTENT_TYPE, media_type(&file.path)).header(CONTENT_LENGTH, length);
        if request.method() == Method::HEAD {
            return Ok(build(answer, empty()));
        }
        let failed = |source| ServeError::ReadFile { path: file.path.clone(), source: Arc::new(source) };
        let path = self.blobs.path(&file.blob).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let place = Arc::clone(&self.streams).try_acquire_owned();
        let place = place.map_err(|_| ServeError::Overloaded { running: self.running(), waiting: 0 })?;
        if let Ok(length) = usize::try_from(length)
            && length <= CHUNK
        {
            // One trip to the disk, and nothing left open.
            let content = tokio::task::spawn_blocking(move || read_at(&path, first, length)).await;
            let content = content.map_err(io::Error::other).and_then(|content| content).map_err(failed)?;
            self.egress.fetch_add(length as u64, Ordering::Relaxed);
            return Ok(build(answer, full(content)));
        }
        let mut open = tokio::fs::File::open(path).await.map_err(failed)?;
        open.seek(SeekFrom::Start(first)).await.map_err(failed)?;
        Ok(build(answer, stream(open.take(length), place, Arc::clone(&self.egress))))
    }
}

fn read_at(path: &std::path::Path, first: u64, length: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut content = vec![0; length];
    std::fs::File::open(path)?.read_exact_at(&mut content, first)?;
    Ok(content)
}

/// A body that reads as fast as it is read.
fn stream(file: tokio::io::Take<tokio::fs::File>, place: OwnedSemaphorePermit, egress: Arc<AtomicU64>) -> Body {
    let chunks = ReaderStream::with_capacity(file, CHUNK).map_err(BodyError::from).map_ok(move |chunk| {
        // The place is held as long as the stream lives.
        let _held = &place;
        egress.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        Frame::data(chunk)
    });
    StreamBody::new(chunks).boxed()
}

fn tag(file: &SiteFile) -> String {
    format!("\"{}\"", file.blob)
}

/// Whether a header names a tag, or any. Weak tags are compared by what they say.
fn matches_tag(headers: &HeaderMap, name: &HeaderName, tag: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

fn with_slash(uri: &http::Uri) -> String {
    // One slash at the start: two would name another host.
    let path = format!("/{}/", uri.path().trim_start_matches('/'));
    uri.query().map_or(path.clone(), |query| format!("{path}?{query}"))
}

fn builder(status: StatusCode) -> response::Builder {
    Response::builder().status(status).header(X_CONTENT_TYPE_OPTIONS, "nosniff")
}

fn text(answer: response::Builder, text: &'static str) -> Response<Body> {
    build(answer.header(CONTENT_TYPE, "text/plain; charset=utf-8").header(CONTENT_LENGTH, text.len()), full(text))
}

/// Headers here are made of numbers, hashes and parts of a valid request, so building never fails.
fn build(answer: response::Builder, body: Body) -> Response<Body> {
    answer.body(body).unwrap_or_else(|_| {
        let mut answer = Response::new(empty());
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        answer
    })
}
