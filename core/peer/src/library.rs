//! Manifests at hand. Everything that runs, watches or replaces needs the manifest; it is a blob that peers give out.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{Deployment, Ledger};
use grange_types::{BlobId, DeploymentId, Manifest, Millis, PeerId, Time, Wire};

use crate::action::Action;
use crate::context::Context;

/// A fetch that brought nothing is tried again after so long.
const AGAIN: Millis = Millis::seconds(2);

#[derive(Debug, Default)]
pub(crate) struct Library {
    manifests: BTreeMap<BlobId, Manifest>,
    fetching: BTreeMap<BlobId, Time>,
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

    /// Asks for a deployment's manifest and, for those who must be able to hand them on, what its services run.
    pub(crate) fn want(&mut self, ctx: &mut Context, deployment: &Deployment) {
        let id = deployment.manifest;
        if self.fetching.get(&id).is_some_and(|since| ctx.now.since(*since) < AGAIN) {
            return;
        }
        self.fetching.insert(id, ctx.now);
        let from = holders(ctx, deployment);
        ctx.push(Action::Fetch { deployment: deployment.id, blobs: vec![id], from });
    }

    /// Asks for what a manifest's services run.
    pub(crate) fn want_components(&mut self, ctx: &mut Context, deployment: &Deployment) {
        let Some(manifest) = self.manifests.get(&deployment.manifest) else { return };
        let blobs = manifest.services.values().map(|service| service.workload.blob()).collect();
        let from = holders(ctx, deployment);
        ctx.push(Action::Fetch { deployment: deployment.id, blobs, from });
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
    }
}

/// Who holds a deployment's blobs: the owner's node, its stewards, its providers; not ourselves.
pub(crate) fn holders(ctx: &Context, deployment: &Deployment) -> Vec<PeerId> {
    let stewards = deployment.delegates.iter().map(|delegate| delegate.account.peer());
    let payers = core::iter::once(deployment.owner.peer()).chain(stewards);
    payers.filter(|peer| *peer != ctx.me).collect()
}

/// Whether we hold and watch this deployment: as its owner's node, or as a steward.
pub(crate) fn is_payer(ctx: &Context, deployment: &Deployment) -> bool {
    deployment.owner == ctx.account || deployment.delegate(ctx.account).is_some()
}

/// Which deployment a fetched manifest is for, when it is still named.
pub(crate) fn names(ledger: &Ledger, deployment: DeploymentId, manifest: BlobId) -> bool {
    ledger.view().deployment(deployment).is_some_and(|found| found.manifest == manifest)
}
