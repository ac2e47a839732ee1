//! The spine: consensus orders blocks, the ledger says what they mean, the mempool holds what waits.
//!
//! Upon a transaction from a user: check it, keep it, send it to the other validators, wake consensus. Upon `Build`: fill a
//! block from the mempool. Upon `Validate`: the clock rule, then the ledger's. Upon `Decide`: first the block is made
//! durable, then the state moves, then whoever waits is told. A transaction that was passed over and no longer applies is
//! answered with the reason.

mod newcomers;

use std::collections::{BTreeMap, VecDeque};

use grange_consensus::{
    Action as Order, Certificate, Consensus, Event as Said, Quorum, Validator, ValidatorSet, verify_certificate,
};
use grange_ledger::{
    Action as Deed, Block, BlockError, Change, Committed, Ledger, Mempool, Prepared, Rejection, RejectionKind,
    Transaction, clock_rule,
};
use grange_types::{
    AccountId, BlockId, Equivocation, Height, LeaseId, Millis, PeerId, Plant, Record, Signed, Time, TxId, Wire, is_sown,
};

use crate::action::{Action, Halt, RequestId};
use crate::context::{Context, Outcome, Purpose, Submission};
use crate::history::{History, memos};
use crate::light::Shown;
use crate::light::trust::voters;
use crate::message::{Batch, Channel};
use crate::problem::sentence;
use crate::start::own_account;
use crate::witness::deserted;

/// Between empty blocks while leases are being paid.
const PACE_RUNNING: Millis = Millis(1_000);
/// Between empty blocks while nothing is owed.
const PACE_IDLE: Millis = Millis(5_000);
/// Between two attempts to show the ledger that a validator lies.
const SHOWN_EVERY: Millis = Millis::seconds(30);
/// Validated blocks kept until one is decided: the rounds of one height.
const PREPARED: usize = 8;
/// Between two batches of transactions to the other validators: much less than a block takes.
const BATCH_EVERY: Millis = Millis(4);
/// Transactions that are sent before that.
const BATCH: usize = 128;
/// A transaction that lacks another is tried in so many blocks of ours.
const TRIES: u32 = 3;
/// A waiting transaction is checked again when so many blocks have passed it over.
const PASSED_OVER: u64 = 3;

pub(crate) struct Spine {
    pub(crate) ledger: Ledger,
    pub(crate) history: History,
    consensus: Consensus,
    mempool: Mempool,
    prepared: BTreeMap<BlockId, Prepared>,
    waiting: BTreeMap<TxId, (Purpose, Height)>,
    /// Transactions of our users that the other validators do not have yet.
    outgoing: Vec<Signed<Transaction>>,
    next_batch: Time,
    committed: VecDeque<Vec<Change>>,
    outcomes: VecDeque<(Purpose, Outcome)>,
    /// Leases that their providers have closed.
    pub(crate) deserted: Vec<LeaseId>,
    /// Peers whose messages show that they are further than we are.
    pub(crate) ahead: VecDeque<(PeerId, Height)>,
    /// How often in a row transactions that wait were refused a place in our blocks.
    refused: BTreeMap<TxId, u32>,
    pace: Millis,
    /// When the last block was committed here, by our own clock.
    pub(crate) moved: Time,
    /// A snapshot is taken every so many blocks.
    snapshot_every: u64,
    /// Who decided the last height, as the state before its block lists them.
    decided_by: Vec<grange_ledger::Validator>,
    /// Validators that were seen to lie, until the ledger knows.
    proofs: BTreeMap<PeerId, Accusation>,
    /// The first block that our disk has.
    first: Height,
    /// The heights of the last two snapshots, the older one first.
    snapshots: (Height, Height),
    /// Whether blocks before the last two snapshots are let go.
    prune: bool,
    /// Proofs that wait for the next header.
    asked: Vec<(RequestId, Vec<Shown>)>,
    /// When our validator says next which rules it follows, if the ledger has not heard it by then.
    next_signal: Time,
}

/// What our disk has of the chain, and how it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeping {
    /// A snapshot is taken every so many blocks.
    pub(crate) every: u64,
    /// Whether blocks before the last two snapshots are let go.
    pub(crate) prune: bool,
    /// The first block there is.
    pub(crate) first: Height,
    /// The height of the snapshot that was read.
    pub(crate) snapshot: Height,
}

/// A proof against a validator.
struct Accusation {
    accused: AccountId,
    proof: Box<Equivocation>,
    /// When it is shown again, if the ledger has not heard it by then.
    next: Time,
}

