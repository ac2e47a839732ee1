//! The state: maps of entries, the indexes derived from them, and the tree over them.
//!
//! Entries are the truth; every index is rebuilt from them. Only [`State::apply`] and restoring a snapshot
//! change anything, so the maps, the indexes and the tree cannot drift apart.

use std::collections::{BTreeMap, BTreeSet};

use grange_types::{AccountId, BlobId, DeploymentId, LeaseId, PeerId, PublicKey, Time, TxId};

use crate::entry::{
    AccountEntry, Chain, Change, Deployment, Entry, KeySet, Lease, LeaseState, NameEntry, Operator, SeenDigest,
    StateKey, Validator,
};
use crate::genesis::{NodeEntry, Parameters};
use crate::tree::{Hash, Tree, key_hash, value_hash};

/// Something that time will have to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A lease ends, stops to take receipts, or is forgotten.
    Lease(LeaseId),
    /// A closed deployment is forgotten.
    Deployment(DeploymentId),
    /// A bond is back.
    Bond(AccountId),
}

/// The transactions that expire in one second, in the order in which they were applied.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Each id and its place in the order.
    pub(crate) ids: BTreeMap<TxId, u32>,
    /// What of them is in the state root.
    pub(crate) digest: SeenDigest,
}

impl Seen {
    /// Remembers one more.
    pub(crate) fn add(&mut self, id: TxId) {
        if self.ids.insert(id, self.digest.count).is_none() {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&self.digest.digest);
            bytes[32..].copy_from_slice(&id.0);
            self.digest.digest = *blake3::hash(&bytes).as_bytes();
            self.digest.count = self.digest.count.saturating_add(1);
        }
    }
}

/// How many touched entries wait at most before they go into the tree.
const TOUCHED: usize = 1 << 16;

/// The second in which an instant lies: which bucket of remembered transactions.
pub(crate) const fn second_of(time: Time) -> u64 {
    time.0 / 1_000
}

/// What a header says of the validators of the block after it: BLAKE3 of their entry in the state.
#[must_use]
pub fn validators_digest(validators: &[Validator]) -> BlobId {
    BlobId(value_hash(&Entry::Validators(validators.to_vec())))
}

/// All entries.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) parameters: Parameters,
    pub(crate) chain: Chain,
    pub(crate) validators: Vec<Validator>,
    /// The digest of the validators.
    pub(crate) next_validators: BlobId,
    pub(crate) accounts: BTreeMap<AccountId, AccountEntry>,
    pub(crate) operators: BTreeMap<AccountId, Operator>,
    pub(crate) nodes: BTreeMap<PeerId, NodeEntry>,
    pub(crate) deployments: BTreeMap<DeploymentId, Deployment>,
    pub(crate) leases: BTreeMap<LeaseId, Lease>,
    pub(crate) names: BTreeMap<String, NameEntry>,
    pub(crate) seen: BTreeMap<u64, Seen>,
    /// How many transactions are remembered.
    pub(crate) seen_count: usize,
    pub(crate) index: Index,
    tree: Tree,
    /// Entries that changed since the root was computed: key and value hashes.
    touched: Vec<(Hash, Option<Hash>)>,
}

/// What is derived from the entries, to find them without walking through all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// What time will do, in order.
    pub(crate) due: BTreeSet<(Time, Due)>,
    /// The deployments of an account.
    pub(crate) by_owner: BTreeSet<(AccountId, DeploymentId)>,
    /// All kept leases of a deployment.
    pub(crate) by_deployment: BTreeSet<(DeploymentId, LeaseId)>,
    /// The leases of a node that are not closed.
    pub(crate) by_provider: BTreeSet<(PeerId, LeaseId)>,
    /// Consensus keys that operators voted with before, and still answer for or not.
    pub(crate) former: BTreeSet<(PublicKey, AccountId)>,
    /// How many priced leases are not closed.
    pub(crate) running: usize,
}

/// What a block writes: per entry the new value, or none where it goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writes {
    pub(crate) chain: Option<Chain>,
    pub(crate) validators: Option<Vec<Validator>>,
    pub(crate) accounts: BTreeMap<AccountId, Option<AccountEntry>>,
    pub(crate) operators: BTreeMap<AccountId, Option<Operator>>,
    pub(crate) nodes: BTreeMap<PeerId, Option<NodeEntry>>,
    pub(crate) deployments: BTreeMap<DeploymentId, Option<Deployment>>,
    pub(crate) leases: BTreeMap<LeaseId, Option<Lease>>,
    pub(crate) names: BTreeMap<String, Option<NameEntry>>,
    /// Remembered transactions with the second of their expiry, in order.
    pub(crate) seen: Vec<(u64, TxId)>,
    /// Seconds whose transactions are forgotten.
    pub(crate) forgotten: Vec<u64>,
}

