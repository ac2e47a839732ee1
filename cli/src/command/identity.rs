//! `identity`: the owner's key, its recovery phrase, and the devices that act for the account.

use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

use grange_api::{Account, Call, Key, KeySet, OwnedAccount, Problem, ProblemCode, Replica, Status};
use grange_types::{AccountId, Amount, IdStart, KeyGrant, PeerId, PublicKey, Role};
use serde::Serialize;

use super::context::Context;
use super::ledger;
use super::place::Place;
use crate::arguments::{DeviceAction, DeviceRole, Identity, IdentityAction};
use crate::failure::Outcome;
use crate::machine;
use crate::node_process::{Keystore, Owner, Phrase};
use crate::secret;
use crate::up::settings_problem;

/// How long a node may take to catch up with its network, and then to see its new account.
const CATCH_UP: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks after the owner's key.
pub(super) fn run(context: Context<'_>, identity: &Identity) -> Outcome {
    match &identity.action {
        IdentityAction::Show => show(context, identity),
        IdentityAction::Phrase { again: true, yes, .. } => again(context, identity, *yes),
        IdentityAction::Phrase { yes, per_day, .. } => phrase(context, identity, *yes, *per_day),
        IdentityAction::Restore { account, per_day } => restore(context, identity, *account, *per_day),
        IdentityAction::Passwd { new_passphrase_file } => {
            let place = Place::find(context, &identity.sealed, "identity passwd")?;
            let keystore = place.keystore()?.ok_or_else(|| place.no_phrase())?;
            let phrase = place.open(&keystore, &identity.sealed)?;
            let new = secret::new_passphrase(place.operation, new_passphrase_file.as_deref())?;
            let keystore = place.seal(&phrase, keystore.account(), &new)?;
            place.keep(&keystore)?;
            let changed = serde_json::json!({ "account": keystore.account(), "owner": keystore.owner() });
            context.output.show(&changed, |_| "the owner's key opens with the new passphrase from now on".to_owned())
        }
        IdentityAction::Device { action } => device(context, identity, action),
    }
}

/// The node's own key as one device among others: it sells, and spends up to a ceiling.
fn with_node(grants: &mut Vec<KeyGrant>, node: PeerId, per_day: Amount) {
    let key = PublicKey::from(node);
    let mut roles = vec![Role::Node, Role::Spend { per_day }];
    let votes = |grant: &KeyGrant| grant.key == key && grant.roles.contains(&Role::Validator);
    if grants.iter().any(votes) {
        roles.push(Role::Validator);
    }
    match grants.iter_mut().find(|grant| grant.key == key) {
        Some(grant) => grant.roles = roles,
        None => grants.push(KeyGrant { key, roles }),
    }
}

#[derive(Debug, Serialize)]
struct Shown {
    account: AccountId,
    node: PeerId,
    /// The owner's key that is sealed on this machine.
    owner: Option<PublicKey>,
    keystore: Option<std::path::PathBuf>,
    keys: Vec<Key>,
}

fn show(context: Context<'_>, identity: &Identity) -> Outcome {
    let place = Place::find(context, &identity.sealed, "identity show")?;
    let keystore = place.keystore()?.filter(|keystore| keystore.account() == place.account);
    let keys: KeySet = place.client.ask(&Call::Keys)?;
    let shown = Shown {
        account: place.account,
        node: place.node,
        owner: keystore.as_ref().map(Keystore::owner),
        keystore: keystore.map(|_| place.folder.keystore()),
        keys: keys.keys,
    };
    context.output.show(&shown, |shown| {
        let owner = match shown.owner {
            Some(owner) => format!("{owner}, sealed on this machine"),
            None => {
                "not on this machine; `grange identity phrase` makes one where the node's key is the owner".to_owned()
            }
        };
        let head = format!("account  {}\nnode     {}\nowner    {owner}", shown.account, shown.node);
        [vec![head], ledger::keys(&shown.keys).lines()].concat().join("\n")
    })
}

