//! The audit of a chain by somebody who trusts nobody: each block against its certificate, each certificate against the
//! validators of the state before it, each transaction against the rules.
//!
//! # Rules
//! - Upon a genesis: the state before any block. What is shown from there is one chain that its validators signed; that
//!   those of long ago have not signed a second one since, no audit can show. A checkpoint kept by oneself does.
//! - Upon a checkpoint: the state that its digest names, of the network whose genesis is at hand. It was made by the
//!   auditor's own hand, or by somebody he trusts.
//! - A checkpoint as old as the unbonding period is refused: validators of that time have their bonds back and lose
//!   nothing by signing a second chain from there (a long-range attack).
//! - Upon a block and its certificate: both are read, the certificate names exactly this block at exactly the next
//!   height and holds under the validators of the state before it, and the block is carried out with every signature
//!   checked. Upon anything else: an error that names the height, and the audit stays where it was.
//!
//! The clock rule is for voters and is not checked again: those who decided the block have held it against their clocks.

use grange_api::Timestamp;
use grange_consensus::{Certificate, CertificateError, Validator, ValidatorSet, verify_certificate};
use grange_ledger::{Block, BlockError, CLOCK_TOLERANCE, CommitError, Genesis, GenesisError, Ledger, SnapshotError};
use grange_types::{BlobId, BlockId, DecodeError, Height, Millis, NetworkId, StateRoot, Time, Wire};
use serde::{Deserialize, Serialize};

use crate::invoice::{Invoice, InvoiceError, Receipts, paid_before};

/// A state to begin from in place of the genesis; small enough to be kept by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The network.
    pub network: NetworkId,
    /// The height of the last block before it.
    pub height: Height,
    /// The block time of that block.
    pub time: Timestamp,
    /// The root of the state after it.
    pub state_root: StateRoot,
    /// What the state root does not cover, and all else: BLAKE3 over the BLAKE3 of each of the snapshot's pieces.
    pub digest: BlobId,
}

/// Where an audit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditSummary {
    /// The height of the last block that holds.
    pub height: Height,
    /// How many certificates were verified.
    pub certificates: u64,
    /// The root of the state after that block.
    pub state_root: StateRoot,
}

/// Why a chain, or what an audit begins from, does not hold.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// No network can start from this genesis.
    #[error("height 0: the genesis is no beginning of a network")]
    Genesis(#[source] GenesisError),
    /// The checkpoint is of another network than the genesis.
    #[error("height {height}: the checkpoint is of network {}, the genesis makes network {}", .theirs.short(), .ours.short())]
    Foreign {
        /// The checkpoint's height.
        height: Height,
        /// The network that the checkpoint names.
        theirs: NetworkId,
        /// The network that the genesis makes.
        ours: NetworkId,
    },
    /// Validators of that time have nothing to lose any more.
    #[error(
        "height {height}: the checkpoint is {} s old and bonds are returned after {} s: whoever voted then could sign \
         another chain now and lose nothing (a long-range attack)",
        .age.0 / 1_000, .unbonding.0 / 1_000
    )]
    Old {
        /// The checkpoint's height.
        height: Height,
        /// How old it is.
        age: Millis,
        /// How old it must not be.
        unbonding: Millis,
    },
    /// The checkpoint's time has not come: its age says nothing.
    #[error("height {height}: the checkpoint is of {time}, which is later than now")]
    Early {
        /// The checkpoint's height.
        height: Height,
        /// Its time.
        time: Time,
    },
    /// The pieces are not those that the checkpoint names.
    #[error("height {height}: the snapshot has the digest {}, the checkpoint says {}", .found.short(), .expected.short())]
    Digest {
        /// The checkpoint's height.
        height: Height,
        /// What the pieces have.
        found: BlobId,
        /// What the checkpoint says.
        expected: BlobId,
    },
    /// The pieces make no state.
    #[error("height {height}: the snapshot makes no state")]
    Snapshot {
        /// The height, as far as it is known.
        height: Height,
        /// Why.
        source: SnapshotError,
    },
    /// The snapshot says something else than the checkpoint that names it.
    #[error("height {height}: the snapshot and its checkpoint disagree about the {what}")]
    Contradiction {
        /// The checkpoint's height.
        height: Height,
        /// About what.
        what: &'static str,
    },
    /// There is no certificate, or not one that can be read.
    #[error("height {height}: its certificate is missing or cannot be read")]
    Certificate {
        /// The height.
        height: Height,
        /// Why.
        source: DecodeError,
    },
    /// The certificate is for another height.
    #[error("height {height}: its certificate is for height {theirs}")]
    Elsewhere {
        /// The height that is due.
        height: Height,
        /// The certificate's.
        theirs: Height,
    },
    /// The certificate is for another block.
    #[error("height {height}: the block is {}, the certificate is for {}", .found.short(), .certified.short())]
    Altered {
        /// The height.
        height: Height,
        /// The block given.
        found: BlockId,
        /// The block that was decided.
        certified: BlockId,
    },
    /// The validators of that height have not decided it, in this network.
    #[error("height {height}: its certificate does not hold")]
    Uncertified {
        /// The height.
        height: Height,
        /// Why.
        source: CertificateError,
    },
    /// What was decided is no block.
    #[error("height {height}: the block cannot be read")]
    Unreadable {
        /// The height.
        height: Height,
        /// Why.
        source: DecodeError,
    },
    /// What was decided breaks the rules.
    #[error("height {height}: the block breaks the rules")]
    Invalid {
        /// The height.
        height: Height,
        /// Which.
        source: Box<BlockError>,
    },
    /// The block does not stand on the one before.
    #[error("height {height}: the block does not stand on the one before")]
    Commit {
        /// The height.
        height: Height,
        /// Why.
        source: CommitError,
    },
}

