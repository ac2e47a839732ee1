//! Whose turn it is among the payers of a deployment.

use grange_ledger::{Deployment, Ledger};
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

/// The payers as far as the ledger would take their word: who may pay less today than what is owed and a credit window more
/// counts as away, and the next one signs.
pub(super) fn solvent(
    ledger: &Ledger,
    deployment: &Deployment,
    (terms, owed): (&LeaseTerms, Amount),
    payers: &[Signatory],
) -> Vec<Signatory> {
    let needed = owed.saturating_add(terms.cap(limits::CREDIT_WINDOW));
    let left = |peer: PeerId| ledger.view().allowance(deployment, peer.into());
    let able = |payer: &Signatory| left(payer.peer).is_none_or(|left| left >= needed);
    payers.iter().map(|payer| Signatory { alive: payer.alive && able(payer), ..*payer }).collect()
}
