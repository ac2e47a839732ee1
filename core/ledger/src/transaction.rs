//! What may be asked of the ledger.

use std::collections::BTreeSet;

use grange_types::{
    AccountId, Amount, BlobId, DeploymentId, Equivocation, KeyGrant, LeaseId, PublicKey, Quote, Receipt, Signed,
    SlotSpec, Wire, limits,
};
use serde::{Deserialize, Serialize};

use crate::genesis::NodeEntry;

/// A request to the ledger, signed ([`Signed`]) by a key of the account on whose behalf it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Whose request it is. The signer must be in this account's key set with a fitting role, or be a
    /// registered node of this operator.
    pub account: AccountId,
    /// Makes equal requests distinct: two transfers of the same amount are two transactions.
    pub nonce: u64,
    /// The request.
    pub action: Action,
}

impl Wire for Transaction {
    const NAME: &'static str = "transaction";
    const LIMIT: usize = limits::TRANSACTION_BYTES;
}

/// A request. Each variant says which keys may sign it; `Owner` may sign everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Gives money to another account. Owner, or Spend within its ceiling.
    Transfer {
        /// Who receives.
        to: AccountId,
        /// How much; not zero.
        amount: Amount,
        /// A note of at most 64 bytes, kept in the block and nowhere else.
        memo: String,
    },
    /// Replaces the account's key set. Owner.
    SetKeys {
        /// The new set; one key at least is an owner.
        keys: Vec<KeyGrant>,
    },
    /// Says that a node earns for this account. Owner, and the node itself by its statement. A node that serves another
    /// account comes over if its own key is an owner of that one.
    RegisterNode {
        /// The node; its operator is this account.
        node: NodeEntry,
        /// The node's word that it belongs to this account.
        consent: Box<Signed<KeyStatement>>,
    },
    /// Forgets a node of this account. Owner.
    RemoveNode {
        /// The node.
        node: grange_types::PeerId,
    },
    /// Locks money as this account's bond. Owner.
    Bond {
        /// How much.
        amount: Amount,
    },
    /// Begins to release money of the bond; it is back after `Parameters::unbonding`. Owner.
    Unbond {
        /// How much.
        amount: Amount,
    },
    /// Joins the validators, changes one's key or power, or leaves with a power of zero. Owner.
    SetValidator {
        /// The consensus key.
        key: PublicKey,
        /// The voting power; more than it was needs a bond.
        power: u64,
        /// The consensus key's word that it belongs to this account.
        consent: Box<Signed<KeyStatement>>,
    },
    /// Opens a deployment and moves its budget into it. Owner, or Spend within its ceiling.
    OpenDeployment {
        /// A name to claim for it.
        name: Option<String>,
        /// The manifest.
        manifest: BlobId,
        /// The money it starts with.
        budget: Amount,
        /// Its slots.
        slots: Vec<SlotSpec>,
        /// Its delegates.
        delegates: Vec<Delegate>,
    },
    /// Changes what a deployment runs. Leases of slots that stay live on until a new lease replaces them.
    /// Owner, or Spend.
    UpdateDeployment {
        /// The deployment.
        deployment: DeploymentId,
        /// The new manifest.
        manifest: BlobId,
        /// The new slots; a slot is the same if its service and replica are.
        slots: Vec<SlotSpec>,
        /// The new delegates.
        delegates: Vec<Delegate>,
    },
    /// Moves more money into a deployment. Anyone may; Owner, or Spend within its ceiling.
    FundDeployment {
        /// The deployment.
        deployment: DeploymentId,
        /// How much.
        amount: Amount,
    },
    /// Ends a deployment: its leases close, its names are free, what is left returns. Owner, or Spend.
    CloseDeployment {
        /// The deployment.
        deployment: DeploymentId,
    },
    /// Leases a slot on a provider's quote. Owner, Spend, or a delegate with [`Verb::Place`].
    OpenLease {
        /// The provider's quote.
        quote: Box<Signed<Quote>>,
        /// The lease that now holds the slot, which this one takes over; none for a free slot.
        replaces: Option<LeaseId>,
    },
    /// Ends a lease. Owner, Spend, a delegate with [`Verb::Place`], or the provider.
    CloseLease {
        /// The lease.
        lease: LeaseId,
    },
    /// Extends a lease in its last half. Owner, Spend, a delegate with [`Verb::Renew`], or the provider.
    RenewLease {
        /// The lease.
        lease: LeaseId,
    },
    /// Pays what a receipt grants. Anyone may hand it in; the receipt's own signature counts.
    Settle {
        /// The payer's receipt.
        receipt: Box<Signed<Receipt>>,
    },
    /// Gives a deployment a name. Owner, or Spend.
    ClaimName {
        /// The name.
        name: String,
        /// The deployment.
        deployment: DeploymentId,
    },
    /// Takes a name from the deployment that has it. Owner, or Spend.
    ReleaseName {
        /// The name.
        name: String,
    },
    /// Shows that a validator signed two statements for one place. It loses its vote, and its bond stays locked for good.
    /// Whoever may act for an account; the proof's own signatures count.
    Accuse {
        /// The account that answers for the validator.
        accused: AccountId,
        /// The two statements.
        proof: Box<Equivocation>,
    },
    /// Says which version of the rules this account's validator follows. The consensus key, or Owner.
    Signal {
        /// The highest version that it follows.
        version: u16,
    },
    /// Says what each key of the account may put into deployments a day. Owner.
    SetCap {
        /// How much; none lifts the cap.
        per_day: Option<Amount>,
    },
    /// Pays what several receipts grant, all of them or none. Anyone may hand them in; the receipts' own signatures count.
    SettleMany {
        /// The payers' receipts, at most [`limits::RECEIPTS`].
        receipts: Vec<Signed<Receipt>>,
    },
    /// Puts a reserve of a deployment in the place of a steward that is lost. Owner, Spend, or another delegate with
    /// [`Verb::Place`].
    ReplaceDelegate {
        /// The deployment.
        deployment: DeploymentId,
        /// The steward that is lost; it becomes a reserve.
        lost: AccountId,
        /// The reserve: a delegate without verbs.
        by: AccountId,
    },
}

