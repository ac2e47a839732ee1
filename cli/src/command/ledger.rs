//! `ledger` and `network show`: what all agree on, and whether a node's chain of it holds.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use grange_api::{Account, Call, GenesisFile, Key, Lease, LedgerHeight, Line, Name, Network, Problem, ProblemCode};
use grange_types::{Amount, Height, StateRoot, Wire};
use serde::Serialize;

use super::context::Context;
use crate::arguments::{LedgerAction, Trusted};
use crate::client::Client;
use crate::failure::{Failure, Outcome, chain};
use crate::machine;
use crate::node_process::{Audit, AuditError, Checkpoint, Genesis};
use crate::output::{Output, called};
use crate::table::Table;

/// Who waits for a long chain is told so often how far it is.
const TELL: Duration = Duration::from_secs(3);
/// The most that a snapshot may have: it is held in memory, as the state is.
const SNAPSHOT_BYTES: usize = 1 << 30;

/// What came of an audit.
#[derive(Debug, Serialize)]
struct Verified {
    height: Height,
    certificates: u64,
    state_root: StateRoot,
    /// `genesis` or `checkpoint`.
    from: &'static str,
    ok: bool,
}

/// Looks into the ledger.
pub(super) fn run(context: Context<'_>, action: &LedgerAction) -> Outcome {
    match action {
        LedgerAction::Height => {
            let height: LedgerHeight = context.reader("ledger height")?.ask(&Call::LedgerHeight)?;
            context.output.show(&height, |height| {
                let LedgerHeight { height, finalized_at, state_root } = height;
                let at = finalized_at.map_or_else(|| "no block yet".to_owned(), |at| at.to_string());
                format!("height      {height}\nfinalized   {at}\nstate root  {state_root}")
            })
        }
        LedgerAction::Account { id } => {
            let call = Call::LedgerAccount { account: id.clone() };
            let account: Account = context.reader("ledger account")?.ask(&call)?;
            context.output.show(&account, |account| {
                let Account { account, available, pending, keys, height } = account;
                let pending = aside(*pending);
                let head =
                    format!("account    {account}\navailable  {available}\npending    {pending}\nheight     {height}");
                [vec![head], self::keys(keys).lines()].concat().join("\n")
            })
        }
        LedgerAction::Lease { id } => {
            let lease: Lease = context.reader("ledger lease")?.ask(&Call::LedgerLease { lease: id.clone() })?;
            context.output.show(&lease, |lease| {
                let Lease { settled, escrow, held, height, .. } = lease;
                let Lease { lease, deployment, slot, generation, provider, state, .. } = lease;
                format!(
                    "lease       {lease}\ndeployment  {deployment}\nslot        {slot}, generation {generation}\n\
                     provider    {provider}\nstate       {state}\nsettled     {settled}\nescrow      {escrow}\n\
                     disputed    {held}\n\
                     height      {height}"
                )
            })
        }
        LedgerAction::Name { name } => {
            let name: Name = context.reader("ledger name")?.ask(&Call::LedgerName { name: name.clone() })?;
            context.output.show(&name, |name| {
                let deployment = name.deployment.as_deref().unwrap_or("-");
                format!("name        {}\ndeployment  {deployment}\nowner       {}", name.name, name.owner)
            })
        }
        LedgerAction::Verify(trusted) => verify(context, trusted),
        LedgerAction::Checkpoint => checkpoint(context),
        LedgerAction::Genesis => genesis(context),
    }
}

/// Audits a node's chain up to the height that it has now.
fn verify(context: Context<'_>, trusted: &Trusted) -> Outcome {
    let (client, audit) = begin(context, "ledger verify", trusted)?;
    let from = trusted.beginning();
    let audit = take_blocks(&client, audit, context.output)?.summary();
    let (height, certificates, state_root) = (audit.height, audit.certificates, audit.state_root);
    context.output.show(&Verified { height, certificates, state_root, from, ok: true }, |verified| {
        let Verified { height, certificates, state_root, from, .. } = verified;
        format!("verified      {height}, from the {from}\ncertificates  {certificates}\nstate root    {state_root}")
    })
}

/// The audit of a node's chain before its first block, or after a checkpoint.
pub(super) fn begin(context: Context<'_>, operation: &str, trusted: &Trusted) -> Result<(Client, Audit), Failure> {
    let Trusted { genesis, checkpoint } = trusted;
    let beginning = read_genesis(operation, genesis)?;
    let beside = |file| Ok::<(&Path, _), Problem>((file, read_checkpoint(operation, file)?));
    let checkpoint = checkpoint.as_deref().map(beside).transpose()?;
    let of_file = |error: &AuditError, file: &Path| fails(error, operation, &file.display().to_string());
    if let Some((file, checkpoint)) = &checkpoint {
        checkpoint.check(&beginning, machine::now()).map_err(|error| of_file(&error, file))?;
    }
    let client = context.reader(operation)?;
    of_one_network(&client, &beginning)?;
    let audit = match &checkpoint {
        None => Audit::from_genesis(&beginning).map_err(|error| of_file(&error, genesis))?,
        Some((_, checkpoint)) => {
            let pieces = snapshot_of(&client, checkpoint.height)?;
            Audit::from_checkpoint(&beginning, checkpoint, &pieces, machine::now())
                .map_err(|error| fails(&error, client.operation(), client.api()))?
        }
    };
    Ok((client, audit))
}

