//! Malachite's vocabulary in our types.
//!
//! Its traits want references to their own types inside, so votes and proposals exist a second time here; what goes
//! over the wire and under signatures is always the type of `message`.

use core::fmt;

use grange_types::{
    BlockId, Height, PeerId, Proposal, SecretKey, Signature, SignedProposal, SignedVote, Vote, VoteKind,
};
use malachitebft_core_consensus::{Effect, Error, Input, Resume, State};
use malachitebft_core_types::{self as bft, NilOrVal, Round, SignedMessage, VoteType};

use crate::certificate::{Certificate, PolkaCertificate, RoundCertificate, RoundSeal, Seal};
use crate::validators::{Member, ValidatorSet};

/// The choice of types.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain;

pub(crate) type CoreEffect = Effect<Chain>;
pub(crate) type CoreError = Error<Chain>;
pub(crate) type CoreInput = Input<Chain>;
pub(crate) type CoreResume = Resume<Chain>;
pub(crate) type CoreState = State<Chain>;

/// A validator's key: address and public key at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(pub(crate) PeerId);

/// A height as Malachite counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Level(pub(crate) u64);

/// A block by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Value(pub(crate) BlockId);

/// A signature that can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark([u8; 64]);

/// The signature scheme, of which only the types are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ed25519;

/// A vote as Malachite holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ballot {
    kind: VoteType,
    height: Level,
    round: Round,
    value: NilOrVal<BlockId>,
    address: Address,
}

/// A proposal as Malachite holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    height: Level,
    round: Round,
    value: Value,
    polka_round: Round,
    address: Address,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Height> for Level {
    fn from(height: Height) -> Self {
        Self(height.0)
    }
}

impl From<Level> for Height {
    fn from(level: Level) -> Self {
        Self(level.0)
    }
}

impl From<Signature> for Mark {
    fn from(signature: Signature) -> Self {
        Self(signature.0)
    }
}

impl From<Mark> for Signature {
    fn from(mark: Mark) -> Self {
        Self(mark.0)
    }
}

impl bft::Address for Address {}

impl bft::Height for Level {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl bft::Value for Value {
    type Id = BlockId;

    fn id(&self) -> BlockId {
        self.0
    }
}

// Blocks travel whole beside their proposals; there are no parts.
impl bft::ProposalPart<Chain> for () {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

impl bft::SigningScheme for Ed25519 {
    type DecodingError = &'static str;
    type Signature = Mark;
    type PublicKey = Address;
    type PrivateKey = SecretKey;

    fn decode_signature(bytes: &[u8]) -> Result<Mark, &'static str> {
        bytes.try_into().map(Mark).map_err(|_| "a signature is 64 bytes")
    }

    fn encode_signature(signature: &Mark) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<Address, &'static str> {
        bytes.try_into().map(|bytes| Address(PeerId(bytes))).map_err(|_| "a public key is 32 bytes")
    }

    fn encode_public_key(public_key: &Address) -> Vec<u8> {
        public_key.0.as_bytes().to_vec()
    }
}

impl bft::Vote<Chain> for Ballot {
    fn height(&self) -> Level {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.address
    }

    fn extension(&self) -> Option<&SignedMessage<Chain, ()>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedMessage<Chain, ()>> {
        None
    }

    fn extend(self, _extension: SignedMessage<Chain, ()>) -> Self {
        self
    }
}

impl bft::Proposal<Chain> for Offer {
    fn height(&self) -> Level {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn take_value(self) -> Value {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.polka_round
    }

    fn validator_address(&self) -> &Address {
        &self.address
    }
}

impl bft::Context for Chain {
    type Address = Address;
    type Height = Level;
    type ProposalPart = ();
    type Proposal = Offer;
    type Validator = Member;
    type ValidatorSet = ValidatorSet;
    type Timeouts = bft::LinearTimeouts;
    type Value = Value;
    type Vote = Ballot;
    type Extension = ();
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, set: &'a ValidatorSet, height: Level, round: Round) -> &'a Member {
        set.member_at(set.turn(height.into(), number(round)))
    }

    fn new_proposal(&self, height: Level, round: Round, value: Value, polka_round: Round, address: Address) -> Offer {
        Offer { height, round, value, polka_round, address }
    }

    fn new_prevote(&self, height: Level, round: Round, value: NilOrVal<BlockId>, address: Address) -> Ballot {
        Ballot { kind: VoteType::Prevote, height, round, value, address }
    }

    fn new_precommit(&self, height: Level, round: Round, value: NilOrVal<BlockId>, address: Address) -> Ballot {
        Ballot { kind: VoteType::Precommit, height, round, value, address }
    }
}

/// A round's number; before the first round, 0.
pub(crate) fn number(round: Round) -> u32 {
    round.as_u32().unwrap_or(0)
}

pub(crate) fn kind(kind: VoteType) -> VoteKind {
    match kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    }
}

