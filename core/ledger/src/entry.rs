//! What the state consists of: entries, each with a key, a canonical encoding and golden bytes.

use std::collections::{BTreeMap, BTreeSet};

use grange_types::{
    AccountId, Amount, BlobId, Counters, DeploymentId, Height, KeyGrant, LeaseId, LeaseTerms, Millis, PeerId,
    PublicKey, Role, SlotSpec, Time, Wire, limits,
};
use serde::{Deserialize, Serialize};

use crate::genesis::{NodeEntry, Parameters};
use crate::transaction::{Delegate, Verb};

/// Names of one deployment.
pub const NAMES_PER_DEPLOYMENT: usize = 8;
/// Leases that the state keeps for one deployment, closed ones included: 256 slots, each replaced twice a day for
/// the month that a dev network keeps them.
pub const LEASES_PER_DEPLOYMENT: u32 = 16_384;
/// Nodes of one operator.
pub const NODES_PER_OPERATOR: u32 = 1_024;

/// Where an entry stands in the state, and what proofs are about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StateKey {
    /// The numbers of the rules.
    Parameters,
    /// What the chain as a whole keeps.
    Chain,
    /// The validators.
    Validators,
    /// An account.
    Account(AccountId),
    /// An operator.
    Operator(AccountId),
    /// A node.
    Node(PeerId),
    /// A deployment.
    Deployment(DeploymentId),
    /// A lease.
    Lease(LeaseId),
    /// A name.
    Name(String),
    /// The transactions that expire in one second, counted since the Unix epoch.
    Seen(u64),
}

impl Wire for StateKey {
    const NAME: &'static str = "state-key";
    const LIMIT: usize = 128;
}

/// One entry of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// The numbers of the rules.
    Parameters(Parameters),
    /// What the chain as a whole keeps.
    Chain(Chain),
    /// The validators, in the order of their accounts.
    Validators(Vec<Validator>),
    /// An account.
    Account(AccountId, AccountEntry),
    /// An operator.
    Operator(AccountId, Operator),
    /// A node.
    Node(NodeEntry),
    /// A deployment.
    Deployment(Deployment),
    /// A lease.
    Lease(Lease),
    /// A name.
    Name(String, NameEntry),
    /// The transactions that expire in one second.
    Seen(u64, SeenDigest),
}

impl Wire for Entry {
    const NAME: &'static str = "state-entry";
    /// The largest is a deployment of 256 slots at about 200 bytes.
    const LIMIT: usize = 96 << 10;
}

impl Entry {
    /// Where the entry stands.
    #[must_use]
    pub fn key(&self) -> StateKey {
        match self {
            Self::Parameters(_) => StateKey::Parameters,
            Self::Chain(_) => StateKey::Chain,
            Self::Validators(_) => StateKey::Validators,
            Self::Account(id, _) => StateKey::Account(*id),
            Self::Operator(id, _) => StateKey::Operator(*id),
            Self::Node(node) => StateKey::Node(node.peer),
            Self::Deployment(deployment) => StateKey::Deployment(deployment.id),
            Self::Lease(lease) => StateKey::Lease(lease.id),
            Self::Name(name, _) => StateKey::Name(name.clone()),
            Self::Seen(second, _) => StateKey::Seen(*second),
        }
    }
}

/// A thing that a block touched: made, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// An account's balance or bond.
    Account(AccountId),
    /// An account's key set.
    Keys(AccountId),
    /// A node.
    Node(PeerId),
    /// A deployment.
    Deployment(DeploymentId),
    /// A lease.
    Lease(LeaseId),
    /// A name.
    Name(String),
    /// The validators.
    Validators,
}

/// What the chain as a whole keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chain {
    /// How long the cloud was off since its genesis. Ledger time is block time less this.
    pub offset: Millis,
    /// What fees have brought in.
    pub treasury: Amount,
    /// The version of the rules that the last block followed.
    pub version: u16,
    /// The version that comes next, once two thirds of the power have said that they follow it.
    pub upgrade: Option<Upgrade>,
}

/// A version of the rules that will hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// The version.
    pub version: u16,
    /// The first height that follows it.
    pub height: Height,
}

impl Chain {
    /// The chain's entry as the block at `height` finds it: with the version of the rules that it must follow.
    #[must_use]
    pub fn at(self, height: Height) -> Self {
        match self.upgrade {
            Some(Upgrade { version, height: from }) if height >= from => Self { version, upgrade: None, ..self },
            _ => self,
        }
    }
}

