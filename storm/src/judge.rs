//! What must hold when a storm is over, asked over the nodes' real doors.
//!
//! The judge knows the answers that users were given and reads bytes; of the product's code it uses none but the amounts'
//! text form, and for the chain's certificates the command that anybody may use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use grange_types::Amount;
use serde_json::{Value, json};

use crate::Trouble;
use crate::cloud::{APP, BALANCE};
use crate::host::{Host, ROOT};
use crate::load::{AMOUNT, Load, MEMO, RECEIVER};
use crate::plan::VALIDATORS;

/// How long nodes may take to be level once nobody pays any more.
const LEVEL_WITHIN: Duration = Duration::from_secs(20);
/// How long the whole chain may take to be told.
const CHAIN_WITHIN: Duration = Duration::from_secs(60);
/// How long a provider's word may take to be heard: after a clock that was ahead, as much as clocks may differ.
const HEARD_WITHIN: Duration = Duration::from_secs(130);
/// Digits at the end of a memo.
const DIGITS: usize = 6;

/// The blocks of one node, by height.
type Blocks = BTreeMap<u64, Vec<u8>>;

/// What holds, a line each, and what does not.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) holds: Vec<String>,
    pub(crate) findings: Vec<String>,
}

impl Verdict {
    fn take(&mut self, check: &str, result: Result<String, Trouble>) {
        match result {
            Ok(line) => self.holds.push(format!("{check}: {line}")),
            Err(error) => self.findings.push(format!("{check}: {error}")),
        }
    }
}

/// Judges hosts whose load has ended.
pub(crate) fn judge(hosts: &[Host], load: &Load) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.take("level", level(hosts));
    match hosts.iter().map(blocks).collect::<Result<Vec<Blocks>, Trouble>>() {
        Ok(chains) => {
            verdict.take("one chain", one_chain(hosts, &chains));
            verdict.take("transfers", transfers(&chains, load));
        }
        Err(error) => verdict.findings.push(format!("one chain: {error}")),
    }
    verdict.take("certificates", certificates(hosts));
    verdict.take("money", money(hosts, load));
    verdict.take("entries", entries(hosts, load));
    verdict.take("market", market(hosts));
    verdict.take("logs", logs(hosts));
    verdict
}

