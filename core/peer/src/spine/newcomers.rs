//! What the spine does for those who were not there: shows who decides, gives and takes snapshots, proves entries.

use grange_consensus::{Certificate, Event as Said};
use grange_ledger::{Change, HeaderProof, Ledger, Prepared, StateKey};
use grange_types::{Height, Record, Wire};

use super::{PACE_RUNNING, Spine};
use crate::action::{Action, RequestId};
use crate::context::Context;
use crate::history::History;
use crate::light::{Sealed, Shown, Turn};
use crate::message::{Head, PROOFS, Proofs};

/// Peers whose proofs may wait for the next block.
const ASKERS: usize = 256;

impl Spine {
    /// Which blocks we have.
    pub(crate) fn head(&self) -> Head {
        Head { height: self.ledger.height(), first: self.first }
    }

    /// So many blocks are more than a newcomer should go through one by one.
    pub(crate) const fn far(&self) -> u64 {
        self.snapshot_every.saturating_mul(2)
    }

    /// Begins anew behind a snapshot that came from a peer, and whose state has been held against a decided header.
    pub(crate) fn install(
        &mut self,
        ctx: &mut Context,
        ledger: Ledger,
        mut state: Vec<Vec<u8>>,
        turns: Vec<(Height, Vec<u8>)>,
    ) {
        for (height, turn) in turns {
            ctx.push(Action::Turn { height, turn });
        }
        let height = ledger.height();
        self.history = History::carried(&ledger, ctx.account);
        state.push(self.history.to_record());
        ctx.push(Action::Install { height, state });
        self.ledger = ledger.following(self.ledger.follows());
        self.first = height.next();
        self.snapshots = (Height::GENESIS, height);
        self.prepared.clear();
        self.moved = ctx.now;
        let view = self.ledger.view();
        let deployments = view.deployments().map(|found| Change::Deployment(found.id));
        let leases = view.leases().map(|lease| Change::Lease(lease.id));
        self.committed.push_back(deployments.chain(leases).collect());
        self.mempool.remove_expired(self.ledger.time());
        self.keep_pace(ctx.now);
        let validators = self.validators();
        self.tell(ctx, Said::Caught { height, validators });
    }

    /// Entries of the present state with their proofs, for a peer that keeps none; it is answered with the next block, whose
    /// header carries the state's root.
    pub(crate) fn prove(&mut self, ctx: &mut Context, id: RequestId, keys: &[StateKey]) {
        if keys.len() > PROOFS || self.asked.len() >= ASKERS {
            return;
        }
        let show = |key| {
            let (entry, proof) = self.ledger.prove(key);
            Shown { entry, proof }
        };
        self.asked.push((id, keys.iter().map(show).collect()));
        // Who reads waits for a block, on an idle network too; but nobody makes us decide faster than we do for money.
        if ctx.now.since(self.moved) >= PACE_RUNNING {
            self.tell(ctx, Said::Work);
        }
    }

    /// What a decided block shows to those who keep no state: the validators after it, where it changes them, and the proofs
    /// that waited for its header.
    pub(super) fn show(&mut self, ctx: &mut Context, prepared: &Prepared, certificate: &Certificate) {
        let turn = prepared.next_validators();
        if turn.is_none() && self.asked.is_empty() {
            return;
        }
        let sealed = Sealed { header: HeaderProof::of(&prepared.block), certificate: certificate.clone() };
        for (id, shown) in self.asked.drain(..) {
            let bytes = Proofs { sealed: sealed.clone(), shown }.encode();
            ctx.push(Action::Respond { id, bytes });
        }
        if let Some(validators) = turn {
            let turn = Turn { sealed, validators: validators.to_vec() }.encode();
            ctx.push(Action::Turn { height: certificate.height, turn });
        }
    }

    /// A snapshot was taken: what is before the one before it may go.
    pub(super) fn prune(&mut self, ctx: &mut Context, height: Height) {
        let (_, before) = self.snapshots;
        self.snapshots = (before, height);
        // The block of the snapshot itself shows it to newcomers.
        if self.prune && before > self.first {
            self.first = before;
            ctx.push(Action::Prune { first: before });
        }
    }
}
