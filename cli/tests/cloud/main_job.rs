//! The main job: a cloud, an app from a compose file, its bill, its edit, its removal.

use std::time::Duration;

use crate::support::{Cloud, until};

#[test]
fn an_app_is_deployed_served_metered_paid_changed_and_removed() {
    let cloud = Cloud::start(4);
    let folder = cloud.guestbook("book", "");
    let folder = folder.to_str().unwrap();
    let plan = cloud.json(&["plan", folder]);
    assert_eq!(plan["services"][0]["name"], "api");
    let done = cloud.json(&["deploy", folder]);
    assert_eq!(done["deployment"], "book");
    assert_eq!(done["leases"][0]["provider"], plan["services"][0]["provider"], "the plan is kept");
    assert!(done["urls"][0].as_str().unwrap().starts_with("http://book.localhost:"));

    assert_eq!(cloud.get(0, "book", "/entries"), (200, "[]".into()));
    let (status, _) = cloud.post(0, "book", "/entries", r#"{"name":"ada","message":"hello"}"#);
    assert_eq!(status, 201);
    for node in 0..4 {
        let (status, body) = cloud.get(node, "book", "/entries");
        assert!(status == 200 && body.contains("hello"), "gateway {node}: {status} {body}");
        let replicas = cloud.json_of(node, &["ps", "book"]);
        assert_eq!(replicas[0]["state"], "running", "ps from node {node}: {replicas}");
    }
    assert_eq!(cloud.get(0, "nobody", "/").0, 404);

    let paid = || cloud.json(&["usage", "book"])["settled"] != "0";
    until("the provider is paid", Duration::from_secs(40), paid);
    let usage = cloud.json(&["usage", "book"]);
    assert!(usage["lines"].as_array().unwrap().iter().any(|line| line["sku"] == "cpu.hour"), "{usage}");

    let again = cloud.json(&["deploy", folder]);
    assert_eq!(again["changed"], false, "nothing has changed: {again}");
    std::fs::copy(format!("{folder}/public/index.html"), format!("{folder}/public/two.html")).unwrap();
    let site =
        "name: book\nx-grange: { name: book, budget: \"10\" }\nservices:\n  api:\n    x-grange: { site: ./public }\n";
    std::fs::write(format!("{folder}/compose.yaml"), site).unwrap();
    let changed = cloud.json(&["deploy", folder]);
    assert_eq!(changed["leases"][0]["generation"], 2, "the service is replaced under its name: {changed}");
    let served = || cloud.get(1, "book", "/two.html").0 == 200;
    until("the new version is served", Duration::from_secs(10), served);

    let before = cloud.json(&["wallet", "balance"]);
    assert_ne!(before["pending"], "0");
    let down = cloud.json(&["down", "book", "--yes"]);
    assert_ne!(down["returned"], "0");
    until("the name is gone", Duration::from_secs(10), || cloud.get(0, "book", "/").0 == 404);
    let rest = || cloud.json(&["wallet", "balance"])["pending"] == "0";
    until("the rest of the budget is back", Duration::from_secs(60), rest);
    assert_eq!(cloud.run(&["dev", "stop"]).status.code(), Some(0));
    assert_eq!(cloud.run(&["dev", "stop"]).status.code(), Some(0), "also when none ran");
}

#[test]
fn one_node_is_a_whole_cloud() {
    let cloud = Cloud::start(1);
    let folder = cloud.guestbook("solo", "");
    cloud.json(&["deploy", folder.to_str().unwrap()]);
    assert_eq!(cloud.get(0, "solo", "/entries").0, 200);
    let status = cloud.json(&["status"]);
    assert_eq!(status["ready"], true);
    assert_eq!(status["peer"], cloud.nodes[0].peer.as_str());
}

#[test]
fn a_provider_keeps_its_price_and_its_pause_over_a_restart() {
    let mut cloud = Cloud::start(2);
    cloud.json_of(1, &["provider", "price", "--cpu-hour", "0.0625"]);
    cloud.json_of(1, &["provider", "pause"]);
    let offers = |cloud: &Cloud| cloud.json(&["offers"]).as_array().unwrap().len();
    until("its offer is gone", Duration::from_secs(10), || offers(&cloud) == 1);
    cloud.kill(1);
    cloud.revive(1);
    until("it is told again", Duration::from_secs(20), || {
        cloud.json(&["providers"]).as_array().unwrap().iter().any(|it| it["paused"] == true && it["connected"] == true)
    });
    assert_eq!(offers(&cloud), 1, "it is still paused");
    cloud.json_of(1, &["provider", "resume"]);
    until("its offer is back", Duration::from_secs(10), || offers(&cloud) == 2);
    let all = cloud.json(&["offers"]);
    let dear = |offer: &serde_json::Value| offer["prices"]["cpu_hour"] == "0.0625";
    assert!(all.as_array().unwrap().iter().any(dear), "{all}");
}

/// Commands that no other test of a cloud uses, each with the form that scripts rely on.
#[test]
fn the_other_commands_answer_in_their_documented_form() {
    let mut cloud = Cloud::start(2);
    let folder = cloud.guestbook("book", "");
    cloud.json(&["deploy", folder.to_str().unwrap()]);
    let has = |value: &serde_json::Value, fields: &[&str]| {
        for field in fields {
            assert!(value.get(field).is_some(), "{field} is not in {value}");
        }
    };
    has(&cloud.json(&["status"]), &["peer", "network", "roles", "height", "finalized_at", "peers", "ready", "reason"]);
    has(&cloud.json(&["offers"])[0], &["provider", "region", "kinds", "isolation", "price", "trust"]);
    has(&cloud.json(&["providers"])[0], &["provider", "paused", "connected"]);
    has(&cloud.json(&["peers"])[0], &["peer", "relayed"]);
    has(&cloud.json(&["ledger", "height"]), &["height", "finalized_at", "state_root"]);
    has(&cloud.json(&["wallet", "balance"]), &["account", "available", "pending"]);
    has(&cloud.json(&["network", "show"]), &["network", "validators"]);
    has(&cloud.json(&["key", "show"]), &["account", "keys"]);
    has(&cloud.json(&["invite"]), &["invite", "expires"]);
    let plan = cloud.json(&["plan", folder.to_str().unwrap()]);
    has(&plan, &["services", "total_per_hour"]);
    has(&plan["services"][0], &["name", "provider", "price_per_hour", "max_cost"]);
    let fields = ["deployment", "service", "replica", "provider", "generation", "state", "since", "url", "note"];
    has(&cloud.json(&["ps", "book"])[0], &fields);
    has(&cloud.json(&["usage", "book"]), &["lines", "total", "settled"]);
    assert_eq!(cloud.json(&["wallet", "history"])[0]["kind"], "budget");
    let lines = String::from_utf8(cloud.run(&["logs", "book", "--json"]).stdout).unwrap();
    assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{lines}");
    assert!(!cloud.run(&["completions", "bash"]).stdout.is_empty());
    cloud.json(&["doctor"]);

    cloud.json(&["name", "claim", "second", "book"]);
    until("both names lead to it", Duration::from_secs(10), || cloud.get(1, "second", "/entries").0 == 200);
    assert_eq!(cloud.json(&["name", "list"]).as_array().unwrap().len(), 2);
    cloud.json(&["name", "release", "second"]);
    until("it is free again", Duration::from_secs(10), || cloud.get(1, "second", "/entries").0 == 404);
    assert_eq!(cloud.problem(&["name", "release", "book"])["code"], "conflict", "the only name stays");

    // A log is followed over generations.
    let mut following = cloud.command(&["logs", "-f", "book", "--json"]);
    let mut following = following.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let compose = folder.join("compose.yaml");
    let text = std::fs::read_to_string(&compose).unwrap();
    std::fs::write(&compose, format!("{text}    environment: {{ COLOUR: blue }}\n")).unwrap();
    cloud.json(&["deploy", folder.to_str().unwrap()]);
    cloud.json(&["down", "book", "--yes"]);
    assert!(cloud.json(&["usage", "book"])["total"].is_string(), "the bill is still there");
    let _ = following.kill();
    let _ = following.wait();
    cloud.kill(0);
    let refused = cloud.problem(&["ps"]);
    assert_eq!(refused["code"], "no-node", "another operator's deployments are not one's own");
    cloud.revive(0);
}
