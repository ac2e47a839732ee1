//! An owner loses his machine and goes on with 24 words; a device is let in and thrown out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use grange_ledger::{Action, Transaction};
use grange_types::{AccountId, Amount, Millis, NetworkId, PeerId, SecretKey, Signed, Time, Wire};
use serde_json::Value;

use crate::support::{Cloud, Node, text, units, until};

/// A machine with nothing on it but the program.
struct Machine {
    home: PathBuf,
    node: Child,
    api: String,
    peer: String,
}

impl Machine {
    fn join(home: &Path, invitation: &str) -> Self {
        std::fs::create_dir_all(home).unwrap();
        let said = home.join("said");
        let mut command = at(home, &["up", "--json", "--join", invitation]);
        command.stdout(std::fs::File::create(&said).unwrap()).stderr(Stdio::null());
        let node = command.spawn().unwrap();
        let mut announced = Value::Null;
        until("the new machine's node is ready", Duration::from_secs(60), || {
            announced = serde_json::from_str(&std::fs::read_to_string(&said).unwrap()).unwrap_or_default();
            announced.is_object()
        });
        let word = |field: &str| announced[field].as_str().unwrap().to_owned();
        Self { home: home.to_path_buf(), node, api: word("api"), peer: word("peer") }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = at(&self.home, &[&["--node", &self.api, "--json"], arguments].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str], input: &str) -> Value {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

fn at(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grange"));
    command
        .args(arguments)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env_remove("GRANGE_NODE")
        .stdin(Stdio::null());
    command
}

fn passphrase(cloud: &Cloud) -> String {
    let file = cloud.root.path().join("passphrase");
    std::fs::write(&file, "correct horse battery\n").unwrap();
    file.to_str().unwrap().to_owned()
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(since.as_millis() as u64)
}

/// Sends a transfer of an account, signed by some key, and gives the status and the answer.
fn transfer(cloud: &Cloud, by: &Node, account: &str, key: &SecretKey) -> (u16, String) {
    let network: NetworkId = cloud.json(&["network", "show"])["network"].as_str().unwrap().parse().unwrap();
    let account: AccountId = account.parse().unwrap();
    let action = Action::Transfer { to: AccountId([9; 32]), amount: Amount::CREDIT, memo: String::new() };
    let body = Transaction { account, nonce: now().0, action };
    let bytes = Signed::seal(network, key, now().after(Millis::minutes(5)), body).encode();
    let token = std::fs::read_to_string(&by.token_file).unwrap();
    let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
    let asked = agent
        .post(format!("{}/v1/transactions", by.api))
        .header("authorization", format!("Bearer {}", token.trim()))
        .send(&bytes[..]);
    let mut answer = asked.unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

/// Whether a node holds a share of some deployment's key.
fn shares(cloud: &Cloud, node: usize) -> bool {
    let folder = cloud.root.path().join(format!("data/grange/dev/node-{node}/shares"));
    std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())
}

fn text_of(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn key_of(folder: &Path) -> SecretKey {
    let text = std::fs::read_to_string(folder.join("key")).unwrap();
    SecretKey::from_bytes(&text.trim().parse::<PeerId>().unwrap().0)
}

#[test]
fn a_lost_machine_is_replaced_by_24_words() {
    let cloud = Cloud::start(4);
    let file = passphrase(&cloud);
    let sealed = ["--passphrase-file", file.as_str()];
    let account = cloud.json(&["wallet", "balance"])["account"].as_str().unwrap().to_owned();
    let refused = cloud.problem(&[&["identity", "phrase"], &sealed[..]].concat());
    assert_eq!(refused["code"], "usage", "no terminal, no --yes: {refused}");
    let made = cloud.json(&[&["identity", "phrase", "--yes"], &sealed[..]].concat());
    let words = made["phrase"].as_str().unwrap().to_owned();
    assert_eq!(words.split(' ').count(), 24);
    assert_eq!(cloud.problem(&[&["identity", "phrase", "--yes"], &sealed[..]].concat())["code"], "conflict");
    let again = cloud.json(&[&["identity", "phrase", "--again", "--yes"], &sealed[..]].concat());
    assert_eq!(again["phrase"], words.as_str());

    let book = cloud.guestbook("book", "");
    cloud.json(&["deploy", book.to_str().unwrap()]);
    assert_eq!(cloud.post(0, "book", "/entries", r#"{"name":"ada","message":"kept"}"#).0, 201);
    let folder = cloud.root.path().join("data/grange/dev/node-0");
    let shared = || (1..4).filter(|node| shares(&cloud, *node)).count() == 2;
    until("both stewards have their shares", Duration::from_secs(20), shared);
    let before = cloud.json(&["wallet", "balance"]);
    let (old, lost) = (key_of(&folder), cloud.nodes[0].clone());
    // A thief has it, with all that is on it; its owner has nothing of it any more.
    cloud.kill(0);
    let stolen = cloud.root.path().join("stolen");
    std::fs::rename(&folder, &stolen).unwrap();

    let invited = cloud.json_of(1, &["invite"]);
    let machine = Machine::join(&cloud.root.path().join("new"), invited["invite"].as_str().unwrap());
    assert_ne!(machine.peer, lost.peer);
    let wrong = machine.run(&["identity", "restore", sealed[0], sealed[1]], &words.replacen(' ', " zoo ", 1));
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
    assert!(!text(&wrong.stderr).contains(words.split(' ').next_back().unwrap()));
    let restored = machine.json(&["identity", "restore", sealed[0], sealed[1]], &format!("{words}\n"));
    assert_eq!((&restored["account"], &restored["node"]), (&account.as_str().into(), &machine.peer.as_str().into()));
    assert_eq!(restored["deployments"], serde_json::json!(["book"]));

    let wallet = machine.json(&["wallet", "balance"], "");
    assert_eq!(wallet["account"], account.as_str());
    assert_eq!(wallet["available"], before["available"]);
    until("its replica is seen to run", Duration::from_secs(60), || {
        machine.json(&["ps", "book"], "")[0]["state"] == "running"
    });
    let paid = units(&wallet["pending"]);
    until("the new node pays for it", Duration::from_secs(60), || {
        units(&machine.json(&["wallet", "balance"], "")["pending"]) < paid
    });
    // The lost machine is thrown out: what its key signs is refused.
    let signed = transfer(&cloud, &cloud.nodes[1], &account, &old);
    assert_eq!(signed.0, 200, "its key may spend still: {}", signed.1);
    machine.json(&["identity", "device", "revoke", &lost.peer, sealed[0], sealed[1]], "");
    let (status, said) = transfer(&cloud, &cloud.nodes[1], &account, &old);
    assert_eq!(status, 403, "{said}");

    the_new_machine_is_a_whole_owner(&cloud, &machine, &lost, &book);
    std::fs::rename(&stolen, &folder).unwrap();
    cloud.restart(0);
    nobody_answers_the_lost_one(&cloud, &lost);

    let down = machine.json(&["down", "book", "--yes"], "");
    assert!(units(&down["returned"]) > 0);
    machine.json(&["down", "second", "--yes"], "");
    until("the rest of the budget is back", Duration::from_secs(90), || {
        machine.json(&["wallet", "balance"], "")["pending"] == "0"
    });
}

/// What was deployed before goes on with its data, and what is new starts.
fn the_new_machine_is_a_whole_owner(cloud: &Cloud, machine: &Machine, lost: &Node, book: &Path) {
    let compose = book.join("compose.yaml");
    // Whoever keeps its data knows whether the lost machine is waited for.
    let left_out = |node: &usize| {
        let keepers = cloud.json_of(*node, &["ps", "book"])[0]["keepers"].clone();
        keepers.as_array().is_some_and(|keepers| !keepers.is_empty() && !keepers.contains(&lost.peer.as_str().into()))
    };
    until("it is waited for no more", Duration::from_secs(20), || (1..4).filter(left_out).count() >= 2);
    let text = std::fs::read_to_string(&compose).unwrap();
    std::fs::write(&compose, format!("{text}    environment: {{ COLOUR: blue }}\n")).unwrap();
    let changed = machine.json(&["deploy", book.to_str().unwrap()], "");
    assert_eq!(changed["leases"][0]["generation"], 2, "{changed}");
    let kept = || cloud.get(1, "book", "/entries").1.contains("kept");
    until("the new version has its data", Duration::from_secs(20), kept);
    let offers = || machine.json(&["offers"], "").as_array().unwrap().len() >= 3;
    until("it hears what there is to buy", Duration::from_secs(60), offers);
    let second = cloud.guestbook("second", "");
    machine.json(&["deploy", second.to_str().unwrap()], "");
    let written = || cloud.post(1, "second", "/entries", r#"{"name":"ada","message":"new"}"#).0 == 201;
    until("a new app serves and keeps", Duration::from_secs(20), written);
    for app in ["book", "second"] {
        let exported = machine.run(&["data", "export", app], "");
        assert!(exported.status.success() && text_of(&exported).contains("\"value\""), "{app}: {}", text_of(&exported));
    }
}

/// The lost machine goes on in a thief's hands: it is shown nothing of what it owned.
fn nobody_answers_the_lost_one(cloud: &Cloud, lost: &Node) {
    let ready = || cloud.json(&["--node", &lost.api, "status"])["ready"] == true;
    until("the lost machine follows the ledger", Duration::from_secs(60), ready);
    for app in ["book", "second"] {
        for command in [&["logs", app][..], &["data", "export", app]] {
            let asked = [&["--node", lost.api.as_str()], command].concat();
            let denied = || cloud.problem(&asked)["code"] == "denied";
            until(&format!("{command:?} is denied"), Duration::from_secs(20), denied);
        }
    }
    let theft = cloud.guestbook("theft", "");
    let offers = || cloud.json(&["--node", &lost.api, "offers"]).as_array().unwrap().len() >= 3;
    until("it hears what there is to buy", Duration::from_secs(60), offers);
    // Providers reserve nothing for it, and what it signs is refused.
    cloud.problem(&["--node", &lost.api, "deploy", theft.to_str().unwrap()]);
    assert_eq!(cloud.get(1, "theft", "/entries").0, 404);
}

#[test]
fn a_device_spends_up_to_its_ceiling_until_it_is_revoked() {
    let cloud = Cloud::start(1);
    let account = cloud.json(&["wallet", "balance"])["account"].as_str().unwrap().to_owned();
    let phone = SecretKey::from_bytes(&[42; 32]);
    let public = phone.public().to_string();
    assert_eq!(transfer(&cloud, &cloud.nodes[0], &account, &phone).0, 403, "nobody knows it yet");
    cloud.json(&["identity", "device", "add", &public, "--per-day", "1.5"]);
    let listed = cloud.json(&["identity", "device", "list"]);
    let found = listed["keys"].as_array().unwrap().iter().find(|key| key["key"] == public.as_str()).unwrap().clone();
    assert_eq!((&found["roles"][0], &found["per_day"]), (&"spend".into(), &"1.5".into()));
    let (status, said) = transfer(&cloud, &cloud.nodes[0], &account, &phone);
    assert_eq!(status, 200, "{said}");
    let (status, said) = transfer(&cloud, &cloud.nodes[0], &account, &phone);
    assert!(status != 200 && said.contains("1.5"), "the ceiling of the day: {status} {said}");
    let unknown = cloud.problem(&["identity", "device", "revoke", "00000000"]);
    assert_eq!((&unknown["code"], &unknown["thing"]), (&"not-found".into(), &"00000000".into()), "{unknown}");
    cloud.json(&["identity", "device", "revoke", &public[..8]]);
    let (status, said) = transfer(&cloud, &cloud.nodes[0], &account, &phone);
    assert_eq!(status, 403, "{said}");
    assert_eq!(cloud.problem(&["identity", "device", "revoke", &public])["code"], "not-found");
}

#[test]
fn with_a_phrase_the_nodes_own_key_may_spend_and_no_more() {
    let cloud = Cloud::start(1);
    let file = passphrase(&cloud);
    let made = cloud.json(&["identity", "phrase", "--yes", "--per-day", "20", "--passphrase-file", &file]);
    let shown = cloud.json(&["identity", "show"]);
    assert_eq!((&shown["owner"], &shown["account"]), (&made["owner"], &made["account"]));
    let keys = shown["keys"].as_array().unwrap();
    let node = keys.iter().find(|key| key["key"] == cloud.nodes[0].peer.as_str()).unwrap();
    assert_eq!((&node["roles"], &node["per_day"]), (&serde_json::json!(["node", "spend"]), &"20".into()));
    cloud.json(&["wallet", "send", &"33".repeat(32), "15"]);
    let beyond = cloud.problem(&["wallet", "send", &"33".repeat(32), "15"]);
    assert!(beyond["message"].as_str().unwrap().contains("20"), "{beyond}");
    // The owner's key is needed for the cap and for the key set, and its passphrase for the key.
    let unasked = cloud.problem(&["wallet", "caps", "--per-day", "50"]);
    assert_eq!((&unasked["operation"], &unasked["thing"]), (&"wallet caps".into(), &"passphrase".into()), "{unasked}");
    cloud.json(&["wallet", "caps", "--per-day", "50", "--passphrase-file", &file]);
    assert_eq!(cloud.json(&["wallet", "caps"])["per_day"], "50");
    let other = cloud.root.path().join("other");
    std::fs::write(&other, "another passphrase").unwrap();
    let device = ["identity", "device", "add", &"44".repeat(32), "--passphrase-file"];
    let wrong = cloud.problem(&[&device[..], &[other.to_str().unwrap()]].concat());
    assert_eq!((&wrong["code"], &wrong["exit"]), (&"denied".into(), &4.into()), "{wrong}");
    let unasked = cloud.problem(&device[..4]);
    assert!(unasked["remedy"].as_str().unwrap().contains("GRANGE_PASSPHRASE_FILE"), "{unasked}");
    let new = ["--new-passphrase-file", other.to_str().unwrap()];
    cloud.json(&[&["identity", "passwd", "--passphrase-file", &file], &new[..]].concat());
    cloud.json(&[&device[..], &[other.to_str().unwrap()]].concat());
    // A unit of systemd brings it as a credential.
    let credentials = cloud.root.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::copy(&other, credentials.join("grange-passphrase")).unwrap();
    let mut revoke = cloud.command(&["identity", "device", "revoke", &"44".repeat(32), "--json"]);
    let revoked = revoke.env("CREDENTIALS_DIRECTORY", &credentials).output().unwrap();
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    // It starts again by itself: nobody is asked for a passphrase.
    let mut cloud = cloud;
    cloud.kill(0);
    until("it is gone", Duration::from_secs(10), || !cloud.run(&["status"]).status.success());
    cloud.revive(0);
    assert_eq!(cloud.json(&["status"])["ready"], true);
}
