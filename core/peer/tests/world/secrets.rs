//! Secrets on their way: sealed before anything leaves the owner's node, the same where nothing changed, anew where something did.

use grange_api::ProblemCode;
use grange_types::{Millis, Secrets};

use crate::support::{World, token, vault};

#[test]
fn a_secret_leaves_its_owner_sealed_and_is_everywhere_where_the_manifest_is() {
    let mut world = World::new(4);
    world.settle();
    let app = vault("vault", &["/run/secrets/token"]);
    let done = world.deploy_with(0, app.clone(), token(b"correct horse")).unwrap();
    world.run_for(Millis::seconds(20));
    let provider = world.index_of(done.leases[0].provider);
    for index in 0..4 {
        assert_eq!(world.opened(index, 0, done.id).as_deref(), Some(&b"correct horse"[..]), "at {index}");
        let holds = |bytes: &[u8]| bytes.windows(5).any(|window| window == b"horse");
        assert!(!world.hosts[index].disk.blobs.values().any(|blob| holds(blob)), "in clear at {index}");
    }
    assert!(world.blocks(provider).iter().all(|(block, _)| !block.windows(5).any(|window| window == b"horse")));

    // The same is the same, and a new value is a new version.
    assert!(!world.deploy_with(0, app.clone(), token(b"correct horse")).unwrap().changed);
    let again = world.deploy_with(0, app.clone(), token(b"battery staple")).unwrap();
    assert_eq!((again.changed, again.leases[0].generation, again.id), (true, 2, done.id));
    assert_eq!(world.opened(0, 0, done.id).as_deref(), Some(&b"battery staple"[..]));
    world.run_for(Millis::seconds(20));
    world.kill(0);
    let steward = (1..4).find(|index| *index != provider).unwrap();
    assert_eq!(world.opened(steward, 0, done.id).as_deref(), Some(&b"battery staple"[..]));
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
        let refused = world.deploy_with(0, vault("vault", &targets), secrets).unwrap_err();
        assert_eq!(refused.code, ProblemCode::ManifestInvalid, "{targets:?}: {refused:?}");
        assert!(!refused.message.is_empty());
    }
    assert_eq!(world.peer(0).ledger().view().deployments().count(), 0);
}
