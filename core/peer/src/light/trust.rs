//! What somebody believes who keeps no state: headers under certificates of validators that he followed from the genesis.
//!
//! # Rules
//! - Upon a genesis: its validators decide the first block.
//! - Upon a turn (a header that names other validators for the next block, its certificate, and those validators): the
//!   certificate must hold under the validators followed so far, and the list must be the one that the header names.
//! - Upon a sealed header: its certificate must hold under them. Then the state root in it is that of the state after the
//!   block before, and a proof against that root shows an entry of the state.
//!
//! What this does not show: that those who validated long ago have not signed a second chain since they got their bonds
//! back. Who begins at a genesis older than the unbonding period trusts whom he asks as much as that.

use grange_consensus::{Certificate, CertificateError, Validator as Voter, ValidatorSet, verify_certificate};
use grange_ledger::{
    BlockHeader, Entry, Genesis, HeaderProof, HeaderProofError, Ledger, ProofError, StateKey, StateProof, Validator,
    validators_digest, verify_proof,
};
use grange_types::{BlobId, BlockId, Height, NetworkId, Wire, limits};
use serde::{Deserialize, Serialize};

/// A header with the certificate that decided its block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The header, and what shows that the block's id covers it.
    pub header: HeaderProof,
    /// The precommits under that id.
    pub certificate: Certificate,
}

impl Wire for Sealed {
    const NAME: &'static str = "sealed-header";
    const LIMIT: usize = HeaderProof::LIMIT + Certificate::LIMIT;
}

/// A block after which others decide, and who.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The block's header under its certificate.
    pub sealed: Sealed,
    /// The validators after it.
    pub validators: Vec<Validator>,
}

impl Wire for Turn {
    const NAME: &'static str = "turn";
    /// A validator is two keys and two numbers.
    const LIMIT: usize = Sealed::LIMIT + 80 * limits::VALIDATORS + 2;
}

impl Turn {
    /// The height of the block after which others decide.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.sealed.header.header.height
    }
}

/// An entry of the state, or that there is none, with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The entry.
    pub entry: Option<Entry>,
    /// The way to it from the root.
    pub proof: StateProof,
}

/// Why what was shown is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The proof of the header is none.
    #[error("the header at height {height} is not shown")]
    Header {
        /// The height it speaks of.
        height: Height,
        /// Why.
        source: HeaderProofError,
    },
    /// The certificate speaks of another block than the header.
    #[error("the certificate for height {height} is for another block")]
    OtherBlock {
        /// The header's height.
        height: Height,
    },
    /// The validators followed so far have not signed it.
    #[error("the certificate for height {height} does not hold under the validators followed so far")]
    Certificate {
        /// The height.
        height: Height,
        /// Why.
        source: CertificateError,
    },
    /// A turn that is not after the last one.
    #[error("the turn at height {height} does not come after height {after}")]
    Order {
        /// Its height.
        height: Height,
        /// The last one's.
        after: Height,
    },
    /// The list is not the one that the header names.
    #[error("the header at height {height} names other validators than were shown")]
    Validators {
        /// The height.
        height: Height,
    },
    /// An entry is not shown by its proof.
    #[error("the entry is not in the state that height {height} stands on")]
    Entry {
        /// The header's height.
        height: Height,
        /// Why.
        source: ProofError,
    },
}

/// The validators of the present, followed from the genesis.
#[derive(Debug, Clone)]
pub struct Trust {
    network: NetworkId,
    height: Height,
    digest: BlobId,
    voters: ValidatorSet,
    /// Who decided up to the last turn: a header of before it may come late.
    before: ValidatorSet,
}

impl Trust {
    /// Trusts a genesis.
    #[must_use]
    pub fn from_genesis(genesis: &Genesis) -> Self {
        let mut validators = genesis.validators.clone();
        validators.sort();
        let (digest, voters) = (validators_digest(&validators), voters(&validators));
        let before = ValidatorSet::default();
        Self { network: genesis.network_id(), height: Height::GENESIS, digest, voters, before }
    }

    /// Trusts a state that one keeps.
    #[must_use]
    pub fn at(ledger: &Ledger) -> Self {
        let validators = ledger.view().validators();
        let (digest, voters) = (validators_digest(validators), voters(validators));
        let before = ValidatorSet::default();
        Self { network: ledger.network(), height: ledger.height(), digest, voters, before }
    }

    /// The height of the last turn followed.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// Whether a header that holds names other validators for the next block: then a turn follows from it.
    #[must_use]
    pub fn turns(&self, header: &BlockHeader) -> bool {
        header.next_validators != self.digest
    }

    /// Follows a change of validators.
    pub fn follow(&mut self, turn: &Turn) -> Result<(), TrustError> {
        let header = self.check(&turn.sealed)?;
        let height = header.height;
        if height <= self.height {
            return Err(TrustError::Order { height, after: self.height });
        }
        if header.next_validators != validators_digest(&turn.validators) {
            return Err(TrustError::Validators { height });
        }
        (self.height, self.digest) = (height, header.next_validators);
        self.before = core::mem::replace(&mut self.voters, voters(&turn.validators));
        Ok(())
    }

    /// Whether a header's block was decided; gives the header.
    pub fn check<'a>(&self, sealed: &'a Sealed) -> Result<&'a BlockHeader, TrustError> {
        let Sealed { header: proof, certificate } = sealed;
        let height = proof.header.height;
        let id: BlockId = proof.id().map_err(|source| TrustError::Header { height, source })?;
        if certificate.block != id || certificate.height != height {
            return Err(TrustError::OtherBlock { height });
        }
        let voters = if height > self.height { &self.voters } else { &self.before };
        verify_certificate(self.network, certificate, voters)
            .map_err(|source| TrustError::Certificate { height, source })?;
        Ok(&proof.header)
    }
}

impl Shown {
    /// Whether the state that a header stands on has this entry at `key`, or none.
    pub fn check(&self, header: &BlockHeader, key: &StateKey) -> Result<(), TrustError> {
        verify_proof(header.state_root, key, self.entry.as_ref(), &self.proof)
            .map_err(|source| TrustError::Entry { height: header.height, source })
    }
}

/// The validators as consensus counts them.
pub(crate) fn voters(validators: &[Validator]) -> ValidatorSet {
    ValidatorSet::new(validators.iter().map(|entry| Voter { peer: entry.key.peer(), power: entry.power }).collect())
}
