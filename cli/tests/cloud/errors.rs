//! Every row of the table of bad input in `docs/errors.md`, done to real nodes: the code, exit and status it promises.

use std::collections::BTreeMap;
use std::time::Duration;

use grange_ledger::{Action, Transaction};
use grange_types::{AccountId, Amount, BlobId, NetworkId, SecretKey, Signed, Time, Wire};
use serde_json::{Value, json};

use crate::support::{Cloud, Node, until};

const PAGE: &str = include_str!("../../../docs/errors.md");

/// What a row promises, or what was seen: the code, the exit, and the status where HTTP has a part in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    code: String,
    exit: Option<u64>,
    status: Option<u64>,
}

/// The rows of the table, by what is done.
fn promised() -> BTreeMap<&'static str, Seen> {
    let (_, rest) = PAGE.split_once("## Bad input").unwrap();
    let rows = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let row = |row: &'static str| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let seen = Seen {
            code: cells[1].trim_matches('`').into(),
            exit: cells[2].parse().ok(),
            status: cells[3].parse().ok(),
        };
        (cells[0], seen)
    };
    rows.skip(2).map(row).collect()
}

/// A user's own hands on the API of a node.
struct Api<'a> {
    node: &'a Node,
    token: String,
    network: NetworkId,
    key: SecretKey,
}

impl<'a> Api<'a> {
    fn new(cloud: &Cloud, node: &'a Node) -> Self {
        let folder = node.token_file.parent().unwrap();
        let hex = std::fs::read_to_string(folder.join("key")).unwrap();
        let AccountId(secret) = hex.trim().parse().unwrap();
        let network = cloud.json(&["status"])["network"].as_str().unwrap().parse().unwrap();
        let token = std::fs::read_to_string(&node.token_file).unwrap().trim().to_owned();
        Self { node, token, network, key: SecretKey::from_bytes(&secret) }
    }

    /// A request that must be refused.
    fn refused(&self, method: &str, path: &str, change: &[(&str, &str)], body: &[u8]) -> Seen {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(90)));
        let agent = ureq::Agent::new_with_config(config.build());
        let mut fields = BTreeMap::from([("authorization", format!("Bearer {}", self.token))]);
        fields.insert(
            "content-type",
            if body.starts_with(b"{") { "application/json" } else { "application/octet-stream" }.into(),
        );
        fields.extend(change.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let base = fields.remove("base").unwrap_or_else(|| self.node.api.clone());
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{base}{path}"));
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let mut response = agent.run(request.body(body.to_vec()).unwrap()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let problem: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: {text}"));
        Seen {
            code: problem["code"].as_str().unwrap_or_default().into(),
            exit: problem["exit"].as_u64(),
            status: Some(response.status().as_u16().into()),
        }
    }

    fn transaction(&self, network: NetworkId, expires: Time, nonce: u64) -> Signed<Transaction> {
        let action = Action::Transfer { to: AccountId([5; 32]), amount: Amount(1), memo: String::new() };
        let body = Transaction { account: self.key.public().account(), nonce, action };
        Signed::seal(network, &self.key, expires, body)
    }

    fn submit(&self, bytes: &[u8]) -> Seen {
        self.refused("POST", "/v1/transactions", &[], bytes)
    }
}

/// A command that must be refused.
fn typed(cloud: &Cloud, arguments: &[&str]) -> Seen {
    let problem = cloud.problem(arguments);
    Seen { code: problem["code"].as_str().unwrap().into(), exit: problem["exit"].as_u64(), status: None }
}

/// Deploys a service of these settings, with a file beside the compose file.
fn deploy(cloud: &Cloud, name: &str, budget: &str, settings: &str, file: Option<(&str, Vec<u8>)>) -> Seen {
    let folder = cloud.guestbook(name, "");
    let compose = format!(
        "name: {name}\nx-grange: {{ name: {name}, budget: \"{budget}\" }}\nservices:\n  api:\n    x-grange: {{ {settings} }}\n"
    );
    std::fs::write(folder.join("compose.yaml"), compose).unwrap();
    if let Some((path, content)) = file {
        std::fs::write(folder.join(path), content).unwrap();
    }
    typed(cloud, &["deploy", folder.to_str().unwrap()])
}

