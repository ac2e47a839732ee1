//! Trust of real processes: it is measured, shown, demanded and kept; and an order that is placed to see.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Cloud, text, until};

/// What a node's own eyes saw of another's operator: (good, bad) of a kind.
fn own(cloud: &Cloud, node: usize, kind: &str) -> (u64, u64) {
    let reports = cloud.json(&["trust", &cloud.nodes[node].peer]);
    let lines = reports[0]["evidence"].as_array().unwrap().clone();
    let ours = lines.into_iter().filter(|line| line["kind"] == kind && line["standing"] == "own");
    let number = |value: &Value| value.as_u64().unwrap();
    ours.fold((0, 0), |(good, bad), line| (good + number(&line["good"]), bad + number(&line["bad"])))
}

#[test]
fn trust_is_measured_shown_and_demanded() {
    let mut cloud = Cloud::start(4);
    until("everybody was seen", Duration::from_secs(60), || (1..4).all(|node| own(&cloud, node, "uptime").0 > 0));
    let reports = cloud.json(&["trust"]);
    assert_eq!(reports.as_array().unwrap().len(), 3, "all but oneself: {reports}");
    let offers = cloud.json(&["offers"]);
    let theirs = offers.as_array().unwrap().iter().find(|offer| offer["provider"] == cloud.nodes[1].peer.as_str());
    let theirs = theirs.unwrap();
    assert!(theirs["trust"].is_u64() && theirs["evidence"].as_str().unwrap().starts_with("uptime"), "{theirs}");
    let shown = text(&cloud.run(&["trust", &cloud.nodes[1].peer]).stdout);
    assert!(shown.contains("own evidence") && shown.contains("uptime") && shown.contains("weighs now"), "{shown}");
    let unknown = cloud.problem(&["trust", "nobody"]);
    assert_eq!(unknown["code"], "not-found");
    assert!(unknown["remedy"].as_str().unwrap().contains("grange trust"), "{unknown}");

    let folder = cloud.guestbook("strict", ", trust_min: 90");
    let refused = cloud.problem(&["deploy", folder.to_str().unwrap()]);
    assert_eq!(refused["code"], "no-offer");
    assert!(refused["message"].as_str().unwrap().contains("trusted less than the 90"), "{refused}");
    assert!(refused["remedy"].as_str().unwrap().contains("trust_min"), "{refused}");

    // Of oneself there is no number, and that is said.
    let me = cloud.json(&["status"])["operator"].clone();
    let mine = cloud.json(&["trust", &cloud.nodes[0].peer]);
    assert_eq!((&mine[0]["operator"], &mine[0]["seen_by"], &mine[0]["trust"]), (&me, &me, &Value::Null), "{mine}");
    let shown = text(&cloud.run(&["trust", &cloud.nodes[0].peer]).stdout);
    assert!(shown.contains("nobody measures himself") && shown.contains("--node URL"), "{shown}");

    let before = own(&cloud, 1, "uptime").0;
    cloud.kill(3);
    until("its absence is seen", Duration::from_secs(180), || own(&cloud, 3, "uptime").1 > 0);
    let offers = cloud.json(&["offers"]);
    let gone = |offer: &&Value| offer["provider"] == cloud.nodes[3].peer.as_str();
    let gone = offers.as_array().unwrap().iter().find(gone).unwrap();
    assert!(gone["connected"] == false && gone["heard"].is_string(), "{gone}");
    assert!(text(&cloud.run(&["offers"]).stdout).contains(" s ago"), "{offers}");
    // What was seen first was stored at once.
    cloud.kill(0);
    // Where the first node is dead another one answers; whose view that is stands in the answer.
    let second = cloud.json_of(1, &["status"])["operator"].clone();
    let theirs = cloud.json(&["trust"]);
    assert!(theirs.as_array().unwrap().iter().all(|report| report["seen_by"] == second), "{theirs}");
    let shown = text(&cloud.run(&["trust"]).stdout);
    assert!(shown.contains(&format!("seen by {}", theirs[0]["seen_by_name"].as_str().unwrap())), "{shown}");
    cloud.revive(0);
    assert!(before > 0 && own(&cloud, 1, "uptime").0 > 0, "what was seen survives a restart");
}

#[test]
fn an_order_that_is_placed_to_see_is_real_and_tells_who_serves() {
    let mut cloud = Cloud::start(4);
    let settings = Path::new(&cloud.nodes[0].token_file).with_file_name("node.json");
    let mut told: Value = serde_json::from_slice(&std::fs::read(&settings).unwrap()).unwrap();
    told["canaries"] = "0.01".into();
    cloud.kill(0);
    std::fs::write(&settings, told.to_string()).unwrap();
    cloud.revive(0);
    // None is placed before the account has a cap, which would else follow the budget of an order.
    cloud.json(&["wallet", "caps", "--per-day", "100"]);
    let served = |cloud: &Cloud| (1..4).map(|node| own(cloud, node, "canary").0).sum::<u64>();
    until("one served", Duration::from_secs(120), || served(&cloud) > 0);
    let history = cloud.json(&["wallet", "history"]);
    assert!(history.as_array().unwrap().iter().any(|entry| entry["kind"] == "budget"), "it costs money: {history}");
    let closed = || {
        let history = cloud.json(&["wallet", "history"]);
        history.as_array().unwrap().iter().any(|entry| entry["kind"] == "refund")
    };
    until("it is closed and the rest of its budget is back", Duration::from_secs(150), closed);
}
