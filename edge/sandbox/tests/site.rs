//! A static site as a browser sees it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::sync::Arc;

use grange_sandbox::{Body, Replica, ServeError, body};
use grange_types::{BlobId, ByteCount, SiteFile, SiteIndex, Wire as _, Workload};
use http::Response;
use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE,
};
use http_body_util::BodyExt as _;
use stage::{Stage, get, read, spec};

/// Larger than what is sent in one piece.
fn large() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n % 251) as u8).collect()
}

async fn site(stage: &Stage) -> Arc<dyn Replica> {
    let contents: [(&str, &[u8]); 6] = [
        ("404.html", b"<h1>lost</h1>"),
        ("a b.txt", b"spaced"),
        ("docs/index.html", b"<h1>docs</h1>"),
        ("empty.css", b""),
        ("index.html", b"<h1>home</h1>"),
        ("large.bin", &large()),
    ];
    let files = contents
        .iter()
        .map(|(path, content)| SiteFile {
            path: (*path).into(),
            blob: stage.put(content),
            size: ByteCount(content.len() as u64),
        })
        .collect();
    let index = stage.put(&SiteIndex { files }.encode());
    stage.open().start(spec(Workload::Site { index, size: ByteCount(0) })).await.unwrap()
}

async fn with(site: &Arc<dyn Replica>, path: &str, headers: &[(HeaderName, &str)]) -> Response<Body> {
    let mut request = get(path);
    for (name, value) in headers {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    site.serve(request).await.unwrap()
}

fn header(answer: &Response<Body>, name: HeaderName) -> &str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn files_folders_and_the_page_for_what_is_not_there() {
    let stage = Stage::new();
    let site = site(&stage).await;
    let cases = [
        ("/", 200, "text/html; charset=utf-8", "<h1>home</h1>"),
        ("/index.html?x=1", 200, "text/html; charset=utf-8", "<h1>home</h1>"),
        ("/docs/", 200, "text/html; charset=utf-8", "<h1>docs</h1>"),
        ("/a%20b.txt", 200, "text/plain; charset=utf-8", "spaced"),
        ("/empty.css", 200, "text/css; charset=utf-8", ""),
        ("/nothing", 404, "text/html; charset=utf-8", "<h1>lost</h1>"),
        ("/nothing/", 404, "text/html; charset=utf-8", "<h1>lost</h1>"),
    ];
    for (path, status, media, text) in cases {
        let answer = with(&site, path, &[]).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(header(&answer, CONTENT_TYPE), media, "{path}");
        assert_eq!(header(&answer, CONTENT_LENGTH), text.len().to_string(), "{path}");
        assert_eq!(read(answer).await.unwrap(), text, "{path}");
    }
    let folder = with(&site, "/docs?q=1", &[]).await;
    assert_eq!((folder.status().as_u16(), header(&folder, LOCATION)), (308, "/docs/?q=1"));
    // Two slashes at the start of a location would name another host.
    let folder = with(&site, "//docs", &[]).await;
    assert_eq!(header(&folder, LOCATION), "/docs/");
}

#[tokio::test]
async fn no_path_leaves_the_site() {
    let stage = Stage::new();
    std::fs::write(stage.folder.path().join("secret"), "secret").unwrap();
    let site = site(&stage).await;
    let outside = [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/docs/../../secret",
        "/docs/%2e%2e/index.html",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/index.html%00.png",
        "/%ff",
        "/.",
        "/..",
    ];
    for path in outside {
        let answer = with(&site, path, &[]).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(read(answer).await.unwrap(), "<h1>lost</h1>", "{path}");
    }
}

#[tokio::test]
async fn only_get_and_head_work() {
    let stage = Stage::new();
    let site = site(&stage).await;
    let head = http::Request::head("/large.bin").body(body::empty()).unwrap();
    let head = site.serve(head).await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, CONTENT_LENGTH)), (200, "300000"));
    assert_eq!(read(head).await.unwrap(), "");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = http::Request::builder().method(method).uri("/").body(body::full("x")).unwrap();
        let answer = site.serve(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, http::header::ALLOW)), (405, "GET, HEAD"));
    }
}

#[tokio::test]
async fn a_known_tag_is_answered_not_modified() {
    let stage = Stage::new();
    let site = site(&stage).await;
    let tag = format!("\"{}\"", BlobId::of(b"<h1>home</h1>"));
    assert_eq!(header(&with(&site, "/", &[]).await, ETAG), tag);
    for value in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
        let answer = with(&site, "/", &[(IF_NONE_MATCH, &value)]).await;
        assert_eq!((answer.status().as_u16(), header(&answer, ETAG)), (304, tag.as_str()), "{value}");
        assert_eq!(read(answer).await.unwrap(), "");
    }
    assert_eq!(with(&site, "/", &[(IF_NONE_MATCH, "\"other\"")]).await.status(), 200);
}

#[tokio::test]
async fn ranges_are_served_from_the_disk() {
    let stage = Stage::new();
    let site = site(&stage).await;
    let large = large();
    for (range, first, last) in [("0-9", 0, 9), ("100000-", 100_000, 299_999), ("-5", 299_995, 299_999)] {
        let answer = with(&site, "/large.bin", &[(RANGE, &format!("bytes={range}"))]).await;
        assert_eq!(answer.status(), 206);
        assert_eq!(header(&answer, CONTENT_RANGE), format!("bytes {first}-{last}/300000"));
        assert_eq!(header(&answer, CONTENT_LENGTH), (last - first + 1).to_string());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, large[first..=last], "{range}");
    }
    let nothing = with(&site, "/large.bin", &[(RANGE, "bytes=300000-")]).await;
    assert_eq!((nothing.status().as_u16(), header(&nothing, CONTENT_RANGE)), (416, "bytes */300000"));
    let several = with(&site, "/large.bin", &[(RANGE, "bytes=0-1,5-6")]).await;
    assert_eq!(several.status(), 200);
    // A range of what the file was before is all of what it is now.
    let stale = with(&site, "/large.bin", &[(RANGE, "bytes=0-1"), (IF_RANGE, "\"old\"")]).await;
    assert_eq!(stale.status(), 200);
    let fresh = format!("\"{}\"", BlobId::of(&large));
    assert_eq!(with(&site, "/large.bin", &[(RANGE, "bytes=0-1"), (IF_RANGE, &fresh)]).await.status(), 206);
}

#[tokio::test]
async fn a_large_file_comes_in_pieces_and_is_counted() {
    let stage = Stage::new();
    let site = site(&stage).await;
    assert!(site.healthy().await);
    let mut body = with(&site, "/large.bin", &[]).await.into_body();
    assert_eq!(site.usage().running, 1);
    let (mut all, mut pieces) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        assert!(data.len() <= 64 << 10);
        all.extend_from_slice(&data);
        pieces += 1;
        assert_eq!(site.counters().egress.0, all.len() as u64);
    }
    drop(body);
    assert!(pieces > 3 && all == large());
    assert_eq!((site.counters().requests, site.usage().running), (1, 0));

    site.stop();
    assert!(!site.healthy().await);
    assert!(matches!(site.serve(get("/")).await, Err(ServeError::Stopped)));
}

#[tokio::test]
async fn a_site_streams_to_a_limited_number_at_a_time() {
    let mut stage = Stage::new();
    stage.config.limits.site_streams = 1;
    let site = site(&stage).await;
    let first = with(&site, "/large.bin", &[]).await;
    assert!(matches!(site.serve(get("/large.bin")).await, Err(ServeError::Overloaded { running: 1, .. })));
    drop(first);
    assert_eq!(with(&site, "/large.bin", &[]).await.status(), 200);
}
