//! One block in the making: transactions tried one by one on top of a state that stays untouched.
//!
//! # Rules
//! - A transaction applies as a whole or not at all: it writes to a trial layer that is kept or dropped.
//! - Money moves only through [`Execution::post`]; [`Execution::finish`] shows that the whole block neither
//!   made nor lost any.
//! - Time works first: before the transactions, at most [`SWEEP`] things that are due are done, from an
//!   ordered index. Whoever touches a lease first brings that lease up to date, so the sweep may lag.

mod account;
mod authority;
mod counted;
mod delegate;
mod deployment;
mod deposit;
mod layer;
mod lease;
mod node;
mod settle;
mod upgrade;
mod validator;

use std::collections::BTreeSet;

use grange_types::{
    AccountId, Amount, BlobId, DeploymentId, EnvelopeError, Height, LeaseId, Millis, NetworkId, PeerId, Signed, Time,
    TxId, Wire, limits,
};

use crate::entry::{AccountEntry, Chain, Deployment, Lease, NameEntry, Operator, Validator};
use crate::genesis::NodeEntry;
use crate::ledger::Ledger;
use crate::money::{Book, Posting};
use crate::rejection::Rejection;
use crate::state::{Due, State, Writes, second_of, validators_digest};
use crate::transaction::{Action, Transaction};
pub(crate) use authority::Held;
use layer::Layer;

/// How many due things one block does, and how many seconds of old transactions it forgets.
pub(crate) const SWEEP: usize = 64;

/// How many unexpired transactions are remembered at most: at 3,000 a second, those of 22 minutes, in about
/// 200 MB. Clients give a transaction a minute.
pub(crate) const REMEMBERED: usize = 4_000_000;

/// What stands before the body in a transaction's signed bytes.
const ENVELOPE_BYTES: usize = "grange/1/".len() + Transaction::NAME.len() + 1 + 32 + 32 + 8;

/// A block in the making.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    state: &'a State,
    network: NetworkId,
    height: Height,
    /// Block time.
    time: Time,
    /// Ledger time: block time without the hours when the cloud was off.
    now: Time,
    chain: Chain,
    validators: Option<Vec<Validator>>,
    accounts: Layer<'a, AccountId, AccountEntry>,
    operators: Layer<'a, AccountId, Operator>,
    nodes: Layer<'a, PeerId, NodeEntry>,
    deployments: Layer<'a, DeploymentId, Deployment>,
    leases: Layer<'a, LeaseId, Lease>,
    names: Layer<'a, String, NameEntry>,
    applied: BTreeSet<TxId>,
    seen: Vec<(u64, TxId)>,
    postings: Vec<Posting>,
    cause: Option<TxId>,
}

/// A transaction on trial.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial<'t> {
    pub(crate) id: TxId,
    pub(crate) transaction: &'t Signed<Transaction>,
    /// The signed bytes, if its signatures, those inside it too, are still to be verified.
    pub(crate) unverified: Option<&'t [u8]>,
}

/// What a block did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) writes: Writes,
    pub(crate) postings: Vec<Posting>,
    /// The digest of the validators after it.
    pub(crate) next_validators: BlobId,
    /// How much money the block made; anything but zero is a fault of this crate.
    pub(crate) gain: i128,
}

/// The id of a transaction, and its signed bytes, if it is small enough.
pub(crate) fn identify(transaction: &Signed<Transaction>) -> Result<(TxId, Vec<u8>), Rejection> {
    let message = transaction.signed_bytes();
    let bytes = message.len().saturating_sub(ENVELOPE_BYTES);
    if bytes > limits::TRANSACTION_BYTES {
        return Err(Rejection::TooLarge { bytes });
    }
    Ok((TxId(*blake3::hash(&message).as_bytes()), message))
}

