//! An auditor's own hands: the genesis in a file, every block of a real cloud verified, and what does not hold.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::liar::Liar;
use crate::support::{Cloud, text, until};

fn written(cloud: &Cloud, name: &str, value: &Value) -> PathBuf {
    let path = cloud.root.path().join(name);
    std::fs::write(&path, value.to_string()).unwrap();
    path
}

#[test]
fn a_chain_is_verified_from_its_genesis_and_another_genesis_is_refused() {
    let cloud = Cloud::start(4);
    let to = "55".repeat(32);
    let paid = cloud.json(&["wallet", "send", &to, "1", "--memo", "so that a block has a transaction"]);

    let genesis = cloud.json(&["ledger", "genesis"]);
    let file = written(&cloud, "genesis.json", &genesis);
    let verify = ["ledger", "verify", "--genesis", file.to_str().unwrap()];
    let before = cloud.json(&["status"])["height"].as_u64().unwrap();
    let verified = cloud.json(&verify);
    let after = cloud.json(&["status"])["height"].as_u64().unwrap();
    let height = verified["height"].as_u64().unwrap();
    assert!(before > 0 && (before..=after).contains(&height), "{before} <= {height} <= {after}");
    assert_eq!(verified["certificates"], verified["height"]);
    assert_eq!((&verified["ok"], &verified["from"]), (&Value::Bool(true), &Value::from("genesis")));
    assert_eq!(verified["state_root"].as_str().unwrap().len(), 64);

    // Each node is audited alone, also with the genesis that lies in a node's own folder.
    let own = cloud.nodes[0].token_file.with_file_name("genesis");
    for node in 0..4 {
        assert_eq!(cloud.json_of(node, &["ledger", "verify", "--genesis", own.to_str().unwrap()])["ok"], true);
    }

    altered_blocks_are_named(&cloud, paid["height"].as_u64().unwrap(), &verify);

    let mut richer = genesis;
    richer["accounts"][0]["balance"] = "1000001".into();
    let file = written(&cloud, "richer.json", &richer);
    let problem = cloud.problem(&["ledger", "verify", "--genesis", file.to_str().unwrap()]);
    assert_eq!((&problem["code"], &problem["exit"]), (&"chain-invalid".into(), &1.into()), "{problem}");
    let message = problem["message"].as_str().unwrap();
    assert!(message.starts_with("height 1:") && message.contains("two networks"), "{problem}");
    let network = &cloud.json(&["network", "show"])["network"];
    assert!(message.contains(network.as_str().unwrap()), "{problem}");
}

/// A node that shows one block, or its certificate, other than it was decided: the command ends with 1 and names the height.
fn altered_blocks_are_named(cloud: &Cloud, height: u64, verify: &[&str]) {
    let liar = Liar::before(&cloud.nodes[0].api);
    let token_file = cloud.nodes[0].token_file.to_str().unwrap();
    let asked = [&["--node", &liar.api, "--token-file", token_file][..], verify].concat();
    assert_eq!(cloud.json(&asked)["ok"], true, "as long as it alters nothing");
    for field in ["block", "certificate"] {
        liar.alter(height, field);
        let problem = cloud.problem(&asked);
        assert_eq!((&problem["code"], &problem["exit"]), (&"chain-invalid".into(), &1.into()), "{problem}");
        assert_eq!(problem["thing"], liar.api.as_str(), "the node that shows it");
        let named = format!("height {height}:");
        assert!(problem["message"].as_str().unwrap().starts_with(&named), "{problem}");
        let plain = cloud.run(&asked);
        let (out, err) = (text(&plain.stdout), text(&plain.stderr));
        assert_eq!(plain.status.code(), Some(1), "{out} {err}");
        assert!(out.is_empty() && err.contains(&named), "{out} {err}");
    }
}

/// Makes the node of a cloud of one decide so many blocks: one for each payment.
fn pay(cloud: &Cloud, times: usize) {
    let token = std::fs::read_to_string(&cloud.nodes[0].token_file).unwrap();
    let agent = ureq::agent();
    for time in 0..times {
        let body = serde_json::json!({"to": "55".repeat(32), "amount": "0.001", "memo": time.to_string()});
        let mut answer = agent
            .post(format!("{}/v1/wallet/transfers", cloud.nodes[0].api))
            .header("authorization", format!("Bearer {}", token.trim()))
            .header("content-type", "application/json")
            .send(body.to_string())
            .unwrap();
        // Read to its end, so that the connection is used again.
        answer.body_mut().read_to_string().unwrap();
    }
}

