//! New rules on a cloud that runs, and a node that is left behind.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Cloud, until};

/// A transfer whose memo only the second rules allow.
fn pay(cloud: &Cloud, node: usize) -> Result<Value, Value> {
    let (to, memo) = ("55".repeat(32), "m".repeat(100));
    let arguments = ["--node", &cloud.nodes[node].api, "wallet", "send", &to, "1", "--memo", &memo];
    let output = cloud.run(&[&arguments[..], &["--json"]].concat());
    let text = crate::support::text(if output.status.success() { &output.stdout } else { &output.stderr });
    let value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    if output.status.success() { Ok(value) } else { Err(value) }
}

#[test]
fn new_rules_hold_for_all_at_one_height_and_a_node_left_behind_says_so_and_goes_on_serving() {
    let mut cloud = Cloud::start_with(4, &["--rules", "1"]);
    let folder = cloud.guestbook("shop", "");
    cloud.json(&["deploy", folder.to_str().unwrap()]);
    let network = |cloud: &Cloud, node: usize| cloud.json_of(node, &["network", "show"]);
    let shown = network(&cloud, 1);
    assert_eq!((&shown["protocol"], &shown["follows"], &shown["upgrade"]), (&1.into(), &1.into(), &Value::Null));
    let refused = pay(&cloud, 1).unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("at most 64 bytes"), "{refused}");

    // One node after another gets the new program; the cloud decides all the while.
    for node in 1..4 {
        assert_eq!(network(&cloud, 0)["protocol"], 1, "three of four are needed");
        cloud.kill(node);
        cloud.json(&["dev", "start", &node.to_string(), "--rules", "2"]);
        cloud.resume(4);
    }
    until("the new rules hold", Duration::from_secs(60), || network(&cloud, 1)["protocol"] == 2);
    until("they allow what they allow", Duration::from_secs(10), || pay(&cloud, 1).is_ok());

    // The one that was left behind says what is to be done, changes nothing, and serves what it serves.
    let left = || cloud.json_of(0, &["status"]);
    until("it says so", Duration::from_secs(20), || left()["ready"] == false);
    let reason = left()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("this node follows 1") && reason.contains("upgrade grange"), "{reason}");
    assert_eq!(network(&cloud, 0)["follows"], 1);
    assert_eq!(pay(&cloud, 0).unwrap_err()["code"], "ledger-halted");
    assert_eq!(cloud.get(0, "shop", "/entries").0, 200);
    assert_eq!(cloud.post(0, "shop", "/entries", r#"{"name":"a","message":"b"}"#).0, 201);

    // With the new program it catches up.
    cloud.kill(0);
    cloud.json(&["dev", "start", "0", "--rules", "2"]);
    cloud.resume(4);
    assert_eq!(network(&cloud, 0)["protocol"], 2);
    until("it takes part again", Duration::from_secs(20), || pay(&cloud, 0).is_ok());
    assert!(cloud.get(0, "shop", "/entries").1.contains("\"message\":\"b\""));
}