impl State {
    /// A state without entries but those that always are.
    pub(crate) fn new(parameters: Parameters) -> Self {
        let chain = Chain { version: parameters.version, ..Chain::default() };
        let mut state = Self {
            parameters: parameters.clone(),
            chain,
            validators: Vec::new(),
            next_validators: validators_digest(&[]),
            accounts: BTreeMap::new(),
            operators: BTreeMap::new(),
            nodes: BTreeMap::new(),
            deployments: BTreeMap::new(),
            leases: BTreeMap::new(),
            names: BTreeMap::new(),
            seen: BTreeMap::new(),
            seen_count: 0,
            index: Index::default(),
            tree: Tree::default(),
            touched: Vec::new(),
        };
        for entry in [Entry::Parameters(parameters), Entry::Chain(chain), Entry::Validators(Vec::new())] {
            state.touch(&entry.key(), Some(&entry));
        }
        state
    }

    /// The root over all entries.
    pub(crate) fn root(&mut self) -> Hash {
        self.settle_tree();
        self.tree.root()
    }

    /// Brings the tree up to date with the entries.
    fn settle_tree(&mut self) {
        // In the order of the tree, neighbours share most of their way and the processor's cache keeps it. The
        // sort is stable, so of two changes of one entry the later one stands.
        self.touched.sort_by_key(|(key, _)| *key);
        for (key, value) in self.touched.drain(..) {
            match value {
                Some(value) => self.tree.set(&key, &value),
                None => self.tree.remove(&key),
            }
        }
    }

    /// The tree, for proofs. It is that of the last [`State::root`].
    pub(crate) const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Merges what a block writes, and tells what that touched, in order and each thing once.
    pub(crate) fn apply(&mut self, writes: Writes) -> Vec<Change> {
        let mut changes = Vec::with_capacity(writes.accounts.len());
        if let Some(chain) = writes.chain {
            self.put(Entry::Chain(chain));
        }
        if let Some(validators) = writes.validators {
            self.put(Entry::Validators(validators));
            changes.push(Change::Validators);
        }
        for (id, value) in writes.accounts {
            changes.push(Change::Account(id));
            changes.extend(self.replace_account(id, value).then_some(Change::Keys(id)));
        }
        for (id, value) in writes.operators {
            self.replace(StateKey::Operator(id), value.map(|value| Entry::Operator(id, value)));
            changes.push(Change::Account(id));
        }
        for (peer, value) in writes.nodes {
            self.replace(StateKey::Node(peer), value.map(Entry::Node));
            changes.push(Change::Node(peer));
        }
        for (id, value) in writes.deployments {
            self.replace(StateKey::Deployment(id), value.map(Entry::Deployment));
            changes.push(Change::Deployment(id));
        }
        for (id, value) in writes.leases {
            self.replace(StateKey::Lease(id), value.map(Entry::Lease));
            changes.push(Change::Lease(id));
        }
        for (name, value) in writes.names {
            let entry = value.map(|value| Entry::Name(name.clone(), value));
            changes.push(Change::Name(name.clone()));
            self.replace(StateKey::Name(name), entry);
        }
        self.forget(&writes.forgotten);
        self.remember(&writes.seen);
        changes.sort();
        changes.dedup();
        changes
    }

    /// Replaces an account and tells whether its key set is another now. There may be thousands in a block among
    /// millions, so it looks each up but once.
    fn replace_account(&mut self, id: AccountId, value: Option<AccountEntry>) -> bool {
        let key = StateKey::Account(id);
        let Some(value) = value else {
            self.touch(&key, None);
            return self.accounts.remove(&id).is_some_and(|old| old.keys.is_some());
        };
        let entry = Entry::Account(id, value);
        self.touch(&key, Some(&entry));
        let Entry::Account(_, value) = entry else { return false };
        let grants = |set: &Option<Box<KeySet>>| set.as_ref().map(|set| set.keys.clone());
        let now = grants(&value.keys);
        let before = self.accounts.insert(id, value).and_then(|old| grants(&old.keys));
        now != before
    }

    /// Adds or replaces an entry.
    pub(crate) fn put(&mut self, entry: Entry) {
        self.replace(entry.key(), Some(entry));
    }

    fn touch(&mut self, key: &StateKey, entry: Option<&Entry>) {
        self.touched.push((key_hash(key), entry.map(value_hash)));
        // A block touches less; only a genesis or a snapshot brings so much that it must not pile up.
        if self.touched.len() >= TOUCHED {
            self.settle_tree();
        }
    }

    fn replace(&mut self, key: StateKey, entry: Option<Entry>) {
        self.touch(&key, entry.as_ref());
        self.unindex(&key);
        match entry {
            Some(entry) => {
                self.index_entry(&entry);
                self.insert(entry);
            }
            None => self.remove(&key),
        }
    }

    fn insert(&mut self, entry: Entry) {
        match entry {
            Entry::Parameters(parameters) => self.parameters = parameters,
            Entry::Chain(chain) => self.chain = chain,
            Entry::Validators(validators) => {
                self.next_validators = validators_digest(&validators);
                self.validators = validators;
            }
            Entry::Account(id, value) => drop(self.accounts.insert(id, value)),
            Entry::Operator(id, value) => drop(self.operators.insert(id, value)),
            Entry::Node(node) => drop(self.nodes.insert(node.peer, node)),
            Entry::Deployment(deployment) => drop(self.deployments.insert(deployment.id, deployment)),
            Entry::Lease(lease) => drop(self.leases.insert(lease.id, lease)),
            Entry::Name(name, value) => drop(self.names.insert(name, value)),
            // Remembered transactions come with their ids, by `remember`.
            Entry::Seen(..) => {}
        }
    }