fn kind_to_core(kind: VoteKind) -> VoteType {
    match kind {
        VoteKind::Prevote => VoteType::Prevote,
        VoteKind::Precommit => VoteType::Precommit,
    }
}

fn block(value: &NilOrVal<BlockId>) -> Option<BlockId> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(*id),
    }
}

fn block_to_core(block: Option<BlockId>) -> NilOrVal<BlockId> {
    block.map_or(NilOrVal::Nil, NilOrVal::Val)
}

pub(crate) fn vote(ballot: &Ballot) -> Vote {
    Vote {
        kind: kind(ballot.kind),
        height: ballot.height.into(),
        round: number(ballot.round),
        block: block(&ballot.value),
        validator: ballot.address.0,
    }
}

pub(crate) fn signed_vote(signed: &bft::SignedVote<Chain>) -> SignedVote {
    SignedVote { vote: vote(&signed.message), signature: signed.signature.into() }
}

pub(crate) fn signed_vote_to_core(signed: &SignedVote) -> bft::SignedVote<Chain> {
    let Vote { kind, height, round, block, validator } = signed.vote;
    let ballot = Ballot {
        kind: kind_to_core(kind),
        height: height.into(),
        round: Round::new(round),
        value: block_to_core(block),
        address: Address(validator),
    };
    SignedMessage::new(ballot, signed.signature.into())
}

pub(crate) fn proposal(offer: &Offer) -> Proposal {
    Proposal {
        height: offer.height.into(),
        round: number(offer.round),
        block: offer.value.0,
        polka_round: offer.polka_round.as_u32(),
        proposer: offer.address.0,
    }
}

pub(crate) fn signed_proposal(signed: &bft::SignedProposal<Chain>) -> SignedProposal {
    SignedProposal { proposal: proposal(&signed.message), signature: signed.signature.into() }
}

pub(crate) fn signed_proposal_to_core(signed: &SignedProposal) -> bft::SignedProposal<Chain> {
    let Proposal { height, round, block, polka_round, proposer } = signed.proposal;
    let offer = Offer {
        height: height.into(),
        round: Round::new(round),
        value: Value(block),
        polka_round: polka_round.into(),
        address: Address(proposer),
    };
    SignedMessage::new(offer, signed.signature.into())
}

pub(crate) fn certificate(from: &bft::CommitCertificate<Chain>) -> Certificate {
    let mut signatures: Vec<Seal> = from
        .commit_signatures
        .iter()
        .map(|seal| Seal { validator: seal.address.0, signature: seal.signature.into() })
        .collect();
    signatures.sort_by_key(|seal| seal.validator);
    Certificate { height: from.height.into(), round: number(from.round), block: from.value_id, signatures }
}

pub(crate) fn polka(from: &bft::PolkaCertificate<Chain>) -> PolkaCertificate {
    let seal = |seal: &bft::PolkaSignature<Chain>| Seal { validator: seal.address.0, signature: seal.signature.into() };
    let signatures = from.polka_signatures.iter().map(seal).collect();
    PolkaCertificate { height: from.height.into(), round: number(from.round), block: from.value_id, signatures }
}

pub(crate) fn polka_to_core(from: &PolkaCertificate) -> bft::PolkaCertificate<Chain> {
    let seal = |seal: &Seal| bft::PolkaSignature::new(Address(seal.validator), seal.signature.into());
    bft::PolkaCertificate {
        height: from.height.into(),
        round: Round::new(from.round),
        value_id: from.block,
        polka_signatures: from.signatures.iter().map(seal).collect(),
    }
}

pub(crate) fn round_certificate(from: &bft::RoundCertificate<Chain>) -> RoundCertificate {
    let seal = |seal: &bft::RoundSignature<Chain>| RoundSeal {
        kind: kind(seal.vote_type),
        block: block(&seal.value_id),
        validator: seal.address.0,
        signature: seal.signature.into(),
    };
    RoundCertificate {
        height: from.height.into(),
        round: number(from.round),
        over: from.cert_type == bft::RoundCertificateType::Precommit,
        signatures: from.round_signatures.iter().map(seal).collect(),
    }
}

pub(crate) fn round_certificate_to_core(from: &RoundCertificate) -> bft::RoundCertificate<Chain> {
    let seal = |seal: &RoundSeal| {
        let (kind, value) = (kind_to_core(seal.kind), block_to_core(seal.block));
        bft::RoundSignature::new(kind, value, Address(seal.validator), seal.signature.into())
    };
    bft::RoundCertificate {
        height: from.height.into(),
        round: Round::new(from.round),
        cert_type: if from.over { bft::RoundCertificateType::Precommit } else { bft::RoundCertificateType::Skip },
        round_signatures: from.signatures.iter().map(seal).collect(),
    }
}