#[test]
fn a_kept_checkpoint_leads_to_the_same_state_as_the_genesis() {
    let cloud = Cloud::start(1);
    pay(&cloud, 2_050);
    let genesis = written(&cloud, "genesis.json", &cloud.json(&["ledger", "genesis"]));
    let kept = cloud.json(&["ledger", "checkpoint"]);
    assert_eq!(kept["height"], 2_000, "{kept}");
    let checkpoint = written(&cloud, "checkpoint.json", &kept);
    let from_genesis = ["ledger", "verify", "--genesis", genesis.to_str().unwrap()];
    let from_checkpoint = [&from_genesis[..], &["--checkpoint", checkpoint.to_str().unwrap()]].concat();
    let short = cloud.json(&from_checkpoint);
    assert_eq!((&short["from"], &short["ok"]), (&Value::from("checkpoint"), &Value::Bool(true)), "{short}");
    assert_eq!(short["certificates"].as_u64().unwrap() + 2_000, short["height"].as_u64().unwrap());
    // An empty block may come between the two; then the longer way leads further.
    let long = cloud.json(&from_genesis);
    assert!(long["height"].as_u64() >= short["height"].as_u64(), "{long} {short}");
    if long["height"] == short["height"] {
        assert_eq!(long["state_root"], short["state_root"]);
    }

    let mut wrong = kept.clone();
    wrong["digest"] = "00".repeat(32).into();
    let wrong = written(&cloud, "wrong.json", &wrong);
    let problem = cloud.problem(&[&from_genesis[..], &["--checkpoint", wrong.to_str().unwrap()]].concat());
    assert_eq!((&problem["code"], &problem["exit"]), (&"chain-invalid".into(), &1.into()), "{problem}");
    assert!(problem["message"].as_str().unwrap().starts_with("height 2000:"), "{problem}");
}

#[test]
fn files_that_are_none_and_a_cloud_too_young_for_a_checkpoint_are_said() {
    let cloud = Cloud::start(1);
    let nonsense = written(&cloud, "nonsense", &Value::from("genesis"));
    let refused = cloud.problem(&["ledger", "verify", "--genesis", nonsense.to_str().unwrap()]);
    assert_eq!((&refused["code"], &refused["exit"]), (&"malformed".into(), &2.into()), "{refused}");
    let missing = cloud.problem(&["ledger", "verify", "--genesis", "/nowhere/genesis"]);
    assert_eq!((&missing["code"], &missing["exit"]), (&"not-found".into(), &3.into()), "{missing}");
    let young = cloud.problem(&["ledger", "checkpoint"]);
    assert_eq!((&young["code"], &young["exit"]), (&"not-found".into(), &3.into()), "{young}");

    // A checkpoint from 1970 is refused before a node is asked for anything.
    let genesis = written(&cloud, "genesis.json", &cloud.json(&["ledger", "genesis"]));
    let network = &cloud.json(&["network", "show"])["network"];
    let zero = "00".repeat(32);
    let old = serde_json::json!({
        "network": network, "height": 7, "time": "1970-01-01T00:00:00.000Z", "state_root": zero, "digest": zero
    });
    let old = written(&cloud, "old.json", &old);
    let begin = ["ledger", "verify", "--genesis", genesis.to_str().unwrap(), "--checkpoint", old.to_str().unwrap()];
    let problem = cloud.problem(&begin);
    assert_eq!((&problem["code"], &problem["exit"]), (&"chain-invalid".into(), &1.into()), "{problem}");
    let message = problem["message"].as_str().unwrap();
    assert!(message.starts_with("height 7:") && message.contains("long-range"), "{problem}");
}

#[test]
fn a_bill_is_made_again_from_the_receipts_in_the_blocks() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("billed", "");
    cloud.json(&["deploy", folder.to_str().unwrap()]);
    let paid = || cloud.json(&["usage", "billed"])["settled"] != "0";
    until("a first payment", Duration::from_secs(60), paid);
    let genesis = written(&cloud, "genesis.json", &cloud.json(&["ledger", "genesis"]));
    let verify = ["usage", "verify", "billed", "--genesis", genesis.to_str().unwrap()];
    let verified = cloud.json(&verify);
    assert_eq!((&verified["ok"], &verified["from"]), (&true.into(), &"genesis".into()), "{verified}");
    assert!(verified["receipts"].as_u64().unwrap() >= 1 && verified["settled"] != "0", "{verified}");
    assert!(!verified["lines"].as_array().unwrap().is_empty());
    // The provider's side makes the same from its own blocks.
    let other = cloud.json_of(1, &verify);
    assert_eq!(other["ok"], true);
    let unknown = cloud.problem(&["usage", "verify", "nope", "--genesis", genesis.to_str().unwrap()]);
    assert_eq!((&unknown["code"], &unknown["exit"]), (&"not-found".into(), &3.into()), "{unknown}");

    // It is removed, and has its bill still: by its name at its owner's, also after a restart, by its id everywhere.
    cloud.json(&["down", "billed", "--yes"]);
    cloud.kill(0);
    cloud.revive(0);
    let bill = cloud.json(&["usage", "billed"]);
    let id = bill["deployment"].as_str().unwrap();
    assert!(bill["settled"] != "0" && id.len() == 64, "{bill}");
    assert_eq!(cloud.json(&verify)["ok"], true);
    let by_id = ["usage", "verify", id, "--genesis", genesis.to_str().unwrap()];
    assert_eq!(cloud.json_of(1, &by_id)["ok"], true);
    let foreign = cloud.problem(&["--node", &cloud.nodes[1].api, "usage", "billed"]);
    assert!(foreign["remedy"].as_str().unwrap().contains("give the id"), "{foreign}");
    let logs = cloud.problem(&["logs", "billed"]);
    assert_eq!((&logs["code"], &logs["exit"]), (&"not-found".into(), &3.into()), "{logs}");
    assert!(logs["message"].as_str().unwrap().starts_with("billed was removed at 20"), "{logs}");
}
