//! Whose word on requests counts: one rule for who pays by it and for who waits to be paid.

use grange_ledger::{Deployment, Lease, Ledger};
use grange_types::{AccountId, PeerId};

/// For whom a node counts what its gateway passes on to a deployment: who it is registered under, or the owner or steward that
/// it acts for. None of whoever is on no ledger: keys cost nothing.
fn operator_of(ledger: &Ledger, deployment: &Deployment, gateway: PeerId) -> Option<AccountId> {
    let view = ledger.view();
    let party = |account: &AccountId| *account == deployment.owner || deployment.is_steward(*account);
    view.operator_of(gateway).or_else(|| view.account_of(gateway).filter(party))
}

/// Whether nobody knows a gateway, so that what it passes on is on no bill.
pub(crate) fn is_stranger(ledger: &Ledger, deployment: &Deployment, gateway: PeerId) -> bool {
    operator_of(ledger, deployment, gateway).is_none()
}

/// Whether payers believe what a gateway counts: none of the provider's operator.
pub(crate) fn is_believed(ledger: &Ledger, deployment: &Deployment, lease: &Lease, gateway: PeerId) -> bool {
    operator_of(ledger, deployment, gateway).is_some_and(|operator| operator != lease.terms.operator)
}
