//! The beginning of a network: its parameters, its first money, its first validators.

use std::collections::BTreeSet;

use grange_types::{AccountId, Amount, KeyGrant, Millis, NetworkId, PeerId, PublicKey, Region, Time, Wire, limits};
use serde::{Deserialize, Serialize};

use crate::block::VERSION;
use crate::entry::{AccountEntry, KeySetError, Validator, check_keys};

/// Addresses of one bootstrap peer.
const ADDRESSES: usize = 16;
/// Bootstrap peers of one genesis.
const BOOTSTRAP: usize = 64;
/// Relays a node may name as its home.
pub const HOME_RELAYS: usize = 4;
/// One address in text, in bytes: a URL with a domain name.
const ADDRESS_BYTES: usize = 300;

/// What every node of a network starts from. Its hash is the network's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// A name for people, at most 63 bytes.
    pub name: String,
    /// When the network was made; the first block is later.
    pub created: Time,
    /// The rules' numbers.
    pub parameters: Parameters,
    /// The first accounts and all the money there is.
    pub accounts: Vec<GenesisAccount>,
    /// The validators of the first block.
    pub validators: Vec<Validator>,
    /// Nodes known from the start.
    pub nodes: Vec<NodeEntry>,
    /// Where a newcomer may knock.
    pub bootstrap: Vec<Bootstrap>,
}

/// An account that exists from the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenesisAccount {
    /// Its id.
    pub id: AccountId,
    /// Its key set; empty means its own key with all roles.
    pub keys: Vec<KeyGrant>,
    /// Its first balance.
    pub balance: Amount,
}

/// A node and the account it earns for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// The node's key.
    pub peer: PeerId,
    /// The account that is paid, and by which placement counts.
    pub operator: AccountId,
    /// A name for people, at most 63 bytes.
    pub display: String,
    /// Where it stands.
    pub region: Region,
    /// The relays through which it is reached, at most four. No network address is kept on the ledger.
    pub relays: Vec<PeerId>,
}

/// A peer that lets newcomers in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// The peer.
    pub peer: PeerId,
    /// Where it listens.
    pub addresses: Vec<String>,
}

/// The numbers that the rules use; fixed in the genesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// How long after a lease's end a larger receipt still replaces a smaller one.
    pub claim_window: Millis,
    /// How long a lease lasts before it must be renewed.
    pub lease_length: Millis,
    /// The shortest lease that may be opened; money for less is refused as too little.
    pub min_lease: Millis,
    /// A longer pause between two blocks counts as time when the cloud was off: every expiry moves by it.
    pub gap: Millis,
    /// How long a closed lease is still shown, for bills.
    pub retention: Millis,
    /// How long money stays locked after it was unbonded.
    pub unbonding: Millis,
    /// What every transaction pays to the treasury.
    pub fee: Amount,
    /// What the treasury keeps of what receipts pay, in ten-thousandths.
    pub settlement_fee: u16,
    /// What each byte of an entry in the state stands for while it is there; it comes back with the entry's end.
    pub byte_deposit: Amount,
    /// The bond an operator needs before it may register a node.
    pub min_bond: Amount,
    /// The bond that each unit of voting power needs; zero closes the validator set to newcomers.
    pub power_bond: Amount,
    /// The version of the rules that the first block follows.
    pub version: u16,
    /// How many blocks after two thirds of the power follow a new version it holds.
    pub activation: u64,
}

impl Parameters {
    /// The parameters of a network on one machine: no fees, no bonds for nodes, a short claim window.
    #[must_use]
    pub const fn dev() -> Self {
        Self {
            claim_window: Millis::seconds(30),
            lease_length: Millis::HOUR,
            min_lease: Millis::minutes(1),
            gap: Millis::seconds(60),
            retention: Millis(30 * Millis::DAY.0),
            unbonding: Millis::HOUR,
            fee: Amount::ZERO,
            settlement_fee: 0,
            byte_deposit: Amount::ZERO,
            min_bond: Amount::ZERO,
            power_bond: Amount::ZERO,
            version: VERSION,
            activation: 8,
        }
    }
}

