//! `kill -9` of real processes: nothing acknowledged is lost, what runs goes on, what died is replaced.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

    /// What was acknowledged is on an account that had nothing before, by the word of a node.
    fn is_kept(&self, cloud: &Cloud, node: usize, to: &str) {
        let account = cloud.json_of(node, &["ledger", "account", to]);
        let (has, acknowledged) = (units(&account["available"]), u128::from(self.counts().0));
        assert!(has >= acknowledged * UNIT / 1_000_000, "{acknowledged} were acknowledged: {account}");
    }

    /// Whether both have grown by five since.
    fn goes_on(&self, (acknowledged, answered): (u64, u64)) -> bool {
        let now = self.counts();
        now.0 >= acknowledged + 5 && now.1 >= answered + 5
    }
}

/// Credits that each operator of a dev cloud begins with, those of a test's deployment, and the units of one.
const MONEY: u128 = 1_000_000;
const BUDGET: u128 = 10;
const UNIT: u128 = 1_000_000_000_000;

/// An amount in units.
fn units(amount: &serde_json::Value) -> u128 {
    amount.as_str().unwrap().parse::<grange_types::Amount>().unwrap().0
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
    let total = Load::default();
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
        let started = Instant::now();
        cloud.revive(victim);
        let caught_up = || height(&cloud, victim) >= reached;
        until("it catches up", Duration::from_secs(10), caught_up);
        assert!(started.elapsed() < Duration::from_secs(10), "from its start on: {:?}", started.elapsed());
        total.acknowledged.fetch_add(load.counts().0, Ordering::SeqCst);
        total.is_kept(&cloud, victim, &to);
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

    let others: Vec<usize> = (0..4).filter(|node| *node != provider).collect();
    let load = Load::default();
    std::thread::scope(|scope| {
        scope.spawn(|| load.transfer(&cloud, &others, &"11".repeat(32)));
        scope.spawn(|| load.request(&cloud, &others, "moved"));
        until("the load runs", Duration::from_secs(30), || load.goes_on((0, 0)));
        cloud.kill(provider);
        let served = || cloud.get(0, "moved", "/entries").0 == 200;
        until("it is gone", Duration::from_secs(5), || !served());
        until("another operator serves it", Duration::from_secs(15), served);
        load.stop.store(true, Ordering::Relaxed);
    });
    let replicas = cloud.json(&["ps", "moved"]);
    assert_eq!(replicas[0]["generation"], 2, "{replicas}");
    assert_ne!(replicas[0]["provider"], cloud.nodes[provider].peer.as_str());
    assert_ne!(replicas[0]["note"], "", "ps says where the data is: {replicas}");
    assert_eq!(cloud.get(0, "moved", "/entries").1, "[]", "an empty store, never a merged one");

    cloud.revive(provider);
    old_lease_serves_nothing(&cloud, provider, "moved", done["leases"][0]["lease"].as_str().unwrap());
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
    let settled = || units(&cloud.json_of(other, &["usage", "orphan"])["settled"]);
    let (load, to) = (Load::default(), "12".repeat(32));
    std::thread::scope(|scope| {
        scope.spawn(|| load.transfer(&cloud, &[1, 2, 3], &to));
        scope.spawn(|| load.request(&cloud, &[1, 2, 3], "orphan"));
        until("the load runs", Duration::from_secs(30), || load.goes_on((0, 0)));
        cloud.kill(0);
        let before = load.counts();
        // The owner may have signed one just before; a second and a third can only be a steward's.
        for receipt in 1..=3 {
            let paid = settled();
            until(&format!("receipt {receipt} after its death is paid"), Duration::from_secs(60), || settled() > paid);
        }
        until("money and pages go on without it", Duration::from_secs(30), || load.goes_on(before));
        load.stop.store(true, Ordering::Relaxed);
    });
    load.is_kept(&cloud, other, &to);
}

