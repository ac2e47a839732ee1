//! The nodes of a storm: four that found a network together, and one that joins it from behind its router.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use grange_node::{Contact, Folder, Founder, Settings, dev_genesis};
use grange_types::{Amount, SecretKey, Time};
use serde_json::Value;

use crate::Trouble;
use crate::host::{Host, ROOT};
use crate::plan::{Dice, HOSTS, VALIDATORS};
use crate::tools::Tools;
use crate::wires;

/// What each founder has to begin with.
pub(crate) const BALANCE: Amount = Amount::credits(1_000_000);
/// The app that is written to.
pub(crate) const APP: &str = "book";
/// Part of the program, for whoever runs it may not be one who may read the folder it was built in.
const COMPONENT: &[u8] = include_bytes!("../../examples/guestbook/guestbook.wasm");
const COMPOSE: &str = "name: book\nx-grange: { name: book, budget: \"10\" }\nservices:\n  api:\n    \
                       x-grange: { wasm: ./guestbook.wasm, route: /entries }\n";
/// How long things may take before anything is broken on purpose.
const PATIENCE: Duration = Duration::from_secs(60);
/// The stream of dice for prices.
const PRICES: u64 = 2;

/// Makes the hosts, and a cloud on them with the app deployed.
pub(crate) fn make(seed: u64, grange: &Path, logs: &Path, tools: &Tools) -> Result<Vec<Host>, Trouble> {
    let hosts = HOSTS.into_iter().map(|name| Host::make(name, grange, logs)).collect::<Result<Vec<_>, _>>();
    let hosts = hosts?;
    let prices = prices(seed);
    found(&hosts, &prices)?;
    for host in hosts.iter().take(VALIDATORS) {
        host.start(&[], None, tools)?;
    }
    ready(&hosts[..VALIDATORS])?;
    let invitation = invitation(&hosts[0])?;
    let price: Vec<&str> = prices[VALIDATORS].iter().map(String::as_str).collect();
    let last = hosts.last().ok_or("there are no hosts")?;
    last.start(&[&["--join", &invitation, "--display", last_name()], &price[..]].concat(), None, tools)?;
    ready(&hosts)?;
    until("every offer is known everywhere", || {
        hosts.iter().all(|host| host.command(&["offers"]).is_ok_and(|offers| count(&offers) == HOSTS.len()))
    })?;
    deploy(&hosts[0])?;
    Ok(hosts)
}

fn last_name() -> &'static str {
    HOSTS[HOSTS.len() - 1]
}

/// What each host asks for, as arguments: all different, in an order that the seed gives, so that every host may be the
/// cheapest and have the app.
fn prices(seed: u64) -> Vec<Vec<String>> {
    let mut dice = Dice::new(seed, PRICES);
    let mut tenths: Vec<u128> = (0..HOSTS.len() as u128).map(|step| 8 + 2 * step).collect();
    let mut all = Vec::new();
    while !tenths.is_empty() {
        let drawn = tenths.swap_remove(dice.below(tenths.len() as u64) as usize);
        let base = [
            ("--cpu-hour", Amount::CREDIT.0 / 100),
            ("--memory-gib-hour", Amount::CREDIT.0 / 200),
            ("--disk-gib-hour", Amount::CREDIT.0 / 10_000),
            ("--request-million", Amount::CREDIT.0 / 5),
            ("--egress-gib", Amount::CREDIT.0 / 100),
        ];
        let words = base.map(|(option, price)| [option.to_owned(), Amount(price * drawn / 10).to_string()]);
        all.push(words.concat());
    }
    all
}

/// Makes the validators' folders with the real command, and then one genesis for all of them: no command founds a network
/// on several machines at once.
fn found(hosts: &[Host], prices: &[Vec<String>]) -> Result<(), Trouble> {
    let mut made: Vec<(Folder, Settings, SecretKey)> = Vec::new();
    for (index, host) in hosts.iter().enumerate().take(VALIDATORS) {
        let mut command = host.grange();
        command.args(["network", "create", "--network", "storm", "--display", host.name, "--data"]).arg(host.data());
        command.args(["--api", crate::http::API, "--gateway", crate::http::GATEWAY, "--listen"]);
        command.arg(format!("{}:8082", wires::outside(index))).args(&prices[index]);
        if index == 0 {
            command.args(["--relay", "0.0.0.0:3340"]);
        }
        let output = command.output()?;
        if !output.status.success() {
            return Err(format!("grange network create: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let folder = Folder(host.data());
        let (settings, key) = (folder.read_settings()?, folder.read_key()?);
        made.push((folder, settings, key));
    }
    let founder = |(_, settings, key): &(Folder, Settings, SecretKey)| Founder {
        peer: key.public().peer(),
        display: settings.display.clone(),
        region: settings.region.clone(),
        balance: BALANCE,
    };
    let founders: Vec<Founder> = made.iter().map(founder).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let genesis = dev_genesis("storm", Time(u64::try_from(now)?), &founders);
    let contact = |(_, settings, key): &(Folder, Settings, SecretKey)| {
        let addresses: Vec<SocketAddr> = vec![settings.listen];
        Contact { peer: key.public().peer(), addresses, relays: Vec::new() }
    };
    let contacts: Vec<Contact> = made.iter().map(contact).collect();
    for (index, (folder, settings, key)) in made.iter().enumerate() {
        let others = contacts.iter().enumerate().filter(|(other, _)| *other != index);
        let bootstrap = others.map(|(_, contact)| contact.clone()).collect();
        folder.create(&Settings { bootstrap, mdns: false, ..settings.clone() }, &genesis, key)?;
    }
    Ok(())
}

/// Waits until these can do all that their roles promise.
fn ready(hosts: &[Host]) -> Result<(), Trouble> {
    let is_ready = |host: &Host| host.api("GET", "/v1/status", None).is_ok_and(|status| status["ready"] == true);
    until("every node is ready", || hosts.iter().all(is_ready))
}

fn invitation(host: &Host) -> Result<String, Trouble> {
    let made = host.command(&["invite"])?;
    Ok(made["invite"].as_str().ok_or("`grange invite` gives no invitation")?.to_owned())
}

fn deploy(owner: &Host) -> Result<(), Trouble> {
    let folder = Path::new(ROOT).join(APP);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("guestbook.wasm"), COMPONENT)?;
    fs::write(folder.join("compose.yaml"), COMPOSE)?;
    owner.command(&["deploy", &folder.to_string_lossy()])?;
    Ok(())
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

/// Waits for a condition while nothing is broken.
fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<(), Trouble> {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("not within {} s, before anything was broken: {what}", PATIENCE.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_host_is_the_cheapest_in_some_storm() {
        let cheapest = |seed| {
            let prices = prices(seed);
            (0..HOSTS.len()).find(|host| prices[*host][1] == "0.008")
        };
        let hosts: BTreeSet<_> = (0..50).map(cheapest).collect();
        assert_eq!(hosts, (0..HOSTS.len()).map(Some).collect());
    }
}
