//! A slot has one open lease, and whoever knows that it lost a slot serves it no more.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{LeaseState, Ledger};
use grange_types::{DeploymentId, LeaseId, Millis, Time};

/// How long a workload may still run after its own node knows that its lease is over.
const STOPS: Millis = Millis::seconds(2);

/// What hosts run that their ledger does not grant.
#[derive(Default)]
pub(crate) struct Slots {
    ungranted: BTreeMap<(usize, LeaseId), Time>,
}

/// No slot has two open leases, and no generation of a slot was given twice.
pub(super) fn single(ledger: &Ledger) -> Result<(), String> {
    let view = ledger.view();
    let (mut open, mut generations) = (BTreeSet::new(), BTreeSet::new());
    for lease in view.leases() {
        let slot = (lease.deployment, lease.slot);
        if lease.state == LeaseState::Open && !open.insert(slot) {
            return Err(format!("slot {} of {} has two open leases", lease.slot, lease.deployment.short()));
        }
        if !generations.insert((slot, lease.generation)) {
            let (slot, deployment) = (lease.slot, lease.deployment.short());
            return Err(format!("generation {} of slot {slot} of {deployment} was leased twice", lease.generation));
        }
    }
    Ok(())
}

/// A node takes no write for a generation below the one it knows.
pub(super) fn may_write(deployment: DeploymentId, lease: LeaseId, generation: u64, own: &Ledger) -> Result<(), String> {
    let view = own.view();
    let slot = view.lease(lease).and_then(|lease| view.deployment(deployment)?.slot(lease.slot));
    match slot {
        Some(slot) if slot.generation > generation => Err(format!(
            "a write was taken for generation {generation} of slot {} of {} by a node that knows generation {}",
            slot.number,
            deployment.short(),
            slot.generation
        )),
        _ => Ok(()),
    }
}

impl Slots {
    pub(super) fn started(&mut self, host: usize) {
        self.ungranted.retain(|(other, _), _| *other != host);
    }

    /// A node runs nothing for long that its own ledger does not grant.
    pub(super) fn runs(
        &mut self,
        now: Time,
        host: usize,
        leases: impl Iterator<Item = LeaseId>,
        own: &Ledger,
    ) -> Result<(), String> {
        let view = own.view();
        let granted = |id: &LeaseId| view.lease(*id).is_some_and(|lease| lease.is_open(view.now()));
        let ungranted: BTreeSet<LeaseId> = leases.filter(|id| !granted(id)).collect();
        self.ungranted.retain(|(other, lease), _| *other != host || ungranted.contains(lease));
        for lease in ungranted {
            let since = *self.ungranted.entry((host, lease)).or_insert(now);
            if now.since(since) > STOPS {
                let span = now.since(since).0;
                return Err(format!("host {host} runs lease {} that its ledger closed {span} ms ago", lease.short()));
            }
        }
        Ok(())
    }
}
