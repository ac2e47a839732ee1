//! Why a transaction does not apply: one variant for each reason, with what a sentence and a remedy need.

use grange_types::{
    AccountId, Amount, DeploymentId, EnvelopeError, EquivocationError, Isolation, LeaseId, Millis, PeerId, PublicKey,
    Time, TxId, limits,
};

use crate::entry::{KeySetError, LEASES_PER_DEPLOYMENT, NAMES_PER_DEPLOYMENT, NODES_PER_OPERATOR};
use crate::money::Book;
use crate::transaction::{Purpose, Verb};

/// The broad kind of a refusal: what an edge turns into an exit code or a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RejectionKind {
    /// The signer may not do this.
    Denied,
    /// The thing does not exist.
    NotFound,
    /// The thing is in another state than the request assumes.
    Conflict,
    /// A limit is reached: of money, size or number.
    Limit,
    /// The request breaks a rule whatever the state.
    Invalid,
    /// Its time is over.
    Expired,
}

/// What a key must be allowed to do for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Authority {
    /// Everything.
    #[error("owner")]
    Owner,
    /// To spend.
    #[error("owner or spend")]
    Spend,
    /// To act as the account's node.
    #[error("owner, spend or node")]
    Act,
}

/// Why a transaction does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The transaction's envelope is refused.
    #[error("the transaction's envelope is refused")]
    Envelope(#[source] EnvelopeError),
    /// A quote's, receipt's or statement's envelope inside it is refused.
    #[error("the envelope of the {what} inside the transaction is refused")]
    Inner {
        /// Which.
        what: &'static str,
        /// Why.
        source: EnvelopeError,
    },
    /// Its expiry lies too far ahead.
    #[error("the transaction expires at {expires}, the latest allowed is {latest}")]
    ExpiryTooFar {
        /// Its expiry.
        expires: Time,
        /// The latest.
        latest: Time,
    },
    /// It was applied already.
    #[error("transaction {} was applied already", .id.short())]
    Replayed {
        /// Which.
        id: TxId,
    },
    /// It has more bytes than a transaction may have.
    #[error("the transaction has {bytes} bytes, the limit is {}", limits::TRANSACTION_BYTES)]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// As many unexpired transactions are remembered as may be.
    #[error("the ledger remembers {limit} unexpired transactions, its limit; try again later")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// The signer's key lacks the role.
    #[error("key {signer} may not sign this for account {account}; it needs the role {needed}")]
    KeyNotAllowed {
        /// The account.
        account: AccountId,
        /// The key.
        signer: PublicKey,
        /// What it would need.
        needed: Authority,
    },
    /// The signer's key would spend more than its ceiling for a day.
    #[error("key {signer} may spend {ceiling} a day and has spent {spent} today, so not {amount} more")]
    KeyCeiling {
        /// The key.
        signer: PublicKey,
        /// Its ceiling.
        ceiling: Amount,
        /// What it spent today.
        spent: Amount,
        /// What it wants to spend.
        amount: Amount,
    },
    /// The signer's key would put more into deployments than its account's cap for a day.
    #[error("key {signer} may put {cap} into deployments a day and has put {spent} today, so not {amount} more")]
    KeyCap {
        /// The key.
        signer: PublicKey,
        /// The cap.
        cap: Amount,
        /// What it put into deployments today.
        spent: Amount,
        /// What it wants to put.
        amount: Amount,
    },
    /// A delegate's receipts would pay more than its ceiling for a day.
    #[error("delegate {account} may pay {ceiling} a day and has paid {spent} today, so not {amount} more")]
    DelegateCeiling {
        /// The delegate.
        account: AccountId,
        /// Its ceiling.
        ceiling: Amount,
        /// What it paid today.
        spent: Amount,
        /// What it wants to pay.
        amount: Amount,
    },
    /// There is less money than needed.
    #[error("{book} holds {available}, {needed} are needed")]
    InsufficientBalance {
        /// Where.
        book: Book,
        /// How much is needed.
        needed: Amount,
        /// How much there is.
        available: Amount,
    },
    /// An amount of nothing.
    #[error("the amount is zero")]
    ZeroAmount,
    /// A transfer to oneself.
    #[error("account {account} would pay itself")]
    ToItself {
        /// The account.
        account: AccountId,
    },
    /// A memo that is too long.
    #[error("a memo has at most {limit} bytes, this one has {length}")]
    MemoTooLong {
        /// Its length.
        length: usize,
        /// The longest by the version of the rules that holds.
        limit: usize,
    },
    /// The key set breaks the rules.
    #[error("the key set is refused")]
    Keys(#[source] KeySetError),
    /// A key's statement says something else than the transaction.
    #[error("key {key} did not state that it serves account {account} as {purpose:?}")]
    NoConsent {
        /// The key.
        key: PublicKey,
        /// The account.
        account: AccountId,
        /// As what.
        purpose: Purpose,
    },
    /// The node's entry breaks the rules.
    #[error("the entry of node {node} names another operator or is too long")]
    NodeInvalid {
        /// The node.
        node: PeerId,
    },
    /// No such node.
    #[error("node {node} is not registered")]
    UnknownNode {
        /// The node.
        node: PeerId,
    },
    /// The node belongs to another operator.
    #[error("node {node} belongs to operator {operator}; it must be removed there first")]
    NodeTaken {
        /// The node.
        node: PeerId,
        /// The operator.
        operator: AccountId,
    },
    /// The operator has as many nodes as it may.
    #[error("an operator has at most {} nodes", NODES_PER_OPERATOR)]
    TooManyNodes,
    /// The bond is too small for what it must cover.
    #[error("a bond of {needed} is needed, account {account} has {available}")]
    BondTooLow {
        /// The account.
        account: AccountId,
        /// What is needed.
        needed: Amount,
        /// What there is.
        available: Amount,
    },
    /// The validator set takes no newcomers.
    #[error("this network's validators are fixed by its genesis; power can only be given up")]
    ValidatorsClosed,
    /// The validator set is full.
    #[error("a network has at most {} validators", limits::VALIDATORS)]
    TooManyValidators,
    /// The last validator may not leave.
    #[error("account {account} is the last validator and cannot leave")]
    LastValidator {
        /// The account.
        account: AccountId,
    },
    /// Another validator has this key.
    #[error("validator key {key} belongs to account {account}")]
    ValidatorKeyTaken {
        /// The key.
        key: PublicKey,
        /// Whose it is.
        account: AccountId,
    },
    /// The account is no validator.
    #[error("account {account} is no validator")]
    UnknownValidator {
        /// The account.
        account: AccountId,
    },
    /// A consensus key is answered for as long as a bond stays locked, and only one at a time.
    #[error("account {account} changed its consensus key before; it may do so again at {until}")]
    KeyChangedBefore {
        /// The account.
        account: AccountId,
        /// When the former key is forgotten, in ledger time.
        until: Time,
    },
    /// The account was shown to have signed two statements for one place.
    #[error("account {account} has voted against itself: its bond is locked for good and it never votes again")]
    Frozen {
        /// The account.
        account: AccountId,
    },
    /// The proof is of a key that the accused does not answer for.
    #[error("account {accused} does not answer for the consensus key of {}", .validator.short())]
    NotItsKey {
        /// Who is accused.
        accused: AccountId,
        /// Whose statements they are.
        validator: PeerId,
    },
    /// The proof proves nothing.
    #[error("the proof does not show that a validator voted against itself")]
    NoProof(#[source] EquivocationError),
    /// The validator has said so before.
    #[error("the validator of account {account} follows version {version} of the rules already")]
    SignalledBefore {
        /// The account.
        account: AccountId,
        /// The version.
        version: u16,
    },
    /// A power above the largest.
    #[error("a validator's power is at most {}", crate::entry::Validator::MAX_POWER)]
    PowerTooHigh,
    /// No such deployment.
    #[error("there is no deployment {deployment}")]
    UnknownDeployment {
        /// The deployment.
        deployment: DeploymentId,
    },
    /// The deployment has ended.
    #[error("deployment {deployment} is closed")]
    DeploymentClosed {
        /// The deployment.
        deployment: DeploymentId,
    },
    /// The account is not the deployment's owner.
    #[error("deployment {deployment} belongs to {owner}, not to {account}")]
    NotOwner {
        /// The deployment.
        deployment: DeploymentId,
        /// Its owner.
        owner: AccountId,
        /// Who asked.
        account: AccountId,
    },
    /// The account is neither owner nor a delegate with the verb, nor the provider where that counts.
    #[error("account {account} may not do this for deployment {deployment}; it needs the verb {verb:?}")]
    NotDelegate {
        /// The deployment.
        deployment: DeploymentId,
        /// Who asked.
        account: AccountId,
        /// The verb it lacks.
        verb: Verb,
    },
    /// The slots break the rules.
    #[error(
        "a deployment has 1 to {} slots, each with its own service of 1 to 63 bytes and replica, and a route of at most {} bytes",
        limits::SLOTS,
        limits::ROUTE_BYTES
    )]
    SlotsInvalid,
    /// The delegates break the rules.
    #[error("a deployment has at most {} delegates, each once and none the owner", limits::DELEGATES)]
    DelegatesInvalid,
    /// No name.
    #[error("the name {name:?} is not 1 to 63 lower-case letters, digits and inner dashes")]
    NameInvalid {
        /// The text.
        name: String,
    },
    /// The name is in use.
    #[error("the name {name} is taken by deployment {}", .deployment.short())]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        deployment: DeploymentId,
    },
    /// No such name.
    #[error("nobody has the name {name}")]
    UnknownName {
        /// The name.
        name: String,
    },
    /// The deployment has as many names as it may.
    #[error("a deployment has at most {} names", NAMES_PER_DEPLOYMENT)]
    TooManyNames,
    /// No such slot.
    #[error("deployment {deployment} has no slot {slot}")]
    UnknownSlot {
        /// The deployment.
        deployment: DeploymentId,
        /// The slot's number.
        slot: u32,
    },
    /// The quote is past its time.
    #[error("the quote was valid until {valid_until}, block time is {time}; ask for a new one")]
    QuoteExpired {
        /// Its last instant.
        valid_until: Time,
        /// Block time.
        time: Time,
    },
    /// The quote's signer is not the node it names.
    #[error("the quote of node {provider} is signed by {signer}")]
    QuoteSigner {
        /// The node it names.
        provider: PeerId,
        /// Who signed.
        signer: PublicKey,
    },
    /// The node is not registered to the account that the quote would pay.
    #[error("node {provider} is not registered to operator {operator}")]
    ProviderNotRegistered {
        /// The node.
        provider: PeerId,
        /// The account.
        operator: AccountId,
    },
    /// The slot has moved on since the quote was asked for, or another lease was faster.
    #[error("the quote is for generation {quoted}, the slot's next one is {next}; ask for a new one")]
    GenerationStale {
        /// The quote's.
        quoted: u64,
        /// The one that would apply.
        next: u64,
    },
    /// The slot has an open lease that the request does not replace.
    #[error("slot {slot} is held by lease {}, which the request does not replace", .lease.short())]
    SlotTaken {
        /// The slot.
        slot: u32,
        /// The lease that holds it.
        lease: LeaseId,
    },
    /// The lease to be replaced does not hold the slot.
    #[error("slot {slot} is not held by lease {}, which the request would replace", .replaces.short())]
    NotReplaceable {
        /// The slot.
        slot: u32,
        /// The lease it names.
        replaces: LeaseId,
    },
    /// The quote is dearer than the slot allows.
    #[error("the quote's rate of {rate} an hour is above the slot's {allowed}")]
    RateTooHigh {
        /// The quote's.
        rate: Amount,
        /// The slot's.
        allowed: Amount,
    },
    /// The quote isolates less than the slot demands.
    #[error("the quote offers isolation {offered}, the slot demands {demanded}")]
    IsolationTooWeak {
        /// The quote's.
        offered: Isolation,
        /// The slot's.
        demanded: Isolation,
    },
    /// An operator's own capacity was given a price.
    #[error("an operator's own capacity is free: the quote's prices and rate must be zero")]
    OwnCapacityPriced,
    /// The deployment's money does not buy the shortest lease.
    #[error("the deployment holds {available}, the shortest lease needs {needed}; fund it")]
    BudgetTooLow {
        /// What the shortest lease needs.
        needed: Amount,
        /// What there is.
        available: Amount,
    },
    /// The deployment's money does not extend the lease.
    #[error("the budget of deployment {} is used up; fund it", .deployment.short())]
    BudgetExhausted {
        /// The deployment.
        deployment: DeploymentId,
        /// What it still holds.
        available: Amount,
    },
    /// One transaction settles no receipt, or more than it may.
    #[error("a transaction settles 1 to {} receipts at once, this one {count}", grange_types::limits::RECEIPTS)]
    ReceiptCount {
        /// How many.
        count: usize,
    },
    /// The deployment has as many leases on record as it may.
    #[error("deployment {} has {} leases on record, which is the limit", .deployment.short(), LEASES_PER_DEPLOYMENT)]
    TooManyLeases {
        /// The deployment.
        deployment: DeploymentId,
    },
    /// No such lease.
    #[error("there is no lease {lease}")]
    UnknownLease {
        /// The lease.
        lease: LeaseId,
    },
    /// The lease has ended.
    #[error("lease {} has ended", .lease.short())]
    LeaseEnded {
        /// The lease.
        lease: LeaseId,
    },
    /// The lease is not yet in its last half.
    #[error("the lease can be renewed in {wait:?} milliseconds, in its last half")]
    TooEarlyToRenew {
        /// How long still.
        wait: Millis,
    },
    /// The lease is of an operator's own capacity: nothing to renew or pay.
    #[error("lease {} is of the owner's own capacity: there is nothing to renew or to pay", .lease.short())]
    OwnCapacity {
        /// The lease.
        lease: LeaseId,
    },
    /// The receipt is for another generation.
    #[error("the receipt is for generation {theirs}, the lease has {ours}")]
    ReceiptGeneration {
        /// The receipt's.
        theirs: u64,
        /// The lease's.
        ours: u64,
    },
    /// The receipt is signed by the one who is paid.
    #[error("the receipt is signed by a key of the lease's own operator {operator}")]
    ReceiptByOperator {
        /// The operator.
        operator: AccountId,
    },
    /// The receipt's signer may not sign receipts for the deployment.
    #[error("key {signer} belongs neither to the deployment's owner nor to a delegate that may sign receipts")]
    ReceiptSigner {
        /// The key.
        signer: PublicKey,
    },
    /// This receipt was paid already.
    #[error("receipt {sequence} of lease {} was paid already", .lease.short())]
    AlreadySettled {
        /// The lease.
        lease: LeaseId,
        /// The receipt's number.
        sequence: u64,
    },
    /// A later receipt was paid already, and this one pays no more.
    #[error("receipt {theirs} is older than receipt {ours}, which was paid, and pays no more")]
    ReceiptStale {
        /// The receipt's number.
        theirs: u64,
        /// The last one paid.
        ours: u64,
    },
    /// The receipt's number would leave no room for later ones. No rule of blocks: who takes transactions in judges it.
    #[error("receipt {theirs} of lease {} leaps beyond {latest}, the largest number there may be by now", .lease.short())]
    ReceiptLeaps {
        /// The lease.
        lease: LeaseId,
        /// The receipt's number.
        theirs: u64,
        /// The largest that is taken.
        latest: u64,
    },
    /// It pays nothing more, and disputes what was disputed before.
    #[error("receipt {sequence} of lease {} changes neither what is paid nor what is disputed", .lease.short())]
    ReceiptSaysNothing {
        /// The lease.
        lease: LeaseId,
        /// The receipt's number.
        sequence: u64,
    },
    /// The amount went backwards.
    #[error("the receipt says {amount}, {paid} was paid already")]
    ReceiptBackwards {
        /// What it says.
        amount: Amount,
        /// What was paid.
        paid: Amount,
    },
    /// The receipt says more than its counters cost, or nothing of it can be paid by now.
    #[error("the receipt says {amount}, its counters and the time since the lease began allow {allowed}")]
    ReceiptTooHigh {
        /// What it pays.
        amount: Amount,
        /// The most it could.
        allowed: Amount,
    },
    /// The lease is closed for receipts.
    #[error("lease {} takes no more receipts", .lease.short())]
    ClaimsClosed {
        /// The lease.
        lease: LeaseId,
    },
    /// The rules that hold do not know the request yet.
    #[error("this is possible from version {needed} of the rules on, version {holds} holds")]
    NotYet {
        /// The version that is needed.
        needed: u16,
        /// The version that holds.
        holds: u16,
    },
    /// Nobody says of himself that he is lost, and only a reserve takes a steward's place.
    #[error("{} is no reserve of deployment {}, or {} no other steward of it", .by.short(), .deployment.short(), .lost.short())]
    NoReserve {
        /// The deployment.
        deployment: DeploymentId,
        /// Who is to go.
        lost: AccountId,
        /// Who is to come.
        by: AccountId,
    },
}

