//! Cards: second keys of people's accounts, each with a ceiling for a day, that pay, fund, change terms and get into wrong
//! hands.
//!
//! What a card tries is within its ceiling at times and beyond it at others; the ledger says which. The checker `keys` holds
//! what came of it against the ceilings.

use grange_ledger::{Action as Deed, Deployment};
use grange_peer::{Channel, MarketMessage};
use grange_types::{AccountId, Amount, DeploymentId, KeyGrant, Millis, Role, SecretKey, Signed, SlotSpec, Wire};

use crate::load::Waiting;
use crate::villains::exaggerated;
use crate::world::World;

/// What most cards may spend a day: less than any deployment has.
const POCKET: Amount = Amount::CREDIT;
/// What every third card may: more than most deployments have.
const PURSE: Amount = Amount::credits(400);

/// A second key of a host's account.
fn card(host: usize) -> SecretKey {
    let mut secret = [0xca; 32];
    secret[..8].copy_from_slice(&(host as u64).to_le_bytes());
    SecretKey::from_bytes(&secret)
}

const fn ceiling(host: usize) -> Amount {
    if host.is_multiple_of(3) { PURSE } else { POCKET }
}

impl World<'_> {
    /// An account gets a card, does something with it, or loses it again.
    pub(crate) fn use_card(&mut self) {
        let holders: Vec<usize> = (0..self.hosts.len()).filter(|host| self.has_card(*host)).collect();
        let holder = self.dice.load.pick(&holders).copied().filter(|_| self.dice.load.chance(850));
        let Some(host) = holder else { return self.give_card() };
        if self.hosts[host].frozen_until > self.now {
            return;
        }
        match self.dice.load.below(100) {
            0..20 => self.card_pays(host),
            20..45 => self.card_funds(host),
            45..70 => self.card_changes(host),
            70..92 => self.card_signs(host),
            _ => self.set_card(host, false),
        }
    }

    fn has_card(&self, host: usize) -> bool {
        let machine = &self.hosts[host];
        let Some(peer) = &machine.peer else { return false };
        let keys = peer.ledger().view().account(machine.id().account()).map(|found| found.keys).unwrap_or_default();
        keys.iter().any(|grant| grant.key == card(host).public())
    }

    /// Whoever has an app is given one, or else anybody.
    fn give_card(&mut self) {
        let there = self.apps_there();
        let owner = self.dice.load.pick(&there).map(|app| self.load.apps[*app].owner);
        let Some(host) = owner.or_else(|| self.somebody()).filter(|host| !self.has_card(*host)) else { return };
        self.set_card(host, true);
    }

    fn set_card(&mut self, host: usize, has: bool) {
        let key = self.hosts[host].config.key.clone();
        let owner = KeyGrant { key: key.public(), roles: vec![Role::Owner] };
        let spender = KeyGrant { key: card(host).public(), roles: vec![Role::Spend { per_day: ceiling(host) }] };
        let keys = if has { vec![owner, spender] } else { vec![owner] };
        self.note(Some(host), format_args!("{}", if has { "gets a card" } else { "loses its card" }));
        self.hand_in(host, &key, Deed::SetKeys { keys }, Waiting::Deed);
    }

    fn card_pays(&mut self, host: usize) {
        let to: AccountId = self.hosts[self.dice.load.index(self.hosts.len())].id().account();
        let amount = Amount(u128::from(self.dice.load.between(1, 300_000_000_000)));
        self.coverage.count("load", "card-pays");
        self.hand_in(host, &card(host), Deed::Transfer { to, amount, memo: String::new() }, Waiting::Transfer);
    }

    /// The deployments of a host's account, and now and then one of somebody else.
    fn card_deployment(&mut self, host: usize, others: bool) -> Option<Deployment> {
        let peer = self.hosts[host].peer.as_ref()?;
        let (view, me) = (peer.ledger().view(), self.hosts[host].id().account());
        let others = others && self.dice.load.chance(200);
        let open = view.deployments().filter(|found| found.is_open() && (found.owner == me) != others);
        let ids: Vec<DeploymentId> = open.map(|found| found.id).collect();
        self.dice.load.pick(&ids).and_then(|id| view.deployment(*id)).cloned()
    }

    /// A card puts money into a deployment: a little, or more than it may.
    fn card_funds(&mut self, host: usize) {
        let Some(Deployment { id: deployment, .. }) = self.card_deployment(host, true) else { return };
        let beyond = self.dice.load.chance(300);
        let little = Amount(u128::from(self.dice.load.between(50_000_000_000, 700_000_000_000)));
        let amount = if beyond { ceiling(host).saturating_add(Amount(1)) } else { little };
        self.coverage.count("load", if beyond { "card-funds-too-much" } else { "card-funds" });
        self.note(Some(host), format_args!("its card puts {amount} into a deployment"));
        self.hand_in(host, &card(host), Deed::FundDeployment { deployment, amount }, Waiting::Deed);
    }

    /// A card lets a deployment cost more than before, or leaves its terms as they are.
    fn card_changes(&mut self, host: usize) {
        let Some(found) = self.card_deployment(host, false) else { return };
        let looser = self.dice.load.chance(700);
        let rate = |rate: Amount| if looser { rate.scaled(9, 8) } else { rate };
        let specs = found.slots.iter().map(|slot| SlotSpec { max_rate: rate(slot.spec.max_rate), ..slot.spec.clone() });
        let slots = specs.collect();
        let Deployment { id: deployment, manifest, delegates, .. } = found;
        self.coverage.count("load", if looser { "card-loosens" } else { "card-keeps" });
        self.note(Some(host), format_args!("its card {} terms", if looser { "loosens" } else { "keeps" }));
        let deed = Deed::UpdateDeployment { deployment, manifest, slots, delegates };
        self.hand_in(host, &card(host), deed, Waiting::Deed);
    }

    /// A card is in the hands of a thief who is in league with a provider: he signs all that a lease may cost, and tells the
    /// ledger of it, the provider, and all who might go on from it.
    fn card_signs(&mut self, host: usize) {
        let Some(found) = self.card_deployment(host, false) else { return };
        let Some(peer) = &self.hosts[host].peer else { return };
        let view = peer.ledger().view();
        let open = view.leases_of(found.id).filter(|lease| lease.is_open(view.now()) && lease.is_priced());
        let leases: Vec<_> = open.collect();
        let Some(lease) = self.dice.load.pick(&leases).copied() else { return };
        let receipt = exaggerated(view, lease, &mut self.dice.load);
        let expires = view.time().max(self.now).after(Millis::minutes(5));
        let receipt = Signed::seal(self.network_id, &card(host), expires, receipt);
        self.checks.signed(self.now, &receipt);
        self.coverage.count("load", "card-signs");
        let (amount, id) = (receipt.body.amount, receipt.body.lease.short());
        self.note(Some(host), format_args!("its card signs {amount} for lease {id}"));
        if self.dice.load.chance(500) {
            let told = MarketMessage::Receipt(receipt.clone()).encode();
            for to in self.others[host].clone() {
                self.say(host, to, Channel::Steward, told.clone());
            }
        }
        self.hand_in(host, &card(host), Deed::Settle { receipt: Box::new(receipt) }, Waiting::Deed);
    }
}