/// All stand at the same height, with the same state.
fn level(hosts: &[Host]) -> Result<String, Trouble> {
    let begun = Instant::now();
    loop {
        let at = |host: &Host| {
            host.api("GET", "/v1/ledger/height", None).map(|at| (at["height"].clone(), at["state_root"].clone()))
        };
        let all = hosts.iter().map(at).collect::<Result<Vec<_>, Trouble>>();
        match all {
            Ok(all) if all.windows(2).all(|pair| pair[0] == pair[1]) => {
                return Ok(format!(
                    "all at block {}",
                    all.first().map(|(height, _)| height.to_string()).unwrap_or_default()
                ));
            }
            // Money flows on while leases do, so that they need not be level at each instant.
            Ok(all) if begun.elapsed() > LEVEL_WITHIN => {
                return Err(format!("not level within {} s: {all:?}", LEVEL_WITHIN.as_secs()).into());
            }
            Err(error) if begun.elapsed() > LEVEL_WITHIN => return Err(error),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Every final block that a node has.
fn blocks(host: &Host) -> Result<Blocks, Trouble> {
    let text = host.api_text("GET", "/v1/ledger/blocks?from=1", None, CHAIN_WITHIN)?;
    let mut blocks = Blocks::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        let (Some(height), Some(block)) = (line["height"].as_u64(), line["block"].as_str()) else {
            return Err(format!("the blocks of {} break off: {line}", host.name).into());
        };
        blocks.insert(height, BASE64.decode(block.as_bytes())?);
    }
    Ok(blocks)
}

fn one_chain(hosts: &[Host], chains: &[Blocks]) -> Result<String, Trouble> {
    let mut agreed: BTreeMap<u64, (&str, &Vec<u8>)> = BTreeMap::new();
    for (host, chain) in hosts.iter().zip(chains) {
        let last = chain.last_key_value().map_or(0, |(height, _)| *height);
        if chain.len() as u64 != last {
            return Err(format!("{} has {} blocks up to {last}", host.name, chain.len()).into());
        }
        for (height, block) in chain {
            let (first, known) = agreed.entry(*height).or_insert((host.name, block));
            if *known != block {
                return Err(format!("{first} and {} have different blocks at height {height}", host.name).into());
            }
        }
    }
    Ok(format!("{} nodes, {} blocks, the same at each height", chains.len(), agreed.len()))
}

/// The memos of a storm in a block, as they stand in its bytes.
fn memos(block: &[u8]) -> Vec<String> {
    let begin = |at: &usize| block[*at..].starts_with(MEMO.as_bytes());
    let memo = |at: usize| {
        let rest = &block[at + MEMO.len()..];
        let slash = rest.iter().position(|byte| !byte.is_ascii_lowercase()).filter(|end| rest[*end] == b'/')?;
        let whole = &block[at..(at + MEMO.len() + slash + 1 + DIGITS).min(block.len())];
        String::from_utf8(whole.to_vec()).ok()
    };
    (0..block.len()).filter(begin).filter_map(memo).collect()
}

/// Each acknowledged transfer is in the block that its sender was told, and none anywhere twice.
fn transfers(chains: &[Blocks], load: &Load) -> Result<String, Trouble> {
    let chain = chains.iter().max_by_key(|chain| chain.len()).ok_or("there are no nodes")?;
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for (height, block) in chain {
        for memo in memos(block) {
            if let Some(before) = found.insert(memo.clone(), *height) {
                return Err(format!("{memo} is in block {before} and in block {height}").into());
            }
        }
    }
    let tried = load.transfers();
    for (memo, told) in &tried {
        if told.is_some() && found.get(memo) != told.as_ref() {
            return Err(format!(
                "{memo} is final in block {told:?}, its sender was told; it is in {:?}",
                found.get(memo)
            )
            .into());
        }
    }
    if let Some(stranger) = found.keys().find(|memo| !tried.contains_key(*memo)) {
        return Err(format!("nobody sent {stranger}").into());
    }
    let acknowledged = tried.values().flatten().count();
    Ok(format!("{acknowledged} of {} acknowledged, each where its sender was told; {} final", tried.len(), found.len()))
}

/// The chain of every node under its certificates, from the genesis on.
fn certificates(hosts: &[Host]) -> Result<String, Trouble> {
    let genesis = hosts.first().ok_or("there are no hosts")?.command(&["ledger", "genesis"])?;
    let file = format!("{ROOT}/genesis.json");
    fs::write(&file, genesis.to_string())?;
    let mut least = u64::MAX;
    for host in hosts {
        let audit = host.command(&["ledger", "verify", "--genesis", &file])?;
        if audit["ok"] != true {
            return Err(format!("{}: {audit}", host.name).into());
        }
        least = least.min(audit["certificates"].as_u64().unwrap_or(0));
    }
    Ok(format!("{} nodes verified from the genesis, at least {least} certificates each", hosts.len()))
}

/// What every account has, at one height, comes to what the genesis gave; and the receiver has what the transfers say.
fn money(hosts: &[Host], load: &Load) -> Result<String, Trouble> {
    let asked = hosts.first().ok_or("there are no hosts")?;
    let mut accounts = vec![RECEIVER.to_owned()];
    for host in hosts {
        let wallet = host.command(&["wallet", "balance"])?;
        accounts.push(wallet["account"].as_str().ok_or("a wallet without an account")?.to_owned());
    }
    let begun = Instant::now();
    while begun.elapsed() < LEVEL_WITHIN {
        let (mut sum, mut heights, mut received) = (0_u128, BTreeSet::new(), 0_u128);
        for account in &accounts {
            let told = asked.api("GET", &format!("/v1/ledger/accounts/{account}"), None)?;
            let part = |field: &str| told[field].as_str().unwrap_or("0").parse::<Amount>().map(|amount| amount.0);
            sum += part("available")? + part("pending")?;
            heights.insert(told["height"].as_u64());
            if account == RECEIVER {
                received = part("available")?;
            }
        }
        if heights.len() > 1 {
            // A block came meanwhile.
            continue;
        }
        let begun_with = BALANCE.0 * VALIDATORS as u128;
        if sum != begun_with {
            return Err(format!("all accounts have {}, the genesis gave {}", Amount(sum), Amount(begun_with)).into());
        }
        let tried = load.transfers();
        let each = AMOUNT.parse::<Amount>()?.0;
        let (least, most) = (tried.values().flatten().count() as u128 * each, tried.len() as u128 * each);
        if received < least || received > most {
            return Err(format!(
                "{} acknowledged, {} tried, {} received",
                Amount(least),
                Amount(most),
                Amount(received)
            )
            .into());
        }
        return Ok(format!(
            "{} credits in all accounts, as in the genesis; {} received",
            Amount(sum),
            Amount(received)
        ));
    }
    Err("blocks came too fast to ask all accounts at one height".into())
}

/// Every acknowledged entry is in the book, through each gateway.
fn entries(hosts: &[Host], load: &Load) -> Result<String, Trouble> {
    let acknowledged = load.entries();
    for host in hosts {
        let (status, body) = host.page("GET", APP, "/entries", None)?;
        if status != 200 {
            return Err(format!("the gateway of {} answers {status}: {body}", host.name).into());
        }
        let lost = missing(&acknowledged, &serde_json::from_str(&body)?);
        if let Some(first) = lost.first() {
            return Err(
                format!("{} of {} acknowledged are lost, first {first:?}", lost.len(), acknowledged.len()).into()
            );
        }
    }
    Ok(format!("{} acknowledged, all there through {} gateways", acknowledged.len(), hosts.len()))
}

/// What a book does not have of what it should.
fn missing<'a>(acknowledged: &'a BTreeSet<String>, book: &Value) -> Vec<&'a str> {
    let there: BTreeSet<&str> =
        book.as_array().into_iter().flatten().filter_map(|entry| entry["message"].as_str()).collect();
    acknowledged.iter().map(String::as_str).filter(|entry| !there.contains(entry)).collect()
}

