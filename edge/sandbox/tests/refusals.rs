//! Every reason why work is refused has a name of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use grange_sandbox::{CompileBound, SandboxError};
use grange_types::{BlobId, ByteCount, SiteFile, SiteIndex, Wire as _, Workload, limits};
use stage::{Stage, handler, spec};

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let stage = Stage::new();
    let text = stage.component(b"fn main() {}");
    assert!(matches!(stage.refusal(&text).await, SandboxError::NotAComponent { .. }));
    let empty = stage.component(b"");
    assert!(matches!(stage.refusal(&empty).await, SandboxError::NotAComponent { .. }));
    let module = stage.example("fixtures/core.wasm");
    assert!(matches!(stage.refusal(&module).await, SandboxError::CoreModule { .. }));

    let broken = stage.component(b"\0asm\x0d\0\x01\0\xff\xff\xff");
    let SandboxError::InvalidComponent { reason, .. } = stage.refusal(&broken).await else { panic!() };
    assert!(!reason.is_empty());
    let mut cut = handler("(func (export \"handle\") (param i32 i32))");
    cut.truncate(cut.len() - 5);
    assert!(matches!(stage.refusal(&stage.component(&cut)).await, SandboxError::InvalidComponent { .. }));
}

#[tokio::test]
async fn what_is_missing_or_too_large_is_refused() {
    let stage = Stage::new();
    let missing = spec(Workload::Wasm { component: BlobId([9; 32]), size: ByteCount(1) });
    assert!(matches!(stage.refusal(&missing).await, SandboxError::MissingBlob { .. }));

    let large = BlobId([8; 32]);
    std::fs::File::create(stage.blob_path(large)).unwrap().set_len(limits::COMPONENT_BYTES.0 + 1).unwrap();
    let large = spec(Workload::Wasm { component: large, size: ByteCount(1) });
    assert!(matches!(stage.refusal(&large).await, SandboxError::TooLarge { .. }));
}

#[tokio::test]
async fn what_does_not_fit_this_host_is_refused() {
    let stage = Stage::new();
    let nothing = stage.component(b"\0asm\x0d\0\x01\0");
    assert!(matches!(stage.refusal(&nothing).await, SandboxError::NoHandler { .. }));

    let foreign = wat::parse_str(r#"(component (import "acme:thing/there@1.0.0" (instance (export "f" (func)))))"#);
    let foreign = stage.component(&foreign.unwrap());
    let SandboxError::UnknownImport { import, source: None, .. } = stage.refusal(&foreign).await else { panic!() };
    assert_eq!(import, "acme:thing/there@1.0.0");

    let unknown = r#"(component
        (import "wasi:random/random@0.2.0" (instance (export "get-lucky" (func (result u64)))))
        (instance $api) (export "wasi:http/incoming-handler@0.2.0" (instance $api)))"#;
    let unknown = stage.component(&wat::parse_str(unknown).unwrap());
    let error = stage.refusal(&unknown).await;
    assert!(matches!(error, SandboxError::UnknownImport { source: Some(_), .. }), "{error:?}");
    assert!(error.to_string().contains("wasi:random/random"), "{error}");

    let mut hidden = stage.example("fixtures/echo.wasm");
    for name in ["..", ".", "", "a/b", "../../etc", ".hidden", "a\0b", &"a".repeat(64)] {
        hidden.service = name.into();
        assert!(matches!(stage.refusal(&hidden).await, SandboxError::ServiceName { .. }), "{name:?}");
    }
}

#[tokio::test]
async fn what_cannot_start_is_refused() {
    let mut stage = Stage::new();
    let crash = stage.handler("(func unreachable) (start 0) (func (export \"handle\") (param i32 i32))");
    assert!(matches!(stage.refusal(&crash).await, SandboxError::Instantiate { .. }));

    let mut large = stage.handler("(memory 512) (func (export \"handle\") (param i32 i32))");
    large.resources.memory = ByteCount::mib(31);
    let error = stage.refusal(&large).await;
    let SandboxError::NeedsMemory { needs, has, .. } = error else { panic!("{error:?}") };
    assert_eq!((needs, has), (ByteCount::mib(32), ByteCount::mib(31)));
    large.resources.memory = ByteCount::mib(32);
    stage.open().prepare(&large).await.unwrap();

    stage.config.limits.request_cpu = Duration::from_millis(100);
    let endless = stage.handler("(func (loop (br 0))) (start 0) (func (export \"handle\") (param i32 i32))");
    assert!(matches!(stage.refusal(&endless).await, SandboxError::StartTooSlow { .. }));
}

