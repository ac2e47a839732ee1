//! `doctor`: what of this machine is fit to run a node, and what would help where it is not.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use grange_api::{Call, Problem, ProblemCode, Status};
use grange_types::{ByteCount, Millis, Time};
use serde::Serialize;

use super::context::Context;
use crate::choice::{self, Purpose};
use crate::client::Client;
use crate::failure::Outcome;
use crate::folders;
use crate::machine;
use crate::node_process::{Folder, Settings};
use crate::output::counted;
use crate::ports::{Transport, is_free};
use crate::registry::{self, Entry, Kind};
use crate::table::Table;

/// The first of January 2025: an earlier clock was never set.
const EARLIEST: Time = Time(1_735_689_600_000);
/// How far a clock may be from the ledger's before its validators disagree.
const AHEAD: Millis = Millis::seconds(2);
/// Below this much free disk a node cannot keep a ledger for long.
const LEAST_DISK: ByteCount = ByteCount::gib(1);
/// Where machines of one local network find each other.
const MDNS: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    check: &'static str,
    result: Verdict,
    message: String,
    remedy: String,
}

impl Check {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, result: Verdict::Ok, message: message.into(), remedy: String::new() }
    }

    fn warn(check: &'static str, message: impl Into<String>, remedy: &str) -> Self {
        Self { check, result: Verdict::Warn, message: message.into(), remedy: remedy.to_owned() }
    }

    fn fail(check: &'static str, message: impl Into<String>, remedy: &str) -> Self {
        Self { check, result: Verdict::Fail, message: message.into(), remedy: remedy.to_owned() }
    }
}

/// Checks this machine and the node on it.
pub(crate) fn run(context: Context<'_>, data: Option<&Path>) -> Outcome {
    let data = match data {
        Some(data) => folders::absolute(data)?,
        None => folders::node()?,
    };
    let folder = Folder(data.clone());
    let settings = folder.read_settings().ok();
    let client = choice::client(context.global, context.output, "doctor", Purpose::Read);
    let status = client.as_ref().map_err(Clone::clone).and_then(|client| client.ask::<Status>(&Call::Status));
    let known = folders::registry().ok().and_then(|path| registry::read(&path).ok()).unwrap_or_default();
    let running = known.iter().any(|entry| entry.data == data && choice::is_there(entry));
    let mut checks =
        vec![writable(&data), disk(&data), clock(status.as_ref().ok()), udp(settings.as_ref(), running), multicast()];
    checks.extend(ports(settings.as_ref(), running));
    checks.push(node(status.as_ref()));
    checks.extend(clouds(&known));
    checks.extend(tokens(&known, client.as_ref().ok()));
    show(context, &checks)
}

fn show(context: Context<'_>, checks: &[Check]) -> Outcome {
    let output = context.output;
    if output.is_json() {
        output.data(&checks)?;
    } else {
        let mut table = Table::new(&["check", "result", "what was found"]);
        for check in checks {
            let result = match check.result {
                Verdict::Ok => "ok",
                Verdict::Warn => "warn",
                Verdict::Fail => "fail",
            };
            let remedy = if check.remedy.is_empty() { String::new() } else { format!("; {}", check.remedy) };
            table.row([check.check.to_owned(), result.to_owned(), format!("{}{remedy}", check.message)]);
        }
        output.table(&table)?;
    }
    let failed: Vec<&str> =
        checks.iter().filter(|check| check.result == Verdict::Fail).map(|check| check.check).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::Internal,
        "doctor",
        failed.join(", "),
        format!("{} failed", counted(failed.len(), "check", "checks")),
    )
    .with_remedy("follow the remedy that stands beside each")
    .into())
}

