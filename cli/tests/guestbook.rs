//! The example that everything else is shown with is the one that its source and its hash say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use grange_types::BlobId;

fn examples(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path)
}

/// Holds a committed component against the line `HASH  NAME` beside it.
#[track_caller]
fn check(path: &str) {
    let component = fs::read(examples(path)).unwrap();
    let line = fs::read_to_string(examples(&format!("{path}.blake3"))).unwrap();
    let (hash, name) = line.trim().split_once("  ").unwrap();
    assert_eq!(BlobId::of(&component).to_string(), hash, "{path} is not what its hash says; build it again with make");
    assert!(path.ends_with(name), "{name} beside {path}");
}

#[test]
fn every_committed_component_has_the_hash_beside_it() {
    check("guestbook/guestbook.wasm");
    check("js-engine/js-engine.wasm");
    for fixture in ["core", "echo", "fetch", "loop", "memhog"] {
        check(&format!("fixtures/{fixture}.wasm"));
    }
}

#[test]
fn the_guestbook_is_small() {
    let size = fs::metadata(examples("guestbook/guestbook.wasm")).unwrap().len();
    assert!(size <= 300 * 1_024, "{size} bytes");
}

/// It is in the binary, and in every project that is made of it.
#[test]
fn the_javascript_engine_is_small() {
    let size = fs::metadata(examples("js-engine/js-engine.wasm")).unwrap().len();
    assert!(size <= 1_500 * 1_024, "{size} bytes");
}