impl Checkpoint {
    /// The checkpoint of a snapshot, from its pieces; the state root is computed anew.
    pub fn of(pieces: &[Vec<u8>]) -> Result<Self, AuditError> {
        let ledger =
            Ledger::restore(pieces).map_err(|source| AuditError::Snapshot { height: Height::GENESIS, source })?;
        Ok(Self {
            network: ledger.network(),
            height: ledger.height(),
            time: Timestamp(ledger.time()),
            state_root: ledger.state_root(),
            digest: digest(pieces),
        })
    }

    /// Whether an audit of the genesis' network may begin here now. Asks for no snapshot yet.
    pub fn check(&self, genesis: &Genesis, now: Time) -> Result<(), AuditError> {
        let Self { network: theirs, height, time, .. } = *self;
        let ours = genesis.network_id();
        if theirs != ours {
            return Err(AuditError::Foreign { height, theirs, ours });
        }
        if time.0 > now.after(CLOCK_TOLERANCE) {
            return Err(AuditError::Early { height, time: time.0 });
        }
        let (age, unbonding) = (now.since(time.0), genesis.parameters.unbonding);
        if age >= unbonding {
            return Err(AuditError::Old { height, age, unbonding });
        }
        Ok(())
    }
}

/// An audit under way.
#[derive(Debug, Clone)]
pub struct Audit {
    ledger: Ledger,
    certificates: u64,
    receipts: Receipts,
    /// Whether it began at the genesis.
    whole: bool,
}

impl Audit {
    /// Begins before the first block.
    pub fn from_genesis(genesis: &Genesis) -> Result<Self, AuditError> {
        let ledger = Ledger::new(genesis).map_err(AuditError::Genesis)?;
        Ok(Self { ledger, certificates: 0, receipts: Receipts::default(), whole: true })
    }

    /// Begins after the checkpoint's block, with the pieces of the snapshot that it names, at `now` by the auditor's
    /// clock.
    pub fn from_checkpoint(
        genesis: &Genesis,
        checkpoint: &Checkpoint,
        pieces: &[Vec<u8>],
        now: Time,
    ) -> Result<Self, AuditError> {
        checkpoint.check(genesis, now)?;
        let Checkpoint { network, height, time, state_root, digest: expected } = *checkpoint;
        let found = digest(pieces);
        if found != expected {
            return Err(AuditError::Digest { height, found, expected });
        }
        let ledger = Ledger::restore(pieces).map_err(|source| AuditError::Snapshot { height, source })?;
        let agreed = [
            ("network", ledger.network() == network),
            ("height", ledger.height() == height),
            ("time", ledger.time() == time.0),
            ("state root", ledger.state_root() == state_root),
            ("parameters", *ledger.view().parameters() == genesis.parameters),
        ];
        match agreed.into_iter().find(|(_, agreed)| !agreed) {
            Some((what, _)) => Err(AuditError::Contradiction { height, what }),
            None => Ok(Self { ledger, certificates: 0, receipts: Receipts::default(), whole: false }),
        }
    }

    /// Takes the next block, as the bytes that were decided, with the bytes of the certificate that decided it.
    pub fn take(&mut self, block: &[u8], certificate: &[u8]) -> Result<(), AuditError> {
        let height = self.ledger.height().next();
        let certificate =
            Certificate::decode(certificate).map_err(|source| AuditError::Certificate { height, source })?;
        if certificate.height != height {
            return Err(AuditError::Elsewhere { height, theirs: certificate.height });
        }
        let found = BlockId(*BlobId::of(block).as_bytes());
        if certificate.block != found {
            return Err(AuditError::Altered { height, found, certified: certificate.block });
        }
        verify_certificate(self.ledger.network(), &certificate, &self.validators())
            .map_err(|source| AuditError::Uncertified { height, source })?;
        let block = Block::decode(block).map_err(|source| AuditError::Unreadable { height, source })?;
        // Nothing is known to be verified: every signature is checked here.
        let prepared = self
            .ledger
            .prepare(block, &|_, _| false)
            .map_err(|source| AuditError::Invalid { height, source: Box::new(source) })?;
        let block = prepared.block.clone();
        let before = paid_before(&block, &self.ledger);
        self.ledger.commit(prepared).map_err(|source| AuditError::Commit { height, source })?;
        self.receipts.take(&block, &self.ledger, &before);
        self.certificates += 1;
        Ok(())
    }

    /// Where it stands.
    #[must_use]
    pub const fn summary(&self) -> AuditSummary {
        let (height, state_root) = (self.ledger.height(), self.ledger.state_root());
        AuditSummary { height, certificates: self.certificates, state_root }
    }

    /// The bill of a deployment at this height, by its name or its id, made again from the receipts in the blocks.
    pub fn bill(&self, name: &str) -> Result<Invoice, InvoiceError> {
        self.receipts.bill(&self.ledger, name, self.whole)
    }

    /// Who decides the next height, by the state so far.
    fn validators(&self) -> ValidatorSet {
        let entries = self.ledger.view().validators().iter();
        ValidatorSet::new(entries.map(|entry| Validator { peer: entry.key.peer(), power: entry.power }).collect())
    }
}

/// The ledger's own pieces of a node's snapshot: the last one is the history of the node's account, which is nobody
/// else's.
#[must_use]
pub fn ledger_pieces(mut snapshot: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    snapshot.pop();
    snapshot
}

fn digest(pieces: &[Vec<u8>]) -> BlobId {
    let digests = pieces.iter().flat_map(|piece| BlobId::of(piece).0);
    BlobId::of(&digests.collect::<Vec<u8>>())
}