fn writable(data: &Path) -> Check {
    const CHECK: &str = "data folder";
    let Some(existing) = data.ancestors().find(|folder| folder.exists()) else {
        return Check::fail(CHECK, format!("{} has no parent", data.display()), "name another folder with --data");
    };
    match rustix::fs::access(existing, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        Ok(()) => Check::ok(CHECK, format!("{} can be written", data.display())),
        Err(error) => {
            let message = format!("{} cannot be written: {error}", existing.display());
            Check::fail(CHECK, message, "make it writable, or name another folder with --data")
        }
    }
}

fn disk(data: &Path) -> Check {
    const CHECK: &str = "disk";
    match machine::disk_free(data) {
        None => Check::warn(CHECK, "how much is free is unknown", "look with df"),
        Some(free) if free < LEAST_DISK => {
            Check::fail(CHECK, format!("{free} are free"), "make room: a node needs a gigabyte")
        }
        Some(free) => Check::ok(CHECK, format!("{free} are free")),
    }
}

fn clock(status: Option<&Status>) -> Check {
    const CHECK: &str = "clock";
    let now = machine::now();
    if now < EARLIEST {
        return Check::fail(CHECK, format!("it says {now}, which is long ago"), "set it, and let NTP keep it");
    }
    match status.and_then(|status| status.finalized_at) {
        Some(last) if last.0 > now.after(AHEAD) => {
            let message = format!("it says {now}, before the ledger's last block of {last}");
            Check::fail(CHECK, message, "let NTP keep it")
        }
        Some(last) => Check::ok(CHECK, format!("it says {now}; the ledger's last block is of {last}")),
        None => Check::ok(CHECK, format!("it says {now}; no ledger to compare with")),
    }
}

fn udp(settings: Option<&Settings>, running: bool) -> Check {
    const CHECK: &str = "udp";
    const REMEDY: &str = "end what uses the port, or choose another with `grange up --listen`";
    match settings {
        Some(settings) if !running && !is_free(settings.listen, Transport::Udp) => {
            Check::fail(CHECK, format!("{} is taken", settings.listen), REMEDY)
        }
        Some(settings) => Check::ok(CHECK, format!("{} is the node's", settings.listen)),
        None if is_free(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), Transport::Udp) => {
            Check::ok(CHECK, "peers can be talked to")
        }
        None => Check::fail(CHECK, "no UDP socket can be opened", "allow UDP: peers talk over QUIC"),
    }
}

fn multicast() -> Check {
    const CHECK: &str = "multicast";
    const REMEDY: &str = "machines of this network will not find each other; use invitations";
    let joined = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.join_multicast_v4(&MDNS.0, &Ipv4Addr::UNSPECIFIED)?;
        // An empty datagram is no question and gets no answer; it shows that there is a way out.
        socket.send_to(&[], MDNS)
    });
    match joined {
        Ok(_) => Check::ok(CHECK, "the local network can be asked for peers"),
        Err(error) => Check::warn(CHECK, format!("not possible: {error}"), REMEDY),
    }
}

/// The ports of a node that does not run now.
fn ports(settings: Option<&Settings>, running: bool) -> Vec<Check> {
    const CHECK: &str = "ports";
    let Some(settings) = settings.filter(|_| !running) else {
        return Vec::new();
    };
    let check = |(name, address): (&str, SocketAddr)| match is_free(address, Transport::Tcp) {
        true => Check::ok(CHECK, format!("{name} {address} is free")),
        false => {
            let remedy = format!("end what uses it, or choose another with `grange up --{name}`");
            Check::fail(CHECK, format!("{name} {address} is taken by another program"), &remedy)
        }
    };
    let relay = settings.relay.map(|relay| ("relay", relay));
    [("api", settings.api), ("gateway", settings.gateway)].into_iter().chain(relay).map(check).collect()
}

