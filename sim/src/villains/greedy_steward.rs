//! In league with providers: signs, for deployments that it looks after, as much as the ledger may take from it, and tells
//! the other payers, who might go on from it; now and then the largest numbers there are, what the ledger pays only a moment
//! later, or next to nothing under a larger number, which might leave the receipts of others behind.

use grange_ledger::{Action as Deed, Transaction, Verb};
use grange_peer::{Action, Batch, Channel, MarketMessage, Peer};
use grange_types::{Amount, ByteCount, Counters, Millis, PeerId, Signed, Wire};

use super::{Me, Villain, exaggerated};
use crate::dice::Dice;

#[derive(Default)]
pub(crate) struct GreedySteward {
    nonce: u64,
}

impl Villain for GreedySteward {
    fn name(&self) -> &'static str {
        "greedy_steward"
    }

    fn scheme(&mut self, me: &Me<'_>, peer: &Peer, dice: &mut Dice) -> Vec<Action> {
        let view = peer.ledger().view();
        let mine = view.deployments().filter(|found| found.delegates_to(me.peer().account(), Verb::Receipt));
        let leases = mine.flat_map(|found| view.leases_of(found.id)).filter(|lease| lease.is_open(view.now()));
        let leases: Vec<_> = leases.filter(|lease| lease.is_priced()).collect();
        let Some(lease) = dice.pick(&leases).filter(|_| dice.chance(300)) else { return Vec::new() };
        let mut receipt = exaggerated(view, lease, dice);
        if dice.chance(250) {
            let later = view.now().after(Millis::seconds(dice.below(70)));
            receipt.amount = receipt.amount.max(lease.claimable(later));
        } else if dice.chance(250) {
            receipt.amount = lease.settled.saturating_add(Amount(dice.below(2).into()));
        } else if dice.chance(250) {
            // The one is the largest that anybody reads, the other one nobody.
            receipt.amount = if dice.chance(800) { Amount::MAX } else { Amount(u128::MAX) };
        }
        if dice.chance(100) {
            receipt.counters = Counters { served: Millis(u64::MAX), requests: u64::MAX, egress: ByteCount(u64::MAX) };
        }
        self.nonce += 1;
        let expires = view.time().max(me.now).after(Millis::minutes(5));
        let receipt = Signed::seal(me.network, me.key, expires, receipt);
        let body = Transaction {
            account: me.peer().account(),
            nonce: u64::MAX - self.nonce,
            action: Deed::Settle { receipt: Box::new(receipt.clone()) },
        };
        let batch = Batch { transactions: vec![Signed::seal(me.network, me.key, expires, body)] }.encode();
        let told = MarketMessage::Receipt(receipt).encode();
        let owner = view.deployment(lease.deployment).map(|found| found.owner);
        let pays = |peer: &&PeerId| {
            let account = peer.account();
            let steward = view.deployment(lease.deployment).is_some_and(|found| found.is_steward(account));
            Some(account) == owner || steward
        };
        let hears = [lease.terms.provider].into_iter().chain(me.others.iter().filter(pays).copied());
        let tell = |to| Action::Send { to, channel: Channel::Steward, bytes: told.clone() };
        let mut actions: Vec<Action> = hears.map(tell).collect();
        actions.extend(me.others.iter().map(|to| Action::Send {
            to: *to,
            channel: Channel::Transactions,
            bytes: batch.clone(),
        }));
        actions
    }
}
