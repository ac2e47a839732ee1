//! What every part of a peer shares: who we are, the time, who is linked, and the outbox.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use grange_api::{Line, Problem, Reply};
use grange_ledger::{Action as Deed, Ledger, Rejection, StateKey, Transaction};
use grange_types::{
    AccountId, DeploymentId, Height, LeaseId, Millis, NetworkId, PeerId, SealKey, SecretKey, Signed, Time, TxId, Wire,
};

use crate::action::{Action, RequestId};
use crate::bids::Reservation;
use crate::canary::is_own;
use crate::event::CallId;
use crate::message::Channel;

/// How long a request to a peer may take before it counts as unanswered.
pub(crate) const REQUEST_WITHIN: u64 = 2_000;
/// A probe is answered from memory, so that a second is long.
pub(crate) const PROBE_WITHIN: u64 = 900;
/// How long a transaction of ours may wait to be included.
pub(crate) const TRANSACTION_WITHIN: Millis = Millis::minutes(10);
/// Whoever has heard of no block for so long may be cut off; idle ledgers write one every five seconds.
const STILL: Millis = Millis::minutes(1);

/// Who wants to know what became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A user, who is answered with its height.
    Call(CallId),
    /// A user who removed a deployment.
    Down(CallId, DeploymentId),
    /// A deployment under way.
    Deploy(CallId),
    /// A lease of it, for what its provider reserves.
    Lease(CallId, Reservation),
    /// A slot that a payer fills.
    Place(DeploymentId, u32),
    /// Receipts we cash.
    Settle(Vec<LeaseId>),
    /// A lease we extend.
    Renew(LeaseId),
    /// Our own node's registration.
    Register,
    /// A lease of ours that is to end.
    Close(LeaseId),
    /// A deployment whose making failed.
    Undo(DeploymentId),
    /// The proof that a validator lies.
    Accuse(PeerId),
    /// Money for a deployment whose budget was raised.
    Fund(CallId),
    /// What stands for the entry of a lease of our own capacity.
    Deposit(DeploymentId),
    /// Our validator's word on which rules it follows.
    Signal,
    /// A steward in the place of one that is lost.
    Steward(DeploymentId),
}

/// A transaction to submit on behalf of our own account.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) transaction: Signed<Transaction>,
    pub(crate) purpose: Purpose,
}

/// What became of a transaction.
pub(crate) type Outcome = Result<(TxId, Height), Rejection>;

/// Which part asked a peer what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Blocks.
    Sync,
    /// Changes of validators, to begin from a snapshot.
    Turns,
    /// A snapshot to begin from.
    Offer,
    /// A piece of it.
    Piece { index: u32 },
    /// Entries with proofs, for a reader.
    Proofs { call: Option<CallId>, keys: Vec<StateKey> },
    /// Blocks in which a reader's transaction may be.
    Seek { call: CallId },
    /// The block before a header, for its time.
    Parent { call: CallId },
    /// A quote for a deployment under way.
    DeployQuote { call: CallId, slot: u32 },
    /// A quote for a slot that a payer fills.
    PlaceQuote { deployment: DeploymentId, slot: u32 },
    /// Whether a replica serves, for a payer.
    Probe { lease: LeaseId },
    /// Whether a replica serves, for a deployment under way.
    DeployProbe { call: CallId, lease: LeaseId },
    /// Whether a replica serves, for a user who lists it.
    ListProbe { call: CallId, lease: LeaseId },
    /// Whether anybody is there, of an operator that is looked at.
    Look { operator: AccountId },
    /// That a provider frees what it holds for us.
    Cancel,
}

