//! `kill -9` of real processes: nothing acknowledged is lost, what runs goes on, what died is replaced.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::load::{GONE, Load, NOT_NOW, Through};
use crate::support::{Cloud, UNIT, http, text, units, until};

/// Credits that each operator of a dev cloud begins with, and those of a test's deployment.
const MONEY: u128 = 1_000_000;
const BUDGET: u128 = 10;

fn height(cloud: &Cloud, node: usize) -> u64 {
    cloud.json_of(node, &["ledger", "height"])["height"].as_u64().unwrap()
}

/// No two nodes ever name different states for the same height.
fn one_chain(cloud: &Cloud) {
    let mut roots: BTreeMap<u64, String> = BTreeMap::new();
    let mut compared = 0;
    for _ in 0..200 {
        for node in 0..cloud.nodes.len() {
            let at = cloud.json_of(node, &["ledger", "height"]);
            let root = at["state_root"].as_str().unwrap().to_owned();
            if let Some(known) = roots.insert(at["height"].as_u64().unwrap(), root.clone()) {
                assert_eq!(known, root, "two states at {at}");
                compared += 1;
            }
        }
        if compared >= 8 {
            return;
        }
    }
    panic!("the nodes never stood at the same height");
}

#[test]
fn any_one_of_four_may_die_under_load() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("loaded", "");
    cloud.json(&["deploy", folder.to_str().unwrap()]);
    let load = Load::new();
    for victim in 0..4 {
        let others: Vec<usize> = (0..4).filter(|node| *node != victim).collect();
        load.run(&cloud, Through { payers: &others, gateways: &others, app: "loaded" }, || {
            cloud.kill(victim);
            load.until_it_goes_on("both go on without it");
        });
        let reached = height(&cloud, others[0]);
        let started = Instant::now();
        cloud.revive(victim);
        let caught_up = || height(&cloud, victim) >= reached;
        until("it catches up", Duration::from_secs(10), caught_up);
        assert!(started.elapsed() < Duration::from_secs(10), "from its start on: {:?}", started.elapsed());
        load.is_kept_by(&cloud, victim);
    }
    load.was_refused_only_as(&NOT_NOW);
    one_chain(&cloud);
}

