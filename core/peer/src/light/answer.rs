//! What proven entries say to a user: which are needed for a question, and the answer they make.

use std::collections::BTreeMap;

use grange_api::{
    Account, Call, LedgerHeight, Network, Problem, ProblemCode, Reply, Status, Timestamp, Upgrade, Validator, Wallet,
};
use grange_ledger::{BlockHeader, Deployment, Entry, StateKey};
use grange_types::{AccountId, Height, LeaseId, PeerId, Time};

use crate::context::Context;
use crate::describe;
use crate::event::Asker;

/// Entries that were proven, or proven not to be there.
pub(super) type Known = BTreeMap<StateKey, Option<Entry>>;

/// Whether a reader answers a call from entries.
pub(super) const fn is_answered(call: &Call) -> bool {
    matches!(
        call,
        Call::Wallet
            | Call::Keys
            | Call::Network
            | Call::LedgerHeight
            | Call::LedgerAccount { .. }
            | Call::LedgerLease { .. }
            | Call::LedgerName { .. }
    )
}

/// The entries that a call needs, as far as those that are known tell.
pub(super) fn keys(call: &Call, me: AccountId, known: &Known) -> Vec<StateKey> {
    let money = |account: AccountId| vec![StateKey::Account(account), StateKey::Operator(account)];
    match call {
        Call::Wallet | Call::Keys => money(me),
        Call::LedgerAccount { account } => account.whole().map_or_else(Vec::new, money),
        Call::Network => vec![StateKey::Chain, StateKey::Validators],
        Call::LedgerLease { lease } => lease.whole().map(StateKey::Lease).into_iter().collect(),
        Call::LedgerName { name } => {
            let name = StateKey::Name(name.clone());
            let deployment = match known.get(&name) {
                Some(Some(Entry::Name(_, entry))) => Some(StateKey::Deployment(entry.deployment)),
                _ => None,
            };
            [name].into_iter().chain(deployment).collect()
        }
        _ => Vec::new(),
    }
}

/// What a node without a ledger says of itself.
pub(super) fn status(ctx: &Context, display: &str, newest: Option<&BlockHeader>, reason: Option<String>) -> Status {
    Status {
        peer: ctx.me,
        display: display.to_owned(),
        operator: ctx.account,
        network: ctx.network,
        version: env!("CARGO_PKG_VERSION").into(),
        roles: Vec::new(),
        light: true,
        height: newest.map_or_else(Default::default, |header| header.height),
        finalized_at: newest.map(|header| Timestamp(header.time)),
        peers: ctx.linked.len() as u32,
        ready: reason.is_none(),
        reason,
    }
}

/// What is known, and who asks.
pub(super) struct Facts<'a> {
    pub(super) ctx: &'a Context,
    pub(super) network: &'a str,
    /// The header that the entries were proven under: they are those after the block before it.
    pub(super) header: &'a BlockHeader,
    pub(super) known: &'a Known,
}

impl Facts<'_> {
    /// The answer to a call all of whose entries are known.
    pub(super) fn answer(&self, call: &Call) -> Result<Reply, Problem> {
        match call {
            Call::Wallet => {
                let account = self.ctx.account;
                let (available, deposit) = match self.entry(&StateKey::Account(account)) {
                    Some(Entry::Account(_, entry)) => (entry.balance, entry.deposit),
                    _ => Default::default(),
                };
                Ok(Reply::Wallet(Wallet { account, available, pending: None, deposit }))
            }
            Call::Keys => {
                let account = self.ctx.account;
                let keys = self.account(account).map_or_else(Vec::new, |found| found.keys);
                Ok(Reply::Keys(grange_api::KeySet { account, keys }))
            }
            Call::LedgerAccount { account } => match account.whole().and_then(|account| self.account(account)) {
                Some(found) => Ok(Reply::Account(found)),
                None => Err(crate::problem::unknown_account(account)),
            },
            Call::LedgerLease { lease } => match lease.whole().and_then(|lease| self.entry(&StateKey::Lease(lease))) {
                Some(Entry::Lease(found)) => Ok(Reply::Lease(describe::lease(found, self.height()))),
                _ => Err(crate::problem::unknown_lease(lease)),
            },
            Call::LedgerName { name } => match self.deployment(name) {
                Some(found) => Ok(Reply::Name(describe::name(name, found, None))),
                None => Err(crate::problem::unknown_name(name)),
            },
            Call::LedgerHeight => Ok(Reply::LedgerHeight(height(self.header, None))),
            Call::Network => self.network(),
            other => Err(light(other, self.ctx.me)),
        }
    }

    /// The block after which the entries were so.
    fn height(&self) -> Height {
        before(self.header)
    }

    fn entry(&self, key: &StateKey) -> Option<&Entry> {
        self.known.get(key).and_then(Option::as_ref)
    }

    fn account(&self, account: AccountId) -> Option<Account> {
        let entry = match self.entry(&StateKey::Account(account)) {
            Some(Entry::Account(_, entry)) => Some(entry),
            _ => None,
        };
        if entry.is_none() && self.entry(&StateKey::Operator(account)).is_none() {
            return None;
        }
        let entry = entry.cloned().unwrap_or_default();
        let keys = entry.grants(account).iter().map(describe::key).collect();
        Some(Account { account, available: entry.balance, pending: None, keys, height: self.height() })
    }

    fn deployment(&self, name: &str) -> Option<&Deployment> {
        let Some(Entry::Name(_, entry)) = self.entry(&StateKey::Name(name.to_owned())) else { return None };
        match self.entry(&StateKey::Deployment(entry.deployment)) {
            Some(Entry::Deployment(found)) => Some(found),
            _ => None,
        }
    }

    fn network(&self) -> Result<Reply, Problem> {
        let (Some(Entry::Chain(chain)), Some(Entry::Validators(validators))) =
            (self.entry(&StateKey::Chain), self.entry(&StateKey::Validators))
        else {
            return Err(nobody(&Call::Network, self.ctx.me));
        };
        let chain = chain.at(self.header.height);
        let validator = |entry: &grange_ledger::Validator| Validator {
            account: entry.account,
            key: entry.key,
            power: entry.power,
            display: entry.key.peer().short(),
        };
        Ok(Reply::Network(Network {
            network: self.ctx.network,
            name: self.network.to_owned(),
            protocol: chain.version.into(),
            follows: grange_ledger::VERSION.into(),
            upgrade: chain.upgrade.map(|next| Upgrade { version: next.version.into(), height: next.height }),
            height: self.height(),
            validators: validators.iter().map(validator).collect(),
        }))
    }
}

