//! Whatever people try, in whatever order: no money is made or lost, no slot has two open leases, every
//! provider's claim is covered, what is counted of a deployment's money is that money, and nobody is paid above the agreed
//! rate. [`World`] looks after each block.

use grange_ledger::{Action, Lease, LeaseState, Ledger, NodeEntry, Parameters};
use grange_types::{
    AccountId, Amount, BlobId, Counters, DeploymentId, KeyGrant, LeaseId, Millis, Receipt, Role, TxId, Wire,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::world::{OPERATORS, PEOPLE, World, account, delegate, genesis, key, served, slot, terms};

/// What somebody tries. Small numbers choose among the people, deployments and leases there are.
#[derive(Debug, Clone)]
enum Attempt {
    Pay { to: usize, amount: u64 },
    Open { budget: u64, slots: u32, rate: u64, delegates: Vec<(usize, u64)> },
    Fund { deployment: usize, amount: u64 },
    Update { deployment: usize, slots: Vec<u32>, rate: u64 },
    Close { deployment: usize },
    Lease { deployment: usize, slot: u32, stale: u8, operator: usize, rate: u64, replacing: u8 },
    End { lease: usize },
    Renew { lease: usize },
    Settle { lease: usize, signer: usize, served: u64, short: u64, sequence: u64, disputed: u64 },
    Cap { per_day: Option<u64> },
    Bond { amount: u64, back: bool },
    Wait { seconds: u64 },
    Off { hours: u64 },
}

fn attempts() -> impl Strategy<Value = Attempt> {
    let amount = 0u64..40_000_000_000_000;
    let rate = prop_oneof![Just(0), Just(1), Just(3_600_000_000_000), 0u64..20_000_000_000_000];
    let place = 0usize..6;
    let delegates = vec((place.clone(), amount.clone()), 0..3);
    prop_oneof![
        1 => (place.clone(), amount.clone()).prop_map(|(to, amount)| Attempt::Pay { to, amount }),
        2 => (amount.clone(), 1u32..4, rate.clone(), delegates)
            .prop_map(|(budget, slots, rate, delegates)| Attempt::Open { budget, slots, rate, delegates }),
        1 => (place.clone(), amount.clone()).prop_map(|(deployment, amount)| Attempt::Fund { deployment, amount }),
        1 => (place.clone(), vec(0u32..4, 0..4), rate.clone())
            .prop_map(|(deployment, slots, rate)| Attempt::Update { deployment, slots, rate }),
        1 => place.clone().prop_map(|deployment| Attempt::Close { deployment }),
        6 => (place.clone(), 0u32..3, 0u8..8, 0usize..4, rate, 0u8..3).prop_map(
            |(deployment, slot, stale, operator, rate, replacing)| Attempt::Lease {
                deployment, slot, stale, operator, rate, replacing
            }
        ),
        1 => place.clone().prop_map(|lease| Attempt::End { lease }),
        3 => place.clone().prop_map(|lease| Attempt::Renew { lease }),
        6 => (place, 0usize..8, 0u64..5_000, 0u64..3, (0u64..6, prop_oneof![Just(0), amount.clone()])).prop_map(
            |(lease, signer, served, short, (sequence, disputed))| Attempt::Settle {
                lease, signer, served, short, sequence, disputed
            }
        ),
        1 => proptest::option::of(amount.clone()).prop_map(|per_day| Attempt::Cap { per_day }),
        1 => (amount, any::<bool>()).prop_map(|(amount, back)| Attempt::Bond { amount, back }),
        4 => (1u64..2_500).prop_map(|seconds| Attempt::Wait { seconds }),
        1 => (1u64..20).prop_map(|hours| Attempt::Off { hours }),
    ]
}

/// The deployment or lease with a number, counted back from the newest and around.
fn pick<T: Copy>(things: &[T], number: usize) -> Option<T> {
    things.iter().rev().nth(number % things.len().max(1)).copied()
}

/// Who signs: the people, and two keys of Alice's with a ceiling.
const SIGNERS: [&str; 8] = ["alice", "bob", "steward", "watcher", "north", "south", "card", "phone"];

/// For whose account a signer acts.
fn person(signer: &str) -> &str {
    if PEOPLE.contains(&signer) { signer } else { PEOPLE[0] }
}

/// Half of the time the one who may do something tries it, or most attempts would end at the first check.
fn who_tries(who: &str, owner: Option<AccountId>) -> &str {
    let entitled = PEOPLE.iter().find(|name| Some(account(name)) == owner);
    let tries_all = PEOPLE[3..].contains(&who) || Some(account(person(who))) == owner;
    if tries_all { who } else { entitled.copied().unwrap_or(who) }
}

/// Rules under which everything costs something.
fn charged_parameters() -> Parameters {
    let (fee, byte_deposit) = (Amount(1_000_000_007), Amount(1_000_003));
    Parameters { fee, settlement_fee: 333, byte_deposit, retention: Millis::HOUR, ..Parameters::dev() }
}

struct Chaos {
    world: World,
    deployments: Vec<DeploymentId>,
    leases: Vec<LeaseId>,
}

impl Chaos {
    fn begin(mut world: World) -> Self {
        let limited = |name: &str| KeyGrant {
            key: key(name).public(),
            roles: vec![Role::Spend { per_day: Amount::credits(20) }],
        };
        let owner = KeyGrant { key: key("alice").public(), roles: vec![Role::Owner] };
        let keys = vec![owner, limited("card"), limited("phone")];
        world.act("alice", Action::SetKeys { keys }).unwrap();
        Self { world, deployments: Vec::new(), leases: Vec::new() }
    }

    fn act(&mut self, signer: &str, action: Action) -> Option<TxId> {
        let transaction = self.world.envelope(signer, person(signer), action);
        self.world.offer(transaction).ok()
    }

    /// Tries something and tells whether it applied.
    fn attempt(&mut self, who: &str, attempt: Attempt) -> Option<bool> {
        let action = match attempt {
            Attempt::Wait { seconds } => {
                self.world.wait(Millis::seconds(seconds));
                return None;
            }
            Attempt::Off { hours } => {
                self.world.off(Millis::minutes(60 * hours));
                return None;
            }
            Attempt::Pay { to, amount } => {
                Action::Transfer { to: account(PEOPLE[to]), amount: Amount(amount.into()), memo: String::new() }
            }
            Attempt::Open { budget, slots, rate, delegates } => {
                let delegates =
                    delegates.iter().map(|(who, ceiling)| delegate(PEOPLE[*who], Amount((*ceiling).into())));
                let action = Action::OpenDeployment {
                    name: Some(format!("d{}", self.deployments.len())),
                    manifest: BlobId::of(b"manifest"),
                    budget: Amount(budget.into()),
                    slots: (0..slots).map(|replica| slot(replica, Amount(rate.into()))).collect(),
                    delegates: delegates.collect(),
                };
                let opened = self.act(who, action);
                self.deployments.extend(opened.map(|id| DeploymentId(id.0)));
                return Some(opened.is_some());
            }
            Attempt::Fund { deployment, amount } => Action::FundDeployment {
                deployment: pick(&self.deployments, deployment)?,
                amount: Amount(amount.into()),
            },
            Attempt::Update { deployment, slots, rate } => Action::UpdateDeployment {
                deployment: pick(&self.deployments, deployment)?,
                manifest: BlobId::of(b"another"),
                slots: slots.iter().map(|replica| slot(*replica, Amount(rate.into()))).collect(),
                delegates: vec![delegate("watcher", Amount::credits(3))],
            },
            Attempt::Close { deployment } => {
                Action::CloseDeployment { deployment: pick(&self.deployments, deployment)? }
            }
            Attempt::End { lease } => {
                let lease = pick(&self.leases, lease)?;
                let who = who_tries(who, self.owner_of_lease(lease));
                return Some(self.act(who, Action::CloseLease { lease }).is_some());
            }
            Attempt::Renew { lease } => {
                let lease = pick(&self.leases, lease)?;
                let who = who_tries(who, self.owner_of_lease(lease));
                return Some(self.act(who, Action::RenewLease { lease }).is_some());
            }
            Attempt::Cap { per_day } => Action::SetCap { per_day: per_day.map(|amount| Amount(amount.into())) },
            Attempt::Bond { amount, back: false } => Action::Bond { amount: Amount(amount.into()) },
            Attempt::Bond { amount, back: true } => Action::Unbond { amount: Amount(amount.into()) },
            Attempt::Lease { .. } => return self.lease(who, &attempt),
            Attempt::Settle { .. } => return self.settle(who, &attempt),
        };
        Some(self.act(who, action).is_some())
    }

    fn owner_of(&self, deployment: DeploymentId) -> Option<AccountId> {
        self.world.ledger.view().deployment(deployment).map(|deployment| deployment.owner)
    }

    fn owner_of_lease(&self, lease: LeaseId) -> Option<AccountId> {
        self.owner_of(self.world.ledger.view().lease(lease)?.deployment)
    }

    fn lease(&mut self, who: &str, attempt: &Attempt) -> Option<bool> {
        let &Attempt::Lease { deployment, slot, stale, operator, rate, replacing } = attempt else { return None };
        let id = pick(&self.deployments, deployment)?;
        let present = self.world.ledger.view().deployment(id).and_then(|deployment| deployment.slot(slot).cloned());
        let agreed = present.as_ref().map(|slot| slot.spec.max_rate);
        let (generation, held) = present.map_or((0, None), |slot| (slot.generation, slot.lease));
        let generation = generation + u64::from(stale != 0);
        let replaces = if replacing == 0 { self.leases.last().copied() } else { held };
        let operator = OPERATORS[operator];
        let own = self.owner_of(id) == Some(account(operator));
        let rate = match agreed {
            Some(agreed) if stale > 2 => {
                if own {
                    Amount::ZERO
                } else {
                    agreed
                }
            }
            _ => Amount(rate.into()),
        };
        let who = who_tries(who, self.owner_of(id));
        let quote = self.world.quote(id, slot, generation, terms(operator, rate));
        let quote = self.world.seal(&format!("{operator}.node"), quote);
        let opened = self.act(who, Action::OpenLease { quote: Box::new(quote), replaces });
        self.leases.extend(opened.map(|id| LeaseId(id.0)));
        Some(opened.is_some())
    }

    fn settle(&mut self, who: &str, attempt: &Attempt) -> Option<bool> {
        let &Attempt::Settle { lease, signer, served: seconds, short, sequence, disputed } = attempt else {
            return None;
        };
        let takes = |lease: &Lease| lease.is_priced() && !matches!(lease.state, LeaseState::Closed { .. });
        let taking = |id: &&LeaseId| self.world.ledger.view().lease(**id).is_some_and(takes);
        let taking: Vec<LeaseId> = self.leases.iter().filter(taking).copied().collect();
        let id = pick(if sequence == 0 { &self.leases } else { &taking }, lease)?;
        let lease = self.world.ledger.view().lease(id)?.clone();
        let before = if short > 0 { lease.counters } else { Counters::default() };
        let counters = before.plus(&served(Millis::seconds(seconds)));
        let cost = lease.terms.prices.charge(&lease.terms.resources, &counters);
        let most = self.world.ledger.view().claimable(&lease);
        let amount = if short == 2 { cost.saturating_add(Amount(1)) } else { cost.min(most) };
        let sequence = lease.sequence + sequence.saturating_sub(1);
        let disputed = Amount(disputed.into());
        let receipt = Receipt { lease: id, generation: lease.generation, sequence, counters, amount, disputed };
        let signer = who_tries(SIGNERS[signer], self.owner_of(lease.deployment));
        let receipt = self.world.seal(signer, receipt);
        Some(self.act(who, Action::Settle { receipt: Box::new(receipt) }).is_some())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_whatever_is_tried(charged: bool, attempts in vec((0usize..8, attempts()), 1..80)) {
        let world = if charged { World::with(genesis(charged_parameters())) } else { World::new() };
        let mut chaos = Chaos::begin(world);
        for (who, attempt) in attempts {
            chaos.attempt(SIGNERS[who], attempt);
        }
        chaos.world.commit();
        // A newcomer with the snapshot has the same state, indexes included.
        let chunks: Vec<_> = chaos.world.ledger.snapshot().collect();
        let restored = Ledger::restore(&chunks).unwrap();
        prop_assert_eq!(restored.state_root(), chaos.world.ledger.state_root());
        prop_assert_eq!(restored.view().money_running(), chaos.world.ledger.view().money_running());
        // In the end everything closes, and all money is back in somebody's hands.
        for id in chaos.deployments.clone() {
            let owner = chaos.world.ledger.view().deployment(id).map(|deployment| deployment.owner);
            let owner = PEOPLE.iter().find(|name| Some(account(name)) == owner);
            if let Some(owner) = owner {
                let _ = chaos.world.act(owner, Action::CloseDeployment { deployment: id });
            }
        }
        chaos.world.wait(Millis::minutes(62));
        chaos.world.commit();
        let view = chaos.world.ledger.view();
        let people = PEOPLE.iter().filter_map(|name| view.account(account(name)));
        let held: Amount = people.map(|person| person.balance.saturating_add(person.bond).saturating_add(person.deposit)).sum();
        prop_assert_eq!(held.saturating_add(view.treasury()), chaos.world.total);
        if !charged {
            return Ok(());
        }
        // Once the bills are forgotten, so are the deposits for them.
        chaos.world.wait(Millis::minutes(62 + 62));
        chaos.world.commit();
        let view = chaos.world.ledger.view();
        let parameters = view.parameters();
        for name in PEOPLE {
            let nodes = view.nodes().filter(|node| node.operator == account(name)).map(NodeEntry::size);
            let capped = if view.cap(account(name)).is_some() { 64 } else { 0 };
            let open = view.deployments_of(account(name)).count();
            let deposit = view.account(account(name)).map_or(Amount::ZERO, |found| found.deposit);
            let keys = if name == "alice" { 3 * 128 } else { 0 };
            prop_assert_eq!((deposit, open), (parameters.deposit_of(nodes.sum::<u64>() + capped + keys), 0));
        }
        prop_assert!(!view.money_running());
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..400), cut in 0usize..400) {
        let _ = grange_ledger::Transaction::decode(&bytes);
        let _ = grange_ledger::Block::decode(&bytes);
        let mut world = World::new();
        world.act("alice", Action::Transfer { to: account("bob"), amount: Amount(1), memo: "hello".into() }).unwrap();
        let mut candidates = world.pending.iter().map(|(id, transaction)| (*id, transaction));
        let ledger = &world.ledger;
        let block = ledger.build(world.time, key("north").public().peer(), &mut candidates).unwrap().block;
        let mut damaged = block.encode();
        damaged.truncate(damaged.len().saturating_sub(cut));
        for (place, byte) in damaged.iter_mut().zip(&bytes) {
            *place ^= *byte;
        }
        if let Ok(damaged) = grange_ledger::Block::decode(&damaged) {
            let same = damaged == block;
            prop_assert_eq!(ledger.prepare(damaged, &|_, _| false).is_ok(), same);
        }
    }
}

#[test]
fn the_attempts_reach_deep() {
    // A random test that only ever meets refusals would show nothing; so this counts what applies.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = vec((0usize..8, attempts()), 1_000..1_001);
    let mut chaos = Chaos::begin(World::new());
    let drawn = strategy.new_tree(&mut runner).unwrap().current();
    let (mut settled, mut paid, mut renewed, mut leased, mut counted) = (0, 0, 0, 0, 0);
    let earned = |chaos: &Chaos| chaos.world.ledger.view().leases().map(|lease| lease.settled).sum::<Amount>();
    for (who, attempt) in drawn {
        let (kind, before) = (attempt.clone(), earned(&chaos));
        let applied = chaos.attempt(SIGNERS[who], attempt) == Some(true);
        match kind {
            Attempt::Settle { .. } => settled += u32::from(applied),
            Attempt::Renew { .. } => renewed += u32::from(applied),
            Attempt::Lease { .. } => leased += u32::from(applied),
            _ => {}
        }
        let deployments = chaos.world.ledger.view().deployments();
        paid += u32::from(earned(&chaos) > before);
        counted = counted.max(deployments.map(|found| found.counted.len()).sum());
    }
    assert!(settled >= 3 && renewed >= 1 && leased >= 8, "{settled} receipts, {renewed} renewals, {leased} leases");
    assert!(paid >= 3, "{paid} blocks paid something");
    assert!(counted >= 2, "two keys' parts at most: {counted}");
}