/// A phrase is a secret: it goes to a terminal, or to whoever says that he knows where it goes.
fn may_print(place: &Place, yes: bool) -> Result<(), Problem> {
    if yes || io::stdout().is_terminal() {
        return Ok(());
    }
    let text = "the recovery phrase is not printed where no terminal shows it";
    Err(Problem::new(ProblemCode::Usage, place.operation, "phrase", text)
        .with_remedy("say --yes if what reads it keeps it secret"))
}

#[derive(Serialize)]
struct NewPhrase {
    account: AccountId,
    owner: PublicKey,
    phrase: String,
}

fn print_phrase(context: Context<'_>, account: AccountId, phrase: &Phrase) -> Outcome {
    let words = phrase.words();
    let new = NewPhrase { account, owner: phrase.owner_key().public(), phrase: words.join(" ") };
    context.output.progress(
        "write these 24 words down on paper, in their order; whoever has them has the account, and without them and \
         without this machine nobody has it",
    );
    context.output.show(&new, |_| {
        let lines = words.chunks(6).enumerate().map(|(row, words)| {
            let numbered =
                words.iter().enumerate().map(|(index, word)| format!("{:>2}. {word:<9}", row * 6 + index + 1));
            numbered.collect::<Vec<_>>().join("").trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

fn phrase(context: Context<'_>, identity: &Identity, yes: bool, per_day: Amount) -> Outcome {
    let place = Place::find(context, &identity.sealed, "identity phrase")?;
    may_print(&place, yes)?;
    if place.keystore()?.is_some_and(|keystore| keystore.account() == place.account) {
        let text = "the account has a recovery phrase, which was shown when it was made";
        return Err(Problem::new(ProblemCode::Conflict, place.operation, place.account.to_string(), text)
            .with_remedy("with its passphrase, `grange identity phrase --again` shows it once more")
            .into());
    }
    let mut grants = place.grants(place.account)?;
    let present = place.owner(&identity.sealed, &grants)?;
    let passphrase = secret::new_passphrase(place.operation, identity.sealed.passphrase_file.as_deref())?;
    let mut entropy = [0; 32];
    place.fill(&mut entropy)?;
    let phrase = Phrase::from_entropy(entropy);
    with_node(&mut grants, place.node, per_day);
    grants.push(KeyGrant { key: phrase.owner_key().public(), roles: vec![Role::Owner] });
    // Kept before the ledger knows it: a key that owns an account must never be lost on the way.
    place.keep(&place.seal(&phrase, place.account, &passphrase)?)?;
    if let Err(problem) = place.set_keys(&present, grants) {
        // What became of it may be unknown; the file opens the account if it was done, and harms nothing if not.
        if problem.exit != ProblemCode::Timeout.exit() && problem.code != ProblemCode::NoNode {
            let _ = std::fs::remove_file(place.folder.keystore());
        }
        return Err(problem.into());
    }
    print_phrase(context, place.account, &phrase)
}

fn again(context: Context<'_>, identity: &Identity, yes: bool) -> Outcome {
    let place = Place::find(context, &identity.sealed, "identity phrase")?;
    may_print(&place, yes)?;
    let keystore = place.keystore()?.ok_or_else(|| place.no_phrase())?;
    let phrase = place.open(&keystore, &identity.sealed)?;
    print_phrase(context, keystore.account(), &phrase)
}

#[derive(Debug, Serialize)]
struct Restored {
    account: AccountId,
    owner: PublicKey,
    node: PeerId,
    available: Amount,
    pending: Option<Amount>,
    deployments: Vec<String>,
}

fn restore(context: Context<'_>, identity: &Identity, wanted: Option<AccountId>, per_day: Amount) -> Outcome {
    let mut place = Place::find(context, &identity.sealed, "identity restore")?;
    let phrase = secret::phrase(place.operation)?;
    let key = phrase.owner_key();
    caught_up(context, &place)?;
    place.account = owned(&place, key.public(), wanted)?;
    let other = place.keystore()?.filter(|keystore| keystore.owner() != key.public());
    if let Some(other) = other {
        let thing = place.folder.keystore().display().to_string();
        let text = format!("the folder holds the owner's key of another account, {}", other.account());
        return Err(Problem::new(ProblemCode::Conflict, place.operation, thing, text)
            .with_remedy("restore with another node: `grange up --data DIR --join INVITATION`")
            .into());
    }
    let passphrase = secret::new_passphrase(place.operation, identity.sealed.passphrase_file.as_deref())?;
    place.keep(&place.seal(&phrase, place.account, &passphrase)?)?;
    let owner = Owner { network: place.network, account: place.account, key };
    let mut grants = place.grants(place.account)?;
    let before = grants.clone();
    with_node(&mut grants, place.node, per_day);
    if grants != before {
        place.set_keys(&owner, grants)?;
    }
    let settings =
        place.folder.read_settings().map_err(|error| settings_problem(&error, place.operation, &place.folder))?;
    let node = place.node_key()?;
    let named = (settings.display, settings.region);
    place.submit(|nonce| owner.register_node(&node, named, machine::now(), nonce))?;
    context.output.progress("waiting for the node to act for its account");
    let account = place.account;
    wait(&place, "the node does not act for the account yet", |status| status.operator == account)?;
    let found: Account = place.client.ask(&Call::LedgerAccount { account: account.into() })?;
    let replicas: Vec<Replica> = place.client.ask(&Call::Deployments)?;
    let mut deployments: Vec<String> = replicas.into_iter().map(|replica| replica.deployment).collect();
    deployments.sort();
    deployments.dedup();
    let restored = Restored {
        account,
        owner: owner.key.public(),
        node: place.node,
        available: found.available,
        pending: found.pending,
        deployments,
    };
    context.output.show(&restored, |restored| {
        let names = if restored.deployments.is_empty() { "none".to_owned() } else { restored.deployments.join(", ") };
        format!(
            "account      {}\nnode         {}, new\navailable    {}\npending      {}\ndeployments  {names}",
            restored.account,
            restored.node,
            restored.available,
            super::ledger::aside(restored.pending)
        )
    })
}

/// The account that the words are of.
fn owned(place: &Place, key: PublicKey, wanted: Option<AccountId>) -> Result<AccountId, Problem> {
    let accounts: Vec<OwnedAccount> = place.client.ask(&Call::LedgerKey { key })?;
    let fits = |found: &&OwnedAccount| wanted.is_none_or(|wanted| wanted == found.account);
    match accounts.iter().filter(fits).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one.account),
        [] => {
            let text = "no account of this network has the key of these words as an owner";
            Err(Problem::new(ProblemCode::NotFound, place.operation, key.to_string(), text).with_remedy(
                "compare the words, and the network with what `grange network show` said on the old machine",
            ))
        }
        several => {
            let ids: Vec<String> = several.iter().map(|found| found.account.to_string()).collect();
            let text = format!("the words own several accounts: {}", ids.join(", "));
            Err(Problem::new(ProblemCode::Conflict, place.operation, key.to_string(), text)
                .with_remedy("name one of them with --account"))
        }
    }
}

fn caught_up(context: Context<'_>, place: &Place) -> Result<(), Problem> {
    context.output.progress("waiting for the node to catch up with its network");
    wait(place, "the node has not caught up with its network", |status| status.ready)
}

fn wait(place: &Place, text: &str, met: impl Fn(&Status) -> bool) -> Result<(), Problem> {
    let began = Instant::now();
    loop {
        let status: Status = place.client.ask(&Call::Status)?;
        if met(&status) {
            return Ok(());
        }
        if began.elapsed() > CATCH_UP {
            let why = status.reason.map_or_else(String::new, |reason| format!(": {reason}"));
            return Err(Problem::new(
                ProblemCode::Timeout,
                place.operation,
                place.node.to_string(),
                format!("{text}{why}"),
            ));
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn device(context: Context<'_>, identity: &Identity, action: &DeviceAction) -> Outcome {
    match action {
        DeviceAction::List => {
            let keys: KeySet = context.actor("identity device list")?.ask(&Call::Keys)?;
            context.output.tabulate(&keys, |keys| ledger::keys(&keys.keys), "only the account's first key acts for it")
        }
        DeviceAction::Add { key, role, per_day } => {
            let place = Place::find(context, &identity.sealed, "identity device add")?;
            let roles = match role {
                DeviceRole::Spend => vec![Role::Spend { per_day: *per_day }],
                DeviceRole::Node => vec![Role::Node],
                DeviceRole::Owner => vec![Role::Owner],
            };
            let mut grants = place.grants(place.account)?;
            let owner = place.owner(&identity.sealed, &grants)?;
            match grants.iter_mut().find(|grant| grant.key == *key) {
                Some(grant) => grant.roles = roles,
                None => grants.push(KeyGrant { key: *key, roles }),
            }
            let set = place.set_keys(&owner, grants)?;
            context.output.show(&set, |set| format!("{key} acts for the account since block {}", set.height))
        }
        DeviceAction::Revoke { key } => {
            revoke(context, &Place::find(context, &identity.sealed, "identity device revoke")?, identity, key)
        }
    }
}

/// The key of the set that is meant: the one that is given, or the only one that begins so.
fn meant(place: &Place, grants: &[KeyGrant], start: &IdStart) -> Result<PublicKey, Problem> {
    if let Some(whole) = start.whole() {
        return Ok(whole);
    }
    let begin: Vec<PublicKey> = grants.iter().map(|grant| grant.key).filter(|key| start.begins(&key.0)).collect();
    match begin.as_slice() {
        [one] => Ok(*one),
        [] => Err(unknown_key(place, start.as_str())),
        several => {
            let keys: Vec<String> = several.iter().map(ToString::to_string).collect();
            let text = format!("{} keys of the account begin so: {}", keys.len(), keys.join(", "));
            Err(Problem::new(ProblemCode::Malformed, place.operation, start.as_str(), text)
                .with_remedy("give more digits of the one that is meant"))
        }
    }
}

fn unknown_key(place: &Place, key: &str) -> Problem {
    let text = format!("no such key acts for account {}, and it has no such node", place.account);
    Problem::new(ProblemCode::NotFound, place.operation, key, text).with_remedy(
        "`grange identity device list` lists the keys; a node that is not among them is named by its whole id",
    )
}

fn revoke(context: Context<'_>, place: &Place, identity: &Identity, start: &IdStart) -> Outcome {
    let mut grants = place.grants(place.account)?;
    let key = meant(place, &grants, start)?;
    let owner = place.owner(&identity.sealed, &grants)?;
    let before = grants.len();
    grants.retain(|grant| grant.key != key);
    let listed = grants.len() < before;
    // As a node it could still settle and quote: that ends first, and it may be a node without being in the key set.
    let removed = match place.submit(|nonce| owner.remove_node(key.peer(), machine::now(), nonce)) {
        Ok(removed) => Some(removed),
        // It is no node, or serves another account by now.
        Err(problem) if matches!(problem.code, ProblemCode::NotFound | ProblemCode::Conflict) => {
            if !listed {
                return Err(unknown_key(place, start.as_str()).into());
            }
            None
        }
        Err(problem) => return Err(problem.into()),
    };
    let last = if listed { Some(place.set_keys(&owner, grants)?) } else { removed };
    context.output.show(&last, |last| {
        let since = last.as_ref().map_or_else(String::new, |last| format!(" since block {}", last.height));
        format!("{key} is revoked{since}")
    })
}