/// What the parts share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) now: Time,
    pub(crate) me: PeerId,
    pub(crate) account: AccountId,
    pub(crate) network: NetworkId,
    pub(crate) key: SecretKey,
    /// The keys of our own deployments, as far as they were drawn or told since the start.
    pub(crate) keys: BTreeMap<DeploymentId, SealKey>,
    pub(crate) gateway_port: u16,
    pub(crate) linked: BTreeSet<PeerId>,
    /// Linked peers that take on others' deployments.
    pub(crate) stewards: BTreeSet<PeerId>,
    pub(crate) submissions: VecDeque<Submission>,
    /// What our own calls were told.
    pub(crate) heard: VecDeque<(CallId, Line)>,
    actions: VecDeque<Action>,
    asked: BTreeMap<RequestId, (PeerId, Asked)>,
    /// Questions to ourselves, answered without a packet.
    loopback: VecDeque<(RequestId, Vec<u8>)>,
    next: u64,
}

impl Context {
    pub(crate) fn new(key: SecretKey, network: NetworkId, gateway_port: u16, seed: u64) -> Self {
        let me = key.public().peer();
        Self {
            now: Time(0),
            me,
            account: me.account(),
            network,
            key,
            keys: BTreeMap::new(),
            gateway_port,
            linked: BTreeSet::new(),
            stewards: BTreeSet::new(),
            submissions: VecDeque::new(),
            heard: VecDeque::new(),
            actions: VecDeque::new(),
            asked: BTreeMap::new(),
            loopback: VecDeque::new(),
            next: seed,
        }
    }

    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn pop(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// A number never given before by this peer since its start.
    pub(crate) fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    pub(crate) fn send<T: Wire>(&mut self, to: PeerId, channel: Channel, message: &T) {
        if to != self.me {
            self.push(Action::Send { to, channel, bytes: message.encode() });
        }
    }

    pub(crate) fn ask<T: Wire>(&mut self, to: PeerId, channel: Channel, question: &T, within: u64, asked: Asked) {
        let id = RequestId(self.number());
        self.asked.insert(id, (to, asked));
        let bytes = question.encode();
        if to == self.me {
            self.loopback.push_back((id, bytes));
        } else {
            self.push(Action::Request { id, to, channel, bytes, within });
        }
    }

    /// The next question to ourselves.
    pub(crate) fn take_loopback(&mut self) -> Option<(RequestId, Vec<u8>)> {
        self.loopback.pop_front()
    }

    /// What a request was about, once.
    pub(crate) fn answered(&mut self, id: RequestId) -> Option<(PeerId, Asked)> {
        self.asked.remove(&id)
    }

    /// Signs a deed of our own account and hands it to the spine.
    pub(crate) fn submit(&mut self, ledger: &Ledger, deed: Deed, purpose: Purpose) -> TxId {
        let transaction = self.transaction(ledger, deed);
        let id = transaction.id();
        self.submissions.push_back(Submission { transaction, purpose });
        id
    }

    /// A signed deed of our own account.
    pub(crate) fn transaction(&mut self, ledger: &Ledger, deed: Deed) -> Signed<Transaction> {
        self.transaction_for(ledger, self.account, deed)
    }

    /// A deed of an account that our key may sign for.
    pub(crate) fn transaction_for(&mut self, ledger: &Ledger, account: AccountId, deed: Deed) -> Signed<Transaction> {
        // The ledger judges expiry by block time, which on an idle network lags behind the clock.
        let expires = ledger.time().max(self.now).after(TRANSACTION_WITHIN);
        let body = Transaction { account, nonce: self.number(), action: deed };
        Signed::seal(self.network, &self.key, expires, body)
    }

    pub(crate) fn reply(&mut self, call: CallId, reply: Result<Reply, Problem>) {
        self.push(Action::Reply { call, reply: Box::new(reply) });
    }

    pub(crate) fn line(&mut self, call: CallId, line: Line, last: bool) {
        if is_own(call) {
            return self.heard.push_back((call, line));
        }
        self.push(Action::Line { call, line: Box::new(line), last });
    }

    /// Whether the ledger moves as far as we hear: else what we see of others says nothing, and what we order comes late.
    pub(crate) fn follows(&self, ledger: &Ledger) -> bool {
        self.now.since(ledger.time()) < STILL
    }

    /// Whether we can talk to a peer now; to ourselves always.
    pub(crate) fn reaches(&self, peer: PeerId) -> bool {
        peer == self.me || self.linked.contains(&peer)
    }
}