/// An account's own money and keys. Kept small: there may be millions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccountEntry {
    /// Money at hand.
    pub balance: Amount,
    /// The key set; none means the account's own key with all roles.
    pub keys: Option<Box<KeySet>>,
    /// Money that stands for the room its entries take in the state.
    pub deposit: Amount,
    /// What its keys may put into deployments a day; none before the first deployment.
    pub cap: Option<Box<Cap>>,
}

/// A brake on one's own keys: what each may put into deployments on a day of block time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// How much; none where it was lifted.
    pub per_day: Option<Amount>,
    /// What each key has put into deployments on the last day on which any did.
    pub spent: BTreeMap<PublicKey, Spent>,
}

impl Cap {
    /// How many times the budget of an account's first deployment its keys may put into deployments a day, until the owner
    /// says otherwise.
    pub const FIRST_BUDGETS: u128 = 10;

    /// The cap that an account's first deployment sets.
    pub(crate) fn of_first(budget: Amount) -> Self {
        Self { per_day: Some(Amount(budget.0.saturating_mul(Self::FIRST_BUDGETS))), spent: BTreeMap::new() }
    }
}

/// A key set that is not the first one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    /// The keys.
    pub keys: Vec<KeyGrant>,
    /// What keys with a ceiling have spent.
    pub spent: BTreeMap<PublicKey, Spent>,
}

impl KeySet {
    /// Whether a key is in it.
    pub(crate) fn holds(&self, key: &PublicKey) -> bool {
        self.keys.iter().any(|grant| grant.key == *key)
    }
}

/// What was spent on a day of block time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// The day, counted since the Unix epoch.
    pub day: u64,
    /// How much, on that day.
    pub amount: Amount,
}

impl Spent {
    /// What was spent on `day`.
    #[must_use]
    pub fn on(&self, day: u64) -> Amount {
        if self.day == day { self.amount } else { Amount::ZERO }
    }
}

/// An account's bond and how many nodes it answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Operator {
    /// Money locked as bond.
    pub bond: Amount,
    /// Money that was unbonded and is not yet back.
    pub unbonding: Amount,
    /// When it is back, in ledger time; meaningful only while there is some.
    pub release: Time,
    /// Its registered nodes.
    pub nodes: u32,
    /// The key that it voted with before the present one, or before it left.
    pub former: Option<FormerKey>,
    /// Whether it was shown to have signed two statements for one place: its bond never comes back, and it never votes
    /// again.
    pub frozen: bool,
}

/// A consensus key that votes no more, and whose votes are still answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerKey {
    /// The key.
    pub key: PublicKey,
    /// Until when, in ledger time: as long as a bond stays locked.
    pub until: Time,
}

impl Operator {
    /// When the sweep has something to do for it.
    pub(crate) fn due(&self) -> Option<Time> {
        let release = (!self.unbonding.is_zero()).then_some(self.release);
        let forget = self.former.map(|former| former.until);
        release.into_iter().chain(forget).min().filter(|_| !self.frozen)
    }

    /// Whether the entry says nothing that its absence would not.
    pub(crate) fn is_empty(&self) -> bool {
        self.bond.is_zero() && self.unbonding.is_zero() && self.nodes == 0 && self.former.is_none() && !self.frozen
    }
}

/// One voter of consensus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Validator {
    /// The account that answers for it.
    pub account: AccountId,
    /// The key of its votes.
    pub key: PublicKey,
    /// Its weight.
    pub power: u64,
    /// The highest version of the rules that it said it follows; 0 before it said so.
    pub version: u16,
}

impl Validator {
    /// A validator that has not yet said what it follows.
    #[must_use]
    pub const fn new(account: AccountId, key: PublicKey, power: u64) -> Self {
        Self { account, key, power, version: 0 }
    }

    /// The most power of one validator; 128 of them stay far below 2⁶³.
    pub const MAX_POWER: u64 = 1 << 48;
}

/// Who has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameEntry {
    /// The deployment it leads to.
    pub deployment: DeploymentId,
}

/// The transactions that expire in one second: how many, and a digest that grows with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SeenDigest {
    /// How many.
    pub count: u32,
    /// BLAKE3 of the digest before the last one and the last id.
    pub digest: [u8; 32],
}

