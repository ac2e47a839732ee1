//! Validators that come and go while everything else happens.

use grange_ledger::{Action as Deed, KeyStatement, Purpose};
use grange_types::{Amount, Millis, Signed};

use crate::load::Waiting;
use crate::world::World;

/// Hosts behind the first validators that join them and leave them again. They are honest as voters, and never the one that
/// is gone for good: all who are honest are enough to decide, whoever has joined.
pub(crate) const CANDIDATES: usize = 2;
/// What a vote costs.
pub(crate) const BOND: Amount = Amount::CREDIT;

impl World<'_> {
    /// A candidate locks its bond, or joins the validators, or leaves them.
    pub(crate) fn stand(&mut self) {
        let candidate = self.validators + self.dice.load.index(CANDIDATES);
        let host = &self.hosts[candidate];
        let Some(peer) = host.peer.as_ref().filter(|_| host.frozen_until <= self.now) else { return };
        let (key, view) = (host.config.key.clone(), peer.ledger().view());
        let account = key.public().account();
        let expires = view.time().max(self.now).after(Millis::minutes(5));
        let set = |power| {
            let statement = KeyStatement { account, purpose: Purpose::Validator };
            let consent = Box::new(Signed::seal(self.network_id, &key, expires, statement));
            Deed::SetValidator { key: key.public(), power, consent }
        };
        let (what, action) = if view.validators().iter().any(|entry| entry.account == account) {
            ("leaves the validators", set(0))
        } else if view.operator(account).is_some_and(|operator| operator.bond >= BOND) {
            ("joins the validators", set(1))
        } else {
            ("locks a bond", Deed::Bond { amount: BOND })
        };
        self.note(Some(candidate), format_args!("{what}"));
        self.hand_in(candidate, &key, action, Waiting::Deed);
    }
}