#[test]
fn owner_and_provider_in_one_may_die() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("own", ", on: own-first");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    assert_eq!(done["leases"][0]["provider"], cloud.nodes[0].peer.as_str(), "own capacity first");
    assert_eq!(cloud.json(&["usage", "own"])["total"], "0", "own capacity is free");
    cloud.kill(0);
    let served = || (1..4).any(|node| cloud.get(node, "own", "/entries").0 == 200);
    let (load, to) = (Load::default(), "11".repeat(32));
    std::thread::scope(|scope| {
        scope.spawn(|| load.transfer(&cloud, &[1, 2, 3], &to));
        scope.spawn(|| load.request(&cloud, &[1, 2, 3], "own"));
        until("a steward has it run elsewhere", Duration::from_secs(15), served);
        let before = load.counts();
        until("money and pages go on", Duration::from_secs(30), || load.goes_on(before));
        load.stop.store(true, Ordering::Relaxed);
    });
    load.is_kept(&cloud, 1, &to);
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
    assert_eq!((status, body.as_str()), (200, "[]"), "its gateway leads to the new one");
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
    let (load, pages, to) = (Load::default(), Load::default(), "12".repeat(32));
    std::thread::scope(|scope| {
        let pays = scope.spawn(|| load.transfer(&cloud, &[0, provider], &to));
        scope.spawn(|| pages.request(&cloud, &[0, provider], "half"));
        until("money moves", Duration::from_secs(30), || load.counts().0 >= 5);
        // One under way when the ledger halts would wait for as long.
        load.stop.store(true, Ordering::Relaxed);
        pays.join().unwrap();
        for victim in &victims {
            cloud.kill(*victim);
        }
        until("status says that the ledger is halted", Duration::from_secs(10), halted);
        let before = pages.counts().1;
        until("the app goes on", Duration::from_secs(10), || pages.counts().1 >= before + 5);
        pages.stop.store(true, Ordering::Relaxed);
    });
    let refused = cloud.problem(&["wallet", "send", &"22".repeat(32), "1"]);
    assert_eq!(refused["code"], "ledger-halted");
    for victim in victims {
        cloud.revive(victim);
    }
    let goes_on = || cloud.run(&["wallet", "send", &"22".repeat(32), "1", "--json"]).status.success();
    until("the ledger goes on", Duration::from_secs(30), goes_on);
    load.is_kept(&cloud, 0, &to);
}

#[test]
fn all_may_die_and_come_back() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("phoenix", "");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    assert_eq!(cloud.post(0, "phoenix", "/entries", r#"{"name":"a","message":"kept"}"#).0, 201);
    // Neither the owner nor the provider pays anybody, so that their books show the lease alone.
    let provider = cloud.index_of(done["leases"][0]["provider"].as_str().unwrap());
    let others: Vec<usize> = (1..4).filter(|node| *node != provider).collect();
    let (load, to) = (Load::default(), "12".repeat(32));
    std::thread::scope(|scope| {
        scope.spawn(|| load.transfer(&cloud, &others, &to));
        scope.spawn(|| load.request(&cloud, &others, "phoenix"));
        until("the load runs", Duration::from_secs(30), || load.goes_on((0, 0)));
        for node in 0..4 {
            cloud.kill(node);
        }
        load.stop.store(true, Ordering::Relaxed);
    });
    cloud.resume(4);
    let served = || cloud.get(0, "phoenix", "/entries").0 == 200;
    until("the app is served again", Duration::from_secs(20), served);
    assert!(cloud.get(0, "phoenix", "/entries").1.contains("kept"), "with its data");
    let replicas = cloud.json(&["ps", "phoenix"]);
    assert_eq!(replicas[0]["provider"], done["leases"][0]["provider"]);
    assert_eq!(replicas[0]["generation"], 1, "under the same lease: {replicas}");
    load.is_kept(&cloud, 0, &to);
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