impl Wire for Genesis {
    const NAME: &'static str = "genesis";
    /// A million accounts of one key each, about 60 bytes an account.
    const LIMIT: usize = 64 << 20;
}

/// Why a genesis is no beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The name is empty or above 63 bytes.
    #[error("a network's name has 1 to {} bytes, this one has {length}", limits::NAME_BYTES)]
    Name {
        /// Its length.
        length: usize,
    },
    /// An account's balance is less than the deposit of its keys and nodes.
    #[error("account {account} holds {balance}, its keys and nodes need a deposit of {needed}")]
    Deposit {
        /// Whose.
        account: AccountId,
        /// What it needs.
        needed: Amount,
        /// What it holds.
        balance: Amount,
    },
    /// A parameter is out of range.
    #[error("the parameter {parameter} is out of range")]
    Parameter {
        /// Which.
        parameter: &'static str,
    },
    /// An account stands twice in the list.
    #[error("account {account} is listed twice")]
    AccountTwice {
        /// Which.
        account: AccountId,
    },
    /// An account's key set breaks the rules.
    #[error("the key set of account {account} is refused")]
    Keys {
        /// Whose.
        account: AccountId,
        /// Why.
        source: KeySetError,
    },
    /// The balances sum to more than there can be.
    #[error("the balances sum to more than {}", Amount::MAX)]
    TooMuchMoney,
    /// No validator, or too many.
    #[error("a network has 1 to {} validators, this one has {count}", limits::VALIDATORS)]
    ValidatorCount {
        /// How many.
        count: usize,
    },
    /// A validator without power, or whose key or account is listed twice.
    #[error("validator {key} has no power or is listed twice")]
    Validator {
        /// Its key.
        key: PublicKey,
    },
    /// A node is listed twice, or its entry is too long.
    #[error("node {peer} is listed twice or its entry is too long")]
    Node {
        /// Which.
        peer: PeerId,
    },
    /// The bootstrap list is too long.
    #[error("a genesis names at most {BOOTSTRAP} bootstrap peers with {ADDRESSES} addresses each")]
    Bootstrap,
}

impl Genesis {
    /// The network's id: BLAKE3 of the genesis' bytes.
    #[must_use]
    pub fn network_id(&self) -> NetworkId {
        NetworkId(*blake3::hash(&self.encode()).as_bytes())
    }

    /// The total of all balances, which no block ever changes.
    pub fn total(&self) -> Result<Amount, GenesisError> {
        let sum = |sum: Amount, account: &GenesisAccount| sum.add(account.balance);
        self.accounts.iter().try_fold(Amount::ZERO, sum).map_err(|_| GenesisError::TooMuchMoney)
    }

    /// Whether a network can start from this.
    pub fn validate(&self) -> Result<(), GenesisError> {
        if self.name.is_empty() || self.name.len() > limits::NAME_BYTES {
            return Err(GenesisError::Name { length: self.name.len() });
        }
        self.parameters.validate()?;
        self.total()?;
        self.validate_accounts()?;
        self.validate_validators()?;
        let mut peers = BTreeSet::new();
        if let Some(node) = self.nodes.iter().find(|node| !peers.insert(node.peer) || !node.is_legal()) {
            return Err(GenesisError::Node { peer: node.peer });
        }
        let legal = |entry: &Bootstrap| {
            entry.addresses.len() <= ADDRESSES && entry.addresses.iter().all(|text| text.len() <= ADDRESS_BYTES)
        };
        let owned = |node: &NodeEntry| self.accounts.iter().any(|account| account.id == node.operator);
        let needed = |node: &NodeEntry| self.parameters.deposit_of(node.size());
        if let Some(node) = self.nodes.iter().find(|node| !needed(node).is_zero() && !owned(node)) {
            let (account, needed) = (node.operator, needed(node));
            return Err(GenesisError::Deposit { account, needed, balance: Amount::ZERO });
        }
        if self.bootstrap.len() > BOOTSTRAP || !self.bootstrap.iter().all(legal) {
            return Err(GenesisError::Bootstrap);
        }
        Ok(())
    }