/// Says it in plain words where the node is of another network than the genesis makes: what it says of itself is only believed
/// against it.
fn of_one_network(client: &Client, genesis: &Genesis) -> Result<(), Problem> {
    let (ours, node) = (genesis.network_id(), client.ask::<Network>(&Call::Network));
    // A node that tells no network still has to show blocks that hold.
    let Some(theirs) = node.ok().map(|node| node.network).filter(|theirs| *theirs != ours) else { return Ok(()) };
    let text =
        format!("height 1: the genesis makes network {ours}, the node is of network {theirs}: these are two networks");
    Err(Problem::new(ProblemCode::ChainInvalid, client.operation(), client.api(), text).with_remedy(
        "give the genesis of the node's network, as a node of it that you trust prints it with `grange ledger genesis`; or name a \
         node of the other network with --node URL",
    ))
}

/// Takes every block that the node says it has, and holds its word on the state against them.
pub(super) fn take_blocks(client: &Client, mut audit: Audit, output: Output) -> Result<Audit, Problem> {
    let last: LedgerHeight = client.ask(&Call::LedgerHeight)?;
    if audit.summary().height >= last.height {
        return hold(client, audit, &last);
    }
    let lines = client.lines(&Call::LedgerBlocks { from: audit.summary().height.next() })?;
    let mut told = Instant::now();
    while audit.summary().height < last.height {
        let Some(Line::Block(line)) = lines.next()? else {
            let text = format!("height {}: the node has no such block", audit.summary().height.next());
            return Err(Problem::new(ProblemCode::ChainInvalid, client.operation(), client.api(), text));
        };
        audit
            .take(&line.block.0, &line.certificate.0)
            .map_err(|error| fails(&error, client.operation(), client.api()))?;
        if told.elapsed() >= TELL {
            output.progress(&format!("verified {} of {}", audit.summary().height, last.height));
            told = Instant::now();
        }
    }
    hold(client, audit, &last)
}

/// Whether the audit came where the node says that the ledger is.
fn hold(client: &Client, audit: Audit, last: &LedgerHeight) -> Result<Audit, Problem> {
    let found = audit.summary();
    if (found.height, found.state_root) == (last.height, last.state_root) {
        return Ok(audit);
    }
    let text = format!(
        "height {}: what holds leads to state {}, the node says that it is at height {} in state {}",
        found.height, found.state_root, last.height, last.state_root
    );
    Err(Problem::new(ProblemCode::ChainInvalid, client.operation(), client.api(), text))
}

/// An audit that failed, as a problem with the remedy that fits.
fn fails(error: &AuditError, operation: &str, thing: &str) -> Problem {
    let problem = Problem::new(ProblemCode::ChainInvalid, operation, thing, chain(error));
    match error {
        AuditError::Old { .. } | AuditError::Early { .. } => problem.with_remedy(
            "begin at the genesis, without --checkpoint; or have somebody you trust print a newer one with \
             `grange ledger checkpoint`",
        ),
        AuditError::Foreign { .. } | AuditError::Genesis(_) => problem.with_remedy(
            "give the genesis of this network, as a node you trust prints it with `grange ledger genesis`",
        ),
        _ => problem,
    }
}

/// The pieces of exactly the snapshot of a height.
fn snapshot_of(client: &Client, height: Height) -> Result<Vec<Vec<u8>>, Problem> {
    let (found, pieces) = snapshot(client, Some(height))?;
    if found == Some(height) {
        return Ok(pieces);
    }
    let text = "the node has no snapshot of that height any more; it keeps its newest two";
    Err(Problem::new(ProblemCode::NotFound, client.operation(), format!("height {height}"), text)
        .with_remedy("begin at the genesis, or at a newer checkpoint that `grange ledger checkpoint` prints"))
}

/// The node's newest snapshot at or below a height: its height and its pieces.
fn snapshot(client: &Client, at: Option<Height>) -> Result<(Option<Height>, Vec<Vec<u8>>), Problem> {
    let lines = client.lines(&Call::LedgerSnapshot { at })?;
    let (mut found, mut pieces, mut bytes) = (None, Vec::new(), 0);
    while let Some(line) = lines.next()? {
        let Line::Piece(line) = line else { continue };
        // Also an empty piece takes room.
        bytes += line.piece.0.len() + size_of::<Vec<u8>>();
        if bytes > SNAPSHOT_BYTES {
            let text = format!("the snapshot has more than {SNAPSHOT_BYTES} bytes");
            return Err(Problem::new(ProblemCode::TooLarge, client.operation(), client.api(), text));
        }
        found = Some(line.height);
        pieces.push(line.piece.0);
    }
    Ok((found, pieces))
}

