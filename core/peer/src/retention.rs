//! What has to stay on the disk: what we run, what we pay for and may have to hand on, and data that somebody may want.
//!
//! Blobs stay as long as an open deployment of which we are a payer or a provider names them. Key-value data stays as long
//! as the ledger knows its deployment. The edge adds a grace of its own, for what is on its way to becoming either.

use std::collections::BTreeSet;

use grange_ledger::{Deployment, Ledger};
use grange_types::{BlobId, DeploymentId, Millis, Time, Workload};

use crate::action::Action;
use crate::context::Context;
use crate::library::{Library, is_payer};

/// Between two lists. What is let go stays a while longer, which costs nobody anything but room.
const EVERY: Millis = Millis::minutes(10);

/// What has to stay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Manifests and components.
    pub blobs: BTreeSet<BlobId>,
    /// Indexes of sites: they and all files they list.
    pub sites: BTreeSet<BlobId>,
    /// Deployments whose data stays.
    pub deployments: BTreeSet<DeploymentId>,
}

/// Says from time to time what has to stay.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    next: Time,
}

impl Retention {
    /// Lists what has to stay, when it is time and everything that is needed for the list is known.
    pub(crate) fn tick(&mut self, ctx: &mut Context, ledger: &Ledger, library: &Library) {
        if self.next == Time(0) {
            self.next = ctx.now.after(EVERY);
        }
        if ctx.now < self.next {
            return;
        }
        // A manifest that is still on its way may name anything.
        let Some(kept) = list(ctx, ledger, library) else { return };
        self.next = ctx.now.after(EVERY);
        ctx.push(Action::Retain(Box::new(kept)));
    }
}

fn list(ctx: &Context, ledger: &Ledger, library: &Library) -> Option<Kept> {
    let view = ledger.view();
    let hosted: BTreeSet<DeploymentId> = view.leases_of_provider(ctx.me).map(|lease| lease.deployment).collect();
    let ours = |found: &&Deployment| found.is_open() && (is_payer(ctx, found) || hosted.contains(&found.id));
    let mut kept = Kept { deployments: view.deployments().map(|found| found.id).collect(), ..Kept::default() };
    for deployment in view.deployments().filter(ours) {
        kept.blobs.insert(deployment.manifest);
        for service in library.get(deployment.manifest)?.services.values() {
            match service.workload {
                Workload::Wasm { component, .. } => kept.blobs.insert(component),
                Workload::Site { index, .. } => kept.sites.insert(index),
            };
        }
    }
    // A lease may still run what its slot ran before an update that is under way.
    kept.blobs.extend(view.leases_of_provider(ctx.me).map(|lease| lease.terms.workload));
    Some(kept)
}