fn in_an_hour() -> Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(now.as_millis() as u64 + 600_000)
}

/// What a user's own envelopes are answered with.
fn envelopes(api: &Api<'_>) -> BTreeMap<&'static str, Seen> {
    let good = api.transaction(api.network, in_an_hour(), 1);
    let mut altered = good.clone();
    altered.body.nonce = 2;
    let foreign = api.transaction(NetworkId([9; 32]), in_an_hour(), 3);
    let expired = api.transaction(api.network, Time(1_000), 4);
    // A varint padded with a zero group says the same number in more bytes: the nonce is the first byte after the
    // account, and one is one byte.
    let mut padded = good.encode();
    let account = api.key.public().account().0;
    let place = padded.windows(32).rposition(|window| window == account).unwrap() + 32;
    assert_eq!(padded[place], 1, "the nonce");
    padded.splice(place..=place, [0x81, 0x00]);
    let once = ureq::post(format!("{}/v1/transactions", api.node.api))
        .header("authorization", format!("Bearer {}", api.token))
        .header("content-type", "application/octet-stream")
        .send(good.encode())
        .unwrap();
    assert!(once.status().is_success(), "an honest envelope is taken");
    BTreeMap::from([
        ("an altered envelope", api.submit(&altered.encode())),
        ("a replayed envelope", api.submit(&good.encode())),
        ("an envelope of another network", api.submit(&foreign.encode())),
        ("an envelope past its expiry", api.submit(&expired.encode())),
        ("bytes that do not re-encode to themselves", api.submit(&padded)),
        ("truncated bytes", api.submit(&good.encode()[..40])),
        ("an oversized body", api.submit(&vec![1; 2 << 20])),
    ])
}

/// What requests of the API are answered with.
fn requests(api: &Api<'_>) -> BTreeMap<&'static str, Seen> {
    let to = "55".repeat(32);
    let transfer = |body: Value| api.refused("POST", "/v1/wallet/transfers", &[], body.to_string().as_bytes());
    let blob = BlobId([6; 32]);
    let resources = json!({"cpu_millis": 100, "memory": 67_108_864, "disk": 0});
    let service = json!({
        "workload": {"wasm": {"component": blob.to_string(), "size": 9}}, "replicas": 1, "resources": resources,
        "environment": {}, "route": "/", "health": null, "depends_on": [], "placement": {"on": "market",
        "price_max": null, "region": null, "isolation": null}, "allow_http": []
    });
    let manifest = json!({"manifest": {"name": "lost", "budget": "1", "services": {"api": service}}});
    BTreeMap::from([
        ("more than the account has", transfer(json!({"to": to, "amount": "99999999"}))),
        ("an unknown field in a request", transfer(json!({"to": to, "amount": "1", "amout": "2"}))),
        ("an unknown deployment, account or name", api.refused("GET", "/v1/deployments/nobody", &[], b"")),
        ("an unknown path", api.refused("GET", "/v1/nothing", &[], b"")),
        ("a wrong, missing or rotated token", api.refused("GET", "/v1/wallet", &[("authorization", "Bearer 00")], b"")),
        ("a request under a foreign Host", api.refused("GET", "/v1/wallet", &[("host", "evil.example")], b"")),
        ("a blob whose bytes are not its name's", api.refused("PUT", &format!("/v1/blobs/{blob}"), &[], b"other")),
        (
            "a deployment whose blobs were not sent",
            api.refused("POST", "/v1/deployments", &[], manifest.to_string().as_bytes()),
        ),
    ])
}

/// What projects are answered with.
fn projects(cloud: &Cloud) -> BTreeMap<&'static str, Seen> {
    let wasm = "wasm: ./guestbook.wasm";
    let fixture = |name: &str| {
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/fixtures").join(name)).unwrap()
    };
    let taken = cloud.guestbook("taken", "");
    cloud.json(&["deploy", taken.to_str().unwrap()]);
    let other = ["--node", &cloud.nodes[1].api, "deploy", taken.to_str().unwrap()];
    BTreeMap::from([
        (
            "a compose file with a mistake, of each kind",
            deploy(cloud, "wrong", "1", "wasm: ./guestbook.wasm, wam: 1", None),
        ),
        (
            "a wasm file that is no component",
            deploy(cloud, "core", "1", "wasm: ./c.wasm", Some(("c.wasm", fixture("core.wasm")))),
        ),
        (
            "a wasm file or a site that is too large",
            deploy(
                cloud,
                "large",
                "1",
                "wasm: ./l.wasm",
                Some(("l.wasm", [b"\0asm".to_vec(), vec![0; 65 << 20]].concat())),
            ),
        ),
        ("a budget below the shortest lease", deploy(cloud, "poor", "0.0000001", wasm, None)),
        ("no offer that fits", deploy(cloud, "far", "1", "wasm: ./guestbook.wasm, region: mars", None)),
        ("a name that another account has", typed(cloud, &other)),
        ("no node on this machine", typed(cloud, &["--node", "http://127.0.0.1:1", "wallet", "balance"])),
    ])
}

/// What wrong arguments are answered with: each of a row's mistakes alike.
fn arguments(cloud: &Cloud) -> BTreeMap<&'static str, Seen> {
    let alike = |mistakes: &[&[&str]]| {
        let seen: Vec<Seen> = mistakes.iter().map(|mistake| typed(cloud, mistake)).collect();
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
        seen[0].clone()
    };
    BTreeMap::from([
        (
            "an unknown command or option, a missing argument, a value out of its range",
            alike(&[&["deplot"], &["ps", "--colour"], &["down"], &["dev", "--nodes", "17"]]),
        ),
        (
            "another number of nodes, `--lan`, `--rules` or `--lost-after` for a dev cloud that is there",
            alike(&[
                &["dev", "--nodes", "3", "--detach"],
                &["dev", "--lan", "--detach"],
                &["dev", "--rules", "1", "--detach"],
                &["dev", "--lost-after", "30s", "--detach"],
            ]),
        ),
    ])
}

