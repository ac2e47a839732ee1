//! Spends the same money twice, by telling different validators of different payments, and hands in old payments again.

use grange_ledger::{Action as Deed, Transaction};
use grange_peer::{Action, Batch, Channel, Peer};
use grange_types::{Amount, Millis, Signed, Wire};

use super::{Me, Villain};
use crate::dice::Dice;

/// Money it leaves alone, so that it can try again.
const LEFT: Amount = Amount::credits(10);

#[derive(Default)]
pub(crate) struct DoubleSpender {
    nonce: u64,
    old: Vec<Signed<Transaction>>,
}

impl DoubleSpender {
    fn payment(&mut self, me: &Me<'_>, to: usize, amount: Amount) -> Option<Signed<Transaction>> {
        self.nonce += 1;
        let to = me.others.get(to)?.account();
        let action = Deed::Transfer { to, amount, memo: "twice".into() };
        let body = Transaction { account: me.peer().account(), nonce: u64::MAX - self.nonce, action };
        Some(Signed::seal(me.network, me.key, me.now.after(Millis::minutes(5)), body))
    }
}

impl Villain for DoubleSpender {
    fn name(&self) -> &'static str {
        "double_spender"
    }

    fn scheme(&mut self, me: &Me<'_>, peer: &Peer, dice: &mut Dice) -> Vec<Action> {
        if !dice.chance(200) {
            return Vec::new();
        }
        let balance = peer.ledger().view().balance(me.peer().account());
        // More than half of it: both cannot be paid.
        let amount = balance.saturating_sub(LEFT).scaled(2, 3);
        let (left, right) = (dice.index(me.others.len()), dice.index(me.others.len()));
        let payments = [self.payment(me, left, amount), self.payment(me, right, amount)];
        let mut actions = Vec::new();
        for (half, payment) in payments.into_iter().flatten().enumerate() {
            let mut transactions = vec![payment.clone()];
            transactions.extend(dice.pick(&self.old).cloned());
            self.old.push(payment);
            let bytes = Batch { transactions }.encode();
            let hears = me.others.iter().enumerate().filter(|(place, _)| place % 2 == half);
            actions.extend(hears.map(|(_, to)| Action::Send {
                to: *to,
                channel: Channel::Transactions,
                bytes: bytes.clone(),
            }));
        }
        self.old.truncate(20);
        actions
    }
}
