//! `kill -9` of real processes: nothing acknowledged is lost, what runs goes on, what died is replaced.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::support::{Cloud, http, until};

/// Transfers and requests from a thread, until it is told to stop.
#[derive(Default)]
struct Load {
    acknowledged: AtomicU64,
    answered: AtomicU64,
    stop: AtomicBool,
}

/// Units of the transfers of one test: a millionth of a credit each.
const AMOUNT: &str = "0.000001";

impl Load {
    /// Transfers through whichever of these nodes answers; acknowledged is what was answered with a height.
    fn transfer(&self, cloud: &Cloud, through: &[usize], to: &str) {
        let mut turn = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let node = &cloud.nodes[through[turn % through.len()]];
            turn += 1;
            let output = cloud.run(&["--node", &node.api, "wallet", "send", to, AMOUNT, "--json"]);
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            if output.status.success() && answer["height"].is_u64() {
                self.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Asks an app through the gateways of these nodes.
    fn request(&self, cloud: &Cloud, through: &[usize], name: &str) {
        for node in through.iter().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            if cloud.get(*node, name, "/entries").0 == 200 {
                self.answered.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn counts(&self) -> (u64, u64) {
        (self.acknowledged.load(Ordering::SeqCst), self.answered.load(Ordering::SeqCst))
    }

    /// Whether both have grown by five since.
    fn goes_on(&self, (acknowledged, answered): (u64, u64)) -> bool {
        let now = self.counts();
        now.0 >= acknowledged + 5 && now.1 >= answered + 5
    }
}

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
    let to = "11".repeat(32);
    let folder = cloud.guestbook("loaded", "");
    cloud.json(&["deploy", folder.to_str().unwrap()]);
    let mut acknowledged = 0;
    for victim in 0..4 {
        let others: Vec<usize> = (0..4).filter(|node| *node != victim).collect();
        let load = Load::default();
        std::thread::scope(|scope| {
            scope.spawn(|| load.transfer(&cloud, &others, &to));
            scope.spawn(|| load.request(&cloud, &others, "loaded"));
            until("the load runs", Duration::from_secs(30), || load.goes_on((0, 0)));
            cloud.kill(victim);
            let before = load.counts();
            until("both go on without it", Duration::from_secs(30), || load.goes_on(before));
            load.stop.store(true, Ordering::Relaxed);
        });
        let reached = height(&cloud, others[0]);
        cloud.revive(victim);
        let caught_up = || height(&cloud, victim) >= reached;
        until("it catches up", Duration::from_secs(10), caught_up);
        let account = cloud.json_of(victim, &["ledger", "account", &to]);
        let sum: f64 = account["available"].as_str().unwrap().parse().unwrap();
        acknowledged += load.counts().0;
        assert!((sum * 1_000_000.0).round() as u64 >= acknowledged, "{acknowledged} were acknowledged: {account}");
    }
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

    cloud.kill(provider);
    let served = || cloud.get(0, "moved", "/entries").0 == 200;
    until("another operator serves it", Duration::from_secs(15), served);
    let replicas = cloud.json(&["ps", "moved"]);
    assert_eq!(replicas[0]["generation"], 2, "{replicas}");
    assert_ne!(replicas[0]["provider"], cloud.nodes[provider].peer.as_str());
    assert_ne!(replicas[0]["note"], "", "ps says where the data is: {replicas}");
    assert_eq!(cloud.get(0, "moved", "/entries").1, "[]", "an empty store, never a merged one");

    cloud.revive(provider);
    let follows = || cloud.json_of(provider, &["ps", "moved"])[0]["generation"] == 2;
    until("it knows of the new generation", Duration::from_secs(10), follows);
    let (status, body) = cloud.get(provider, "moved", "/entries");
    assert_eq!((status, body.as_str()), (200, "[]"), "its gateway leads to the new one");
    let exported = cloud.run(&["data", "export", "moved", "--json"]);
    let exported = String::from_utf8(exported.stdout).unwrap();
    assert!(exported.contains("\"generation\":1"), "the old copy is kept: {exported}");
}

#[test]
fn without_the_owner_the_app_goes_on_and_its_provider_is_paid() {
    let cloud = Cloud::start(4);
    let folder = cloud.guestbook("orphan", "");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    let provider = cloud.index_of(done["leases"][0]["provider"].as_str().unwrap());
    let other = (1..4).find(|node| *node != provider).unwrap();
    cloud.kill(0);
    let settled = || cloud.json_of(other, &["usage", "orphan"])["settled"].as_str().unwrap().parse::<f64>().unwrap();
    let before = settled();
    assert_eq!(cloud.get(other, "orphan", "/entries").0, 200);
    until("a receipt of a steward is paid", Duration::from_secs(60), || settled() > before);
    assert_eq!(cloud.get(other, "orphan", "/entries").0, 200);
}

#[test]
fn owner_and_provider_in_one_may_die() {
    let cloud = Cloud::start(4);
    let folder = cloud.guestbook("own", ", on: own-first");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    assert_eq!(done["leases"][0]["provider"], cloud.nodes[0].peer.as_str(), "own capacity first");
    assert_eq!(cloud.json(&["usage", "own"])["total"], "0", "own capacity is free");
    cloud.kill(0);
    let served = || (1..4).any(|node| cloud.get(node, "own", "/entries").0 == 200);
    until("a steward has it run elsewhere", Duration::from_secs(15), served);
}

#[test]
fn with_two_of_four_dead_apps_go_on_and_the_ledger_waits() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("half", "");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    let provider = cloud.index_of(done["leases"][0]["provider"].as_str().unwrap());
    let victims: Vec<usize> = (1..4).filter(|node| *node != provider).collect();
    for victim in &victims {
        cloud.kill(*victim);
    }
    let halted = || {
        let status = cloud.json(&["status"]);
        status["ready"] == false && status["reason"].as_str().unwrap().contains("halted")
    };
    until("status says that the ledger is halted", Duration::from_secs(10), halted);
    assert_eq!(cloud.get(0, "half", "/entries").0, 200, "the app goes on");
    let refused = cloud.problem(&["wallet", "send", &"22".repeat(32), "1"]);
    assert_eq!(refused["code"], "ledger-halted");
    for victim in victims {
        cloud.revive(victim);
    }
    let goes_on = || cloud.run(&["wallet", "send", &"22".repeat(32), "1", "--json"]).status.success();
    until("the ledger goes on", Duration::from_secs(30), goes_on);
}

#[test]
fn all_may_die_and_come_back() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("phoenix", "");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    assert_eq!(cloud.post(0, "phoenix", "/entries", r#"{"name":"a","message":"kept"}"#).0, 201);
    let before = cloud.json(&["wallet", "balance"]);
    for node in 0..4 {
        cloud.kill(node);
    }
    cloud.resume(4);
    let served = || cloud.get(0, "phoenix", "/entries").0 == 200;
    until("the app is served again", Duration::from_secs(20), served);
    assert!(cloud.get(0, "phoenix", "/entries").1.contains("kept"), "with its data");
    let replicas = cloud.json(&["ps", "phoenix"]);
    assert_eq!(replicas[0]["generation"], 1, "under the same lease: {replicas}");
    assert_eq!(replicas[0]["provider"], done["leases"][0]["provider"]);
    let after = cloud.json(&["wallet", "balance"]);
    assert_eq!(after["available"], before["available"]);
    let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let settled = number(&cloud.json(&["usage", "phoenix"])["settled"]);
    let paid = 10.0 - number(&cloud.json(&["wallet", "balance"])["pending"]);
    assert!((paid - settled).abs() < 0.000_1, "{paid} left the budget, usage shows {settled}");
    assert_eq!(http("GET", &cloud.nodes[3].gateway, "phoenix", "/entries", "").0, 200);
}