    fn remove(&mut self, key: &StateKey) {
        match key {
            StateKey::Parameters | StateKey::Chain | StateKey::Validators | StateKey::Seen(_) => {}
            StateKey::Account(id) => drop(self.accounts.remove(id)),
            StateKey::Operator(id) => drop(self.operators.remove(id)),
            StateKey::Node(peer) => drop(self.nodes.remove(peer)),
            StateKey::Deployment(id) => drop(self.deployments.remove(id)),
            StateKey::Lease(id) => drop(self.leases.remove(id)),
            StateKey::Name(name) => drop(self.names.remove(name)),
        }
    }

    fn index_entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Operator(id, operator) => {
                let due = operator.due().map(|at| (at, Due::Bond(*id)));
                self.index.due.extend(due);
                self.index.former.extend(operator.former.map(|former| (former.key, *id)));
            }
            Entry::Deployment(deployment) => {
                self.index.by_owner.insert((deployment.owner, deployment.id));
                let due = deployment.due(&self.parameters).map(|at| (at, Due::Deployment(deployment.id)));
                self.index.due.extend(due);
            }
            Entry::Lease(lease) => {
                self.index.by_deployment.insert((lease.deployment, lease.id));
                if !matches!(lease.state, LeaseState::Closed { .. }) {
                    self.index.by_provider.insert((lease.terms.provider, lease.id));
                    self.index.running += usize::from(lease.is_priced());
                }
                let due = lease.due(&self.parameters).map(|at| (at, Due::Lease(lease.id)));
                self.index.due.extend(due);
            }
            _ => {}
        }
    }

    /// Takes what the present entry at a key has put into the indexes out again.
    fn unindex(&mut self, key: &StateKey) {
        let due = match key {
            StateKey::Operator(id) => self.operators.get(id).and_then(|operator| {
                if let Some(former) = operator.former {
                    self.index.former.remove(&(former.key, *id));
                }
                operator.due().map(|at| (at, Due::Bond(*id)))
            }),
            StateKey::Deployment(id) => self.deployments.get(id).and_then(|deployment| {
                self.index.by_owner.remove(&(deployment.owner, *id));
                deployment.due(&self.parameters).map(|at| (at, Due::Deployment(*id)))
            }),
            StateKey::Lease(id) => self.leases.get(id).and_then(|lease| {
                self.index.by_deployment.remove(&(lease.deployment, *id));
                if self.index.by_provider.remove(&(lease.terms.provider, *id)) {
                    self.index.running -= usize::from(lease.is_priced());
                }
                lease.due(&self.parameters).map(|at| (at, Due::Lease(*id)))
            }),
            _ => None,
        };
        if let Some(due) = due {
            self.index.due.remove(&due);
        }
    }

    /// Remembers applied transactions.
    pub(crate) fn remember(&mut self, ids: &[(u64, TxId)]) {
        let mut touched = BTreeSet::new();
        for (second, id) in ids {
            self.seen.entry(*second).or_default().add(*id);
            touched.insert(*second);
        }
        self.seen_count += ids.len();
        for second in touched {
            let entry = self.seen.get(&second).map(|seen| Entry::Seen(second, seen.digest));
            self.touch(&StateKey::Seen(second), entry.as_ref());
        }
    }

    fn forget(&mut self, seconds: &[u64]) {
        for second in seconds {
            if let Some(seen) = self.seen.remove(second) {
                self.seen_count -= seen.ids.len();
                self.touch(&StateKey::Seen(*second), None);
            }
        }
    }

    /// The entry at a key, as proofs show it.
    pub(crate) fn entry(&self, key: &StateKey) -> Option<Entry> {
        match key {
            StateKey::Parameters => Some(Entry::Parameters(self.parameters.clone())),
            StateKey::Chain => Some(Entry::Chain(self.chain)),
            StateKey::Validators => Some(Entry::Validators(self.validators.clone())),
            StateKey::Account(id) => self.accounts.get(id).map(|value| Entry::Account(*id, value.clone())),
            StateKey::Operator(id) => self.operators.get(id).map(|value| Entry::Operator(*id, *value)),
            StateKey::Node(peer) => self.nodes.get(peer).cloned().map(Entry::Node),
            StateKey::Deployment(id) => self.deployments.get(id).cloned().map(Entry::Deployment),
            StateKey::Lease(id) => self.leases.get(id).cloned().map(Entry::Lease),
            StateKey::Name(name) => self.names.get(name).map(|value| Entry::Name(name.clone(), *value)),
            StateKey::Seen(second) => self.seen.get(second).map(|seen| Entry::Seen(*second, seen.digest)),
        }
    }

    /// Whether a transaction was applied and may not be again.
    pub(crate) fn has_seen(&self, second: u64, id: &TxId) -> bool {
        self.seen.get(&second).is_some_and(|seen| seen.ids.contains_key(id))
    }
}