impl<'a> Execution<'a> {
    /// Begins the block after a ledger's head, at `time`.
    pub(crate) fn begin(ledger: &'a Ledger, time: Time) -> Self {
        let Ledger { state, network, .. } = ledger;
        let height = ledger.height.next();
        let mut chain = state.chain.at(height);
        let pause = time.since(ledger.time);
        if pause > state.parameters.gap {
            chain.offset = Millis(chain.offset.0.saturating_add(pause.0));
        }
        Self {
            state,
            network: *network,
            height,
            time,
            now: Time(time.0.saturating_sub(chain.offset.0)),
            chain,
            validators: None,
            accounts: Layer::over(&state.accounts),
            operators: Layer::over(&state.operators),
            nodes: Layer::over(&state.nodes),
            deployments: Layer::over(&state.deployments),
            leases: Layer::over(&state.leases),
            names: Layer::over(&state.names),
            applied: BTreeSet::new(),
            seen: Vec::new(),
            postings: Vec::new(),
            cause: None,
        }
    }

    /// Does what time has made due, within the bound for a block.
    pub(crate) fn sweep(&mut self) {
        let due: Vec<Due> = self
            .state
            .index
            .due
            .iter()
            .take_while(|(at, _)| *at <= self.now)
            .take(SWEEP)
            .map(|(_, due)| *due)
            .collect();
        for due in due {
            let postings = self.postings.len();
            let done = match due {
                Due::Lease(lease) => self.advance_lease(lease),
                Due::Deployment(deployment) => self.forget_deployment(deployment),
                Due::Bond(account) => self.return_bond(account),
            };
            match done {
                Ok(()) => self.accept(),
                Err(_) => self.reject(postings),
            }
        }
    }

    /// Tries a transaction and keeps what it does, or nothing.
    pub(crate) fn apply(&mut self, trial: Trial<'_>) -> Result<(), Rejection> {
        let (postings, chain, validators) = (self.postings.len(), self.chain, self.validators.clone());
        self.cause = Some(trial.id);
        let result = self.check_envelope(&trial).and_then(|()| self.perform(&trial));
        self.cause = None;
        if let Err(rejection) = result {
            self.reject(postings);
            (self.chain, self.validators) = (chain, validators);
            return Err(rejection);
        }
        self.accept();
        self.applied.insert(trial.id);
        self.seen.push((second_of(trial.transaction.expires), trial.id));
        Ok(())
    }

    /// Ends the block.
    pub(crate) fn finish(mut self) -> Outcome {
        self.schedule_upgrade();
        let gain = self.gain();
        let state = self.state;
        let next_validators = match &self.validators {
            Some(validators) => validators_digest(validators),
            None => state.next_validators,
        };
        let oldest = second_of(self.time);
        let forgotten = state.seen.keys().copied().take_while(|second| *second < oldest).take(SWEEP).collect();
        let writes = Writes {
            chain: (self.chain != state.chain).then_some(self.chain),
            validators: self.validators,
            accounts: self.accounts.into_writes(),
            operators: self.operators.into_writes(),
            nodes: self.nodes.into_writes(),
            deployments: self.deployments.into_writes(),
            leases: self.leases.into_writes(),
            names: self.names.into_writes(),
            seen: self.seen,
            forgotten,
        };
        Outcome { writes, postings: self.postings, next_validators, gain }
    }

    fn gain(&self) -> i128 {
        let treasury = self.chain.treasury.0 as i128 - self.state.chain.treasury.0 as i128;
        treasury
            + self.accounts.gain(|account| account.balance.0 + account.deposit.0)
            + self.operators.gain(|operator| operator.bond.0 + operator.unbonding.0)
            + self.deployments.gain(|deployment| deployment.balance.0)
            + self.leases.gain(|lease| lease.escrow.0 + lease.held.0)
    }

    fn accept(&mut self) {
        self.accounts.accept();
        self.operators.accept();
        self.nodes.accept();
        self.deployments.accept();
        self.leases.accept();
        self.names.accept();
    }

    fn reject(&mut self, postings: usize) {
        self.accounts.reject();
        self.operators.reject();
        self.nodes.reject();
        self.deployments.reject();
        self.leases.reject();
        self.names.reject();
        self.postings.truncate(postings);
    }

