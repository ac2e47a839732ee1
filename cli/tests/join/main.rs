//! Other machines join a network by one string, follow its chain and sell; also one behind NAT, through a peer's relay.
//!
//! Each machine is a network namespace with real processes, and none hears another by multicast: where to go is in the
//! string. That takes root, `ip` and `nft`; without them the first test says so in one line and is skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod internet;
mod machine;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::internet::Internet;
use crate::machine::{Machine, until};

/// The promise: from `grange up --join` to an offer that others see.
const JOIN_WITHIN: Duration = Duration::from_secs(10);
/// Longer than anything else here takes on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(20);
/// Prices below everybody's, so that whoever deploys chooses this provider.
const CHEAPEST: [&str; 10] = [
    "--cpu-hour",
    "0.0001",
    "--memory-gib-hour",
    "0.0001",
    "--disk-gib-hour",
    "0.00001",
    "--request-million",
    "0.01",
    "--egress-gib",
    "0.0001",
];

#[test]
fn machines_join_by_one_string_and_sell_even_from_behind_nat() {
    let Some(internet) = Internet::make() else { return };
    let mut host = Machine::of(&internet, "host");
    host.up(&["--network", "town", "--relay", "0.0.0.0:3340"]);

    let mut other = Machine::of(&internet, "other");
    join(&mut other, &host.invitation(&[]), &[], &host);
    // Any member invites: this one offers no relay, but knows of the one that the newcomer cannot do without.
    let mut hidden = Machine::of(&internet, "hidden");
    join(&mut hidden, &other.invitation(&[]), &CHEAPEST, &host);

    let meet = Instant::now() + PATIENCE;
    until("the gateway is linked to the hidden provider", meet, || other.relayed(&hidden.peer).is_some());
    assert_eq!(other.relayed(&hidden.peer), Some(true), "nothing but the relay leads there");
    assert_eq!(hidden.relayed(&host.peer), Some(true));
    assert_eq!(host.relayed(&other.peer), Some(false), "in the open nobody needs it");

    let folder = site(&internet.home("shop"));
    let deployed = host.json(&["deploy", &folder]);
    assert_eq!(deployed["leases"][0]["provider"], hidden.peer.as_str(), "it is the cheapest: {deployed}");
    let asked = Instant::now();
    let mut answer = String::new();
    until("the page is served through the other gateway", asked + PATIENCE, || {
        answer = other.get("shop");
        answer.starts_with("HTTP/1.1 200 ")
    });
    assert!(answer.ends_with("from behind the router\n"), "{answer}");
    println!("served through the gateway of another machine {:?} after the deployment", asked.elapsed());
    assert_eq!(other.relayed(&hidden.peer), Some(true), "it came through the relay");

    let follow = || host.height() == other.height() && host.height() == hidden.height();
    until("all are at the same height", Instant::now() + PATIENCE, follow);
}

/// Joins and waits until the newcomer follows the chain and the member sees what it sells.
fn join(newcomer: &mut Machine, invitation: &str, prices: &[&str], member: &Machine) {
    let begun = Instant::now();
    newcomer.up(&[&["--join", invitation], prices].concat());
    let ready = begun.elapsed();
    let follows = || newcomer.json(&["status"])["ready"] == true && (1..=newcomer.height()).contains(&member.height());
    until("the newcomer follows the chain", begun + JOIN_WITHIN, follows);
    until("the newcomer sells", begun + JOIN_WITHIN, || member.offers(&newcomer.peer));
    let network = |machine: &Machine| machine.json(&["status"])["network"].clone();
    assert_eq!(network(newcomer), network(member));
    println!("joined: its API after {ready:?}, its offer seen after {:?}", begun.elapsed());
}

/// A folder with a site to deploy.
fn site(folder: &Path) -> String {
    std::fs::create_dir_all(folder.join("public")).unwrap();
    std::fs::write(folder.join("public/index.html"), "from behind the router\n").unwrap();
    let compose =
        "name: shop\nx-grange: { name: shop, budget: \"10\" }\nservices:\n  web:\n    x-grange: { site: ./public }\n";
    std::fs::write(folder.join("compose.yaml"), compose).unwrap();
    folder.to_str().unwrap().to_owned()
}

#[test]
fn an_invitation_that_lapsed_or_was_not_copied_whole_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut member = Machine::at(root.path().join("member"), None);
    member.up(&["--listen", "127.0.0.1:0"]);
    let newcomer = Machine::at(root.path().join("newcomer"), None);

    let invitation = member.invitation(&["--valid-for", "1s"]);
    let asked = Instant::now();
    let cut = refusal(&newcomer, &invitation[..invitation.len() - 3]);
    assert_eq!((&cut["code"], &cut["exit"]), (&"usage".into(), &2.into()), "{cut}");
    assert_eq!(cut["message"], "this is no invitation: the invitation is damaged; copy it whole");
    let middle = invitation.len() / 2;
    let letter = if invitation[middle..].starts_with('a') { "b" } else { "a" };
    let mistyped = format!("{}{letter}{}", &invitation[..middle], &invitation[middle + 1..]);
    assert_eq!(refusal(&newcomer, &mistyped)["message"], cut["message"]);

    until("a second is over", asked + PATIENCE, || asked.elapsed() > Duration::from_millis(1_050));
    let lapsed = refusal(&newcomer, &invitation);
    assert_eq!((&lapsed["code"], &lapsed["exit"]), (&"expired".into(), &1.into()), "{lapsed}");
    assert!(lapsed["message"].as_str().unwrap().starts_with("the invitation lapsed at 20"), "{lapsed}");
    assert!(lapsed["remedy"].as_str().unwrap().contains("grange invite --valid-for"), "{lapsed}");
}

/// The problem with which `grange up` refuses an invitation; it starts nothing and leaves no node behind.
#[track_caller]
fn refusal(newcomer: &Machine, invitation: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("node");
    let output = newcomer.grange(&["--json", "up", "--data", data.to_str().unwrap(), "--join", invitation]);
    assert!(!output.status.success() && !data.join("node.json").exists());
    serde_json::from_slice(&output.stderr).expect("stderr is one problem")
}
