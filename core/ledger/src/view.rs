//! What everybody else sees of the ledger: the entries, and answers to the questions asked of them.

use grange_types::{
    AccountId, Amount, DeploymentId, Height, KeyGrant, LeaseId, Millis, NetworkId, PeerId, PublicKey, Role, StateRoot,
    Time, TxId,
};

use crate::entry::{AccountEntry, Cap, Deployment, Lease, LeaseState, NameEntry, Operator, Spent, Upgrade, Validator};
use crate::execute::Held;
use crate::genesis::{NodeEntry, Parameters};
use crate::ledger::Ledger;
use crate::rejection::Authority;
use crate::state::second_of;
use crate::transaction::{Delegate, Verb};

/// The ledger, to be read. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct LedgerView<'a> {
    ledger: &'a Ledger,
}

/// An account with what is its own, wherever it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Money at hand.
    pub balance: Amount,
    /// Money in its deployments and their leases, and bonds on their way back.
    pub pending: Amount,
    /// Money locked as bond.
    pub bond: Amount,
    /// Money that stands for the room its entries take in the state.
    pub deposit: Amount,
    /// Its key set, the implied first one included.
    pub keys: Vec<KeyGrant>,
}

impl<'a> LedgerView<'a> {
    pub(crate) const fn new(ledger: &'a Ledger) -> Self {
        Self { ledger }
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.ledger.network
    }

