//! A node that keeps no ledger, beside four that do.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Cloud, until};

#[test]
fn a_light_node_answers_what_is_proven_to_it_and_sends_money() {
    let cloud = Cloud::start_with(4, &["--light", "1"]);
    assert_eq!(cloud.nodes.len(), 5);
    let folder = cloud.guestbook("shop", "");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    let light = |arguments: &[&str]| cloud.json_of(4, arguments);
    let status = light(&["status"]);
    assert_eq!((&status["light"], &status["ready"]), (&true.into(), &true.into()), "{status}");
    assert!(status["height"].as_u64().unwrap() > 0);

    // Entries of the ledger, each by a proof: an account, a lease, a name, and that there is none.
    let owner = cloud.json(&["wallet", "balance"])["account"].as_str().unwrap().to_owned();
    let proven = light(&["ledger", "account", &owner]);
    let kept = cloud.json(&["ledger", "account", &owner]);
    assert_eq!((&proven["keys"], &proven["pending"]), (&kept["keys"], &Value::Null));
    let lease = done["leases"][0]["lease"].as_str().unwrap();
    let (proven, kept) = (light(&["ledger", "lease", lease]), cloud.json(&["ledger", "lease", lease]));
    for field in ["deployment", "slot", "generation", "provider", "operator", "state", "max_rate"] {
        assert_eq!(proven[field], kept[field], "{field}");
    }
    assert_eq!(light(&["ledger", "name", "shop"])["owner"], owner.as_str());
    let api = cloud.nodes[4].api.as_str();
    for short in [["ledger", "account", &owner[..10]], ["ledger", "lease", &lease[..10]]] {
        let refused = cloud.problem(&[&["--node", api][..], &short].concat());
        assert_eq!(refused["code"], "unsupported", "it has no ledger to look through: {refused}");
        assert!(refused["remedy"].as_str().unwrap().contains("the whole id"), "{refused}");
    }
    let missing = cloud.problem(&["--node", api, "ledger", "name", "nobody"]);
    assert_eq!((&missing["code"], &missing["exit"]), (&"not-found".into(), &3.into()));
    assert_eq!(light(&["network", "show"])["validators"].as_array().unwrap().len(), 4);

    // It has money once it is given some, and spends it; what it says is final is in a block.
    let mine = light(&["wallet", "balance"])["account"].as_str().unwrap().to_owned();
    assert_eq!(light(&["wallet", "balance"])["available"], "0");
    cloud.json(&["wallet", "send", &mine, "5"]);
    until("it is proven", Duration::from_secs(20), || light(&["wallet", "balance"])["available"] == "5");
    let sent = light(&["wallet", "send", &owner, "2"]);
    assert!(sent["height"].as_u64().unwrap() > 0);
    assert_eq!(cloud.json(&["ledger", "account", &mine])["available"], "3");

    // What needs a ledger is refused with the remedy.
    let refused = cloud.problem(&["--node", api, "ps"]);
    assert_eq!(refused["code"], "unsupported", "{refused}");
    assert!(refused["remedy"].as_str().unwrap().contains("--node"));
    assert_eq!(refused["thing"], cloud.nodes[4].peer.as_str(), "the node itself, where nothing else is named");

    // It proves one name and lists none; and it takes no file of what it would not deploy.
    let refused = cloud.problem(&["--node", api, "name", "list"]);
    assert_eq!((&refused["code"], &refused["operation"]), (&"unsupported".into(), &"name list".into()), "{refused}");
    assert!(refused["remedy"].as_str().unwrap().contains("`grange ledger name NAME`"), "{refused}");
    let refused = cloud.problem(&["--node", api, "deploy", folder.to_str().unwrap()]);
    assert_eq!((&refused["code"], &refused["thing"]), (&"unsupported".into(), &"shop".into()), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("light node"), "{refused}");
    let blobs = std::fs::read_dir(cloud.root.path().join("data/grange/dev/node-4/blobs"));
    let files =
        blobs.into_iter().flatten().flatten().filter_map(|entry| std::fs::read_dir(entry.path()).ok()).flatten();
    assert_eq!(files.count(), 0, "nothing was uploaded");

    // It has no blocks for an auditor either, and says that it is no node to ask for them.
    let genesis = cloud.root.path().join("genesis.json");
    std::fs::write(&genesis, cloud.run(&["ledger", "genesis", "--json"]).stdout).unwrap();
    let genesis = genesis.to_str().unwrap();
    for (arguments, operation) in [
        (&["ledger", "verify", "--genesis", genesis][..], "ledger verify"),
        (&["ledger", "checkpoint"], "ledger checkpoint"),
        (&["usage", "verify", "shop", "--genesis", genesis], "usage verify"),
        (&["provider", "pause"], "provider pause"),
    ] {
        let refused = cloud.problem(&[&["--node", api], arguments].concat());
        assert_eq!((&refused["code"], &refused["operation"]), (&"unsupported".into(), &operation.into()), "{refused}");
        let named = if operation == "usage verify" { "shop" } else { cloud.nodes[4].peer.as_str() };
        assert_eq!(refused["thing"], named, "what is named, else the node itself: {refused}");
        assert!(refused["message"].as_str().unwrap().contains("light node"), "{refused}");
        assert!(refused["remedy"].as_str().unwrap().contains("--node URL"), "{refused}");
    }
    // It serves no names and sells nothing.
    let nodes = cloud.json(&["dev", "status"]);
    assert_eq!((&nodes["nodes"][4]["gateway"], &nodes["nodes"][4]["price"]), (&Value::Null, &Value::Null), "{nodes}");
    assert!(nodes["nodes"][3]["gateway"].is_string() && nodes["nodes"][3]["price"].is_string(), "{nodes}");

    // Nor has it what replicas write: it is told so, and not that there is no such deployment.
    for (arguments, operation) in [(&["logs", "shop"][..], "logs"), (&["data", "export", "shop"], "data export")] {
        let refused = cloud.problem(&[&["--node", api], arguments].concat());
        assert_eq!((&refused["code"], &refused["operation"]), (&"unsupported".into(), &operation.into()), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains("light node"), "{refused}");
        assert!(refused["remedy"].as_str().unwrap().contains("--node URL"), "{refused}");
    }
    // The time of a height is the one that its block has with everybody.
    let mut kept = BTreeMap::new();
    until("a height was seen by both", Duration::from_secs(30), || {
        let seen = cloud.json(&["ledger", "height"]);
        kept.insert(seen["height"].as_u64().unwrap(), seen);
        let proven = light(&["ledger", "height"]);
        assert!(proven["finalized_at"].is_string(), "{proven}");
        kept.get(&proven["height"].as_u64().unwrap()).inspect(|kept| assert_eq!(**kept, proven)).is_some()
    });

    // It keeps nothing of the ledger on its disk.
    let chain = cloud.root.path().join("data/grange/dev/node-4/chain");
    assert!(std::fs::metadata(chain).unwrap().len() < 100);

    // One after another may die: the next one proves.
    cloud.kill(1);
    cloud.kill(2);
    cloud.restart(2);
    until("it asks who is left", Duration::from_secs(30), || {
        let output = cloud.run(&["--node", api, "ledger", "name", "shop", "--json"]);
        output.status.success()
    });
}
