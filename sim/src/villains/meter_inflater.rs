//! Serves, says that it served a fifth more, and hands in receipts that it wrote itself in its payer's name.

use grange_ledger::{Action as Deed, Transaction};
use grange_peer::{Action, Batch, Channel, Peer};
use grange_types::{ByteCount, Counters, Millis, Signed, Wire};

use super::{Me, Villain, exaggerated};
use crate::dice::Dice;

#[derive(Default)]
pub(crate) struct MeterInflater {
    nonce: u64,
}

impl Villain for MeterInflater {
    fn name(&self) -> &'static str {
        "meter_inflater"
    }

    fn counters(&self, truth: Counters) -> Counters {
        let more = |count: u64| count / 5 * 6 + 1;
        Counters {
            served: Millis(more(truth.served.0)),
            requests: more(truth.requests),
            egress: ByteCount(more(truth.egress.0)),
        }
    }

    fn scheme(&mut self, me: &Me<'_>, peer: &Peer, dice: &mut Dice) -> Vec<Action> {
        let view = peer.ledger().view();
        let open = view.leases_of_provider(me.peer()).filter(|lease| lease.is_open(view.now()) && lease.is_priced());
        let leases: Vec<_> = open.collect();
        let Some(lease) = dice.pick(&leases).filter(|_| dice.chance(100)) else { return Vec::new() };
        let Some(deployment) = view.deployment(lease.deployment) else { return Vec::new() };
        let receipt = exaggerated(view, lease, dice);
        self.nonce += 1;
        let expires = view.time().max(me.now).after(Millis::minutes(5));
        let own = Signed::seal(me.network, me.key, expires, receipt);
        let forged = Signed { signer: deployment.owner.peer().into(), ..own };
        let action = Deed::Settle { receipt: Box::new(forged) };
        let body = Transaction { account: me.peer().account(), nonce: u64::MAX - self.nonce, action };
        let bytes = Batch { transactions: vec![Signed::seal(me.network, me.key, expires, body)] }.encode();
        let send = |to: &_| Action::Send { to: *to, channel: Channel::Transactions, bytes: bytes.clone() };
        me.others.iter().map(send).collect()
    }
}