/// The height after which the state was as a header says.
pub(super) const fn before(header: &BlockHeader) -> Height {
    Height(header.height.0.saturating_sub(1))
}

/// Where the ledger is by a header, and the time of the block before it: the header's own is not that block's.
pub(super) fn height(header: &BlockHeader, time: Option<Time>) -> LedgerHeight {
    LedgerHeight { height: before(header), finalized_at: time.map(Timestamp), state_root: header.state_root }
}

/// What a call is about: the node itself, where it names nothing.
fn thing(call: &Call, me: PeerId) -> String {
    // What is asked for blocks from one on is wanted of the node.
    let object = Some(call.object()).filter(|object| !object.is_empty() && !matches!(call, Call::LedgerBlocks { .. }));
    object.unwrap_or_else(|| me.to_string())
}

/// Not without a ledger.
pub(super) fn light(call: &Call, me: PeerId) -> Problem {
    if let Call::Logs { name, .. } | Call::ExportData { name, .. } = call {
        let text = "this is a light node: it pays for no deployment, so that no provider shows it logs or data";
        return Problem::new(ProblemCode::Unsupported, crate::calls::papers(call), name, text)
            .with_remedy("ask the node of the deployment's owner, or a steward's: name it with --node URL");
    }
    if matches!(call, Call::Names) {
        let text = "this is a light node, which keeps no ledger: it is shown proofs of single entries, and lists none";
        return Problem::new(ProblemCode::Unsupported, call.operation().id(), thing(call, me), text).with_remedy(
            "ask it for one name with `grange ledger name NAME`, or a node that keeps the ledger for all: name it with --node URL",
        );
    }
    let text = "this is a light node, which keeps no ledger: it answers for one account, key, lease or name at a time and \
                for the network, and sends money";
    Problem::new(ProblemCode::Unsupported, call.operation().id(), thing(call, me), text)
        .with_remedy("ask a node that keeps the ledger: name it with --node URL")
}

/// What cannot be proven: only who keeps a ledger looks through it.
pub(super) fn unproven(call: &Call, asker: &Asker) -> Option<Problem> {
    let (start, whole) = match call {
        Call::LedgerAccount { account } => (account, account.whole::<AccountId>().is_some()),
        Call::LedgerLease { lease } => (lease, lease.whole::<LeaseId>().is_some() && asker.prefix.is_empty()),
        _ => return None,
    };
    if whole {
        return None;
    }
    let text = "this node keeps no ledger to look through: it knows neither which ids begin so nor what has which name";
    let problem = Problem::new(ProblemCode::Unsupported, call.operation().id(), start.as_str(), text);
    Some(problem.with_remedy("give the whole id, or name a node that keeps the ledger with --node"))
}

/// Nobody is linked who proves anything.
pub(super) fn nobody(call: &Call, me: PeerId) -> Problem {
    let text = "this node keeps no ledger, and no linked peer has proven anything to it";
    Problem::new(ProblemCode::NotReady, call.operation().id(), thing(call, me), text)
        .with_remedy("look at `grange peers`; a moment after the start it is linked")
}

/// No answer came in the time there was.
pub(super) fn late(call: &Call, me: PeerId, sent: bool) -> Problem {
    let text = if sent {
        "the transaction is in no block yet; it lapses by itself"
    } else {
        "no linked peer has proven it in the time there was"
    };
    let remedy = if sent { "see `grange wallet balance`, then send it again" } else { "try again" };
    Problem::new(ProblemCode::Timeout, call.operation().id(), thing(call, me), text).with_remedy(remedy)
}