#[test]
fn a_dead_provider_is_replaced_and_its_old_lease_serves_nothing() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("moved", "");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    let provider = cloud.index_of(done["leases"][0]["provider"].as_str().unwrap());
    assert_ne!(provider, 0, "another operator serves it");
    assert_eq!(cloud.post(0, "moved", "/entries", r#"{"name":"a","message":"before"}"#).0, 201);

    let others: Vec<usize> = (0..4).filter(|node| *node != provider).collect();
    let load = Load::new();
    load.run(&cloud, Through { payers: &others, gateways: &others, app: "moved" }, || {
        cloud.kill(provider);
        let served = || cloud.get(0, "moved", "/entries").0 == 200;
        until("it is gone", Duration::from_secs(5), || !served());
        until("another operator serves it", Duration::from_secs(15), served);
    });
    load.was_refused_only_as(&NOT_NOW);
    load.is_kept_by(&cloud, 0);
    let replicas = cloud.json(&["ps", "moved"]);
    assert_eq!(replicas[0]["generation"], 2, "{replicas}");
    assert_ne!(replicas[0]["provider"], cloud.nodes[provider].peer.as_str());
    let copied = || cloud.json(&["ps", "moved"])[0]["copies"].as_u64() >= Some(2);
    until("it has copies again", Duration::from_secs(5), copied);
    assert!(cloud.get(0, "moved", "/entries").1.contains("before"), "what was acknowledged is there");

    // The present data is whole without the dead one, which only whoever wants more than that is told of.
    let (present, notes) = exported(&cloud, &["moved"]);
    assert!(!present.is_empty() && present.iter().all(|line| is_of(line, 2, true)), "{present:?}");
    assert!(notes.contains("--earlier"), "{notes}");
    let (all, notes) = exported(&cloud, &["moved", "--earlier"]);
    assert!(all == present && notes.contains("cannot be asked now"), "{notes}");
    let logs = cloud.run(&["logs", "moved"]);
    assert!(logs.status.success() && text(&logs.stderr).contains("is generation 2 since 20"), "{logs:?}");

    cloud.revive(provider);
    old_lease_serves_nothing(&cloud, provider, "moved", done["leases"][0]["lease"].as_str().unwrap());
    let (all, notes) = exported(&cloud, &["moved", "--earlier"]);
    assert!(!notes.contains("note"), "{notes}");
    assert!(all.iter().any(|line| is_of(line, 1, false)), "the old copy is kept: {all:?}");
    assert!(all.iter().any(|line| is_of(line, 2, true)) && exported(&cloud, &["moved"]).0 == present);
    let logs = cloud.run(&["logs", "moved", "--earlier", "--json"]);
    assert!(logs.status.success() && !text(&logs.stdout).contains("\"note\""), "{logs:?}");
}

/// The lines of an export that succeeds, and what it says on stderr.
#[track_caller]
fn exported(cloud: &Cloud, arguments: &[&str]) -> (Vec<Value>, String) {
    let output = cloud.run(&[&["data", "export"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, text(&output.stderr))
}

fn is_of(line: &Value, generation: u64, current: bool) -> bool {
    line["generation"] == generation && line["current"] == current
}

#[test]
fn without_the_owner_the_app_goes_on_and_its_provider_is_paid() {
    let cloud = Cloud::start(4);
    let folder = cloud.guestbook("orphan", "");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    let provider = cloud.index_of(done["leases"][0]["provider"].as_str().unwrap());
    let other = (1..4).find(|node| *node != provider).unwrap();
    let settled = || units(&cloud.json_of(other, &["usage", "orphan"])["settled"]);
    let load = Load::new();
    load.run(&cloud, Through { payers: &[1, 2, 3], gateways: &[1, 2, 3], app: "orphan" }, || {
        cloud.kill(0);
        // One receipt of the owner may be on its way to the ledger, and his last one with the provider until the next is
        // due. What is paid after those two a steward has signed.
        for receipt in 1..=3 {
            let paid = settled();
            until(&format!("payment {receipt} after its death"), Duration::from_secs(60), || settled() > paid);
        }
        load.until_it_goes_on("money and pages go on without it");
    });
    load.was_refused_only_as(&NOT_NOW);
    load.is_kept_by(&cloud, other);
    assert_eq!(cloud.post(other, "orphan", "/entries", r#"{"name":"a","message":"b"}"#).0, 201);
    // Its provider neither owns nor stewards it; the stewards' nodes are found by themselves, and may see logs alone.
    for command in [&["logs", "orphan"][..], &["data", "export", "orphan"]] {
        let named = [&["--node", cloud.nodes[provider].api.as_str()], command].concat();
        assert_eq!(cloud.problem(&named)["code"], "denied", "{command:?}");
    }
    let found = cloud.run(&["logs", "orphan"]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let denied = cloud.problem(&["data", "export", "orphan"]);
    assert_eq!((&denied["code"], &denied["exit"]), (&"denied".into(), &4.into()), "no steward reads data: {denied}");
    let mut cloud = cloud;
    cloud.revive(0);
    let exported = || text(&cloud.run(&["data", "export", "orphan"]).stdout).contains("\"value\"");
    until("its owner's node shows the entry", Duration::from_secs(20), exported);
    let unknown = cloud.problem(&["data", "export", "orphan", "--service", "nope"]);
    assert_eq!((&unknown["code"], &unknown["exit"]), (&"not-found".into(), &3.into()));
}

#[test]
fn owner_and_provider_in_one_may_die() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("own", ", on: own-first");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    assert_eq!(done["leases"][0]["provider"], cloud.nodes[0].peer.as_str(), "own capacity first");
    assert_eq!(cloud.json(&["usage", "own"])["total"], "0", "own capacity is free");
    let load = Load::new();
    load.run(&cloud, Through { payers: &[1, 2, 3], gateways: &[1, 2, 3], app: "own" }, || {
        cloud.kill(0);
        let served = || cloud.get(1, "own", "/entries").0 == 200;
        until("it is gone", Duration::from_secs(5), || !served());
        until("a steward has it run elsewhere", Duration::from_secs(15), served);
        load.until_it_goes_on("money and pages go on without it");
    });
    load.was_refused_only_as(&NOT_NOW);
    load.is_kept_by(&cloud, 1);
    cloud.revive(0);
    old_lease_serves_nothing(&cloud, 0, "own", done["leases"][0]["lease"].as_str().unwrap());
}

/// What ran for a lease that was replaced does not run any more on the node that is back, which serves the new one.
fn old_lease_serves_nothing(cloud: &Cloud, node: usize, name: &str, old: &str) {
    let follows = || {
        let replicas = cloud.json_of(node, &["ps", name]);
        replicas[0]["generation"].as_u64() > Some(1) && replicas[0]["state"] == "running"
    };
    until("it knows of the new generation", Duration::from_secs(15), follows);
    let (status, body) = cloud.get(node, name, "/entries");
    assert_eq!((status, body), cloud.get(0, name, "/entries"), "its gateway leads to the new one");
    let started = cloud
        .log(node)
        .lines()
        .rev()
        .take_while(|line| !line.contains("is ready"))
        .any(|line| line.contains("workload.serving") && line.contains(old));
    assert!(!started, "since its start it has not served {old}");
}

#[test]
fn with_two_of_four_dead_apps_go_on_and_the_ledger_waits() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("half", "");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    let provider = cloud.index_of(done["leases"][0]["provider"].as_str().unwrap());
    let victims: Vec<usize> = (1..4).filter(|node| *node != provider).collect();
    let halted = || {
        let status = cloud.json(&["status"]);
        status["ready"] == false && status["reason"].as_str().unwrap().contains("halted")
    };
    let made = cloud.json(&["key", "create", "--name", "ci", "--scope", "pay", "--max-spend", "5"]);
    let key = cloud.root.path().join("ci.key");
    std::fs::write(&key, made["token"].as_str().unwrap()).unwrap();
    let load = Load::new();
    let ours = [0, provider];
    load.run(&cloud, Through { payers: &ours, gateways: &ours, app: "half" }, || {
        for victim in &victims {
            cloud.kill(*victim);
        }
        until("status says that the ledger is halted", Duration::from_secs(10), halted);
        let before = load.answered();
        until("the app goes on", Duration::from_secs(10), || load.answered() >= before + 5);
        let refused = cloud.problem(&["wallet", "send", &"22".repeat(32), "1"]);
        assert_eq!(refused["code"], "ledger-halted");
        let send = ["--token-file", key.to_str().unwrap(), "wallet", "send", &"22".repeat(32), "1"];
        assert_eq!(cloud.problem(&send)["code"], "ledger-halted");
        assert_eq!(cloud.json(&["key", "list"])[0]["spent"], "0", "what nobody took counts against no key");
        for victim in &victims {
            cloud.restart(*victim);
        }
        load.until_it_goes_on("the ledger goes on");
    });
    cloud.resume(4);
    load.was_refused_only_as(&NOT_NOW);
    for node in 0..4 {
        load.is_kept_by(&cloud, node);
    }
}

#[test]
fn all_may_die_and_come_back() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("phoenix", "");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    // Neither the owner nor the provider pays anybody, so that their books show the lease alone.
    let provider = cloud.index_of(done["leases"][0]["provider"].as_str().unwrap());
    let others: Vec<usize> = (1..4).filter(|node| *node != provider).collect();
    let (load, through) = (Load::new(), Through { payers: &others, gateways: &[0, 1, 2, 3], app: "phoenix" });
    let entry = |number: usize| format!("kept-{number}");
    load.run(&cloud, through, || {
        for number in 0..5 {
            let body = format!(r#"{{"name":"a","message":"{}"}}"#, entry(number));
            assert_eq!(cloud.post(number % 4, "phoenix", "/entries", &body).0, 201);
        }
        for node in 0..4 {
            cloud.kill(node);
        }
    });
    load.was_refused_only_as(&[&NOT_NOW[..], &GONE].concat());
    cloud.resume(4);
    let served = || cloud.get(0, "phoenix", "/entries").0 == 200;
    until("the app is served again", Duration::from_secs(20), served);
    let entries = cloud.get(0, "phoenix", "/entries").1;
    assert!((0..5).all(|number| entries.contains(&entry(number))), "with its data: {entries}");
    load.is_kept_by(&cloud, 0);
    load.run(&cloud, through, || {});
    load.is_kept_by(&cloud, 0);
    let replicas = cloud.json(&["ps", "phoenix"]);
    assert_eq!(replicas[0]["provider"], done["leases"][0]["provider"]);
    assert_eq!(replicas[0]["generation"], 1, "under the same lease: {replicas}");
    let again = cloud.json(&["deploy", folder.to_str().unwrap()]);
    assert_eq!(again["leases"][0]["lease"], done["leases"][0]["lease"], "the very same: {again}");
    // What left the owner's budget is what the bill says, to the last unit, and the provider has it.
    let agree = || {
        let paid = units(&cloud.json(&["usage", "phoenix"])["settled"]);
        let owner = cloud.json(&["wallet", "balance"]);
        let earner = cloud.json_of(provider, &["wallet", "balance"]);
        paid > 0
            && units(&owner["available"]) == (MONEY - BUDGET) * UNIT
            && units(&owner["pending"]) == BUDGET * UNIT - paid
            && units(&earner["available"]) == MONEY * UNIT + paid
    };
    until("the books agree, with something paid", Duration::from_secs(60), agree);
    assert_eq!(http("GET", &cloud.nodes[3].gateway, "phoenix", "/entries", "").0, 200);
}
