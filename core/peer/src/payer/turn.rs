//! Whose turn it is among the payers of a deployment.

use grange_ledger::{Deployment, Ledger};
use grange_market::Payer as Signatory;
use grange_types::PeerId;

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