/// A client of the gateway waits for a component that never answers.
fn looping(cloud: &Cloud, api: &Api<'_>) -> Seen {
    let folder = cloud.guestbook("spin", "");
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/fixtures/loop.wasm");
    std::fs::copy(fixture, folder.join("guestbook.wasm")).unwrap();
    let mut deploying = cloud.command(&["deploy", folder.to_str().unwrap(), "--json"]).spawn().unwrap();
    until("it is deployed", Duration::from_secs(30), || cloud.json(&["ps"]).to_string().contains("spin"));
    let gateway = cloud.nodes[0].gateway.clone();
    let fields = [("base", gateway.as_str()), ("host", "spin.localhost"), ("accept", "application/json")];
    let mut seen = api.refused("GET", "/entries", &fields, b"");
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    // Until its provider runs it there is no replica, or none that answers.
    while matches!(seen.code.as_str(), "no-replica" | "replica-failed") && std::time::Instant::now() < deadline {
        seen = api.refused("GET", "/entries", &fields, b"");
    }
    let _ = deploying.kill();
    let _ = deploying.wait();
    seen
}

#[test]
fn every_row_of_the_table_is_as_it_says() {
    let cloud = Cloud::start(4);
    let api = Api::new(&cloud, &cloud.nodes[0]);
    let mut seen = envelopes(&api);
    seen.extend(requests(&api));
    seen.extend(projects(&cloud));
    seen.extend(arguments(&cloud));
    seen.insert("a component that loops for ever, as a client of the gateway sees it", looping(&cloud, &api));
    cloud.kill(2);
    cloud.kill(3);
    until("the ledger is halted", Duration::from_secs(20), || cloud.json(&["status"])["ready"] == false);
    let body = json!({"to": "55".repeat(32), "amount": "1"}).to_string();
    let halted = api.refused("POST", "/v1/wallet/transfers", &[], body.as_bytes());
    seen.insert("a transaction while too few validators live", halted);
    for (what, promised) in promised() {
        let seen = seen.get(what).unwrap_or_else(|| panic!("nobody does this to a node: {what}"));
        assert_eq!(seen.code, promised.code, "{what}: {seen:?}");
        assert!(seen.exit.is_some() || seen.status.is_some(), "{what}");
        assert!(seen.exit.is_none() || seen.exit == promised.exit, "{what}: {seen:?}, promised {promised:?}");
        assert!(seen.status.is_none() || seen.status == promised.status, "{what}: {seen:?}, promised {promised:?}");
    }
}
