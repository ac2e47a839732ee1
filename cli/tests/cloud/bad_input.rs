//! Bad input: each a clear error with its exit code, nothing lost, no panic.

use std::time::Duration;

use crate::support::{Cloud, text, until};

fn compose(cloud: &Cloud, name: &str, content: &str) -> String {
    let folder = cloud.guestbook(name, "");
    let path = folder.join("compose.yaml");
    std::fs::write(&path, content).unwrap();
    folder.to_str().unwrap().to_owned()
}

fn service(name: &str, budget: &str, settings: &str) -> String {
    format!(
        "name: {name}\nx-grange: {{ name: {name}, budget: \"{budget}\" }}\nservices:\n  api:\n    x-grange: {{ {settings} }}\n"
    )
}

#[test]
fn every_refusal_names_the_thing_and_leaves_nothing_behind() {
    let cloud = Cloud::start(4);
    let before = cloud.json(&["wallet", "balance"]);
    let check = |name: &str, content: &str, code: &str, words: &str| {
        let folder = compose(&cloud, name, content);
        let problem = cloud.problem(&["deploy", &folder]);
        assert_eq!(problem["code"], code, "{problem}");
        let said = problem.to_string();
        assert!(said.contains(words), "{said} does not say {words:?}");
    };
    check("unknown", &service("unknown", "10", "wasm: ./guestbook.wasm, pricemax: 1"), "manifest-invalid", "price_max");
    check("boxed", "services:\n  a:\n    image: nginx\n", "manifest-invalid", "containers are not in this version");
    check("poor", &service("poor", "0.000001", "wasm: ./guestbook.wasm"), "budget-too-low", "0.000001");
    check("far", &service("far", "10", "wasm: ./guestbook.wasm, region: mars"), "no-offer", "4 providers");
    let cheap = service("cheap", "10", "wasm: ./guestbook.wasm, price_max: \"0.0000001\"");
    check("cheap", &cheap, "no-offer", "more than 0.0000001 an hour");

    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/fixtures");
    let core = compose(&cloud, "core", &service("core", "10", "wasm: ./core.wasm"));
    std::fs::copy(fixtures.join("core.wasm"), format!("{core}/core.wasm")).unwrap();
    let problem = cloud.problem(&["deploy", &core]);
    assert_eq!(problem["code"], "component-invalid", "{problem}");

    assert_eq!(cloud.problem(&["ps", "nobody"])["code"], "not-found");
    assert_eq!(cloud.problem(&["usage", "nobody"])["exit"], 3);
    let token = cloud.root.path().join("wrong");
    std::fs::write(&token, "0".repeat(64)).unwrap();
    let api = cloud.nodes[0].api.clone();
    let wrong = cloud.problem(&["--node", &api, "--token-file", token.to_str().unwrap(), "wallet", "balance"]);
    assert_eq!((&wrong["code"], &wrong["exit"]), (&"unauthorized".into(), &4.into()));
    assert_eq!(cloud.problem(&["wallet", "send", &"33".repeat(32), "99999999"])["code"], "insufficient-funds");
    assert_eq!(cloud.run(&["wallet", "send", "nonsense", "1"]).status.code(), Some(2));
    assert_eq!(cloud.json(&["wallet", "balance"]), before, "nothing was lost");
    assert_eq!(cloud.json(&["ps"]).as_array().map(Vec::len), Some(0), "nothing is left open");
}

#[test]
fn a_component_that_loops_for_ever_harms_nobody_beside_it() {
    let cloud = Cloud::start(1);
    let neighbour = cloud.guestbook("neighbour", "");
    cloud.json(&["deploy", neighbour.to_str().unwrap()]);
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/fixtures");
    let folder = compose(&cloud, "spin", &service("spin", "10", "wasm: ./loop.wasm, route: /"));
    std::fs::copy(fixtures.join("loop.wasm"), format!("{folder}/loop.wasm")).unwrap();
    let mut deploying =
        cloud.command(&["deploy", &folder, "--json"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let runs = || {
        cloud.json(&["ps"]).as_array().unwrap().iter().any(|it| it["deployment"] == "spin" && !it["provider"].is_null())
    };
    until("it is leased", Duration::from_secs(30), runs);
    // What it costs its client is shown by the table of bad input; here it is asked and left alone.
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| cloud.get(0, "spin", "/"));
        for _ in 0..20 {
            assert_eq!(cloud.get(0, "neighbour", "/entries").0, 200, "its neighbour answers meanwhile");
        }
        assert_ne!(asked.join().unwrap().0, 200);
    });
    assert_eq!(cloud.json(&["status"])["ready"], true);
    let _ = deploying.kill();
    let _ = deploying.wait();
}

#[test]
fn a_rotated_token_counts_at_once() {
    let cloud = Cloud::start(1);
    let old = cloud.root.path().join("old");
    std::fs::copy(&cloud.nodes[0].token_file, &old).unwrap();
    cloud.json(&["key", "rotate-token"]);
    let api = cloud.nodes[0].api.clone();
    let refused = cloud.problem(&["--node", &api, "--token-file", old.to_str().unwrap(), "wallet", "balance"]);
    assert_eq!(refused["code"], "unauthorized");
    cloud.json(&["wallet", "balance"]);
}

#[test]
fn without_a_node_the_remedy_says_what_to_start() {
    let root = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_grange"))
        .args(["status", "--json"])
        .env("XDG_STATE_HOME", root.path())
        .env("XDG_DATA_HOME", root.path())
        .env_remove("GRANGE_NODE")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let problem: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(problem["remedy"].as_str().unwrap().contains("grange up"), "{problem}");
    assert!(problem["remedy"].as_str().unwrap().contains("grange dev"), "{problem}");
    assert_eq!(text(&output.stdout), "");
}
