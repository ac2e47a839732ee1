//! One payer after the other: what each goes on from, and who signs for what.

use std::collections::BTreeSet;

use grange_ledger::{Action, Block, Deployment, Lease, Parameters};
use grange_peer::{Channel, Event, MarketMessage};
use grange_types::{Amount, Counters, DeploymentId, Height, LeaseId, Millis, PublicKey, Receipt, Signed, Time, Wire};

use crate::ceilings::phrase;
use crate::forged::pass_on;
use crate::support::{World, manifest};

/// Seven operators, of which the last one is neither payer nor provider of the app.
struct Shop {
    world: World,
    lease: LeaseId,
    provider: usize,
    stewards: Vec<usize>,
    gateway: usize,
}

fn shop() -> Shop {
    shop_in(World::new(7))
}

fn shop_in(mut world: World) -> Shop {
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (lease, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    let stewards: Vec<usize> =
        deployment(&world, 0, done.id).stewards().map(|found| world.index_of(found.account.peer())).collect();
    assert_eq!(stewards.len(), 2);
    let gateway = (1..7).find(|index| *index != provider && !stewards.contains(index)).unwrap();
    Shop { world, lease, provider, stewards, gateway }
}

fn deployment(world: &World, index: usize, id: DeploymentId) -> Deployment {
    world.peer(index).ledger().view().deployment(id).cloned().unwrap()
}

impl Shop {
    /// Visitors come through a gateway for so many seconds.
    fn visited(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.world.load(self.gateway, self.lease, 20, 20 << 10);
            self.world.run_for(Millis(1_000));
        }
    }

    fn lease(&self) -> Lease {
        self.world.peer(self.gateway).ledger().view().lease(self.lease).cloned().unwrap()
    }

    /// Its lease is open and its provider is paid on, over minutes in which nobody comes.
    #[track_caller]
    fn goes_on(&mut self) {
        let before = self.lease();
        self.world.run_for(Millis::minutes(4));
        let after = self.lease();
        assert!(after.is_open(self.world.peer(self.gateway).ledger().view().now()), "{after:?}");
        let paid = after.counters.served.0.saturating_sub(before.counters.served.0);
        assert!(paid >= Millis::seconds(225).0, "{paid} ms of four minutes were paid");
    }
}

#[test]
fn an_owner_who_is_back_goes_on_from_what_the_steward_is_paid_by() {
    let mut shop = shop();
    shop.visited(30);
    shop.world.kill(0);
    // The last of it is on no block when the owner is back.
    shop.visited(47);
    shop.world.start(0);
    shop.goes_on();
    let lease = shop.lease();
    // All but what came after the steward's last word.
    assert!(lease.counters.requests >= 20 * 75, "what came while he was away is paid: {lease:?}");
}

#[test]
fn a_steward_who_was_away_goes_on_from_what_the_one_before_him_is_paid_by() {
    let mut shop = shop();
    let [first, second] = shop.stewards[..] else { unreachable!() };
    shop.world.kill(0);
    shop.world.kill(second);
    shop.visited(47);
    // He hears of some of what the first one signs, and of nothing that was before.
    shop.world.start(second);
    shop.visited(4);
    shop.world.kill(first);
    shop.goes_on();
}

#[test]
fn a_steward_who_starts_again_goes_on_from_his_own_word() {
    let mut shop = shop();
    shop.world.kill(0);
    shop.visited(45);
    let first = shop.stewards[0];
    shop.world.kill(first);
    shop.world.start(first);
    shop.goes_on();
}

