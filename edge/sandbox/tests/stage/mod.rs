//! A stage for tests: blobs in a folder, sandboxes over them, and the fixtures of `examples/`.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use grange_sandbox::{BlobSource, Body, BodyError, Config, Replica, SandboxError, Sandboxes, ServeError, body};
use grange_types::{BlobId, ByteCount, DeploymentId, LeaseId, Resources, Work, Workload};
use http_body_util::BodyExt as _;

/// Blobs as files named by their hash.
pub(crate) struct Blobs(PathBuf);

impl BlobSource for Blobs {
    fn path(&self, blob: &BlobId) -> Option<PathBuf> {
        let path = self.0.join(blob.to_string());
        path.exists().then_some(path)
    }
}

/// A data folder, and what is needed to open sandboxes on it again and again.
pub(crate) struct Stage {
    pub folder: tempfile::TempDir,
    pub config: Config,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("blobs")).unwrap();
        let mut config = Config::new(folder.path().join("data"), env!("CARGO_BIN_EXE_grange-compile"));
        config.limits.instances = 64;
        Self { folder, config }
    }

    pub(crate) fn open(&self) -> Sandboxes {
        Sandboxes::open(self.config.clone(), Arc::new(Blobs(self.folder.path().join("blobs")))).unwrap()
    }

    pub(crate) fn put(&self, content: &[u8]) -> BlobId {
        let blob = BlobId::of(content);
        std::fs::write(self.blob_path(blob), content).unwrap();
        blob
    }

    pub(crate) fn blob_path(&self, blob: BlobId) -> PathBuf {
        self.folder.path().join("blobs").join(blob.to_string())
    }

    /// A spec for a component of `examples/`, such as `fixtures/echo.wasm`.
    pub(crate) fn example(&self, path: &str) -> Work {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path);
        self.component(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// A spec for a component.
    pub(crate) fn component(&self, content: &[u8]) -> Work {
        let size = ByteCount(content.len() as u64);
        spec(Workload::Wasm { component: self.put(content), size })
    }

    /// A spec for a component that handles requests with the text of a core module.
    pub(crate) fn handler(&self, module: &str) -> Work {
        self.component(&handler(module))
    }

    /// Why a spec cannot be prepared.
    pub(crate) async fn refusal(&self, spec: &Work) -> SandboxError {
        let error = self.open().prepare(spec).await.expect_err("it was prepared");
        assert!(!error.remedy().is_empty());
        error
    }
}

pub(crate) fn spec(workload: Workload) -> Work {
    Work {
        lease: LeaseId([1; 32]),
        deployment: DeploymentId([2; 32]),
        name: "test".into(),
        service: "web".into(),
        replica: 0,
        generation: 1,
        previous: None,
        keepers: Vec::new(),
        before: Vec::new(),
        seal: None,
        workload,
        resources: Resources::default(),
        environment: BTreeMap::new(),
        allow_http: Vec::new(),
    }
}

/// A component whose handler is the core function `handle` of a module, which must also export `memory`.
pub(crate) fn handler(module: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "wasi:http/types@0.2.0" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $out))
            (core module $m {module})
            (core instance $i (instantiate $m))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
                (canon lift (core func $i "handle")))
            (instance $api (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $api)))"#
    );
    wat::parse_str(text).unwrap()
}

pub(crate) fn get(path: &str) -> http::Request<Body> {
    http::Request::get(path).body(body::empty()).unwrap()
}

pub(crate) fn post(path: &str, content: impl Into<Bytes>) -> http::Request<Body> {
    http::Request::post(path).body(body::full(content)).unwrap()
}

pub(crate) async fn read(answer: http::Response<Body>) -> Result<String, BodyError> {
    Ok(String::from_utf8(answer.into_body().collect().await?.to_bytes().into()).unwrap())
}

/// The status and the text of an answer.
pub(crate) async fn ask(replica: &Arc<dyn Replica>, request: http::Request<Body>) -> Result<(u16, String), ServeError> {
    let answer = replica.serve(request).await?;
    Ok((answer.status().as_u16(), read(answer).await.unwrap()))
}
