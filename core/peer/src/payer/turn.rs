//! Whose turn it is among the payers of a deployment.

use grange_ledger::{Deployment, Lease, Ledger};
use grange_market::{Payer as Signatory, signer};
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

/// Who signs for the lease of a slot, of whose terms so much is [`needed`]; every payer comes to the same.
///
/// What a payer may still pay today is shared by all leases that it signs for: it signs for one after the other, by the numbers of
/// their slots, as far as that reaches for what is owed and a credit window more, and the next one for the rest. A steward's
/// ceiling is for one deployment; a key's of the owner is for all of his, of which those with smaller ids come first.
pub(super) fn signs(
    ledger: &Ledger,
    deployment: &Deployment,
    (slot, terms, this): (u32, &LeaseTerms, Amount),
    owed: impl Fn(&Lease) -> Amount,
    payers: &[Signatory],
) -> Option<PeerId> {
    let mut left: Vec<Option<Amount>> = payers.iter().map(|payer| left(ledger, deployment, payer, &owed)).collect();
    let before = before(ledger, deployment, slot).map(|lease| (&lease.terms, needed(&lease.terms, owed(lease))));
    let mut last = None;
    for (terms, needed) in before.chain([(terms, this)]) {
        let able = |left: &Option<Amount>| left.is_none_or(|left| left >= needed);
        let here =
            payers.iter().zip(&left).map(|(payer, left)| Signatory { alive: payer.alive && able(left), ..*payer });
        last = signer(&here.collect::<Vec<_>>(), deployment.owner, terms.operator);
        let place = last.and_then(|last| payers.iter().position(|payer| payer.peer == last));
        if let Some(left) = place.and_then(|place| left[place].as_mut()) {
            *left = left.saturating_sub(needed);
        }
    }
    last
}

/// What a payer may still pay for a deployment today, less what the owner's deployments before it need of the same allowance
/// beyond what the key has counted in itself; none where nothing limits it.
fn left(
    ledger: &Ledger,
    deployment: &Deployment,
    payer: &Signatory,
    owed: &impl Fn(&Lease) -> Amount,
) -> Option<Amount> {
    let (view, key) = (ledger.view(), payer.peer.into());
    let left = view.allowance(deployment, key)?;
    if payer.operator != deployment.owner {
        return Some(left);
    }
    let others = view.deployments_of(deployment.owner).filter(|other| other.is_open() && other.id < deployment.id);
    let beyond = |other: &Deployment| {
        let all: Amount = before(ledger, other, u32::MAX).map(|lease| needed(&lease.terms, owed(lease))).sum();
        all.saturating_sub(other.counted_by(key))
    };
    let others: Amount = others.map(beyond).sum();
    let counted = deployment.counted_by(key);
    Some(left.saturating_sub(counted).saturating_sub(others).saturating_add(counted))
}

/// The open leases of a deployment's slots before one of them, as far as receipts pay for them.
fn before<'a>(ledger: &'a Ledger, deployment: &'a Deployment, slot: u32) -> impl Iterator<Item = &'a Lease> {
    let view = ledger.view();
    let ahead = deployment.slots.iter().filter(move |ahead| ahead.number < slot);
    let leases = ahead.filter_map(move |ahead| view.lease(ahead.lease?));
    leases.filter(move |lease| lease.is_open(view.now()) && lease.terms.operator != deployment.owner)
}
