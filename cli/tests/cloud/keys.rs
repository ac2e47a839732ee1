//! API keys as a script uses them, and the audit log that says what it did.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Cloud, Node, text, until};

/// Puts a key where only its user reads it.
fn keep(cloud: &Cloud, name: &str, token: &serde_json::Value) -> PathBuf {
    let file = cloud.root.path().join(name);
    std::fs::write(&file, token.as_str().unwrap()).unwrap();
    file
}

fn metric(node: &Node, name: &str) -> u64 {
    let page = ureq::get(format!("{}/metrics", node.api)).call().unwrap().body_mut().read_to_string().unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} on {page}"))
}

#[test]
fn a_key_does_what_its_scopes_say_until_it_is_revoked_and_all_of_it_is_written_down() {
    let cloud = Cloud::start(1);
    let scope = ["key", "create", "--name", "ci", "--scope", "deploy,read", "--prefix", "shop", "--max-spend", "15"];
    let made = cloud.json(&scope);
    assert_eq!((&made["state"], &made["until"]), (&"active".into(), &serde_json::Value::Null));
    let file = keep(&cloud, "ci.key", &made["token"]);
    let with = |arguments: &[&str]| [&["--token-file", file.to_str().unwrap()], arguments].concat().join("\n");
    let json = |arguments: &[&str]| cloud.json(&with(arguments).split('\n').collect::<Vec<_>>());
    let denied = |arguments: &[&str]| {
        let problem = cloud.problem(&with(arguments).split('\n').collect::<Vec<_>>());
        assert_eq!((&problem["code"], &problem["exit"]), (&"denied".into(), &4.into()), "{problem}");
        problem.to_string()
    };
    assert_eq!(cloud.problem(&scope)["code"], "conflict", "a name stands for one key");
    let (shop, other) = (cloud.guestbook("shop", ""), cloud.guestbook("other", ""));
    let before = cloud.json(&["wallet", "balance"]);
    assert!(denied(&["deploy", other.to_str().unwrap()]).contains("begin with shop"));
    assert!(denied(&["wallet", "balance"]).contains("the whole account"));
    assert!(denied(&["wallet", "send", &"33".repeat(32), "1"]).contains("lacks the scope pay"));
    assert!(denied(&["key", "list"]).contains("only the node's owner"));
    assert!(denied(&["audit"]).contains("only the node's owner"));
    assert_eq!(cloud.json(&["wallet", "balance"]), before);
    let dear = cloud.guestbook("shop-dear", "");
    let compose = dear.join("compose.yaml");
    let raised = std::fs::read_to_string(&compose).unwrap().replace("budget: \"10\"", "budget: \"16\"");
    std::fs::write(&compose, raised).unwrap();
    // What it could not deploy it is shown no plan of.
    let said = denied(&["plan", dear.to_str().unwrap()]);
    assert!(said.contains("the key may spend 15 in all and has spent 0; this would spend 16"), "{said}");
    assert_eq!(json(&["deploy", shop.to_str().unwrap()])["deployment"], "shop");
    assert_eq!(json(&["ps"]).as_array().unwrap().len(), 1);
    // What it takes once more is beyond what it may spend in its life: 10 of 15 are gone.
    assert_eq!(cloud.json(&["key", "list"])[0]["spent"], "10");
    json(&["down", "shop", "--yes"]);
    until("the name is free", Duration::from_secs(10), || cloud.json(&["ps"]).as_array().unwrap().is_empty());
    assert!(denied(&["deploy", shop.to_str().unwrap()]).contains("may spend 15 in all and has spent 10"));

    // It is handed on with less, without a node.
    let less = json(&["key", "narrow", "--name", "look", "--scope", "read", "--until", "1h"]);
    let look = keep(&cloud, "look.key", &less["token"]);
    let look = look.to_str().unwrap();
    assert_eq!(cloud.json(&["--token-file", look, "status"])["ready"], true);
    assert_eq!(cloud.problem(&["--token-file", look, "down", "shop", "--yes"])["code"], "denied");
    let wider = cloud.problem(&["--token-file", look, "key", "narrow", "--name", "x", "--scope", "deploy"]);
    assert_eq!(wider["code"], "usage", "{wider}");

    cloud.json(&["key", "revoke", "ci"]);
    for file in [file.to_str().unwrap(), look] {
        let refused = cloud.problem(&["--token-file", file, "status"]);
        assert_eq!((&refused["code"], &refused["message"]), (&"unauthorized".into(), &"the key is revoked".into()));
    }
    written_down(&cloud, made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
}

/// What the audit log says of the above.
fn written_down(cloud: &Cloud, token: &str, id: &str) {
    let output = cloud.run(&["audit", "--principal", id, "--json"]);
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |call: &str| -> Vec<(String, String, u64)> {
        let found = lines.iter().filter(|line| line["call"] == call);
        let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        found.map(|line| (word(&line["object"]), word(&line["result"]), line["status"].as_u64().unwrap())).collect()
    };
    let said = |object: &str, result: &str, status: u64| (object.to_owned(), result.to_owned(), status);
    assert_eq!(of("deploy"), [said("other", "denied", 403), said("shop", "ok", 200), said("shop", "denied", 403)]);
    assert_eq!(of("wallet"), [said("", "denied", 403)]);
    assert_eq!(of("down"), [said("shop", "ok", 200), said("", "denied", 403)]);
    assert!(lines.iter().all(|line| line["request"].as_str().unwrap().len() == 16));
    assert!(lines.windows(2).all(|pair| pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64()));
    let folder = cloud.root.path().join("data/grange/dev/node-0");
    let log = std::fs::read_to_string(folder.join("audit.ndjson")).unwrap();
    let own = std::fs::read_to_string(&cloud.nodes[0].token_file).unwrap();
    for secret in [token, own.trim()] {
        assert!(!log.contains(secret), "a secret is in the audit log");
        assert!(!std::fs::read_to_string(folder.join("keys.json")).unwrap().contains(secret));
    }
    assert!(metric(&cloud.nodes[0], "grange_api_denied_total") >= 8);
    assert_eq!(metric(&cloud.nodes[0], "grange_api_audit_lost_total"), 0);
}

#[test]
fn a_key_ends_with_its_time_also_in_a_variable_and_across_a_restart() {
    let mut cloud = Cloud::start(1);
    let short = cloud.json(&["key", "create", "--name", "short", "--scope", "read", "--until", "2s"]);
    let long = cloud.json(&["key", "create", "--name", "long", "--scope", "read"]);
    let status = |token: &serde_json::Value| {
        let mut command = cloud.command(&["status", "--json"]);
        command.env("GRANGE_TOKEN", token.as_str().unwrap()).output().unwrap()
    };
    assert!(status(&short["token"]).status.success());
    until("it is expired", Duration::from_secs(20), || {
        let output = status(&short["token"]);
        output.status.code() == Some(4) && text(&output.stderr).contains("the key is expired")
    });
    assert_eq!(cloud.run(&["key", "create", "--name", "bad", "--scope", "root"]).status.code(), Some(2));
    let seq = |cloud: &Cloud| {
        let output = text(&cloud.run(&["audit", "--json"]).stdout);
        serde_json::from_str::<serde_json::Value>(output.lines().last().unwrap()).unwrap()["seq"].as_u64().unwrap()
    };
    let before = seq(&cloud);
    cloud.kill(0);
    until("it is gone", Duration::from_secs(10), || !cloud.run(&["status"]).status.success());
    cloud.revive(0);
    assert!(seq(&cloud) > before, "numbers go on");
    let mut command = cloud.command(&["status", "--json"]);
    assert!(command.env("GRANGE_TOKEN", long["token"].as_str().unwrap()).output().unwrap().status.success());
    let revoked = cloud.json(&["key", "revoke", "--all"]);
    assert_eq!(revoked[0]["name"], "long");
    let states = cloud.json(&["key", "list"]);
    assert!(states.as_array().unwrap().iter().all(|key| key["state"] == "revoked"), "{states}");
}

#[test]
fn a_key_with_a_prefix_sees_its_own_by_any_name_and_nothing_of_the_rest() {
    let cloud = Cloud::start(2);
    let scopes = "read,data,deploy,name,pay,sell,invite";
    let made = cloud.json(&["key", "create", "--name", "shops", "--scope", scopes, "--prefix", "shop"]);
    let file = keep(&cloud, "shops.key", &made["token"]);
    let with = |arguments: &[&str]| [&["--token-file", file.to_str().unwrap()], arguments].concat().join("\n");
    let json = |arguments: &[&str]| cloud.json(&with(arguments).split('\n').collect::<Vec<_>>());
    let problem = |arguments: &[&str]| cloud.problem(&with(arguments).split('\n').collect::<Vec<_>>());
    let other = cloud.json(&["deploy", cloud.guestbook("other", "").to_str().unwrap()]);
    for (arguments, what) in [(&["ps"][..], "is deployed"), (&["name", "list"], "the account holds no names")] {
        let output = cloud.run(&with(arguments).split('\n').collect::<Vec<_>>());
        let said = text(&output.stderr);
        assert!(said.contains(what) && said.contains("begin") && said.contains(" with shop"), "{said}");
    }
    let shop = json(&["deploy", cloud.guestbook("shop", "").to_str().unwrap()]);
    let id = |done: &serde_json::Value| done["id"].as_str().unwrap().to_owned();
    let lease = |done: &serde_json::Value| done["leases"][0]["lease"].as_str().unwrap().to_owned();
    let account = cloud.json(&["wallet", "balance"])["account"].as_str().unwrap().to_owned();

    // Its own, by the name, the id, and as short as the program prints ids.
    let (shop_id, shop_lease) = (id(&shop), lease(&shop));
    for name in ["shop", &shop_id, &shop_id[..10]] {
        assert_eq!(json(&["ps", name])[0]["deployment"], "shop");
        assert_eq!(json(&["usage", name])["deployment"], shop_id.as_str());
        assert!(cloud.run(&with(&["logs", name]).split('\n').collect::<Vec<_>>()).status.success());
    }
    assert_eq!(json(&["ledger", "lease", &shop_lease[..10]])["lease"], shop_lease.as_str());
    assert_eq!(json(&["ledger", "name", "shop"])["deployment"], "shop");

    // Another's is told from what is not there by nothing.
    let nobody = "0123456789".repeat(6) + "0123";
    let (other_id, other_lease) = (id(&other), lease(&other));
    for command in [&["ps"][..], &["usage"], &["logs"], &["data", "export"], &["down", "--yes"]] {
        for (hidden, absent) in [(&other_id[..], &nobody[..]), (&other_id[..10], &nobody[..10])] {
            let (hidden, absent) = (problem(&[command, &[hidden]].concat()), problem(&[command, &[absent]].concat()));
            assert_eq!(hidden["code"], "not-found", "{hidden}");
            for field in ["code", "exit", "operation", "remedy"] {
                assert_eq!(hidden[field], absent[field]);
            }
        }
        assert_eq!(problem(&[command, &["other"]].concat())["code"], "denied");
    }
    assert_eq!(
        problem(&["ledger", "lease", &other_lease])["message"],
        problem(&["ledger", "lease", &nobody])["message"]
    );
    assert_eq!(cloud.json(&["ps"]).as_array().unwrap().len(), 2, "nothing was ended");

    // Nor is there anything of accounts, by whatever way; what all nodes know stays open.
    let genesis = cloud.root.path().join("genesis.json");
    std::fs::write(&genesis, json(&["ledger", "genesis"]).to_string()).unwrap();
    let genesis = genesis.to_str().unwrap();
    for refused in [
        &["ledger", "account", &account][..],
        &["ledger", "account", &account[..10]],
        &["ledger", "name", "other"],
        &["ledger", "checkpoint"],
        &["ledger", "verify", "--genesis", genesis],
        &["usage", "verify", "shop", "--genesis", genesis],
        &["wallet", "balance"],
        &["wallet", "caps"],
        &["wallet", "history"],
        &["key", "show"],
        &["provider", "price", "--cpu-hour", "1"],
        &["provider", "pause"],
        &["name", "claim", "other-two", "shop"],
        &["invite"],
    ] {
        let problem = problem(refused);
        assert_eq!(problem["code"], "denied", "{refused:?}: {problem}");
    }
    for open in [&["status"][..], &["peers"], &["offers"], &["providers"], &["provider", "price"], &["network", "show"]]
    {
        json(open);
    }
    assert_eq!(json(&["name", "list"]).as_array().unwrap().len(), 1);

    // It ends its own by the id, and the bill says so.
    assert_eq!(json(&["down", &shop_id[..10], "--yes"])["deployment"], "shop");
    let bill = json(&["usage", &shop_id]);
    assert!(bill["removed"].is_string() && bill["final"].is_boolean(), "{bill}");
    let said = text(&cloud.run(&["usage", "shop"]).stdout);
    assert!(said.contains("it was removed at 20") && said.contains("; the bill is "), "{said}");
    assert_eq!(cloud.json(&["ps"])[0]["deployment"], "other");
}

#[test]
fn a_key_is_shown_to_no_node_but_its_own() {
    let cloud = Cloud::start(2);
    let shop = cloud.guestbook("shop", "");
    cloud.json(&["deploy", shop.to_str().unwrap()]);
    let made = cloud.json(&["key", "create", "--name", "z", "--scope", "read,data", "--prefix", "zz"]);
    let file = keep(&cloud, "z.key", &made["token"]);
    let file = file.to_str().unwrap();
    for command in [&["logs", "shop"][..], &["data", "export", "shop"]] {
        let problem = cloud.problem(&[&["--token-file", file], command].concat());
        assert_eq!((&problem["code"], &problem["exit"]), (&"denied".into(), &4.into()), "{problem}");
        assert!(problem["message"].as_str().unwrap().contains("begin with zz"), "{problem}");
    }
    assert_eq!(metric(&cloud.nodes[1], "grange_api_denied_total"), 0, "another operator's node was shown it");
    // Nor where the first one is dead.
    cloud.kill(0);
    assert_eq!(cloud.problem(&["--token-file", file, "logs", "shop"])["code"], "no-node");
    assert_eq!(metric(&cloud.nodes[1], "grange_api_denied_total"), 0);
}
