//! Whose turn it is among the payers of a deployment.

use grange_ledger::{Deployment, Lease, Ledger};
use grange_market::Payer as Signatory;
use grange_types::{Amount, LeaseTerms, PeerId, limits};

use crate::context::Context;

/// The payers of a deployment in the order of their turns: those of the owner's nodes that may spend for him, then the
/// stewards.
pub(super) fn payers(ctx: &Context, ledger: &Ledger, deployment: &Deployment) -> Vec<Signatory> {
    let view = ledger.view();
    let signatory = |peer: PeerId, operator| Signatory { peer, operator, alive: ctx.reaches(peer) };
    let may = |peer: &PeerId| view.payer_of(deployment, (*peer).into()) == Some(deployment.owner);
    let owners = view.nodes_of(deployment.owner).into_iter().filter(may);
    let stewards = view.stewards_of(deployment).into_iter().map(|peer| signatory(peer, peer.account()));
    owners.map(|peer| signatory(peer, deployment.owner)).chain(stewards).collect()
}

/// How many payers that live come before us.
pub(super) fn rank(ctx: &Context, ledger: &Ledger, deployment: &Deployment) -> u32 {
    let payers = payers(ctx, ledger, deployment);
    payers.iter().take_while(|payer| payer.peer != ctx.me).filter(|payer| payer.alive).count() as u32
}

/// What somebody has to be able to pay who signs for a lease: what is owed of it, and a credit window at its highest rate.
pub(super) fn needed(terms: &LeaseTerms, owed: Amount) -> Amount {
    owed.saturating_add(terms.cap(limits::CREDIT_WINDOW))
}

/// The payers as far as the ledger would take their word for the lease of a slot that needs so much: who may pay less today
/// than that, and what all leases need that come before it on the same allowance, counts as away, and the next one signs.
pub(super) fn solvent(
    ledger: &Ledger,
    deployment: &Deployment,
    (slot, this): (u32, Amount),
    owed: impl Fn(&Lease) -> Amount,
    payers: &[Signatory],
) -> Vec<Signatory> {
    let view = ledger.view();
    let all = |leases: &mut dyn Iterator<Item = &Lease>| leases.map(|lease| needed(&lease.terms, owed(lease))).sum();
    let within = this.saturating_add(all(&mut before(ledger, deployment, slot)));
    let able = |payer: &Signatory| {
        let Some(left) = view.allowance(deployment, payer.peer.into()) else { return true };
        if payer.operator != deployment.owner {
            // A steward's ceiling is for one deployment, a key's of the owner for all of his.
            return left >= within;
        }
        let others = view.deployments_of(deployment.owner).filter(|other| other.is_open() && other.id < deployment.id);
        let others: Amount = all(&mut others.flat_map(|other| before(ledger, other, u32::MAX)));
        left >= within.saturating_add(others)
    };
    payers.iter().map(|payer| Signatory { alive: payer.alive && able(payer), ..*payer }).collect()
}

/// The open leases of a deployment's slots before one of them, as far as receipts pay for them.
fn before<'a>(ledger: &'a Ledger, deployment: &'a Deployment, slot: u32) -> impl Iterator<Item = &'a Lease> {
    let view = ledger.view();
    let ahead = deployment.slots.iter().filter(move |ahead| ahead.number < slot);
    let leases = ahead.filter_map(move |ahead| view.lease(ahead.lease?));
    leases.filter(move |lease| lease.is_open(view.now()) && lease.terms.operator != deployment.owner)
}
