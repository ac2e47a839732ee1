//! Stewards: whom a deployment gets, and who takes the place of one that is lost.
//!
//! The owner names two stewards and, behind them, reserves who may do nothing. Upon a steward that its fellows cannot reach for
//! ten minutes, or for as long as each of them is told: whoever's turn it is puts the first reserve that is there in its place, on the ledger. The owner need not be
//! there, and nobody comes in whom he did not name. Whoever hears nothing of the ledger replaces nobody: it may be cut off itself.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{Action as Deed, Delegate, Deployment, Ledger, Verb};
use grange_types::{AccountId, Amount, DeploymentId, Millis, PeerId, SlotSpec, Time};

use crate::context::{Context, Purpose};

/// Stewards of a deployment beside its owner's node.
const STEWARDS: usize = 2;
/// Nodes that may take the place of a steward that is lost, as far as there are any.
const RESERVES: usize = 2;
/// Between two attempts to replace it, and between the turns of those who may.
const AGAIN: Millis = Millis::minutes(1);
/// The version of the rules that knows reserves.
const SINCE: u16 = 3;

/// Two nodes of other operators that are linked now, not the providers themselves as long as there are others; behind them the
/// reserves.
pub(crate) fn chosen(ctx: &Context, ledger: &Ledger, providers: &[PeerId], specs: &[SlotSpec]) -> Vec<Delegate> {
    let view = ledger.view();
    let mut others: Vec<(bool, PeerId, AccountId)> = view
        .nodes()
        .filter(|node| {
            node.operator != ctx.account && ctx.stewards.contains(&node.peer) && node.operator == node.peer.account()
        })
        .map(|node| (providers.contains(&node.peer), node.peer, node.operator))
        .collect();
    others.sort();
    let ceiling_per_day = daily(specs);
    let verbs = [Verb::Place, Verb::Receipt, Verb::Renew];
    let steward = |account| Delegate { account, verbs: verbs.into(), ceiling_per_day };
    let reserve = |account| Delegate { account, verbs: BTreeSet::new(), ceiling_per_day: Amount::ZERO };
    let delegate = |(place, (_, _, account))| if place < STEWARDS { steward(account) } else { reserve(account) };
    let count = if view.version() < SINCE { STEWARDS } else { STEWARDS + RESERVES };
    others.into_iter().take(count).enumerate().map(delegate).collect()
}

/// What slots may cost a day, and so the most that a steward may have to sign for.
pub(crate) fn daily(specs: &[SlotSpec]) -> Amount {
    let hourly: Amount = specs.iter().map(|spec| spec.max_rate).sum();
    hourly.scaled(24, 1)
}

/// Stewards that cannot be reached, and when somebody does something about it.
pub(crate) struct Missing {
    /// Who cannot be reached for so long is lost.
    lost_after: Millis,
    due: BTreeMap<(DeploymentId, AccountId), Time>,
}

impl Missing {
    pub(crate) const fn new(lost_after: Millis) -> Self {
        Self { lost_after, due: BTreeMap::new() }
    }

    /// Looks who is there; `rank` is how many come before us.
    pub(crate) fn look(&mut self, ctx: &mut Context, ledger: &Ledger, deployment: &Deployment, rank: u32) {
        let id = deployment.id;
        let away = |account: AccountId| deployment.is_steward(account) && !ctx.reaches(account.peer());
        self.due.retain(|(of, account), _| *of != id || away(*account));
        let view = ledger.view();
        let moves = ctx.follows(ledger) && view.version() >= SINCE;
        let mut lost = None;
        for steward in deployment.stewards().filter(|steward| away(steward.account)) {
            let due = self.due.entry((id, steward.account)).or_insert(ctx.now.after(self.lost_after));
            if moves && lost.is_none() && ctx.now >= due.after(Millis(AGAIN.0 * u64::from(rank))) {
                *due = ctx.now.after(AGAIN);
                lost = Some(steward.account);
            }
        }
        let (Some(lost), Some(by)) = (lost, reserve(ctx, ledger, deployment)) else { return };
        ctx.submit(ledger, Deed::ReplaceDelegate { deployment: id, lost, by }, Purpose::Steward(id));
    }

    /// Forgets deployments that are not open.
    pub(crate) fn retain(&mut self, open: impl Fn(&DeploymentId) -> bool) {
        self.due.retain(|(id, _), _| open(id));
    }
}

/// The first reserve that is there and still a steward of others'; one that provides only if there is no other.
fn reserve(ctx: &Context, ledger: &Ledger, deployment: &Deployment) -> Option<AccountId> {
    let view = ledger.view();
    let leases = deployment.slots.iter().filter_map(|slot| view.lease(slot.lease?));
    let operators: BTreeSet<AccountId> = leases.map(|lease| lease.terms.operator).collect();
    let reserves = deployment.delegates.iter().map(|delegate| delegate.account);
    let there = |account: &AccountId| !deployment.is_steward(*account) && ctx.stewards.contains(&account.peer());
    reserves.filter(|account| there(account) && ctx.reaches(account.peer())).min_by_key(|it| operators.contains(it))
}
