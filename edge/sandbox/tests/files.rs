//! Configs and secrets as a component finds them: files that it can read, that nothing can write, and that are on no disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::path::Path;

use grange_objects::secret;
use grange_sandbox::SandboxError;
use grange_types::{Content, File, SealKey, Work, Workload};
use stage::{Stage, ask, get, post};

const TOKEN: &[u8] = b"correct horse battery staple";

/// The component that answers with the files it finds, with a config and a secret.
fn furnished(stage: &Stage) -> Work {
    let mut spec = stage.example("fixtures/files.wasm");
    let key = SealKey::new([7; 32]);
    let Workload::Wasm { component, size } = spec.workload else { panic!("it is a component") };
    let sealed = secret::seal(&key, spec.deployment, "token", TOKEN);
    let file = |target: &str, content| File { target: target.into(), content };
    let files = vec![
        file("/etc/app.toml", Content::Config(b"colour = blue".to_vec())),
        file("/run/secrets/token", Content::Secret { name: "token".into(), sealed }),
    ];
    spec.workload = Workload::Furnished { component, size, files };
    spec.seal = Some(key);
    spec
}

/// Whether any file below a folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        std::fs::read(&path).is_ok_and(|found| found.windows(bytes.len()).any(|window| window == bytes))
    })
}

#[tokio::test]
async fn a_component_reads_its_configs_and_secrets() {
    let stage = Stage::new();
    let replica = stage.open().start(furnished(&stage)).await.unwrap();
    for (path, status, content) in [
        ("/run/secrets/token", 200, "correct horse battery staple"),
        ("/etc/app.toml", 200, "colour = blue"),
        ("/etc/../run/./secrets/token", 200, "correct horse battery staple"),
        ("/", 200, "etc/\nrun/\n"),
        ("/run/secrets/", 200, "token\n"),
        ("/etc/passwd", 404, "entity not found\n"),
        ("/run/secrets", 404, "is a directory\n"),
        ("/etc/app.toml/", 404, "not a directory\n"),
    ] {
        assert_eq!(ask(&replica, get(path)).await.unwrap(), (status, content.to_owned()), "{path}");
    }
    for path in ["/etc/app.toml", "/run/secrets/token", "/etc/new"] {
        let refused = (404, "read-only filesystem or storage medium\n".to_owned());
        assert_eq!(ask(&replica, post(path, "written")).await.unwrap(), refused, "{path}");
    }
    assert!(!holds(stage.folder.path(), TOKEN), "a secret is on the disk");
}

#[tokio::test]
async fn without_files_there_is_no_folder() {
    let stage = Stage::new();
    let replica = stage.open().start(stage.example("fixtures/files.wasm")).await.unwrap();
    for path in ["/", "/etc/passwd", "/run/secrets/"] {
        assert_eq!(ask(&replica, get(path)).await.unwrap().0, 404, "{path}");
    }
}

#[tokio::test]
async fn nothing_starts_with_secrets_that_cannot_be_opened() {
    let stage = Stage::new();
    let sandboxes = stage.open();
    let spec = furnished(&stage);
    let without = Work { seal: None, ..spec.clone() };
    sandboxes.prepare(&without).await.expect("it is prepared before there is a key");
    let error = sandboxes.start(without).await.err().unwrap();
    assert!(matches!(error, SandboxError::NoKey { .. }), "{error:?}");
    let error = sandboxes.start(Work { seal: Some(SealKey::new([8; 32])), ..spec }).await.err().unwrap();
    assert!(matches!(error, SandboxError::Secret { .. }), "{error:?}");
    assert!(!error.to_string().contains("horse") && !error.remedy().is_empty());
}

/// Whoever sends a manifest may have checked nothing.
#[tokio::test]
async fn a_tree_that_is_too_deep_or_too_wide_is_refused() {
    let stage = Stage::new();
    let sandboxes = stage.open();
    let file = |target: String| File { target, content: Content::Config(Vec::new()) };
    let many = (0..10_000).map(|number| file(format!("/{number:05}"))).collect();
    for files in [vec![file("/a".repeat(200_000))], many, vec![file("/a/../b".into())], vec![file("a".into())]] {
        let mut spec = furnished(&stage);
        let Workload::Furnished { files: present, .. } = &mut spec.workload else { panic!("it has files") };
        *present = files;
        let refused = sandboxes.start(spec).await.err();
        assert!(matches!(refused, Some(SandboxError::FilePlace { .. })), "{refused:?}");
    }
}