impl Spine {
    pub(crate) fn new(ledger: Ledger, history: History, consensus: Consensus, kept: Keeping) -> Self {
        Self {
            ledger,
            history,
            consensus,
            mempool: Mempool::new(),
            prepared: BTreeMap::new(),
            waiting: BTreeMap::new(),
            outgoing: Vec::new(),
            next_batch: Time(0),
            committed: VecDeque::new(),
            outcomes: VecDeque::new(),
            deserted: Vec::new(),
            ahead: VecDeque::new(),
            refused: BTreeMap::new(),
            pace: Millis(0),
            moved: Time(0),
            snapshot_every: kept.every.max(1),
            decided_by: Vec::new(),
            proofs: BTreeMap::new(),
            first: kept.first,
            snapshots: (Height::GENESIS, kept.snapshot),
            prune: kept.prune,
            asked: Vec::new(),
            next_signal: Time(0),
        }
    }

    /// Begins to decide the next height, with what was said of it, or of a later one, before a restart.
    pub(crate) fn start(&mut self, ctx: &mut Context, wal_height: Height, wal: Vec<Vec<u8>>) {
        self.moved = ctx.now;
        if self.outdated().is_some() {
            return;
        }
        let height = self.ledger.height().next();
        let (parent_time, validators) = (self.ledger.time(), self.validators());
        self.keep_pace(ctx.now);
        self.consensus.handle(ctx.now, Said::Start { height, parent_time, validators, wal_height, wal });
        self.obey(ctx);
    }

    pub(crate) fn validators(&self) -> ValidatorSet {
        voters(self.ledger.view().validators())
    }

    pub(crate) fn quorum(&self) -> Quorum {
        self.consensus.quorum()
    }

    /// The round of the height that is being decided: more than a few mean that votes do not come together.
    pub(crate) fn round(&self) -> u32 {
        self.consensus.round()
    }

    /// Why our validator says nothing, if it does not.
    pub(crate) fn fault(&self) -> Option<String> {
        self.consensus.fault().map(|fault| sentence(fault))
    }

    pub(crate) fn mempool_len(&self) -> usize {
        self.mempool.len()
    }

    /// Why no block can follow here, if the network has gone on to rules that this build does not follow.
    pub(crate) fn outdated(&self) -> Option<BlockError> {
        self.ledger.check_version().err()
    }

    /// Lets the ledger know which rules our validator follows, while there is an upgrade to be had.
    pub(crate) fn signal(&mut self, ctx: &mut Context) {
        let (view, follows) = (self.ledger.view(), self.ledger.follows());
        let ours = view.validators().iter().find(|entry| entry.key.peer() == ctx.me);
        let account = ours.filter(|entry| entry.version != follows).map(|entry| entry.account);
        let Some(account) = account.filter(|_| follows > view.version() && ctx.now >= self.next_signal) else { return };
        self.next_signal = ctx.now.after(SHOWN_EVERY);
        let transaction = ctx.transaction_for(&self.ledger, account, Deed::Signal { version: follows });
        ctx.submissions.push_back(Submission { transaction, purpose: Purpose::Signal });
    }

    /// Tells consensus something and carries out what it answers; nothing, where the rules are not followed any more.
    pub(crate) fn tell(&mut self, ctx: &mut Context, said: Said) {
        if self.outdated().is_some() {
            return;
        }
        self.consensus.handle(ctx.now, said);
        self.obey(ctx);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let batch = (!self.outgoing.is_empty()).then_some(self.next_batch);
        self.consensus.poll_timeout().into_iter().chain(batch).min()
    }

    /// What was committed since the last call.
    pub(crate) fn take_committed(&mut self) -> Option<Vec<Change>> {
        self.committed.pop_front()
    }

    /// What became of our transactions since the last call.
    pub(crate) fn take_outcome(&mut self) -> Option<(Purpose, Outcome)> {
        self.outcomes.pop_front()
    }

