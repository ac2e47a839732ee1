//! Signatures of enough voting power under one statement.

use std::collections::BTreeSet;

use grange_types::{BlockId, Height, NetworkId, PeerId, Signature, SignedVote, Vote, VoteKind, Wire, limits};
use serde::{Deserialize, Serialize};

use crate::validators::ValidatorSet;

/// One validator's signature under what a certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Who signed.
    pub validator: PeerId,
    /// The signature.
    pub signature: Signature,
}

/// More than two thirds of the power precommitted a block: it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The block's height.
    pub height: Height,
    /// The round that decided.
    pub round: u32,
    /// The block.
    pub block: BlockId,
    /// The precommits, by validator.
    pub signatures: Vec<Seal>,
}

/// More than two thirds of the power prevoted a block in one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolkaCertificate {
    /// The height.
    pub height: Height,
    /// The round.
    pub round: u32,
    /// The block.
    pub block: BlockId,
    /// The prevotes.
    pub signatures: Vec<Seal>,
}

/// Votes of a round that show why a round may be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundCertificate {
    /// The height.
    pub height: Height,
    /// The round of the votes.
    pub round: u32,
    /// Whether they are precommits of more than two thirds (the round is over), or any votes of more than one third
    /// (an honest validator is there already).
    pub over: bool,
    /// The votes.
    pub signatures: Vec<RoundSeal>,
}

/// One vote of a [`RoundCertificate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundSeal {
    /// Which of the two votes.
    pub kind: VoteKind,
    /// The block, or none.
    pub block: Option<BlockId>,
    /// Who voted.
    pub validator: PeerId,
    /// The signature.
    pub signature: Signature,
}

impl Wire for Certificate {
    const NAME: &'static str = "certificate";
    // Height 10, round 5, block 32, count 2, and 96 for each signature.
    const LIMIT: usize = 49 + 96 * limits::VALIDATORS;
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Someone signed who has no vote at this height.
    #[error("{} is no validator of this height", .validator.short())]
    UnknownValidator {
        /// Who.
        validator: PeerId,
    },
    /// Someone is counted twice.
    #[error("validator {} is counted twice", .validator.short())]
    CountedTwice {
        /// Who.
        validator: PeerId,
    },
    /// A signature is not its validator's under this statement in this network.
    #[error("the signature of validator {} is not under this statement in this network", .validator.short())]
    BadSignature {
        /// Whose it is said to be.
        validator: PeerId,
    },
    /// A prevote cannot end a round.
    #[error("validator {} prevoted where a precommit is needed", .validator.short())]
    NotPrecommitted {
        /// Who.
        validator: PeerId,
    },
    /// Too few signed.
    #[error("validators with {signed} of {total} voting power signed, which is not enough")]
    TooLittlePower {
        /// The power of those who signed.
        signed: u64,
        /// All power.
        total: u64,
    },
}

/// Whether more than two thirds of the power of `validators` precommitted the certificate's block at its height.
///
/// The caller holds height and block against what it expects, and brings the validators of exactly that height.
pub fn verify_certificate(
    network: NetworkId,
    certificate: &Certificate,
    validators: &ValidatorSet,
) -> Result<(), CertificateError> {
    let Certificate { height, round, block, ref signatures } = *certificate;
    let votes = signatures.iter().map(|seal| vote(VoteKind::Precommit, height, round, block, seal));
    tally(network, validators, votes, Share::TwoThirds)
}

/// Whether more than two thirds of the power prevoted.
pub(crate) fn verify_polka(
    network: NetworkId,
    certificate: &PolkaCertificate,
    validators: &ValidatorSet,
) -> Result<(), CertificateError> {
    let PolkaCertificate { height, round, block, ref signatures } = *certificate;
    let votes = signatures.iter().map(|seal| vote(VoteKind::Prevote, height, round, block, seal));
    tally(network, validators, votes, Share::TwoThirds)
}

/// Whether the round may be entered.
pub(crate) fn verify_round(
    network: NetworkId,
    certificate: &RoundCertificate,
    validators: &ValidatorSet,
) -> Result<(), CertificateError> {
    let RoundCertificate { height, round, over, ref signatures } = *certificate;
    if let Some(seal) = signatures.iter().find(|seal| over && seal.kind == VoteKind::Prevote) {
        return Err(CertificateError::NotPrecommitted { validator: seal.validator });
    }
    let votes = signatures.iter().map(|seal| SignedVote {
        vote: Vote { kind: seal.kind, height, round, block: seal.block, validator: seal.validator },
        signature: seal.signature,
    });
    tally(network, validators, votes, if over { Share::TwoThirds } else { Share::OneThird })
}

/// What must be exceeded.
#[derive(Clone, Copy)]
enum Share {
    OneThird,
    TwoThirds,
}

fn vote(kind: VoteKind, height: Height, round: u32, block: BlockId, seal: &Seal) -> SignedVote {
    let vote = Vote { kind, height, round, block: Some(block), validator: seal.validator };
    SignedVote { vote, signature: seal.signature }
}

/// Counts the power of distinct validators whose signatures hold.
fn tally(
    network: NetworkId,
    validators: &ValidatorSet,
    votes: impl Iterator<Item = SignedVote>,
    share: Share,
) -> Result<(), CertificateError> {
    let (mut seen, mut signed) = (BTreeSet::new(), 0u64);
    for vote in votes {
        let validator = vote.vote.validator;
        if !validators.contains(validator) {
            return Err(CertificateError::UnknownValidator { validator });
        }
        if !seen.insert(validator) {
            return Err(CertificateError::CountedTwice { validator });
        }
        vote.verify(network).map_err(|_| CertificateError::BadSignature { validator })?;
        signed += validators.power(validator);
    }
    let total = validators.total();
    let parts = match share {
        Share::OneThird => 1,
        Share::TwoThirds => 2,
    };
    // Both products fit: a set's total is below 2⁶¹.
    if signed * 3 > total * parts { Ok(()) } else { Err(CertificateError::TooLittlePower { signed, total }) }
}
