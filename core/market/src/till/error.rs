//! Why a provider does not take a receipt.

use grange_types::{Amount, LeaseId, Time};

/// Why a receipt was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// No such lease is served here.
    #[error("lease {} is not served here", .lease.short())]
    UnknownLease {
        /// The lease.
        lease: LeaseId,
    },
    /// It is for another generation of the slot.
    #[error("the receipt is for generation {theirs}, lease {} has {ours}", .lease.short())]
    WrongGeneration {
        /// The lease.
        lease: LeaseId,
        /// The receipt's generation.
        theirs: u64,
        /// The lease's.
        ours: u64,
    },
    /// It says no more than what is known, and its number is not larger.
    #[error("receipt {sequence} of lease {} is not after {known}", .lease.short())]
    Stale {
        /// The lease.
        lease: LeaseId,
        /// The receipt's number.
        sequence: u64,
        /// The number that is known.
        known: u64,
    },
    /// A number so large that it would leave no room for later receipts.
    #[error("receipt {sequence} of lease {} leaps beyond {latest}, the largest there may be by now", .lease.short())]
    Leaps {
        /// The lease.
        lease: LeaseId,
        /// The receipt's number.
        sequence: u64,
        /// The largest that is taken.
        latest: u64,
    },
    /// The amount went backwards.
    #[error("receipt {sequence} of lease {} takes back what was acknowledged", .lease.short())]
    Backwards {
        /// The lease.
        lease: LeaseId,
        /// The receipt's number.
        sequence: u64,
    },
    /// The amount is not what the terms make of the counters.
    #[error("receipt {sequence} of lease {} says {stated}, the terms say {due}", .lease.short())]
    WrongAmount {
        /// The lease.
        lease: LeaseId,
        /// The receipt's number.
        sequence: u64,
        /// What it says.
        stated: Amount,
        /// What the terms say.
        due: Amount,
    },
    /// The ledger will pay that much a moment later. It is put aside until then.
    #[error("receipt {sequence} of lease {} says {stated}, up to {most} is payable yet", .lease.short())]
    Early {
        /// The lease.
        lease: LeaseId,
        /// The receipt's number.
        sequence: u64,
        /// What it says.
        stated: Amount,
        /// The most that is paid now.
        most: Amount,
    },
    /// Its envelope expires too soon to reach the ledger.
    #[error("receipt {sequence} of lease {} expires too soon, at {expires}", .lease.short())]
    ExpiresSoon {
        /// The lease.
        lease: LeaseId,
        /// The receipt's number.
        sequence: u64,
        /// When.
        expires: Time,
    },
}

impl ReceiptError {
    /// Whether whoever sent it still signs for the lease as it should be: it says nothing new, or something a moment too early.
    pub(super) const fn is_a_word(&self) -> bool {
        matches!(self, Self::Stale { .. } | Self::Backwards { .. } | Self::Early { .. })
    }
}