    /// The entry that an account begins with: what its keys and nodes stand for is taken from its balance, as it would be if
    /// they came later.
    pub(crate) fn first_entry(&self, account: &GenesisAccount) -> Result<AccountEntry, GenesisError> {
        let mut entry = AccountEntry::with_keys(account.id, account.balance, account.keys.clone());
        if self.parameters.byte_deposit.is_zero() {
            return Ok(entry);
        }
        let nodes = self.nodes.iter().filter(|node| node.operator == account.id).map(NodeEntry::size);
        let needed = self.parameters.deposit_of(nodes.fold(entry.size(), u64::saturating_add));
        let short = |_| GenesisError::Deposit { account: account.id, needed, balance: account.balance };
        entry.balance = entry.balance.sub(needed).map_err(short)?;
        entry.deposit = needed;
        Ok(entry)
    }

    fn validate_accounts(&self) -> Result<(), GenesisError> {
        let mut seen = BTreeSet::new();
        for account in &self.accounts {
            if !seen.insert(account.id) {
                return Err(GenesisError::AccountTwice { account: account.id });
            }
            if !account.keys.is_empty() {
                check_keys(&account.keys).map_err(|source| GenesisError::Keys { account: account.id, source })?;
            }
        }
        Ok(())
    }

    fn validate_validators(&self) -> Result<(), GenesisError> {
        let count = self.validators.len();
        if count == 0 || count > limits::VALIDATORS {
            return Err(GenesisError::ValidatorCount { count });
        }
        let (mut keys, mut accounts) = (BTreeSet::new(), BTreeSet::new());
        for validator in &self.validators {
            let first = keys.insert(validator.key) && accounts.insert(validator.account);
            if !first || validator.power == 0 || validator.power > Validator::MAX_POWER {
                return Err(GenesisError::Validator { key: validator.key });
            }
        }
        Ok(())
    }
}

impl Parameters {
    /// The whole of which [`Parameters::settlement_fee`] is a part.
    const WHOLE: u128 = 10_000;

    /// What the treasury keeps of all that a lease was paid, rounded down; settling more often changes nothing.
    #[must_use]
    pub fn fee_of(&self, settled: Amount) -> Amount {
        settled.scaled(u128::from(self.settlement_fee), Self::WHOLE)
    }

    fn validate(&self) -> Result<(), GenesisError> {
        let wrong = |parameter| Err(GenesisError::Parameter { parameter });
        // A year bounds every sum of spans far below the end of time.
        let year = Millis(366 * Millis::DAY.0);
        let spans = [
            ("claim_window", self.claim_window),
            ("lease_length", self.lease_length),
            ("min_lease", self.min_lease),
            ("gap", self.gap),
            ("retention", self.retention),
            ("unbonding", self.unbonding),
        ];
        if let Some((parameter, _)) = spans.into_iter().find(|(_, span)| *span > year) {
            return wrong(parameter);
        }
        if self.lease_length == Millis(0) || self.gap == Millis(0) {
            return wrong(if self.gap == Millis(0) { "gap" } else { "lease_length" });
        }
        if u128::from(self.settlement_fee) > Self::WHOLE {
            return wrong("settlement_fee");
        }
        if self.min_lease == Millis(0) || self.min_lease > self.lease_length {
            return wrong("min_lease");
        }
        if self.version == 0 || self.version > VERSION {
            return wrong("version");
        }
        // A year of one block a second; what comes later is no upgrade.
        if self.activation > 366 * 86_400 {
            return wrong("activation");
        }
        Ok(())
    }
}

impl NodeEntry {
    /// Whether its texts and lists are within their limits.
    pub(crate) fn is_legal(&self) -> bool {
        self.display.len() <= limits::NAME_BYTES && self.relays.len() <= HOME_RELAYS
    }
}