    /// The height of the last block.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.ledger.height
    }

    /// The time of the last block.
    #[must_use]
    pub const fn time(&self) -> Time {
        self.ledger.time
    }

    /// The root of the state after the last block.
    #[must_use]
    pub const fn state_root(&self) -> StateRoot {
        self.ledger.root
    }

    /// Ledger time: block time without the time when the cloud was off. Leases are measured in it.
    #[must_use]
    pub fn now(&self) -> Time {
        Time(self.ledger.time.0.saturating_sub(self.offset().0))
    }

    /// How long the cloud was off since its genesis: block time less ledger time.
    #[must_use]
    pub fn offset(&self) -> Millis {
        self.ledger.state.chain.offset
    }

    /// The block time at which ledger time will reach an instant, if the cloud stays on.
    #[must_use]
    pub fn block_time_of(&self, instant: Time) -> Time {
        instant.after(self.offset())
    }

    /// The version of the rules that the next block follows.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.ledger.state.chain.at(self.ledger.height.next()).version
    }

    /// The version that will hold, and from which height on.
    #[must_use]
    pub fn upgrade(&self) -> Option<Upgrade> {
        self.ledger.state.chain.at(self.ledger.height.next()).upgrade
    }

    /// The numbers of the rules.
    #[must_use]
    pub fn parameters(&self) -> &'a Parameters {
        &self.ledger.state.parameters
    }

    /// What fees have brought in.
    #[must_use]
    pub fn treasury(&self) -> Amount {
        self.ledger.state.chain.treasury
    }

    /// An account that has money or its own key set.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<Account> {
        let state = &self.ledger.state;
        let operator = state.operators.get(&id).copied().unwrap_or_default();
        let pending = self.deployments_of(id).map(|deployment| self.held_by(deployment)).sum::<Amount>();
        let entry = state.accounts.get(&id);
        if entry.is_none() && pending.is_zero() && operator == Operator::default() {
            return None;
        }
        let entry = entry.cloned().unwrap_or_default();
        Some(Account {
            id,
            balance: entry.balance,
            pending: pending.saturating_add(operator.unbonding),
            bond: operator.bond,
            deposit: entry.deposit,
            keys: entry.grants(id),
        })
    }

    /// The ids of all accounts that have money, or answer for a node or a bond.
    pub fn accounts(&self) -> impl Iterator<Item = &'a AccountId> + use<'a> {
        let state = &self.ledger.state;
        state.accounts.keys().chain(state.operators.keys())
    }

    /// An account's money at hand; nothing for an unknown one.
    #[must_use]
    pub fn balance(&self, id: AccountId) -> Amount {
        self.ledger.state.accounts.get(&id).map(|entry| entry.balance).unwrap_or_default()
    }

    /// What a key with a ceiling has spent on the present day of block time.
    #[must_use]
    pub fn spent_today(&self, id: AccountId, key: PublicKey) -> Amount {
        let set = self.ledger.state.accounts.get(&id).and_then(|entry| entry.keys.as_ref());
        let spent = set.and_then(|set| set.spent.get(&key)).copied().unwrap_or_default();
        spent.on(self.today())
    }

    /// What a key may spend a day for an account; none where nothing limits that, or where it spends nothing.
    #[must_use]
    pub fn ceiling_of(&self, id: AccountId, key: PublicKey) -> Option<Amount> {
        self.held(id, key).ceiling()
    }

    /// What receipts with this signer may still pay for a deployment today; none where nothing limits that.
    #[must_use]
    pub fn allowance(&self, deployment: &Deployment, signer: PublicKey) -> Option<Amount> {
        let (owner, payer) = (deployment.owner, self.payer_of(deployment, signer));
        if payer == Some(owner) {
            let left = self.ceiling_of(owner, signer)?.saturating_sub(self.spent_today(owner, signer));
            return Some(left.saturating_add(deployment.counted_by(signer)));
        }
        let delegate = payer.and_then(|account| deployment.delegate(account));
        let left = |found: &Delegate| {
            found.ceiling_per_day.saturating_sub(self.delegate_spent_today(deployment, found.account))
        };
        Some(delegate.map(left).unwrap_or_default())
    }

    /// What each key of an account may put into deployments a day; none before its first deployment.
    #[must_use]
    pub fn cap(&self, id: AccountId) -> Option<&'a Cap> {
        self.ledger.state.accounts.get(&id)?.cap.as_deref()
    }

    /// What a key has put into deployments on the present day of block time.
    #[must_use]
    pub fn put_today(&self, id: AccountId, key: PublicKey) -> Amount {
        let spent = self.cap(id).and_then(|cap| cap.spent.get(&key)).copied().unwrap_or_default();
        spent.on(self.today())
    }

    /// What a delegate's receipts have paid for a deployment on the present day of block time.
    #[must_use]
    pub fn delegate_spent_today(&self, deployment: &Deployment, delegate: AccountId) -> Amount {
        let spent: Spent = deployment.spent.get(&delegate).copied().unwrap_or_default();
        spent.on(self.today())
    }

    fn today(&self) -> u64 {
        self.ledger.time.0 / Millis::DAY.0
    }

    /// A deployment's budget that is not yet spent: at hand and in the escrow of its leases.
    #[must_use]
    pub fn held_by(&self, deployment: &Deployment) -> Amount {
        let set_aside = |lease: &Lease| lease.escrow.saturating_add(lease.held);
        self.leases_of(deployment.id).fold(deployment.balance, |sum, lease| sum.saturating_add(set_aside(lease)))
    }

    /// What a deployment has cost so far.
    #[must_use]
    pub fn spent_by(&self, deployment: &Deployment) -> Amount {
        self.leases_of(deployment.id).fold(deployment.archived, |sum, lease| sum.saturating_add(lease.settled))
    }

    /// A deployment.
    #[must_use]
    pub fn deployment(&self, id: DeploymentId) -> Option<&'a Deployment> {
        self.ledger.state.deployments.get(&id)
    }

    /// All deployments, those closed and still kept included.
    pub fn deployments(&self) -> impl Iterator<Item = &'a Deployment> + use<'a> {
        self.ledger.state.deployments.values()
    }

    /// The deployments that an account owns.
    pub fn deployments_of(&self, owner: AccountId) -> impl Iterator<Item = &'a Deployment> + use<'a> {
        let state = &self.ledger.state;
        let (first, last) = ((owner, DeploymentId([0; 32])), (owner, DeploymentId([0xff; 32])));
        state.index.by_owner.range(first..=last).filter_map(|(_, id)| state.deployments.get(id))
    }

    /// The deployment that a name leads to.
    #[must_use]
    pub fn deployment_named(&self, name: &str) -> Option<&'a Deployment> {
        self.deployment(self.name(name)?.deployment)
    }

    /// Who has a name.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<NameEntry> {
        self.ledger.state.names.get(name).copied()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = (&'a str, NameEntry)> + use<'a> {
        self.ledger.state.names.iter().map(|(name, entry)| (name.as_str(), *entry))
    }

    /// A lease.
    #[must_use]
    pub fn lease(&self, id: LeaseId) -> Option<&'a Lease> {
        self.ledger.state.leases.get(&id)
    }

    /// All leases, those closed and still kept included.
    pub fn leases(&self) -> impl Iterator<Item = &'a Lease> + use<'a> {
        self.ledger.state.leases.values()
    }

    /// The leases of a deployment, those closed and still kept included.
    pub fn leases_of(&self, deployment: DeploymentId) -> impl Iterator<Item = &'a Lease> + use<'a> {
        let state = &self.ledger.state;
        let (first, last) = ((deployment, LeaseId([0; 32])), (deployment, LeaseId([0xff; 32])));
        state.index.by_deployment.range(first..=last).filter_map(|(_, id)| state.leases.get(id))
    }

    /// The leases of a node that are open or take receipts.
    pub fn leases_of_provider(&self, provider: PeerId) -> impl Iterator<Item = &'a Lease> + use<'a> {
        let state = &self.ledger.state;
        let (first, last) = ((provider, LeaseId([0; 32])), (provider, LeaseId([0xff; 32])));
        state.index.by_provider.range(first..=last).filter_map(|(_, id)| state.leases.get(id))
    }

    /// The open lease of a slot.
    #[must_use]
    pub fn open_lease_of(&self, deployment: DeploymentId, slot: u32) -> Option<&'a Lease> {
        let lease = self.lease(self.deployment(deployment)?.slot(slot)?.lease?)?;
        (lease.state == LeaseState::Open).then_some(lease)
    }

    /// How long a lease has served, in ledger time.
    #[must_use]
    pub fn elapsed(&self, lease: &Lease) -> Millis {
        lease.served(self.now())
    }

    /// The most that a receipt for a lease may say by the last block: what its counters cost is a further bound.
    #[must_use]
    pub fn claimable(&self, lease: &Lease) -> Amount {
        lease.claimable(self.now())
    }

    /// A registered node.
    #[must_use]
    pub fn node(&self, peer: PeerId) -> Option<&'a NodeEntry> {
        self.ledger.state.nodes.get(&peer)
    }

    /// All registered nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &'a NodeEntry> + use<'a> {
        self.ledger.state.nodes.values()
    }

    /// The account that a node earns for.
    #[must_use]
    pub fn operator_of(&self, peer: PeerId) -> Option<AccountId> {
        self.node(peer).map(|node| node.operator)
    }

    /// The account that a node acts for: the one it is registered under, else its own key's, unless the key was taken out of
    /// that one's set; then none.
    #[must_use]
    pub fn account_of(&self, peer: PeerId) -> Option<AccountId> {
        let own = peer.account();
        self.operator_of(peer).or_else(|| self.held(own, peer.into()).covers(Authority::Act).then_some(own))
    }

    /// The nodes that act for an account: its first key's, unless that one serves another or was taken out, and those registered
    /// under it.
    #[must_use]
    pub fn nodes_of(&self, account: AccountId) -> Vec<PeerId> {
        let first = Some(account.peer()).filter(|peer| self.account_of(*peer) == Some(account));
        let registered = self.nodes().filter(|node| node.operator == account && Some(node.peer) != first);
        first.into_iter().chain(registered.map(|node| node.peer)).collect()
    }

    /// The nodes of a deployment's stewards, of each account only the first: two of one would hold two shares of its key.
    #[must_use]
    pub fn stewards_of(&self, deployment: &Deployment) -> Vec<PeerId> {
        let acts = |account: &AccountId| self.account_of(account.peer()) == Some(*account);
        deployment.stewards().map(|steward| steward.account).filter(acts).map(AccountId::peer).collect()
    }

    /// The accounts in whose key set a key is an owner, the account that it is the first key of included.
    #[must_use]
    pub fn accounts_owned_by(&self, key: PublicKey) -> Vec<AccountId> {
        let owns =
            |grants: &[KeyGrant]| grants.iter().any(|grant| grant.key == key && grant.roles.contains(&Role::Owner));
        let entries = self.ledger.state.accounts.iter();
        entries.filter(|(id, entry)| owns(&entry.grants(**id))).map(|(id, _)| *id).collect()
    }

    /// Who pays by a receipt with this signer: the deployment's owner, or a delegate.
    #[must_use]
    pub fn payer_of(&self, deployment: &Deployment, signer: PublicKey) -> Option<AccountId> {
        if self.held(deployment.owner, signer).covers(Authority::Spend) {
            return Some(deployment.owner);
        }
        let mut delegates = deployment.delegates.iter().filter(|delegate| delegate.verbs.contains(&Verb::Receipt));
        let signs = |account| self.held(account, signer).covers(Authority::Act);
        delegates.find(|delegate| signs(delegate.account)).map(|delegate| delegate.account)
    }

    /// What a key may do for an account: by the key set, or as a registered node.
    fn held(&self, account: AccountId, key: PublicKey) -> Held {
        let entry = self.ledger.state.accounts.get(&account);
        let grants = entry.map_or_else(|| AccountEntry::default().grants(account), |entry| entry.grants(account));
        let grant = grants.iter().find(|grant| grant.key == key);
        let mut held = grant.map(|grant| Held::of(&grant.roles)).unwrap_or_default();
        held.node |= self.operator_of(key.peer()) == Some(account);
        held
    }

    /// An operator's bond and number of nodes.
    #[must_use]
    pub fn operator(&self, account: AccountId) -> Option<Operator> {
        self.ledger.state.operators.get(&account).copied()
    }

    /// The validators of the next block, in the order of their accounts.
    #[must_use]
    pub fn validators(&self) -> &'a [Validator] {
        &self.ledger.state.validators
    }

    /// Whether any lease that costs money is open or takes receipts: then blocks must come each second.
    #[must_use]
    pub fn money_running(&self) -> bool {
        self.ledger.state.index.running > 0
    }

    /// Whether a transaction with this id and expiry was applied. Known until it expires.
    #[must_use]
    pub fn has_applied(&self, id: &TxId, expires: Time) -> bool {
        self.ledger.state.has_seen(second_of(expires), id)
    }

    /// All money, counted entry by entry: always the genesis' total. Walks through the whole state.
    #[must_use]
    pub fn total(&self) -> Amount {
        let state = &self.ledger.state;
        let operators = state.operators.values().flat_map(|operator| [operator.bond, operator.unbonding]);
        let parts = [
            state.chain.treasury,
            state.accounts.values().map(|entry| entry.balance.saturating_add(entry.deposit)).sum(),
            operators.sum(),
            state.deployments.values().map(|deployment| deployment.balance).sum(),
            state.leases.values().map(|lease| lease.escrow.saturating_add(lease.held)).sum(),
        ];
        parts.into_iter().sum()
    }
}
