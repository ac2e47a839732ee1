//! Configs and secrets: what the component reads, what nobody else can, and what becomes of them without their owner.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Cloud, text, until};

const TOKEN: &str = "correct-horse-battery-staple";
const LATER: &str = "tr0ub4dor-and-three-more";
const OTHER: &str = "a-key-of-the-environment";

/// An app whose component answers with the files that it finds.
fn vault(cloud: &Cloud) -> PathBuf {
    let folder = cloud.root.path().join("vault");
    let component = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/fixtures/files.wasm");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(component, folder.join("files.wasm")).unwrap();
    std::fs::write(folder.join("token.txt"), TOKEN).unwrap();
    let compose = "name: vault\nservices:\n  web:\n    x-grange: {wasm: files.wasm}\n    secrets:\n      - token\n      - {source: other, target: /etc/other.key}\n    configs:\n      - {source: app, target: /etc/app.toml}\nsecrets:\n  token: {file: token.txt}\n  other: {environment: GRANGE_TEST_OTHER}\nconfigs:\n  app: {content: \"colour = blue\"}\n";
    std::fs::write(folder.join("compose.yaml"), compose).unwrap();
    folder
}

/// Runs a command that must succeed, with the variable that holds a secret; nothing that it prints does.
fn run(cloud: &Cloud, arguments: &[&str]) -> String {
    let output = cloud.command(arguments).env("GRANGE_TEST_OTHER", OTHER).output().unwrap();
    let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "grange {arguments:?}: {printed}");
    for secret in [TOKEN, LATER, OTHER] {
        assert!(!printed.contains(secret), "grange {arguments:?} prints a secret");
    }
    printed
}

/// Every file below a folder that holds one of these texts.
fn with(folder: &Path, texts: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(with(&path, texts));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let holds = |text: &String| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            found.extend(texts.iter().any(holds).then_some(path));
        }
    }
    found
}

/// Every file below a folder that holds one of the secrets, as it is or as it would travel in JSON.
fn holders(folder: &Path) -> Vec<PathBuf> {
    let encoded = |secret: &str| data_encoding::BASE64.encode(&secret.as_bytes()[..15]);
    let texts = [TOKEN, LATER, OTHER].map(|secret| [secret.to_owned(), encoded(secret)]);
    with(folder, &texts.concat())
}

#[test]
fn a_secret_reaches_its_component_and_no_disk_also_without_the_owner() {
    let cloud = Cloud::start(7);
    let folder = vault(&cloud);
    let path = folder.to_str().unwrap();
    run(&cloud, &["validate", path, "--json"]);
    run(&cloud, &["plan", path]);
    run(&cloud, &["deploy", path]);
    let sees = |node: usize, file: &str| cloud.get(node, "vault", file);
    let serves = |value: &str| sees(0, "/run/secrets/token") == (200, value.to_owned());
    until("the secret is there", Duration::from_secs(20), || serves(TOKEN));
    assert_eq!(sees(0, "/etc/other.key"), (200, OTHER.to_owned()));
    assert_eq!(sees(0, "/etc/app.toml"), (200, "colour = blue".to_owned()));
    assert_eq!(sees(0, "/etc/"), (200, "app.toml\nother.key\n".to_owned()));
    assert_eq!(sees(0, "/etc/passwd").0, 404, "nothing of the host is there");
    assert_eq!(cloud.post(0, "vault", "/run/secrets/token", "new").0, 404, "and nothing can be written");

    assert!(run(&cloud, &["deploy", path, "--json"]).contains("\"changed\":false"), "the same is the same");
    // Those are the provider and the stewards, whose manifests name where the secret lies.
    let manifests = |node: usize| {
        let blobs = cloud.root.path().join(format!("data/grange/dev/node-{node}/blobs"));
        with(&blobs, &["/run/secrets/token".to_owned()]).len()
    };
    let informed = |count: usize| (1..7).filter(|node| manifests(*node) >= count).count() >= 3;
    until("both stewards have the manifest", Duration::from_secs(20), || informed(1));
    std::fs::write(folder.join("token.txt"), LATER).unwrap();
    run(&cloud, &["deploy", path]);
    until("the new value is there", Duration::from_secs(20), || serves(LATER));

    // Whoever has a share is a steward.
    let stewards = || -> Vec<usize> {
        let shares = |node: &usize| cloud.root.path().join(format!("data/grange/dev/node-{node}/shares"));
        let holds = |node: &usize| std::fs::read_dir(shares(node)).is_ok_and(|mut files| files.next().is_some());
        (1..7).filter(holds).collect()
    };
    until("both stewards have their shares", Duration::from_secs(20), || stewards().len() == 2);
    until("both stewards have the new manifest", Duration::from_secs(20), || informed(2));
    let other = stewards()[0];
    let replicas = cloud.json_of(other, &["ps", "vault"]);
    let provider = cloud.index_of(replicas[0]["provider"].as_str().unwrap());
    assert_ne!(provider, other);
    cloud.kill(0);
    // What the owner's node keeps of key-values is waited for until it is left out, and so is not part of this.
    let left_out = || {
        let keepers = cloud.json_of(other, &["ps", "vault"])[0]["keepers"].clone();
        let owners = |keeper: &serde_json::Value| cloud.index_of(keeper.as_str().unwrap()) == 0;
        keepers.as_array().is_some_and(|keepers| !keepers.is_empty() && !keepers.iter().any(owners))
    };
    until("the owner's node is left out", Duration::from_secs(20), left_out);
    cloud.kill(provider);
    let moved = || sees(other, "/run/secrets/token") == (200, LATER.to_owned());
    until("a provider that never knew it serves it without the owner", Duration::from_secs(40), moved);
    assert_eq!(sees(other, "/etc/other.key"), (200, OTHER.to_owned()));
    assert_eq!(holders(&cloud.root.path().join("data")), Vec::<PathBuf>::new(), "no node's disk holds one");
    assert_eq!(holders(&cloud.root.path().join("state")), Vec::<PathBuf>::new());
}

#[test]
fn what_is_wrong_with_a_secret_is_told_at_its_place() {
    let cloud = Cloud::start(1);
    let folder = vault(&cloud);
    let path = folder.to_str().unwrap();
    let findings = |change: &dyn Fn()| {
        change();
        let output = cloud.command(&["deploy", path]).env("GRANGE_TEST_OTHER", OTHER).output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let missing = findings(&|| std::fs::remove_file(folder.join("token.txt")).unwrap());
    assert!(missing.contains("compose.yaml:11:17: the file token.txt does not exist"), "{missing}");
    let large = findings(&|| std::fs::write(folder.join("token.txt"), vec![b'x'; (64 << 10) + 1]).unwrap());
    assert!(large.contains("compose.yaml:11:17: token.txt of ") && large.contains("above the limit"), "{large}");
    // Alone, without stewards, the one node is owner and provider.
    std::fs::write(folder.join("token.txt"), TOKEN).unwrap();
    run(&cloud, &["deploy", path]);
    until("the secret is there", Duration::from_secs(20), || {
        cloud.get(0, "vault", "/run/secrets/token") == (200, TOKEN.to_owned())
    });
}
