//! What people do with what they have: new versions and more money for their apps, names, caps, keys, nodes, bonds.

use grange_api::{Call, CapRequest, NameRequest};
use grange_ledger::{Action as Deed, KeyStatement, NodeEntry, Purpose, Transaction};
use grange_types::{Amount, Millis, SecretKey, Secrets, Signed, Wire};

use crate::load::Waiting;
use crate::seed::manifest;
use crate::voters::{BOND, CANDIDATES};
use crate::world::World;

/// The most credits that an app has been given in the end.
const BUDGET: u32 = 300;

impl World<'_> {
    /// Somebody looks after something of his.
    pub(crate) fn chore(&mut self) {
        match self.dice.load.below(12) {
            0..3 => self.edit(),
            3 => self.give_name(),
            4 => self.change_cap(),
            5..10 => self.use_card(),
            10 => self.move_node(),
            _ => self.unlock(),
        }
    }

    /// Signs a deed of a host's account and hands it in there.
    pub(crate) fn hand_in(&mut self, host: usize, key: &SecretKey, action: Deed, waiting: Waiting) {
        let machine = &self.hosts[host];
        let Some(peer) = machine.peer.as_ref().filter(|_| machine.frozen_until <= self.now) else { return };
        let expires = peer.ledger().time().max(self.now).after(Millis::minutes(5));
        // Its own numbers count up from one.
        let nonce = u64::MAX / 2 + u64::from(machine.life) * 1_000_000 + machine.calls;
        let account = machine.id().account();
        let transaction = Signed::seal(self.network_id, key, expires, Transaction { account, nonce, action });
        self.call(host, Call::SubmitTransaction { bytes: transaction.encode() }, waiting);
    }

    /// An app, whose owner is awake.
    fn own_app(&mut self) -> Option<usize> {
        let there = self.apps_there();
        let app = self.dice.load.pick(&there).copied()?;
        let owner = &self.hosts[self.load.apps[app].owner];
        (owner.alive() && owner.frozen_until <= self.now).then_some(app)
    }

    /// A new version, more money, or both.
    fn edit(&mut self) {
        let Some(app) = self.own_app().filter(|_| !self.load.calm) else { return };
        let more = u32::try_from(self.dice.load.below(20)).unwrap_or(0);
        let cpu = u32::try_from(self.dice.load.between(50, 300)).unwrap_or(50);
        let (money, version) = (self.dice.load.chance(600), self.dice.load.chance(600));
        let found = &mut self.load.apps[app];
        if money {
            found.shape.budget = BUDGET.min(found.shape.budget + more);
        }
        if version {
            found.shape.cpu = cpu;
        }
        let (owner, name, shape) = (found.owner, found.name.clone(), found.shape);
        self.note(Some(owner), format_args!("changes {name}: {} millicores, {} credits", shape.cpu, shape.budget));
        let manifest = Box::new(manifest(&name, shape));
        self.call(owner, Call::Deploy { manifest, secrets: Secrets::default(), most: None }, Waiting::Deploy(app));
    }

    /// A second name for an app, or none any more.
    fn give_name(&mut self) {
        let Some(app) = self.own_app() else { return };
        let (owner, deployment) = (self.load.apps[app].owner, self.load.apps[app].name.clone());
        let name = format!("{deployment}-too");
        let taken =
            self.hosts[owner].peer.as_ref().is_some_and(|peer| peer.ledger().view().deployment_named(&name).is_some());
        let call = if taken { Call::ReleaseName { name } } else { Call::ClaimName(NameRequest { name, deployment }) };
        self.call(owner, call, Waiting::Deed);
    }

    fn change_cap(&mut self) {
        let Some(host) = self.somebody() else { return };
        let most = Amount::credits(u32::try_from(self.dice.load.between(1_000, 5_000)).unwrap_or(1_000));
        let per_day = self.dice.load.chance(700).then_some(most);
        self.call(host, Call::SetCap(CapRequest { per_day }), Waiting::Deed);
    }

    /// A node is taken off the ledger, and put there again.
    fn move_node(&mut self) {
        let Some(host) = self.somebody() else { return };
        let Some(peer) = &self.hosts[host].peer else { return };
        let (key, me, view) = (self.hosts[host].config.key.clone(), self.hosts[host].id(), peer.ledger().view());
        let deed = if view.node(me).is_some() {
            Deed::RemoveNode { node: me }
        } else {
            let config = &self.hosts[host].config;
            let (display, region) = (config.display.clone(), config.region.clone());
            let node = NodeEntry { peer: me, operator: me.account(), display, region, relays: Vec::new() };
            let statement = KeyStatement { account: me.account(), purpose: Purpose::Node };
            let expires = view.time().max(self.now).after(Millis::minutes(5));
            let consent = Box::new(Signed::seal(self.network_id, &key, expires, statement));
            Deed::RegisterNode { node, consent }
        };
        self.note(Some(host), format_args!("{}", deed.word()));
        self.hand_in(host, &key, deed, Waiting::Deed);
    }

    /// A candidate that does not vote takes its bond back, which takes longer than any world.
    fn unlock(&mut self) {
        let candidate = self.validators + self.dice.load.index(CANDIDATES);
        let Some(peer) = &self.hosts[candidate].peer else { return };
        let (key, view) = (self.hosts[candidate].config.key.clone(), peer.ledger().view());
        let account = key.public().account();
        let votes = view.validators().iter().any(|entry| entry.account == account);
        if !votes && view.operator(account).is_some_and(|operator| operator.bond >= BOND) {
            self.note(Some(candidate), format_args!("takes its bond back"));
            self.hand_in(candidate, &key, Deed::Unbond { amount: BOND }, Waiting::Deed);
        }
    }
}