    /// Takes a transaction of our own or of a user's.
    pub(crate) fn submit(&mut self, ctx: &mut Context, submission: Submission) {
        let Submission { transaction, purpose } = submission;
        // Deeds that build on one another (open a deployment, lease its slot, close it again) come in one go; the later
        // cannot apply to the present state, so only its signatures are judged before it is in a block.
        let checked = match purpose {
            Purpose::Deploy(_) | Purpose::Lease(..) | Purpose::Undo(_) => self.ledger.verify(&transaction, ctx.now),
            _ => self.ledger.check(&transaction, ctx.now),
        };
        match checked {
            Ok(id) => {
                self.waiting.insert(id, (purpose, self.ledger.height()));
                self.keep(ctx, id, &transaction);
                self.outgoing.push(transaction);
                self.let_out(ctx);
                self.tell(ctx, Said::Work);
            }
            Err(rejection) => self.outcomes.push_back((purpose, Err(rejection))),
        }
    }

    /// Sends what users submitted to the other validators: at once when it is quiet, else many together.
    pub(crate) fn let_out(&mut self, ctx: &mut Context) {
        let due = ctx.now >= self.next_batch || self.outgoing.len() >= BATCH;
        if due && !self.outgoing.is_empty() {
            self.next_batch = ctx.now.after(BATCH_EVERY);
            let mut transactions = core::mem::take(&mut self.outgoing);
            while !transactions.is_empty() {
                let rest = transactions.split_off(Batch::fitting(&transactions));
                self.spread(ctx, Batch { transactions }, ctx.me);
                transactions = rest;
            }
        }
    }

    /// Takes transactions that a peer passes on.
    pub(crate) fn receive(&mut self, ctx: &mut Context, from: PeerId, batch: Batch) {
        let validators = self.validators();
        let pass_on = !validators.contains(from);
        let mut fresh = Vec::new();
        let mut news = false;
        for transaction in batch.transactions {
            if self.mempool.contains(&transaction.id()) {
                continue;
            }
            // What waits here is not verified again, neither in blocks of ours nor of others.
            let Ok(id) = self.ledger.verify(&transaction, ctx.now) else { continue };
            self.keep(ctx, id, &transaction);
            news = true;
            if pass_on {
                fresh.push(transaction);
            }
        }
        if !fresh.is_empty() {
            self.spread(ctx, Batch { transactions: fresh }, from);
        }
        if news {
            self.tell(ctx, Said::Work);
        }
    }

    /// Gives transactions to every linked validator but the one they came from.
    fn spread(&self, ctx: &mut Context, batch: Batch, from: PeerId) {
        let bytes = batch.encode();
        for to in self.validators().iter().map(|validator| validator.peer) {
            if to != from && to != ctx.me && ctx.linked.contains(&to) {
                ctx.push(Action::Send { to, channel: Channel::Transactions, bytes: bytes.clone() });
            }
        }
    }

    fn keep(&mut self, ctx: &Context, id: TxId, transaction: &Signed<Transaction>) {
        // A full mempool drops the transaction; whoever waits for it is told by the re-check, and may try again.
        let _ = self.mempool.insert(id, transaction.clone(), &self.ledger, ctx.now);
    }

    fn obey(&mut self, ctx: &mut Context) {
        while let Some(order) = self.consensus.poll_action() {
            match order {
                _ if self.outdated().is_some() => {}
                Order::WalAppend(entry) => ctx.push(Action::WalAppend(entry)),
                Order::WalFlush => ctx.push(Action::WalFlush),
                Order::WalReset { height } => ctx.push(Action::WalReset(height)),
                Order::Send { to, bytes } => ctx.push(Action::Send { to, channel: Channel::Consensus, bytes }),
                Order::Broadcast { bytes } => self.broadcast(ctx, &bytes),
                Order::Build { height, round } => self.build(ctx, height, round),
                Order::Validate { height, id, block, timely, .. } => {
                    let valid = self.validate(ctx, &block, timely);
                    self.consensus.handle(ctx.now, Said::Validated { height, block: id, valid });
                }
                Order::Decide { height, id, block, certificate } => {
                    self.decide(ctx, id, block, &certificate);
                    if self.outdated().is_some() {
                        continue;
                    }
                    let validators = self.validators();
                    self.consensus.handle(ctx.now, Said::Committed { height, validators });
                    self.keep_pace(ctx.now);
                    if !self.mempool.is_empty() {
                        self.consensus.handle(ctx.now, Said::Work);
                    }
                }
                Order::Behind { height, peer } => self.ahead.push_back((peer, height)),
                Order::Evidence { height, validator, proof } => self.accuse(ctx, height, validator, proof),
            }
        }
    }