#[test]
fn a_steward_who_pays_ahead_or_worthlessly_stops_no_app() {
    let mut shop = shop();
    shop.visited(30);
    let key = shop.world.key(shop.stewards[1]);
    let from = shop.world.peer_id(shop.stewards[1]);
    let begun = shop.world.now;
    let mut sent = 0;
    while shop.world.now.since(begun) < Millis::minutes(5) {
        shop.world.run_for(Millis(1_000));
        let Lease { sequence, settled, counters, ref terms, generation, .. } = shop.lease();
        // Once two minutes that are still to come, and then on and on what no ledger pays.
        let ahead = Counters { served: Millis(counters.served.0 + 120_000), ..counters };
        let due = terms.prices.charge(&terms.resources, &ahead).max(settled);
        sent += 1;
        let amount = if sent == 1 { due } else { Amount(u128::MAX) };
        let sequence = sequence + 40;
        let receipt =
            Receipt { lease: shop.lease, generation, sequence, counters: ahead, amount, disputed: Amount::ZERO };
        let expires = shop.world.now.after(Millis::HOUR);
        let receipt = Signed::seal(shop.world.genesis().network_id(), &key, expires, receipt);
        let bytes = MarketMessage::Receipt(receipt).encode();
        let event = Event::Message { from, channel: Channel::Steward, bytes };
        shop.world.deliver(shop.provider, Millis(2), event);
    }
    let view = shop.world.peer(shop.gateway).ledger().view();
    assert!(shop.lease().is_open(view.now()), "{:?}", shop.lease());
    assert!(shop.world.deploy(0, manifest("stall", "10")).is_ok(), "and its owner is quoted by everybody");
}

impl Shop {
    /// For so many seconds a steward says each second what is made of the lease as it is then: to the provider alone, or to
    /// the ledger.
    fn pestered(&mut self, seconds: u64, to_ledger: bool, says: impl Fn(&Lease, Time) -> (Counters, Amount)) {
        let (steward, begun) = (self.stewards[1], self.world.now);
        while self.world.now.since(begun) < Millis::seconds(seconds) {
            self.world.run_for(Millis(1_000));
            let (lease, network) = (self.lease(), self.world.genesis().network_id());
            let (counters, amount) = says(&lease, self.world.peer(self.gateway).ledger().view().now());
            let Lease { id, generation, sequence, .. } = lease;
            let sequence = sequence + 40;
            let receipt = Receipt { lease: id, generation, sequence, counters, amount, disputed: Amount::ZERO };
            let expires = self.world.now.after(Millis::HOUR);
            let receipt = Signed::seal(network, &self.world.key(steward), expires, receipt);
            if to_ledger {
                pass_on(&mut self.world, steward, Action::Settle { receipt: Box::new(receipt) });
            } else {
                let (from, bytes) = (self.world.peer_id(steward), MarketMessage::Receipt(receipt).encode());
                let event = Event::Message { from, channel: Channel::Steward, bytes };
                self.world.deliver(self.provider, Millis(2), event);
            }
        }
    }

    fn is_open(&self) -> bool {
        self.lease().is_open(self.world.peer(self.gateway).ledger().view().now())
    }
}

#[test]
fn a_steward_who_signs_the_highest_rate_each_second_keeps_nobody_from_being_paid() {
    for ahead in [0, 2, 10, 59] {
        let mut shop = shop();
        shop.visited(30);
        let paid_before = shop.lease().settled;
        // Requests without number, and as much as may be due a moment later: the most that a provider listens to.
        shop.pestered(300, false, |lease, now| {
            let (served, requests) = (lease.served(now), lease.counters.requests + 1_000_000_000);
            let counters = Counters { served, requests, ..lease.counters };
            (counters, lease.claimable(now.after(Millis::seconds(ahead))))
        });
        let lease = shop.lease();
        assert!(shop.is_open(), "{ahead} s ahead: {lease:?}");
        let time = lease.terms.prices.per_hour(&lease.terms.resources).scaled(300, 3_600);
        let paid = lease.settled.saturating_sub(paid_before);
        assert!(paid.saturating_add(time.scaled(1, 10)) >= time, "{ahead} s ahead {paid} was paid, {time} was earned");
        shop.goes_on();
    }
}