/// A deployment: an account of its own, whose balance is its budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The transaction that opened it.
    pub id: DeploymentId,
    /// The account that opened it, decides over it, and gets back what is left.
    pub owner: AccountId,
    /// The names that lead to it, the first one first.
    pub names: Vec<String>,
    /// Money for leases that is not in the escrow of one.
    pub balance: Amount,
    /// Of the money in it and in its leases, what counted against the ceiling of each of the owner's keys; none is zero.
    pub counted: BTreeMap<PublicKey, Amount>,
    /// The rest of that money: what keys without a ceiling, and others than the owner, put in.
    pub uncounted: Amount,
    /// What it runs.
    pub manifest: BlobId,
    /// Its slots, by rising number.
    pub slots: Vec<Slot>,
    /// The number the next new slot gets; numbers are never used twice.
    pub next_slot: u32,
    /// Who may act for it.
    pub delegates: Vec<Delegate>,
    /// What each delegate's receipts paid on its last day.
    pub spent: BTreeMap<AccountId, Spent>,
    /// When it was opened, in ledger time.
    pub opened: Time,
    /// Open or closed.
    pub state: DeploymentState,
    /// How many lease entries the state still keeps for it.
    pub leases: u32,
    /// What leases that are no longer kept have cost.
    pub archived: Amount,
}

/// Whether a deployment lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentState {
    /// It may lease.
    Open,
    /// It has ended; kept until its bills are no longer shown.
    Closed {
        /// When, in ledger time.
        at: Time,
    },
}

/// A place for one running replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its number within the deployment: what a quote calls `slot`. Stays when other slots go.
    pub number: u32,
    /// What it is for and what a lease on it must keep to.
    pub spec: SlotSpec,
    /// How many leases it has had. The next one has the next generation.
    pub generation: u64,
    /// The open lease.
    pub lease: Option<LeaseId>,
}

/// One provider's right and duty to fill one slot. Times are ledger times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The transaction that opened it.
    pub id: LeaseId,
    /// The deployment that pays.
    pub deployment: DeploymentId,
    /// The slot's number.
    pub slot: u32,
    /// The slot's generation while this lease holds it.
    pub generation: u64,
    /// What the slot was to run when the lease was opened; an update of the deployment changes the slot, not the lease.
    pub revision: BlobId,
    /// What was agreed.
    pub terms: LeaseTerms,
    /// When it began.
    pub start: Time,
    /// Until when its money lasts; none for an operator's own capacity, which costs nothing.
    pub end: Option<Time>,
    /// When it stopped to earn, once it did.
    pub ended: Option<Time>,
    /// Money set aside for the provider and not yet paid.
    pub escrow: Amount,
    /// Money of the escrow that the provider asks for and the payer disputes.
    pub held: Amount,
    /// What receipts have paid so far.
    pub settled: Amount,
    /// The number of the last receipt; zero before the first.
    pub sequence: u64,
    /// What receipts counted, as far as they paid for it.
    pub counters: Counters,
    /// From where the ceiling of what may be paid rises, at `terms.max_rate`.
    pub floor: Mark,
    /// Where the floor goes at the next renewal: what was settled at the last one.
    pub mark: Mark,
    /// Where it stands.
    pub state: LeaseState,
}

/// A sum at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The sum.
    pub amount: Amount,
    /// The ledger time.
    pub time: Time,
}

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseState {
    /// It serves and earns.
    Open,
    /// It has ended; receipts for the time before are still paid.
    Closing {
        /// Until when, in ledger time.
        until: Time,
    },
    /// Nothing is owed any more; kept for bills.
    Closed {
        /// Since when, in ledger time.
        at: Time,
    },
}

impl Deployment {
    /// The name it is known by, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    /// The slot with this number.
    #[must_use]
    pub fn slot(&self, number: u32) -> Option<&Slot> {
        let place = self.slots.binary_search_by_key(&number, |slot| slot.number).ok()?;
        self.slots.get(place)
    }