#[tokio::test]
async fn a_compiler_that_fails_is_told_apart_from_a_bad_component() {
    let mut stage = Stage::new();
    let fine = stage.handler("(func (export \"handle\") (param i32 i32))");
    stage.config.limits.compile_time = Duration::from_nanos(1);
    assert!(matches!(
        stage.refusal(&fine).await,
        SandboxError::CompileBound { exceeded: CompileBound::Time { .. }, .. }
    ));
    stage.config.limits.compile_time = Duration::from_secs(60);

    let script = stage.folder.path().join("compiler");
    let compiler = |stage: &mut Stage, text: &str| {
        // Not written in place: a script that is still open for writing cannot be run.
        let draft = script.with_extension("draft");
        std::fs::write(&draft, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::rename(&draft, &script).unwrap();
        stage.config.compiler = script.clone();
    };
    compiler(&mut stage, "kill -9 $$");
    assert!(matches!(
        stage.refusal(&fine).await,
        SandboxError::CompileBound { exceeded: CompileBound::Resources { signal: 9 }, .. }
    ));
    compiler(&mut stage, "echo no >&2; exit 3");
    let SandboxError::CompilerFailed { code: Some(3), output, .. } = stage.refusal(&fine).await else { panic!() };
    assert_eq!(output, "no");
    compiler(&mut stage, "echo native code > \"$3\"");
    assert!(matches!(stage.refusal(&fine).await, SandboxError::LoadCode { .. }));

    // What was recorded is what that compiler wrote; a new folder begins anew.
    stage.config.data = stage.folder.path().join("other");
    stage.config.compiler = "/nowhere/grange".into();
    assert!(matches!(stage.refusal(&fine).await, SandboxError::RunCompiler { .. }));
}

#[tokio::test]
async fn compiled_code_is_kept_private_and_used_only_unaltered() {
    let mut stage = Stage::new();
    let fine = stage.handler("(func (export \"handle\") (param i32 i32))");
    stage.open().prepare(&fine).await.unwrap();
    stage.config.compiler = "/nowhere/grange".into();
    stage.open().prepare(&fine).await.unwrap();

    let folder = stage.config.data.join("code");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let code = files.iter().find(|path| path.extension().is_some_and(|end| end == "cwasm")).unwrap();
    assert_eq!(code.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files.len(), 2, "{files:?}");

    let mut altered = std::fs::read(code).unwrap();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    std::fs::write(code, altered).unwrap();
    // It is compiled again rather than loaded.
    assert!(matches!(stage.refusal(&fine).await, SandboxError::RunCompiler { .. }));
}

#[tokio::test]
async fn a_site_must_be_whole_and_well_formed() {
    let stage = Stage::new();
    let blob = stage.put(b"hello");
    let file = |path: &str, blob, size| SiteFile { path: path.into(), blob, size: ByteCount(size) };
    let site = |files: Vec<SiteFile>| {
        let index = stage.put(&SiteIndex { files }.encode());
        spec(Workload::Site { index, size: ByteCount(0) })
    };
    stage.open().prepare(&site(vec![file("a", blob, 5), file("b", blob, 5)])).await.unwrap();

    let garbage = spec(Workload::Site { index: stage.put(b"no index"), size: ByteCount(0) });
    assert!(matches!(stage.refusal(&garbage).await, SandboxError::SiteIndex { .. }));
    let missing = site(vec![file("a", BlobId([7; 32]), 5)]);
    assert!(matches!(stage.refusal(&missing).await, SandboxError::MissingBlob { .. }));
    let large = site(vec![file("a", blob, limits::SITE_FILE_BYTES.0 + 1)]);
    assert!(matches!(stage.refusal(&large).await, SandboxError::SiteTooLarge { .. }));
    for paths in [["b", "a"], ["a", "a"], ["../a", "b"], ["/a", "b"], ["a/./b", "b"]] {
        let bad = site(paths.iter().map(|path| file(path, blob, 5)).collect());
        assert!(matches!(stage.refusal(&bad).await, SandboxError::SitePath { .. }), "{paths:?}");
    }
}