    /// Whether the envelope counts here and now. The signature comes last, for it costs the most.
    fn check_envelope(&self, trial: &Trial<'_>) -> Result<(), Rejection> {
        let envelope = trial.transaction;
        let wrong = |error| Err(Rejection::Envelope(error));
        if envelope.network != self.network {
            return wrong(EnvelopeError::ForeignNetwork { theirs: envelope.network, ours: self.network });
        }
        if self.time > envelope.expires {
            return wrong(EnvelopeError::Expired { expired: envelope.expires });
        }
        let latest = self.time.after(limits::TRANSACTION_LIFETIME);
        if envelope.expires > latest {
            return Err(Rejection::ExpiryTooFar { expires: envelope.expires, latest });
        }
        let second = second_of(envelope.expires);
        if self.applied.contains(&trial.id) || self.state.has_seen(second, &trial.id) {
            return Err(Rejection::Replayed { id: trial.id });
        }
        if self.state.seen_count + self.seen.len() >= REMEMBERED {
            return Err(Rejection::Busy { limit: REMEMBERED });
        }
        let Some(message) = trial.unverified else { return Ok(()) };
        let refused = |_| Rejection::Envelope(EnvelopeError::BadSignature { signer: envelope.signer });
        envelope.signer.verify(message, &envelope.signature).map_err(refused)
    }

    /// Whether the envelope counts, and every envelope and proof inside it.
    pub(crate) fn check_signatures(&self, trial: &Trial<'_>) -> Result<(), Rejection> {
        self.check_envelope(trial)?;
        match &trial.transaction.body.action {
            Action::RegisterNode { consent, .. } => self.open_inner(trial, "statement", consent),
            // Who leaves needs no word of the key, and may put anything in its place.
            Action::SetValidator { power, consent, .. } if *power > 0 => self.open_inner(trial, "statement", consent),
            Action::OpenLease { quote, .. } => self.open_inner(trial, "quote", quote),
            Action::Settle { .. } | Action::SettleMany { .. } => {
                let mut receipts = trial.transaction.body.action.receipts().iter();
                receipts.try_for_each(|receipt| self.open_inner(trial, "receipt", receipt))
            }
            Action::Accuse { proof, .. } => proof.verify(self.network).map_err(Rejection::NoProof),
            Action::SetValidator { .. }
            | Action::Transfer { .. }
            | Action::SetKeys { .. }
            | Action::RemoveNode { .. }
            | Action::Bond { .. }
            | Action::Unbond { .. }
            | Action::OpenDeployment { .. }
            | Action::UpdateDeployment { .. }
            | Action::FundDeployment { .. }
            | Action::CloseDeployment { .. }
            | Action::CloseLease { .. }
            | Action::RenewLease { .. }
            | Action::ClaimName { .. }
            | Action::ReleaseName { .. }
            | Action::Signal { .. }
            | Action::SetCap { .. }
            | Action::ReplaceDelegate { .. } => Ok(()),
        }
    }

    /// Checks an envelope inside a transaction.
    fn open_inner<T: Wire>(&self, trial: &Trial<'_>, what: &'static str, inner: &Signed<T>) -> Result<(), Rejection> {
        let wrong = |source| Rejection::Inner { what, source };
        if trial.unverified.is_some() {
            return inner.open(self.network, self.time).map(drop).map_err(wrong);
        }
        if inner.network != self.network {
            return Err(wrong(EnvelopeError::ForeignNetwork { theirs: inner.network, ours: self.network }));
        }
        if self.time > inner.expires {
            return Err(wrong(EnvelopeError::Expired { expired: inner.expires }));
        }
        Ok(())
    }