impl Action {
    /// A stable word for the request, for logs and histories.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Transfer { .. } => "transfer",
            Self::SetKeys { .. } => "set-keys",
            Self::RegisterNode { .. } => "register-node",
            Self::RemoveNode { .. } => "remove-node",
            Self::Bond { .. } => "bond",
            Self::Unbond { .. } => "unbond",
            Self::SetValidator { .. } => "set-validator",
            Self::OpenDeployment { .. } => "open-deployment",
            Self::UpdateDeployment { .. } => "update-deployment",
            Self::FundDeployment { .. } => "fund-deployment",
            Self::CloseDeployment { .. } => "close-deployment",
            Self::OpenLease { .. } => "open-lease",
            Self::CloseLease { .. } => "close-lease",
            Self::RenewLease { .. } => "renew-lease",
            Self::Settle { .. } => "settle",
            Self::ClaimName { .. } => "claim-name",
            Self::ReleaseName { .. } => "release-name",
            Self::Accuse { .. } => "accuse",
            Self::Signal { .. } => "signal",
            Self::SetCap { .. } => "set-cap",
            Self::SettleMany { .. } => "settle-many",
            Self::ReplaceDelegate { .. } => "replace-delegate",
        }
    }

    /// The receipts that it hands in.
    #[must_use]
    pub fn receipts(&self) -> &[Signed<Receipt>] {
        match self {
            Self::Settle { receipt } => core::slice::from_ref(&**receipt),
            Self::SettleMany { receipts } => receipts,
            _ => &[],
        }
    }
}

/// What a delegate of a deployment may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verb {
    /// Open leases on free slots, replace and close leases.
    Place,
    /// Sign receipts, up to the ceiling a day.
    Receipt,
    /// Renew leases.
    Renew,
}

/// An account that may act for a deployment: a steward. One without verbs may do nothing: it is a reserve, whom the owner
/// allows to take the place of a steward that is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegate {
    /// The account; its keys with the roles Owner, Spend or Node, and its registered nodes, act for it.
    pub account: AccountId,
    /// What it may do.
    pub verbs: BTreeSet<Verb>,
    /// The most that receipts signed by it may pay in one day of block time. It is also the most that a
    /// delegate in league with a provider could take in a day.
    pub ceiling_per_day: Amount,
}

/// A key's word that it belongs to an account; signed by that key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatement {
    /// The account.
    pub account: AccountId,
    /// As what.
    pub purpose: Purpose,
}

/// What a key serves its account as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// As a node.
    Node,
    /// As a consensus key.
    Validator,
}

impl Wire for KeyStatement {
    const NAME: &'static str = "key-statement";
    const LIMIT: usize = 64;
}
