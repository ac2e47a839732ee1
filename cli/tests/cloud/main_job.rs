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
