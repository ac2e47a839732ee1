//! Secrets on their way: sealed before anything leaves the owner's node, the same where nothing changed, anew where something did.

use grange_api::ProblemCode;
use grange_objects::secret;
use grange_objects::share::deployment_key;
use grange_types::manifest::{Content, File};
use grange_types::{BlobId, ByteCount, DeploymentId, Manifest, Millis, Secrets, Wire as _, Workload};

use crate::support::{World, manifest};

fn vault(targets: &[&str]) -> Manifest {
    let mut app = manifest("vault", "10");
    let secret = || Content::Secret { name: "token".into(), sealed: Vec::new() };
    let files = targets.iter().map(|target| File { target: (*target).into(), content: secret() }).collect();
    let component = BlobId::of(b"component");
    app.services.get_mut("web").unwrap().workload = Workload::Furnished { component, size: ByteCount(9), files };
    app
}

fn token(value: &[u8]) -> Secrets {
    let mut secrets = Secrets::default();
    secrets.insert("token".into(), value.to_vec());
    secrets
}

/// What the manifest that a peer has on its disk says of the secret, opened with the owner's key.
fn opened(world: &World, index: usize, id: DeploymentId) -> Option<Vec<u8>> {
    let named = world.peer(index).ledger().view().deployment(id).unwrap().manifest;
    let manifest = Manifest::decode(world.hosts[index].disk.blobs.get(&named)?).unwrap();
    let Content::Secret { name, sealed } = &manifest.services["web"].workload.files()[0].content else { return None };
    secret::open(&deployment_key(&world.key(0), id), id, name, sealed)
}

#[test]
fn a_secret_leaves_its_owner_sealed_and_is_everywhere_where_the_manifest_is() {
    let mut world = World::new(4);
    world.settle();
    let app = vault(&["/run/secrets/token"]);
    let done = world.deploy_with(0, app.clone(), token(b"correct horse")).unwrap();
    world.run_for(Millis::seconds(20));
    let provider = world.index_of(done.leases[0].provider);
    for index in 0..4 {
        assert_eq!(opened(&world, index, done.id).as_deref(), Some(&b"correct horse"[..]), "at {index}");
        let holds = |bytes: &[u8]| bytes.windows(5).any(|window| window == b"horse");
        assert!(!world.hosts[index].disk.blobs.values().any(|blob| holds(blob)), "in clear at {index}");
    }
    assert!(world.blocks(provider).iter().all(|(block, _)| !block.windows(5).any(|window| window == b"horse")));

    // The same is the same, and a new value is a new version.
    assert!(!world.deploy_with(0, app.clone(), token(b"correct horse")).unwrap().changed);
    let again = world.deploy_with(0, app.clone(), token(b"battery staple")).unwrap();
    assert_eq!((again.changed, again.leases[0].generation, again.id), (true, 2, done.id));
    assert_eq!(opened(&world, 0, done.id).as_deref(), Some(&b"battery staple"[..]));
    world.run_for(Millis::seconds(20));
    world.kill(0);
    let steward = (1..4).find(|index| *index != provider).unwrap();
    assert_eq!(opened(&world, steward, done.id).as_deref(), Some(&b"battery staple"[..]));
}

#[test]
fn what_no_sandbox_would_take_is_refused_before_anything_is_ordered() {
    let mut world = World::new(4);
    world.settle();
    let long = format!("/{}", "a".repeat(255));
    let large = vec![0; (64 << 10) + 1];
    let cases: Vec<(Vec<&str>, Secrets)> = vec![
        (vec!["/a"], Secrets::default()),
        (vec!["/a"], token(&large)),
        (vec!["a"], token(b"x")),
        (vec!["/a/../b"], token(b"x")),
        (vec!["/"], token(b"x")),
        (vec![long.as_str()], token(b"x")),
        (vec!["/a", "/a"], token(b"x")),
        (vec!["/b", "/a"], token(b"x")),
        // Nine times 64 KiB are more than a manifest.
        (vec!["/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h", "/i"], token(&large[1..])),
    ];
    for (targets, secrets) in cases {
        let refused = world.deploy_with(0, vault(&targets), secrets).unwrap_err();
        assert_eq!(refused.code, ProblemCode::ManifestInvalid, "{targets:?}: {refused:?}");
        assert!(!refused.message.is_empty());
    }
    assert_eq!(world.peer(0).ledger().view().deployments().count(), 0);
}
