//! Double entry: every movement of money names the book it leaves and the book it enters.

use core::fmt;

use grange_types::{AccountId, Amount, DeploymentId, LeaseId, TxId};

/// A place where money can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Book {
    /// An account's money at hand.
    Balance(AccountId),
    /// An account's bond.
    Bond(AccountId),
    /// An account's bond on its way back.
    Unbonding(AccountId),
    /// A deployment's budget.
    Deployment(DeploymentId),
    /// What is set aside for a lease's provider.
    Escrow(LeaseId),
    /// What of it the provider asks for and the payer disputes.
    Held(LeaseId),
    /// What stands for the room that an account's entries take in the state.
    Deposit(AccountId),
    /// What fees have brought in, those on settlements included.
    Treasury,
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balance(account) => write!(f, "account {account}"),
            Self::Bond(account) => write!(f, "the bond of account {account}"),
            Self::Unbonding(account) => write!(f, "the bond on its way back to account {account}"),
            Self::Deployment(deployment) => write!(f, "deployment {deployment}"),
            Self::Escrow(lease) => write!(f, "the escrow of lease {lease}"),
            Self::Held(lease) => write!(f, "what is disputed of lease {lease}"),
            Self::Deposit(account) => write!(f, "the deposit of account {account}"),
            Self::Treasury => f.write_str("the treasury"),
        }
    }
}

/// One movement of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// The transaction that moved it; none where time did.
    pub cause: Option<TxId>,
    /// The book it left.
    pub debit: Book,
    /// The book it entered.
    pub credit: Book,
    /// How much; not zero.
    pub amount: Amount,
}