/// What each provider says now is heard by every node, whatever its clock was before.
fn market(hosts: &[Host]) -> Result<String, Trouble> {
    let begun = Instant::now();
    for paused in [true, false] {
        for host in hosts {
            host.api("POST", "/v1/provider/pause", Some(&json!({ "paused": paused })))?;
        }
        for host in hosts {
            while let Some(deaf) = unheard(hosts, &host.api("GET", "/v1/providers", None)?, paused) {
                if begun.elapsed() > HEARD_WITHIN {
                    let within = HEARD_WITHIN.as_secs();
                    let what = if paused { "pauses" } else { "sells again" };
                    return Err(format!("{} has not heard within {within} s that {deaf} {what}", host.name).into());
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
    let took = begun.elapsed().as_secs_f64();
    Ok(format!("{} nodes heard within {took:.1} s that {} paused and sold again", hosts.len(), hosts.len()))
}

/// A host whose provider a list does not show as it should.
fn unheard<'a>(hosts: &'a [Host], list: &Value, paused: bool) -> Option<&'a str> {
    let shown = |host: &&Host| {
        list.as_array().into_iter().flatten().any(|entry| entry["display"] == host.name && entry["paused"] == paused)
    };
    hosts.iter().find(|host| !shown(host)).map(|host| host.name)
}

/// No node has panicked.
fn logs(hosts: &[Host]) -> Result<String, Trouble> {
    for host in hosts {
        let log = fs::read_to_string(&host.log)?;
        if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
            return Err(format!("{} panicked: {line}", host.name).into());
        }
    }
    Ok(format!("no panic in {} nodes", hosts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_are_found_in_the_bytes_of_a_block() {
        let block = b"\x01\x02\x10storm/ada/000017\xff..storm/cleo/000018storm/\x00storm/ada/0000";
        assert_eq!(memos(block), ["storm/ada/000017", "storm/cleo/000018", "storm/ada/0000"]);
    }

    #[test]
    fn a_lost_entry_is_found() {
        let acknowledged = BTreeSet::from(["entry 000001".to_owned(), "entry 000002".to_owned()]);
        let book = serde_json::json!([{ "message": "entry 000002" }, { "message": "entry 000003" }]);
        assert_eq!(missing(&acknowledged, &book), ["entry 000001"]);
    }

    #[test]
    fn two_blocks_at_one_height_are_found() {
        let hosts: [Host; 0] = [];
        assert!(one_chain(&hosts, &[]).is_ok());
        let load = Load::default();
        let twice = BTreeMap::from([(1, b"storm/ada/000001".to_vec()), (2, b"storm/ada/000001".to_vec())]);
        let error = transfers(&[twice], &load).unwrap_err().to_string();
        assert_eq!(error, "storm/ada/000001 is in block 1 and in block 2");
        let stranger = BTreeMap::from([(1, b"storm/ada/000001".to_vec())]);
        assert_eq!(transfers(&[stranger], &load).unwrap_err().to_string(), "nobody sent storm/ada/000001");
    }
}
