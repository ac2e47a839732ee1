//! A small network in memory: named keys, a clock, and a block in the making.
//!
//! Every block goes through `build`, `prepare` with all signatures verified, and `commit`, and is held against
//! the rules that never break: no money made or lost, no slot with two open leases.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{
    Action, Committed, Delegate, DeploymentState, Genesis, GenesisAccount, KeyStatement, Lease, LeaseState, Ledger,
    NodeEntry, Parameters, Purpose, Rejection, Transaction, Validator, Verb,
};
use grange_types::{
    AccountId, Amount, BlobId, ByteCount, Counters, DeploymentId, Isolation, Kind, LeaseId, LeaseTerms, Millis, PeerId,
    Prices, Quote, Receipt, Resources, SecretKey, Signed, SlotSpec, Time, TxId, Wire, limits,
};

/// When the network begins.
pub(crate) const BEGIN: Time = Time(1_700_000_000_000);

/// The people of the test network, each with 1,000 credits.
pub(crate) const PEOPLE: [&str; 6] = ["alice", "bob", "steward", "watcher", "north", "south"];

/// The operators among them; the node of `north` has the key `north.node`.
pub(crate) const OPERATORS: [&str; 4] = ["alice", "north", "south", "steward"];

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) time: Time,
    pub(crate) total: Amount,
    pub(crate) pending: Vec<(TxId, Signed<Transaction>)>,
    pub(crate) deployments: BTreeMap<String, DeploymentId>,
    pub(crate) leases: BTreeMap<String, LeaseId>,
    pub(crate) history: Vec<Committed>,
    nonce: u64,
}

pub(crate) fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(blake3::hash(name.as_bytes()).as_bytes())
}

pub(crate) fn account(name: &str) -> AccountId {
    key(name).public().account()
}

pub(crate) fn node(operator: &str) -> PeerId {
    key(&format!("{operator}.node")).public().peer()
}

pub(crate) fn credits(text: &str) -> Amount {
    text.parse().unwrap()
}

pub(crate) fn genesis(parameters: Parameters) -> Genesis {
    let person = |name: &&str| GenesisAccount { id: account(name), keys: Vec::new(), balance: Amount::credits(1_000) };
    let entry = |name: &&str| NodeEntry {
        peer: node(name),
        operator: account(name),
        display: format!("{name}'s node"),
        region: "eu-be-ghent".to_owned().try_into().unwrap(),
        relays: Vec::new(),
    };
    Genesis {
        name: "test".into(),
        created: BEGIN,
        parameters,
        accounts: PEOPLE.iter().map(person).collect(),
        validators: vec![Validator::new(account("north"), key("north.votes").public(), 1)],
        nodes: OPERATORS.iter().map(entry).collect(),
        bootstrap: Vec::new(),
    }
}

pub(crate) fn slot(replica: u32, rate: Amount) -> SlotSpec {
    SlotSpec {
        service: "web".into(),
        route: Some("/".into()),
        replica,
        max_rate: rate,
        isolation: Isolation::Wasm,
        revision: BlobId::of(b"revision"),
    }
}

/// Terms under which one hour costs `rate`.
pub(crate) fn terms(operator: &str, rate: Amount) -> LeaseTerms {
    LeaseTerms {
        provider: node(operator),
        operator: account(operator),
        kind: Kind::Wasm,
        workload: BlobId::of(b"workload"),
        resources: Resources { cpu_millis: 1_000, memory: ByteCount(0), disk: ByteCount(0) },
        isolation: Isolation::Wasm,
        prices: Prices { cpu_hour: rate, ..Prices::default() },
        max_rate: rate,
    }
}