fn node(status: Result<&Status, &Problem>) -> Check {
    const CHECK: &str = "node";
    match status {
        Ok(status) if status.ready => Check::ok(
            CHECK,
            format!("{} is ready at height {} with {} peers", status.display, status.height, status.peers),
        ),
        Ok(status) => {
            let reason = status.reason.as_deref().unwrap_or("it does not say why");
            Check::warn(
                CHECK,
                format!("{} is not ready: {reason}", status.display),
                "wait, then look at `grange status`",
            )
        }
        Err(problem) => {
            let thing = if problem.thing.is_empty() { String::new() } else { format!("{}: ", problem.thing) };
            Check::warn(CHECK, format!("{thing}{}", problem.message), &problem.remedy)
        }
    }
}

/// The nodes of each dev cloud: all of them run, or none, unless one has died.
fn clouds(known: &[Entry]) -> Vec<Check> {
    let mut clouds: BTreeMap<&Path, Vec<&Entry>> = BTreeMap::new();
    for entry in known.iter().filter(|entry| entry.kind == Kind::Dev && entry.data.is_dir()) {
        clouds.entry(entry.data.parent().unwrap_or(&entry.data)).or_default().push(entry);
    }
    clouds.into_iter().map(|(folder, nodes)| cloud(folder, &nodes)).collect()
}

fn cloud(folder: &Path, nodes: &[&Entry]) -> Check {
    const CHECK: &str = "dev cloud";
    let dead: Vec<&&Entry> = nodes.iter().filter(|entry| !choice::is_there(entry)).collect();
    let place = folder.display();
    if dead.is_empty() {
        return Check::ok(CHECK, format!("{} of {place}: all run", counted(nodes.len(), "node", "nodes")));
    }
    if dead.len() == nodes.len() {
        return Check::ok(CHECK, format!("the one of {place} is stopped"));
    }
    let named = |entry: &&&Entry| format!("{} ({})", entry.index.unwrap_or_default(), entry.display);
    let names = dead.iter().map(named).collect::<Vec<_>>().join(", ");
    let option = folders::dev_option(folder);
    let one = dead.first().and_then(|entry| entry.index).unwrap_or_default();
    Check::warn(
        CHECK,
        format!("of {} in {place} do not run: {names}", counted(nodes.len(), "node", "nodes")),
        &format!("start it again with `grange dev start {one}{option}`, or all with `grange dev{option}`"),
    )
}

/// The token files of all nodes of this user.
fn tokens(known: &[Entry], client: Option<&Client>) -> Vec<Check> {
    const CHECK: &str = "token";
    let mut files: Vec<_> = known.iter().map(|entry| entry.token_file.clone()).collect();
    files.extend(client.map(|client| client.token_file().to_path_buf()));
    files.sort();
    files.dedup();
    let check = |file: &std::path::PathBuf| match fs::metadata(file) {
        // A node makes its token when it starts for the first time.
        Err(_) => None,
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            let name = file.display();
            Some(match mode & 0o077 {
                0 => Check::ok(CHECK, format!("{name} is its owner's alone")),
                _ => Check::fail(
                    CHECK,
                    format!("{name} has mode {mode:04o}"),
                    &format!("chmod 600 {name}, then `grange key rotate-token`"),
                ),
            })
        }
    };
    files.iter().filter_map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_machine_passes() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(writable(&folder.path().join("not/yet/there")).result, Verdict::Ok);
        assert_eq!(clock(None).result, Verdict::Ok);
        assert_eq!(udp(None, false).result, Verdict::Ok);
    }

    #[test]
    fn a_clock_behind_the_ledger_fails() {
        let ahead = machine::now().after(Millis::HOUR);
        let status = serde_json::json!({
            "peer": "00".repeat(32), "display": "", "operator": "00".repeat(32), "network": "00".repeat(32),
            "version": "0.1.0", "roles": [], "height": 1, "finalized_at": ahead.to_string(), "peers": 0,
            "ready": true, "reason": null
        });
        let status: Status = serde_json::from_value(status).unwrap();
        assert_eq!(clock(Some(&status)).result, Verdict::Fail);
        assert_eq!(node(Ok(&status)).result, Verdict::Ok);
    }
}