    /// A validator signed two statements for one place: whoever saw it shows it to the ledger.
    fn accuse(&mut self, ctx: &mut Context, height: Height, validator: PeerId, proof: Box<Equivocation>) {
        ctx.push(Action::Note {
            event: "validator.equivocated",
            purpose: format!("height {height}"),
            reason: format!("validator {} signed two statements of which it may sign one", validator.short()),
        });
        // The height's own validators: whoever left or changed its key in its block answers all the same.
        let entry = self.decided_by.iter().find(|entry| entry.key.peer() == validator);
        if let Some(accused) = entry.map(|entry| entry.account) {
            self.proofs.entry(validator).or_insert(Accusation { accused, proof, next: ctx.now });
        }
        self.show_proofs(ctx);
    }

    /// Shows what is known of liars until the ledger has heard it, or they answer no more.
    fn show_proofs(&mut self, ctx: &mut Context) {
        let Self { ledger, proofs, .. } = self;
        let view = ledger.view();
        proofs.retain(|validator, shown| {
            let operator = view.operator(shown.accused);
            let votes = view.validators().iter().any(|entry| entry.key.peer() == *validator);
            let answers =
                operator.and_then(|operator| operator.former).is_some_and(|former| former.key.peer() == *validator);
            !operator.is_some_and(|operator| operator.frozen) && (votes || answers)
        });
        let now = ctx.now;
        for (validator, shown) in proofs.iter_mut().filter(|(_, shown)| shown.next <= now) {
            shown.next = now.after(SHOWN_EVERY);
            let deed = Deed::Accuse { accused: shown.accused, proof: shown.proof.clone() };
            ctx.submit(ledger, deed, Purpose::Accuse(*validator));
        }
    }

    fn broadcast(&self, ctx: &mut Context, bytes: &[u8]) {
        for Validator { peer: to, .. } in self.validators().iter() {
            if to != ctx.me {
                ctx.push(Action::Send { to, channel: Channel::Consensus, bytes: bytes.to_vec() });
            }
        }
    }

    fn build(&mut self, ctx: &mut Context, height: Height, round: u32) {
        let time = ctx.now.max(self.ledger.time().after(Millis(1)));
        let built = self.ledger.build(time, ctx.me, &mut self.mempool.candidates());
        match built {
            Ok(prepared) => {
                let block = prepared.block.encode();
                self.drop_refused(&prepared);
                self.remember(prepared);
                self.consensus.handle(ctx.now, Said::Built { height, round, block });
            }
            Err(error) => halt(ctx, Halt::Build { height, source: Box::new(error) }),
        }
    }

    /// What does not apply is not tried again for every block, and calls for no further blocks. What may apply once
    /// another transaction is there is tried a few times; our own stays until its sender is told the reason.
    fn drop_refused(&mut self, prepared: &Prepared) {
        let mut refused = BTreeMap::new();
        for (id, rejection) in &prepared.refused {
            let times = self.refused.get(id).map_or(1, |times| times + 1);
            let hopeless = rejection.kind() != RejectionKind::NotFound || times >= TRIES;
            if hopeless && !self.waiting.contains_key(id) {
                self.mempool.remove(id);
            } else {
                refused.insert(*id, times);
            }
        }
        self.refused = refused;
    }

    /// Whether a block may follow; `timely` where two thirds found its time right already.
    fn validate(&mut self, ctx: &Context, bytes: &[u8], timely: bool) -> bool {
        let Ok(block) = Block::decode(bytes) else { return false };
        // A later clock than the block's own leaves of the rule what holds for ever: it comes after its parent.
        let now = if timely { ctx.now.max(block.header.time) } else { ctx.now };
        let timely = clock_rule(self.ledger.time(), block.header.time, now).is_ok();
        if !timely && !is_sown(Plant::ClockRuleDropped) {
            return false;
        }
        match self.ledger.prepare(block, &|id, transaction| self.mempool.holds(id, transaction)) {
            Ok(prepared) => {
                self.remember(prepared);
                true
            }
            Err(_) => false,
        }
    }

    fn remember(&mut self, prepared: Prepared) {
        if self.prepared.len() >= PREPARED {
            self.prepared.pop_first();
        }
        self.prepared.insert(prepared.id, prepared);
    }