/// Prints a checkpoint of the newest snapshot.
fn checkpoint(context: Context<'_>) -> Outcome {
    let client = context.reader("ledger checkpoint")?;
    let (_, pieces) = snapshot(&client, None)?;
    let checkpoint = Checkpoint::of(&pieces)
        .map_err(|error| Problem::new(ProblemCode::ChainInvalid, "ledger checkpoint", client.api(), chain(&error)))?;
    context.output.progress(
        "it is this node's word: verify the node first, and keep the file where nobody else can write; \
         `grange ledger verify --checkpoint FILE` trusts it",
    );
    file(context.output, &checkpoint)
}

/// Prints the genesis.
fn genesis(context: Context<'_>) -> Outcome {
    let client = context.reader("ledger genesis")?;
    let answer: GenesisFile = client.ask(&Call::LedgerGenesis)?;
    let refused = |message: String| Problem::new(ProblemCode::ChainInvalid, "ledger genesis", client.api(), message);
    let genesis = Genesis::decode(&answer.genesis.0).map_err(|error| refused(chain(&error)))?;
    if genesis.network_id() != answer.network {
        return Err(refused(format!(
            "the genesis makes network {}, the node says {}",
            genesis.network_id(),
            answer.network
        ))
        .into());
    }
    file(context.output, &genesis)
}

/// Prints what is to be kept in a file: JSON in any case, for people on several lines.
fn file<T: Serialize>(output: Output, value: &T) -> Outcome {
    if output.is_json() {
        return output.data(value);
    }
    output.line(&serde_json::to_string_pretty(value).map_err(std::io::Error::from)?)
}

/// A genesis from a file: JSON, or the bytes that a node's folder holds. Those never begin with a brace, because a name
/// is at most 63 bytes long and its length comes first.
fn read_genesis(operation: &str, file: &Path) -> Result<Genesis, Problem> {
    let bytes = read(operation, file)?;
    let read = if bytes.first() == Some(&b'{') {
        serde_json::from_slice(&bytes).map_err(|error| chain(&error))
    } else {
        Genesis::decode(&bytes).map_err(|error| chain(&error))
    };
    read.map_err(|reason| {
        unreadable(operation, file, &format!("this is no genesis: {reason}"), "grange ledger genesis")
    })
}

fn read_checkpoint(operation: &str, file: &Path) -> Result<Checkpoint, Problem> {
    serde_json::from_slice(&read(operation, file)?).map_err(|error| {
        unreadable(operation, file, &format!("this is no checkpoint: {}", chain(&error)), "grange ledger checkpoint")
    })
}

fn read(operation: &str, file: &Path) -> Result<Vec<u8>, Problem> {
    fs::read(file).map_err(|error| {
        Problem::new(ProblemCode::NotFound, operation, file.display().to_string(), chain(&error).to_lowercase())
            .with_remedy("name a file that can be read")
    })
}

fn unreadable(operation: &str, file: &Path, message: &str, command: &str) -> Problem {
    Problem::new(ProblemCode::Malformed, operation, file.display().to_string(), message)
        .with_remedy(format!("give a file that `{command}` printed"))
}

/// What is set aside, where the node that was asked can add it up.
pub(super) fn aside(pending: Option<Amount>) -> String {
    pending.map_or_else(|| "unknown: this node keeps no ledger".to_owned(), |pending| pending.to_string())
}

/// Keys under each other.
pub(super) fn keys(keys: &[Key]) -> Table {
    let mut table = Table::new(&["key", "roles", ">at most a day"]);
    for key in keys {
        let most = key.per_day.map_or_else(|| "-".to_owned(), |amount| amount.to_string());
        table.row([key.key.to_string(), key.roles.join(","), most]);
    }
    table
}

/// Shows which network this is.
pub(super) fn network(context: Context<'_>) -> Outcome {
    let network: Network = context.reader("network show")?.ask(&Call::Network)?;
    context.output.show(&network, |network| {
        let mut table = Table::new(&["validator", "key", ">power"]);
        for validator in &network.validators {
            let name = called(&validator.display, Some(validator.account.peer()));
            table.row([name, validator.key.to_string(), validator.power.to_string()]);
        }
        let Network { network, name, protocol, follows, height, upgrade, .. } = network;
        let (protocol, follows) = (*protocol, *follows);
        let comes =
            upgrade.map_or_else(String::new, |upgrade| format!(", {} from block {}", upgrade.version, upgrade.height));
        let behind = upgrade.map_or(protocol, |upgrade| upgrade.version) > follows;
        let behind = if behind { format!("; this node follows {follows} only: upgrade grange") } else { String::new() };
        let head =
            format!("network   {network}\nname      {name}\nprotocol  {protocol}{comes}{behind}\nheight    {height}");
        [vec![head], table.lines()].concat().join("\n")
    })
}
