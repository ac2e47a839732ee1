//! A steward is lost for good while the owner is away: who takes its place can do what it could.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Cloud, until};

/// As many validators as may lose two.
const NODES: usize = 7;
/// What a visitor writes, by number.
const ENTRIES: usize = 10;

/// Where a node keeps its shares of deployments' keys.
fn shares(cloud: &Cloud, node: usize) -> PathBuf {
    cloud.root.path().join(format!("data/grange/dev/node-{node}/shares"))
}

/// The nodes with a share: all stewards that were given theirs.
fn holders(cloud: &Cloud) -> BTreeSet<usize> {
    let holds = |node: &usize| std::fs::read_dir(shares(cloud, *node)).is_ok_and(|mut files| files.next().is_some());
    (1..NODES).filter(holds).collect()
}

/// The only replica, as a node that lives tells it; null while it does not answer.
fn replica(cloud: &Cloud, node: usize) -> Value {
    let output = cloud.run(&["--node", &cloud.nodes[node].api, "ps", "book", "--json"]);
    serde_json::from_slice::<Value>(&output.stdout).map_or(Value::Null, |replicas| replicas[0].clone())
}

/// The nodes that count as keepers of its data.
fn keepers(cloud: &Cloud, node: usize) -> BTreeSet<usize> {
    let replica = replica(cloud, node);
    let keepers = replica["keepers"].as_array().into_iter().flatten();
    keepers.map(|keeper| cloud.index_of(keeper.as_str().unwrap())).collect()
}

/// Writes entries through a node until each of them is acknowledged.
fn write(cloud: &Cloud, node: usize, of: &str) {
    for number in 0..ENTRIES {
        let body = format!(r#"{{"name":"visitor","message":"{of} {number}"}}"#);
        let acknowledged = || cloud.post(node, "book", "/entries", &body).0 == 201;
        until("an entry is acknowledged", Duration::from_secs(20), acknowledged);
    }
}

/// Whether all entries of that kind are there.
fn reads(cloud: &Cloud, node: usize, of: &str) -> bool {
    let (status, page) = cloud.get(node, "book", "/entries");
    status == 200 && (0..ENTRIES).all(|number| page.contains(&format!("{of} {number}\"")))
}

#[test]
fn a_new_steward_opens_the_data_with_the_share_that_the_provider_gave_it() {
    let cloud = Cloud::start_with(NODES, &["--lost-after", "10s"]);
    let folder = cloud.guestbook("book", "");
    let done = cloud.json(&["deploy", folder.to_str().unwrap()]);
    let provider = cloud.index_of(done["leases"][0]["provider"].as_str().unwrap());
    until("both stewards have their shares", Duration::from_secs(20), || holders(&cloud).len() == 2);
    let first = holders(&cloud);
    let (lost, left) = (*first.first().unwrap(), *first.last().unwrap());
    assert!(provider != 0 && !first.contains(&provider), "the provider is neither: {provider}, {first:?}");
    until("both keep its data", Duration::from_secs(20), || keepers(&cloud, 0) == BTreeSet::from([0, lost, left]));
    write(&cloud, 0, "with the owner");

    // From here on the owner's node says nothing, and of those who hold a share one is left.
    cloud.kill(0);
    cloud.kill(lost);
    write(&cloud, left, "without the owner");
    let newcomers = || -> Vec<usize> { holders(&cloud).difference(&first).copied().collect() };
    until("a reserve takes its place and has a share", Duration::from_secs(120), || newcomers().len() == 1);
    let new = newcomers()[0];
    assert_ne!(new, provider, "one that provides only where there is no other");

    // Two of seven may be away. The lost one comes back with an empty disk for shares and data, as a validator and no more.
    for what in ["shares", "work"] {
        std::fs::remove_dir_all(shares(&cloud, lost).with_file_name(what)).unwrap();
    }
    cloud.restart(lost);
    let follows = || cloud.json_of(lost, &["status"])["ready"] == true;
    until("it follows the ledger", Duration::from_secs(60), follows);
    assert_eq!(holders(&cloud), BTreeSet::from([left, new]), "it is no steward, and is given no share");

    // One share of the steward that was left, one of the new one: without either nobody opens the data.
    cloud.kill(provider);
    let moved = || replica(&cloud, left)["generation"].as_u64() > Some(1) && reads(&cloud, left, "without the owner");
    until("another provider serves it", Duration::from_secs(60), moved);
    assert!(reads(&cloud, new, "with the owner"), "with every entry: {}", cloud.get(new, "book", "/entries").1);
    write(&cloud, new, "afterwards");
    let copied = || {
        let server = cloud.index_of(replica(&cloud, left)["provider"].as_str().unwrap());
        keepers(&cloud, left) == [left, new].into_iter().filter(|node| *node != server).collect()
    };
    until("the new steward keeps copies too", Duration::from_secs(20), copied);
}