#[test]
fn what_a_steward_signs_before_a_renewal_ends_no_lease() {
    let parameters = Parameters { lease_length: Millis::minutes(4), ..Parameters::dev() };
    let mut shop = shop_in(World::with(7, parameters, |_| {}));
    shop.visited(30);
    // The most that can be paid, about when the provider renews: each second for a while, and then no more.
    let most = |lease: &Lease, now: Time| {
        let (served, requests) = (lease.served(now), lease.counters.requests + 1_000_000_000);
        (Counters { served, requests, ..lease.counters }, lease.claimable(now))
    };
    for _ in 0..4 {
        let end = shop.lease().end;
        shop.world.run_for(Millis::seconds(60));
        for _ in 0..180 {
            if shop.lease().end == end {
                shop.pestered(1, false, most);
            }
        }
        assert_ne!(shop.lease().end, end, "it renews: {:?}", shop.lease());
        assert!(shop.is_open(), "{:?}", shop.lease());
        shop.world.run_for(Millis::seconds(45));
        assert!(shop.is_open(), "{:?}", shop.lease());
    }
    let before = shop.lease();
    shop.world.run_for(Millis::minutes(4));
    let (after, earned) = (shop.lease(), before.terms.prices.per_hour(&before.terms.resources).scaled(240, 3_600));
    assert!(shop.is_open() && after.start == before.start, "{after:?}");
    assert!(after.settled.saturating_sub(before.settled) >= earned.scaled(9, 10), "{before:?} {after:?}");
}

#[test]
fn what_a_steward_hands_in_for_next_to_nothing_leaves_nobodys_receipt_behind() {
    let mut shop = shop();
    shop.visited(30);
    let before = shop.lease();
    // One unit more each second, under a larger number, and counting what no other receipt counts.
    shop.pestered(300, true, |lease, _| {
        let counters = Counters { requests: u64::MAX, ..lease.counters };
        (counters, lease.settled.saturating_add(Amount(1)))
    });
    let after = shop.lease();
    assert!(shop.is_open() && after.sequence > before.sequence + 4_000, "{after:?}");
    let served = Millis(after.counters.served.0 - before.counters.served.0);
    assert!(served > Millis::seconds(270), "{served:?} of five minutes were paid");
    shop.goes_on();
}

/// Who signed what was paid of each lease in the blocks above a height.
fn signers(world: &World, above: Height, lease: LeaseId) -> BTreeSet<PublicKey> {
    let blocks = world.blocks(0).into_iter().map(|(bytes, _)| Block::decode(&bytes).unwrap());
    let later = blocks.filter(|block| block.header.height > above);
    let receipts = later.flat_map(|block| block.transactions).flat_map(|deed| deed.body.action.receipts().to_vec());
    receipts.filter(|receipt| receipt.body.lease == lease).map(|receipt| receipt.signer).collect()
}

#[test]
fn a_node_whose_day_does_for_one_lease_signs_for_one() {
    let mut world = World::new(5);
    world.settle();
    let mut app = manifest("shop", "10");
    app.services.get_mut("web").unwrap().replicas = 2;
    let done = world.deploy(0, app).unwrap();
    let leases: Vec<LeaseId> = done.leases.iter().map(|placed| placed.lease).collect();
    world.run_for(Millis::seconds(30));
    // Enough for what one lease owes and the next minute of it; not for two.
    let of = |world: &World, id: LeaseId| world.peer(1).ledger().view().lease(id).cloned().unwrap();
    let window = of(&world, leases[0]).terms.cap(Millis::seconds(60));
    phrase(&mut world, &window.scaled(3, 2).to_string());
    let node = world.key(0).public();
    world.run_for(Millis::seconds(15));
    let above = world.peer(0).ledger().height();
    world.run_for(Millis::seconds(240));
    assert_eq!(signers(&world, above, leases[0]), [node].into());
    let others = signers(&world, above, leases[1]);
    assert!(!others.is_empty() && !others.contains(&node), "{others:?}");
    for id in leases {
        let lease = of(&world, id);
        assert!(lease.counters.served > Millis::seconds(240), "{lease:?}");
    }
}