/// Sorts every variant under its kind. There is no default: a new reason does not compile until it is sorted.
macro_rules! sort {
    ($($kind:ident: $($variant:ident),+;)+) => {
        impl Rejection {
            /// The broad kind.
            #[must_use]
            pub const fn kind(&self) -> RejectionKind {
                match self {
                    Self::Envelope(source) | Self::Inner { source, .. } => envelope_kind(*source),
                    $($(Self::$variant { .. })|+ => RejectionKind::$kind,)+
                }
            }
        }
    };
}

sort! {
    Denied:
        KeyNotAllowed, NoConsent, ValidatorsClosed, Frozen, NotOwner, NotDelegate, QuoteSigner,
        ProviderNotRegistered, ReceiptByOperator, ReceiptSigner;
    NotFound:
        UnknownNode, UnknownValidator, NotItsKey, UnknownDeployment, UnknownName, UnknownSlot, UnknownLease;
    Conflict:
        Replayed, NodeTaken, LastValidator, ValidatorKeyTaken, KeyChangedBefore, SignalledBefore,
        DeploymentClosed, NameTaken, GenerationStale, SlotTaken, NotReplaceable, TooEarlyToRenew,
        ReceiptGeneration, AlreadySettled, ReceiptStale, ReceiptSaysNothing, NoReserve;
    Limit:
        TooLarge, Busy, KeyCeiling, KeyCap, DelegateCeiling, InsufficientBalance, TooManyNodes, BondTooLow,
        TooManyValidators, TooManyNames, BudgetTooLow, BudgetExhausted, TooManyLeases;
    Invalid:
        ExpiryTooFar, ZeroAmount, ToItself, MemoTooLong, Keys, NodeInvalid, NoProof, PowerTooHigh, SlotsInvalid,
        DelegatesInvalid, NameInvalid, RateTooHigh, IsolationTooWeak, OwnCapacityPriced, ReceiptCount,
        OwnCapacity, ReceiptLeaps, ReceiptBackwards, ReceiptTooHigh, NotYet;
    Expired:
        QuoteExpired, LeaseEnded, ClaimsClosed;
}

const fn envelope_kind(error: EnvelopeError) -> RejectionKind {
    match error {
        EnvelopeError::Expired { .. } => RejectionKind::Expired,
        EnvelopeError::BadSignature { .. } | EnvelopeError::ForeignNetwork { .. } => RejectionKind::Denied,
        EnvelopeError::Undecodable(_) => RejectionKind::Invalid,
    }
}