    /// Makes a decided block durable, then moves the state.
    fn decide(&mut self, ctx: &mut Context, id: BlockId, block: Vec<u8>, certificate: &Certificate) {
        let height = certificate.height;
        let prepared = match self.prepared.remove(&id) {
            Some(prepared) => prepared,
            None => match Block::decode(&block).map(|block| self.ledger.prepare(block, &|_, _| false)) {
                Ok(Ok(prepared)) => prepared,
                Ok(Err(error)) => {
                    return halt(ctx, Halt::Invalid { height, source: Box::new(error) });
                }
                Err(source) => return halt(ctx, Halt::Unreadable { height, source }),
            },
        };
        self.show(ctx, &prepared, certificate);
        ctx.push(Action::Commit { height, block, certificate: certificate.encode() });
        self.prepared.clear();
        let memos = memos(&prepared.block, ctx.account);
        self.deserted.extend(deserted(&prepared.block, &self.ledger));
        self.decided_by = self.ledger.view().validators().to_vec();
        let committed = match self.ledger.commit(prepared) {
            Ok(committed) => committed,
            Err(source) => return halt(ctx, Halt::Commit { height, source }),
        };
        self.moved = ctx.now;
        self.show_proofs(ctx);
        self.history.take(&self.ledger, ctx.account, &committed, &memos);
        let account = own_account(&self.ledger, ctx.me);
        if account != ctx.account {
            // Another account's history is not ours to show; how the new one's money came about was seen by others.
            ctx.account = account;
            self.history = History::default();
        }
        self.settle_waiting(ctx, &committed);
        if height.0.is_multiple_of(self.snapshot_every) {
            let state = self.ledger.snapshot().chain([self.history.to_record()]).collect();
            ctx.push(Action::Snapshot { height, state });
            self.prune(ctx, height);
        }
        self.committed.push_back(committed.changes);
    }

    fn settle_waiting(&mut self, ctx: &Context, committed: &Committed) {
        for id in &committed.transactions {
            self.mempool.remove(id);
            if let Some((purpose, _)) = self.waiting.remove(id) {
                self.outcomes.push_back((purpose, Ok((*id, committed.height))));
            }
        }
        self.mempool.remove_expired(self.ledger.time());
        let stale: Vec<TxId> = self
            .waiting
            .iter()
            .filter(|(_, (_, since))| committed.height.0 >= since.0 + PASSED_OVER)
            .map(|(id, _)| *id)
            .collect();
        for id in stale {
            let Some((purpose, _)) = self.waiting.remove(&id) else { continue };
            let verdict = match self.mempool.get(&id) {
                Some(transaction) => self.ledger.recheck(id, transaction, ctx.now),
                None => Err(Rejection::Busy { limit: grange_types::limits::MEMPOOL_TRANSACTIONS }),
            };
            match verdict {
                Ok(()) => drop(self.waiting.insert(id, (purpose, committed.height))),
                Err(rejection) => {
                    self.mempool.remove(&id);
                    self.outcomes.push_back((purpose, Err(rejection)));
                }
            }
        }
    }

    fn keep_pace(&mut self, now: Time) {
        let pace = if self.ledger.view().money_running() { PACE_RUNNING } else { PACE_IDLE };
        if pace != self.pace {
            self.pace = pace;
            self.consensus.handle(now, Said::Pace { interval: pace });
        }
    }

    /// Takes blocks that others decided; `false` when one of them is not what it says.
    pub(crate) fn adopt(&mut self, ctx: &mut Context, blocks: Vec<(Vec<u8>, Vec<u8>)>) -> bool {
        let before = self.ledger.height();
        // What follows other rules is no lie of who sent it.
        let mut adopt = |(block, certificate)| self.outdated().is_some() || self.adopt_one(ctx, block, certificate);
        let honest = blocks.into_iter().all(&mut adopt);
        if self.ledger.height() > before {
            let (height, validators) = (self.ledger.height(), self.validators());
            self.keep_pace(ctx.now);
            self.tell(ctx, Said::Caught { height, validators });
            if !self.mempool.is_empty() {
                self.tell(ctx, Said::Work);
            }
        }
        honest
    }

    fn adopt_one(&mut self, ctx: &mut Context, block: Vec<u8>, certificate: Vec<u8>) -> bool {
        let Ok(proof) = Certificate::decode(&certificate) else { return false };
        if proof.height <= self.ledger.height() {
            return true;
        }
        let id = BlockId(*grange_types::BlobId::of(&block).as_bytes());
        let certified = proof.height == self.ledger.height().next()
            && proof.block == id
            && verify_certificate(ctx.network, &proof, &self.validators()).is_ok();
        if certified {
            self.decide(ctx, id, block, &proof);
        }
        certified && self.ledger.height() == proof.height
    }
}

fn halt(ctx: &mut Context, why: Halt) {
    ctx.push(Action::Halt(why));
}
