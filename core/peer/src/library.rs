//! Manifests at hand. Everything that runs, watches or replaces needs the manifest; it is a blob that peers give out.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{Deployment, Ledger};
use grange_types::{BlobId, DeploymentId, Manifest, Millis, PeerId, Time, Wire};

use crate::action::Action;
use crate::context::Context;

/// A manifest that did not come is asked for again after so long.
const AGAIN: Millis = Millis::seconds(2);
/// What a manifest's services run, and did not come whole, is asked for again after so long: it may be large.
const COMPONENTS_AGAIN: Millis = Millis::seconds(30);

#[derive(Debug, Default)]
pub(crate) struct Library {
    manifests: BTreeMap<BlobId, Manifest>,
    fetching: BTreeMap<BlobId, Time>,
    /// Manifests whose services' components and sites are all on our disk.
    whole: BTreeSet<BlobId>,
}

impl Library {
    pub(crate) fn get(&self, id: BlobId) -> Option<&Manifest> {
        self.manifests.get(&id)
    }

    /// Puts a manifest of our own on the shelf and on the disk.
    pub(crate) fn keep(&mut self, ctx: &mut Context, manifest: Manifest) -> BlobId {
        let bytes = manifest.encode();
        let id = BlobId::of(&bytes);
        self.manifests.insert(id, manifest);
        ctx.push(Action::Keep { bytes });
        id
    }

    /// Asks for a deployment's manifest.
    pub(crate) fn want(&mut self, ctx: &mut Context, ledger: &Ledger, deployment: &Deployment) {
        self.ask(ctx, ledger, deployment, vec![deployment.manifest], AGAIN);
    }

    /// For those who must be able to hand on all that a deployment needs: asks for what is missing of it, its manifest
    /// first, then what its services run.
    pub(crate) fn complete(&mut self, ctx: &mut Context, ledger: &Ledger, deployment: &Deployment) {
        match self.manifests.get(&deployment.manifest) {
            None => self.want(ctx, ledger, deployment),
            Some(manifest) if !self.whole.contains(&deployment.manifest) => {
                self.ask(ctx, ledger, deployment, components(manifest), COMPONENTS_AGAIN);
            }
            Some(_) => {}
        }
    }

    /// Asks whoever may have them for blobs of a deployment, unless it was asked a moment ago.
    fn ask(&mut self, ctx: &mut Context, ledger: &Ledger, found: &Deployment, blobs: Vec<BlobId>, again: Millis) {
        if self.fetching.get(&found.manifest).is_some_and(|since| ctx.now.since(*since) < again) {
            return;
        }
        self.fetching.insert(found.manifest, ctx.now);
        let from = holders(ctx, ledger, found);
        ctx.push(Action::Fetch { deployment: found.id, blobs, from });
    }

    /// Takes down what a fetch for a manifest has found on our disk or brought to it.
    pub(crate) fn fetched(&mut self, id: BlobId, here: &[BlobId]) {
        let whole = |manifest: &Manifest| components(manifest).iter().all(|blob| here.contains(blob));
        if self.manifests.get(&id).is_some_and(whole) {
            self.whole.insert(id);
        }
    }

    /// Takes fetched bytes; the caller has checked their hash.
    pub(crate) fn arrived(&mut self, id: BlobId, bytes: &[u8]) -> bool {
        self.fetching.remove(&id);
        match Manifest::decode(bytes) {
            Ok(manifest) => {
                self.manifests.insert(id, manifest);
                true
            }
            Err(_) => false,
        }
    }

    /// Forgets manifests that no open deployment names.
    pub(crate) fn sweep(&mut self, ledger: &Ledger) {
        let view = ledger.view();
        let named: BTreeSet<BlobId> = view.deployments().map(|deployment| deployment.manifest).collect();
        self.manifests.retain(|id, _| named.contains(id));
        self.fetching.retain(|id, _| named.contains(id));
        self.whole.retain(|id| named.contains(id));
    }
}

/// What a manifest's services run.
fn components(manifest: &Manifest) -> Vec<BlobId> {
    manifest.services.values().map(|service| service.workload.blob()).collect()
}

/// Who holds a deployment's blobs: the owner's nodes, its stewards, its providers; not ourselves.
pub(crate) fn holders(ctx: &Context, ledger: &Ledger, deployment: &Deployment) -> Vec<PeerId> {
    let view = ledger.view();
    let leases = deployment.slots.iter().filter_map(|slot| view.lease(slot.lease?));
    let providers = leases.map(|lease| lease.terms.provider);
    let mut holders = Vec::new();
    for peer in view.nodes_of(deployment.owner).into_iter().chain(view.stewards_of(deployment)).chain(providers) {
        if peer != ctx.me && !holders.contains(&peer) {
            holders.push(peer);
        }
    }
    holders
}

/// Whether we look after an open deployment: our own, or as a steward one that still has money. Anybody may name us as
/// the steward of one that has none, and fill our disk. A machine that was revoked has nothing of its own any more.
pub(crate) fn is_taken_on(ctx: &Context, ledger: &Ledger, found: &Deployment, steward: bool) -> bool {
    let ours = found.owner == ctx.account && ledger.view().account_of(ctx.me) == Some(ctx.account);
    let asked = || steward && found.is_steward(ctx.account) && !ledger.view().held_by(found).is_zero();
    found.is_open() && (ours || asked())
}

/// Whether we hold and watch this deployment: as its owner's node, or as a steward.
pub(crate) fn is_payer(ctx: &Context, deployment: &Deployment) -> bool {
    deployment.owner == ctx.account || deployment.is_steward(ctx.account)
}

/// Which deployment a fetched manifest is for, when it is still named.
pub(crate) fn names(ledger: &Ledger, deployment: DeploymentId, manifest: BlobId) -> bool {
    ledger.view().deployment(deployment).is_some_and(|found| found.manifest == manifest)
}