    fn perform(&mut self, trial: &Trial<'_>) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.post(Book::Balance(account), Book::Treasury, self.state.parameters.fee)?;
        match &trial.transaction.body.action {
            Action::Transfer { to, amount, memo } => self.transfer(trial, *to, *amount, memo),
            Action::SetKeys { keys } => self.set_keys(trial, keys),
            Action::RegisterNode { node, consent } => self.register_node(trial, node, consent),
            Action::RemoveNode { node } => self.remove_node(trial, *node),
            Action::Bond { amount } => self.bond(trial, *amount),
            Action::Unbond { amount } => self.unbond(trial, *amount),
            Action::SetValidator { key, power, consent } => self.set_validator(trial, *key, *power, consent),
            Action::OpenDeployment { name, manifest, budget, slots, delegates } => {
                self.open_deployment(trial, name.as_deref(), *manifest, *budget, slots, delegates)
            }
            Action::UpdateDeployment { deployment, manifest, slots, delegates } => {
                self.update_deployment(trial, *deployment, *manifest, slots, delegates)
            }
            Action::FundDeployment { deployment, amount } => self.fund_deployment(trial, *deployment, *amount),
            Action::CloseDeployment { deployment } => self.close_deployment(trial, *deployment),
            Action::OpenLease { quote, replaces } => self.open_lease(trial, quote, *replaces),
            Action::CloseLease { lease } => self.close_lease(trial, *lease),
            Action::RenewLease { lease } => self.renew_lease(trial, *lease),
            Action::Settle { receipt } => self.settle(trial, receipt),
            Action::SettleMany { receipts } => self.settle_many(trial, receipts),
            Action::ClaimName { name, deployment } => self.claim_name(trial, name, *deployment),
            Action::ReleaseName { name } => self.release_name(trial, name),
            Action::Accuse { accused, proof } => self.accuse(trial, *accused, proof),
            Action::Signal { version } => self.signal(trial, *version),
            Action::SetCap { per_day } => self.set_cap(trial, *per_day),
            Action::ReplaceDelegate { deployment, lost, by } => self.replace_delegate(trial, *deployment, *lost, *by),
        }
    }

    /// Moves money from one book to another. Nothing else in this crate changes how much a book holds.
    fn post(&mut self, debit: Book, credit: Book, amount: Amount) -> Result<(), Rejection> {
        if amount.is_zero() {
            return Ok(());
        }
        let short = |available| Rejection::InsufficientBalance { book: debit, needed: amount, available };
        let from = self.book(debit).ok_or_else(|| short(Amount::ZERO))?;
        *from = from.sub(amount).map_err(|_| short(*from))?;
        let into = self.book(credit).ok_or_else(|| short(Amount::ZERO))?;
        // All money together fits an amount, so no part of it can be too much.
        *into = into.saturating_add(amount);
        for book in [debit, credit] {
            self.prune(book);
        }
        self.postings.push(Posting { cause: self.cause, debit, credit, amount });
        Ok(())
    }

    fn book(&mut self, book: Book) -> Option<&mut Amount> {
        match book {
            Book::Balance(account) => Some(&mut self.accounts.get_or_default(&account).balance),
            Book::Bond(account) => Some(&mut self.operators.get_or_default(&account).bond),
            Book::Unbonding(account) => Some(&mut self.operators.get_or_default(&account).unbonding),
            Book::Deployment(deployment) => {
                self.deployments.get_mut(&deployment).map(|deployment| &mut deployment.balance)
            }
            Book::Escrow(lease) => self.leases.get_mut(&lease).map(|lease| &mut lease.escrow),
            Book::Held(lease) => self.leases.get_mut(&lease).map(|lease| &mut lease.held),
            Book::Deposit(account) => Some(&mut self.accounts.get_or_default(&account).deposit),
            Book::Treasury => Some(&mut self.chain.treasury),
        }
    }

    /// Drops an entry that says nothing any more, so that emptied accounts cost no memory.
    fn prune(&mut self, book: Book) {
        match book {
            Book::Balance(account) | Book::Deposit(account)
                if self.accounts.get(&account).is_some_and(AccountEntry::is_empty) =>
            {
                self.accounts.remove(&account);
            }
            Book::Bond(account) | Book::Unbonding(account)
                if self.operators.get(&account).is_some_and(Operator::is_empty) =>
            {
                self.operators.remove(&account);
            }
            _ => {}
        }
    }
}
