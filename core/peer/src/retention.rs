//! What has to stay on the disk: what we run, what we pay for and may have to hand on, and data that somebody may want.
//!
//! Blobs stay as long as an open deployment of which we are a payer or a provider names them. Key-value data stays as long
//! as the ledger knows its deployment. The edge adds a grace of its own, for what is on its way to becoming either.

use std::collections::BTreeSet;

use grange_ledger::Ledger;
use grange_types::{BlobId, DeploymentId, Kind, Millis, Time};

use crate::action::Action;
use crate::context::Context;
use crate::library::{Library, is_payer, is_taken_on};

/// Between two lists. What is let go stays a while longer, which costs nobody anything but room.
const EVERY: Millis = Millis::minutes(10);
/// How often the list is put off for a manifest that is not here: an hour's worth.
const WAITS: u32 = 6;

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
    /// How often in a row the list was put off for a manifest that is not here.
    waited: u32,
}

impl Retention {
    /// Lists what has to stay, when it is time and everything that is needed for the list is known.
    pub(crate) fn tick(&mut self, ctx: &mut Context, ledger: &Ledger, library: &Library, steward: bool) {
        if self.next == Time(0) {
            self.next = ctx.now.after(EVERY);
        }
        if ctx.now < self.next {
            return;
        }
        // A manifest that is still on its way may name anything; one that never comes must not keep everything for ever.
        let Some(kept) = list(ctx, ledger, library, steward, self.waited >= WAITS) else {
            self.waited += 1;
            self.next = ctx.now.after(EVERY);
            return;
        };
        self.waited = 0;
        self.next = ctx.now.after(EVERY);
        ctx.push(Action::Retain(Box::new(kept)));
    }
}

/// What has to stay; nothing while a manifest that we look after is not here, unless it was waited for long enough.
fn list(ctx: &Context, ledger: &Ledger, library: &Library, steward: bool, at_once: bool) -> Option<Kept> {
    let view = ledger.view();
    let mut kept = Kept { deployments: view.deployments().map(|found| found.id).collect(), ..Kept::default() };
    let mut keep = |workload: BlobId, kind: Kind| match kind {
        Kind::Wasm => kept.blobs.insert(workload),
        Kind::Site => kept.sites.insert(workload),
    };
    // A lease may still run what its slot ran before an update that is under way.
    for lease in view.leases_of_provider(ctx.me) {
        keep(lease.terms.workload, lease.terms.kind);
    }
    for found in view.deployments().filter(|found| is_taken_on(ctx, ledger, found, steward)) {
        match library.get(found.manifest) {
            Some(manifest) => {
                for service in manifest.services.values() {
                    keep(service.workload.blob(), service.workload.kind());
                }
            }
            None if at_once => {}
            None => return None,
        }
        for lease in found.slots.iter().filter_map(|slot| view.lease(slot.lease?)) {
            keep(lease.terms.workload, lease.terms.kind);
        }
    }
    let hosted = view.leases_of_provider(ctx.me).filter_map(|lease| view.deployment(lease.deployment));
    let ours = view.deployments().filter(|found| found.is_open() && is_payer(ctx, found));
    kept.blobs.extend(hosted.chain(ours).map(|found| found.manifest));
    Some(kept)
}