    /// The slot with this number, to change it.
    pub(crate) fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        let place = self.slots.binary_search_by_key(&number, |slot| slot.number).ok()?;
        self.slots.get_mut(place)
    }

    /// Whether it may still lease.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == DeploymentState::Open
    }

    /// The delegate with this account.
    #[must_use]
    pub fn delegate(&self, account: AccountId) -> Option<&Delegate> {
        self.delegates.iter().find(|delegate| delegate.account == account)
    }

    /// Whether this account is a delegate that may do this.
    #[must_use]
    pub fn delegates_to(&self, account: AccountId, verb: Verb) -> bool {
        self.delegate(account).is_some_and(|delegate| delegate.verbs.contains(&verb))
    }

    /// Those of the delegates that may act, in the order of their turns: all but the reserves.
    pub fn stewards(&self) -> impl Iterator<Item = &Delegate> {
        self.delegates.iter().filter(|delegate| !delegate.verbs.is_empty())
    }

    /// Whether this account is a steward.
    #[must_use]
    pub fn is_steward(&self, account: AccountId) -> bool {
        self.stewards().any(|delegate| delegate.account == account)
    }

    /// When the sweep has something to do for it.
    pub(crate) fn due(&self, parameters: &Parameters) -> Option<Time> {
        match self.state {
            DeploymentState::Closed { at } if self.leases == 0 => Some(at.after(parameters.retention)),
            _ => None,
        }
    }
}

impl Lease {
    /// Whether it serves and earns. A lease past its end is open no more, swept or not.
    #[must_use]
    pub fn is_open(&self, now: Time) -> bool {
        self.state == LeaseState::Open && self.end.is_none_or(|end| now < end)
    }

    /// Whether money moves on it.
    #[must_use]
    pub fn is_priced(&self) -> bool {
        self.end.is_some()
    }

    /// When the sweep has something to do for it.
    pub(crate) fn due(&self, parameters: &Parameters) -> Option<Time> {
        match self.state {
            LeaseState::Open => self.end,
            LeaseState::Closing { until } => Some(until),
            LeaseState::Closed { at } => Some(at.after(parameters.retention)),
        }
    }
}

/// Why a key set is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// No key could ever change the set again.
    #[error("a key set needs at least one key with the role owner")]
    NoOwner,
    /// Too many keys.
    #[error("a key set has at most {} keys, this one has {count}", limits::KEYS_PER_ACCOUNT)]
    TooManyKeys {
        /// How many.
        count: usize,
    },
    /// A key is listed twice, or has no role, a role twice or too many.
    #[error("key {key} is listed twice, or its roles are none, repeated or too many")]
    Key {
        /// Which.
        key: PublicKey,
    },
}

/// Whether a list of grants may be a key set.
pub(crate) fn check_keys(keys: &[KeyGrant]) -> Result<(), KeySetError> {
    if keys.len() > limits::KEYS_PER_ACCOUNT {
        return Err(KeySetError::TooManyKeys { count: keys.len() });
    }
    let mut seen = BTreeSet::new();
    for grant in keys {
        let kinds: BTreeSet<u8> = grant.roles.iter().map(kind_of).collect();
        let legal = !kinds.is_empty() && kinds.len() == grant.roles.len() && kinds.len() <= limits::ROLES_PER_KEY;
        if !seen.insert(grant.key) || !legal {
            return Err(KeySetError::Key { key: grant.key });
        }
    }
    if !keys.iter().any(|grant| grant.roles.contains(&Role::Owner)) {
        return Err(KeySetError::NoOwner);
    }
    Ok(())
}

/// A role without its ceiling, so that no key has two ceilings.
const fn kind_of(role: &Role) -> u8 {
    match role {
        Role::Owner => 0,
        Role::Node => 1,
        Role::Validator => 2,
        Role::Spend { .. } => 3,
    }
}

impl AccountEntry {
    /// An entry with these grants; the first key set is stored as none.
    pub(crate) fn with_keys(account: AccountId, balance: Amount, keys: Vec<KeyGrant>) -> Self {
        let first = [KeyGrant { key: PublicKey(account.0), roles: vec![Role::Owner] }];
        let keys = (!keys.is_empty() && keys != first).then(|| Box::new(KeySet { keys, spent: BTreeMap::new() }));
        Self { balance, keys, ..Self::default() }
    }

    /// Whether the entry says nothing that its absence would not.
    pub(crate) fn is_empty(&self) -> bool {
        self.balance.is_zero() && self.keys.is_none() && self.deposit.is_zero() && self.cap.is_none()
    }

    /// The grants, the implied one included.
    #[must_use]
    pub fn grants(&self, account: AccountId) -> Vec<KeyGrant> {
        match &self.keys {
            Some(set) => set.keys.clone(),
            None => vec![KeyGrant { key: PublicKey(account.0), roles: vec![Role::Owner] }],
        }
    }
}
