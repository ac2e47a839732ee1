//! From an app and packed blobs to a manifest and its slots.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use grange_app::{App, ManifestError, Source, read, revision, slots};
use grange_types::{Amount, BlobId, ByteCount, Isolation, Kind, Manifest, Wire, Workload};

const TEXT: &str = "
name: shop
x-grange: { budget: 5 }
services:
  web:
    x-grange: { site: public, price_max: 0.5 }
  api:
    x-grange: { wasm: api.wasm, route: /api, isolation: container }
    deploy: { replicas: 3 }
    environment: { A: b }
";

fn app(text: &str) -> App {
    read(&Source { file: "compose.yaml", text }, &BTreeMap::new()).expect("the file is right").app
}

fn wasm() -> Workload {
    Workload::Wasm { component: BlobId::of(b"component"), size: ByteCount(9) }
}

fn site() -> Workload {
    Workload::Site { index: BlobId::of(b"index"), size: ByteCount(5) }
}

fn blobs(pairs: &[(&str, Workload)]) -> BTreeMap<String, Workload> {
    pairs.iter().map(|(name, workload)| ((*name).to_owned(), workload.clone())).collect()
}

fn manifest(text: &str) -> Manifest {
    app(text).manifest(&blobs(&[("api", wasm()), ("web", site())])).expect("every service has its workload")
}

#[test]
fn a_manifest_holds_what_the_file_says_and_encodes() {
    let manifest = manifest(TEXT);
    assert_eq!(manifest.name, "shop");
    assert_eq!(manifest.budget, Amount::credits(5));
    assert_eq!(manifest.services["api"].workload, wasm());
    assert_eq!(manifest.services["api"].environment["A"], "b");
    assert_eq!(manifest.services["web"].route.as_deref(), Some("/"));
    assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
}

#[test]
fn workloads_and_services_must_match() {
    let app = app(TEXT);
    let check = |pairs: &[(&str, Workload)], expected: ManifestError| {
        assert_eq!(app.manifest(&blobs(pairs)), Err(expected));
    };
    check(&[("web", site())], ManifestError::MissingWorkload { service: "api".into(), kind: Kind::Wasm });
    check(
        &[("api", site()), ("web", site())],
        ManifestError::WrongKind { service: "api".into(), expected: Kind::Wasm, found: Kind::Site },
    );
    check(&[("api", wasm()), ("web", site()), ("x", site())], ManifestError::UnknownService { service: "x".into() });
}

#[test]
fn the_largest_file_that_can_be_read_fits_a_manifest_or_is_refused() {
    let value = "x".repeat(8_100);
    let mut text = String::from("name: large\nx-grange: { budget: 1 }\nservices:\n");
    let mut workloads = BTreeMap::new();
    for index in 0..64 {
        text += &format!("  s{index}: {{x-grange: {{wasm: a, route: /{index}}}, environment: {{A: \"${{V}}\"}}}}\n");
        workloads.insert(format!("s{index}"), wasm());
    }
    let variables = BTreeMap::from([("V".to_owned(), value)]);
    let reading = read(&Source { file: "f", text: &text }, &variables).expect("the file is right");
    match reading.app.manifest(&workloads) {
        Ok(manifest) => assert!(manifest.encode().len() <= Manifest::LIMIT),
        Err(error) => assert!(matches!(error, ManifestError::TooLarge { size, limit } if size > limit), "{error}"),
    }
}

#[test]
fn there_is_a_slot_for_each_replica() {
    let rates = BTreeMap::from([("api".to_owned(), Amount(7))]);
    let slots = slots(&manifest(TEXT), &rates);
    let names: Vec<(&str, u32)> = slots.iter().map(|slot| (slot.service.as_str(), slot.replica)).collect();
    assert_eq!(names, [("api", 0), ("api", 1), ("api", 2), ("web", 0)]);
    assert_eq!(slots[0].max_rate, Amount(7));
    assert_eq!(slots[0].isolation, Isolation::Container);
    assert_eq!(slots[0].route.as_deref(), Some("/api"));
    // Without a rate the file's own ceiling counts, and without that nothing is spent.
    assert_eq!(slots[3].max_rate, "0.5".parse().expect("an amount"));
    assert_eq!(slots[3].isolation, Isolation::Wasm);
    assert_eq!(grange_app::slots(&manifest(TEXT), &BTreeMap::new())[0].max_rate, Amount::ZERO);
}

#[test]
fn a_revision_changes_with_what_runs_alone() {
    let of = |text: &str, name: &str| revision(name, &manifest(text).services[name]);
    let base = of(TEXT, "api");
    assert_eq!(of(&TEXT.replace("replicas: 3", "replicas: 1"), "api"), base);
    assert_eq!(of(&TEXT.replace("budget: 5", "budget: 6"), "api"), base);
    assert_eq!(of(&TEXT.replace("name: shop", "name: store"), "api"), base);
    assert_ne!(of(&TEXT.replace("A: b", "A: c"), "api"), base);
    assert_ne!(of(&TEXT.replace("/api", "/v1"), "api"), base);
    assert_ne!(of(TEXT, "web"), base);
    // Two services that run the same are still two.
    let service = &manifest(TEXT).services["api"];
    assert_ne!(revision("one", service), revision("two", service));
}