pub(crate) fn served(span: Millis) -> Counters {
    Counters { served: span, ..Counters::default() }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(genesis(Parameters::dev()))
    }

    pub(crate) fn with(genesis: Genesis) -> Self {
        Self {
            ledger: Ledger::new(&genesis).unwrap(),
            time: BEGIN.after(Millis::seconds(1)),
            total: genesis.total().unwrap(),
            pending: Vec::new(),
            deployments: BTreeMap::new(),
            leases: BTreeMap::new(),
            history: Vec::new(),
            nonce: 0,
        }
    }

    pub(crate) fn expires(&self) -> Time {
        self.time.after(Millis::minutes(10))
    }

    pub(crate) fn seal<T: Wire>(&self, signer: &str, body: T) -> Signed<T> {
        Signed::seal(self.ledger.network(), &key(signer), self.expires(), body)
    }

    pub(crate) fn envelope(&mut self, signer: &str, on_behalf: &str, action: Action) -> Signed<Transaction> {
        self.nonce += 1;
        self.seal(signer, Transaction { account: account(on_behalf), nonce: self.nonce, action })
    }

    /// Adds a transaction to the block in the making, if it applies.
    pub(crate) fn offer(&mut self, transaction: Signed<Transaction>) -> Result<TxId, Rejection> {
        let id = transaction.id();
        self.pending.push((id, transaction));
        let mut candidates = self.pending.iter().map(|(id, transaction)| (*id, transaction));
        let prepared = self.ledger.build(self.time, node("north"), &mut candidates).unwrap();
        match prepared.refused.into_iter().next() {
            None => Ok(id),
            Some((refused, rejection)) => {
                assert_eq!(refused, id, "an earlier transaction stopped to apply: {rejection:?}");
                self.pending.pop();
                Err(rejection)
            }
        }
    }

    /// Signs an action with the account's own key and adds it.
    pub(crate) fn act(&mut self, who: &str, action: Action) -> Result<TxId, Rejection> {
        let transaction = self.envelope(who, who, action);
        self.offer(transaction)
    }

    /// Commits the block in the making and lets time pass, with blocks close enough that the cloud counts as on.
    /// The next block in the making is that at the end of the time.
    pub(crate) fn wait(&mut self, span: Millis) {
        let end = self.time.after(span);
        self.commit();
        while self.time.after(Millis::seconds(60)) < end {
            self.time = self.time.after(Millis::seconds(60));
            self.commit();
        }
        self.time = end;
    }

    /// Commits the block in the making, then stops the cloud for a time.
    pub(crate) fn off(&mut self, span: Millis) {
        self.commit();
        self.time = self.time.after(span);
    }

    /// Commits the block in the making.
    pub(crate) fn commit(&mut self) {
        let mut candidates = self.pending.iter().map(|(id, transaction)| (*id, transaction));
        let built = self.ledger.build(self.time, node("north"), &mut candidates).unwrap();
        assert_eq!(built.refused, []);
        let bytes = built.block.encode();
        let block = grange_ledger::Block::decode(&bytes).unwrap();
        let prepared = self.ledger.prepare(block, &|_, _| false).unwrap();
        assert_eq!(prepared.id, built.id);
        self.history.push(self.ledger.commit(prepared).unwrap());
        self.pending.clear();
        self.check_rules();
    }

    /// The rules that hold after every block.
    pub(crate) fn check_rules(&self) {
        let view = self.ledger.view();
        assert_eq!(view.total(), self.total, "money was made or lost");
        let mut open = BTreeSet::new();
        for lease in view.leases().filter(|lease| lease.state == LeaseState::Open) {
            assert!(open.insert((lease.deployment, lease.slot)), "a slot has two open leases");
            let slot = view.deployment(lease.deployment).unwrap().slot(lease.slot).unwrap();
            assert_eq!((slot.lease, slot.generation), (Some(lease.id), lease.generation));
        }
        let slots = view.deployments().flat_map(|deployment| &deployment.slots);
        assert_eq!(slots.filter(|slot| slot.lease.is_some()).count(), open.len());
        for lease in view.leases() {
            let owed = lease.ceiling(view.now()).saturating_sub(lease.settled);
            let closed = matches!(lease.state, LeaseState::Closed { .. });
            assert!(lease.claimable(view.now()) >= lease.settled, "more was paid than could be: {lease:?}");
            assert!(lease.settled <= lease.terms.cap(view.elapsed(lease)), "a lease was paid above its rate");
            let set_aside = lease.escrow.saturating_add(lease.held);
            assert!(closed || set_aside >= owed, "a provider's claim is not covered: {lease:?}");
            assert!(!closed || set_aside.is_zero(), "a closed lease holds money");
        }
        for deployment in view.deployments() {
            assert_eq!(view.leases_of(deployment.id).count(), deployment.leases as usize);
            assert!(deployment.state == DeploymentState::Open || deployment.balance.is_zero());
            // What is remembered of its money is that money, and none of it is remembered for nothing.
            let entries = view.parameters().deposit_of(u64::from(deployment.leases) * Lease::SIZE);
            let (there, remembered) = (view.held_by(deployment).saturating_add(entries), deployment.remembered());
            assert!(if deployment.is_open() { there == remembered } else { there <= remembered }, "{deployment:?}");
            assert!(deployment.counted.values().all(|amount| !amount.is_zero()), "{deployment:?}");
            assert!(deployment.counted.len() < limits::KEYS_PER_ACCOUNT);
        }
        let running = view.leases().any(|lease| lease.is_priced() && !matches!(lease.state, LeaseState::Closed { .. }));
        assert_eq!(view.money_running(), running);
    }

    pub(crate) fn open(
        &mut self,
        owner: &str,
        name: &str,
        budget: Amount,
        slots: u32,
        rate: Amount,
        delegates: &[(&str, Amount)],
    ) -> Result<DeploymentId, Rejection> {
        let action = Action::OpenDeployment {
            name: Some(name.into()),
            manifest: BlobId::of(b"manifest"),
            budget,
            slots: (0..slots).map(|replica| slot(replica, rate)).collect(),
            delegates: delegates.iter().map(|(who, ceiling)| delegate(who, *ceiling)).collect(),
        };
        let id = DeploymentId(self.act(owner, action)?.0);
        self.deployments.insert(name.into(), id);
        Ok(id)
    }

    pub(crate) fn quote(&self, deployment: DeploymentId, slot: u32, generation: u64, terms: LeaseTerms) -> Quote {
        let valid_until = self.time.after(Millis::seconds(30));
        Quote { deployment, slot, generation, terms, valid_until, nonce: self.nonce }
    }

    pub(crate) fn lease(
        &mut self,
        who: &str,
        quote: Signed<Quote>,
        replaces: Option<LeaseId>,
    ) -> Result<LeaseId, Rejection> {
        Ok(LeaseId(self.act(who, Action::OpenLease { quote: Box::new(quote), replaces })?.0))
    }

    pub(crate) fn receipt(
        &self,
        lease: LeaseId,
        generation: u64,
        sequence: u64,
        span: Millis,
        amount: Amount,
    ) -> Receipt {
        Receipt { lease, generation, sequence, counters: served(span), amount, disputed: Amount::ZERO }
    }

    pub(crate) fn settle(&mut self, who: &str, receipt: Signed<Receipt>) -> Result<TxId, Rejection> {
        self.act(who, Action::Settle { receipt: Box::new(receipt) })
    }

    pub(crate) fn statement(&self, signer: &str, on_behalf: &str, purpose: Purpose) -> Box<Signed<KeyStatement>> {
        Box::new(self.seal(signer, KeyStatement { account: account(on_behalf), purpose }))
    }
}

pub(crate) fn delegate(name: &str, ceiling: Amount) -> Delegate {
    Delegate {
        account: account(name),
        verbs: BTreeSet::from([Verb::Place, Verb::Receipt, Verb::Renew]),
        ceiling_per_day: ceiling,
    }
}
