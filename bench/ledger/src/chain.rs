//! A chain in the making: a ledger, its validators' keys, and blocks under certificates.

use grange_consensus::{Certificate, Seal};
use grange_ledger::{Genesis, GenesisAccount, Ledger, NodeEntry, Parameters, Transaction, Validator};
use grange_types::{
    Amount, BlockId, Height, Millis, NetworkId, PeerId, PublicKey, Region, SecretKey, Signed, Time, TxId, Vote,
    VoteKind, Wire,
};

use crate::Fault;

/// When the network begins.
pub(crate) const BEGIN: Time = Time(1_795_219_300_000);
/// How long a transaction counts: long enough for the blocks that are made of those at hand.
const COUNTS: Millis = Millis::seconds(50);

/// Who a key belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    Validator = 1,
    Owner = 2,
    Provider = 3,
    Account = 4,
}

/// A key that is the same in every run.
pub(crate) fn key(who: Who, number: usize) -> SecretKey {
    let mut secret = [who as u8; 32];
    secret[..8].copy_from_slice(&(number as u64).to_le_bytes());
    SecretKey::from_bytes(&secret)
}

/// A genesis with so many validators, these accounts, and a node for each of so many providers.
pub(crate) fn genesis(validators: usize, accounts: Vec<GenesisAccount>, providers: usize) -> Result<Genesis, Fault> {
    let region = Region::try_from("local".to_owned())?;
    let provider = |number| {
        let peer = key(Who::Provider, number).public().peer();
        NodeEntry { peer, operator: peer.account(), display: "p".into(), region: region.clone(), relays: Vec::new() }
    };
    let voter = |number| {
        let public = key(Who::Validator, number).public();
        Validator::new(public.account(), public, 1)
    };
    let genesis = Genesis {
        name: "bench".into(),
        created: BEGIN,
        parameters: Parameters::dev(),
        accounts,
        validators: (0..validators).map(voter).collect(),
        nodes: (0..providers).map(provider).collect(),
        bootstrap: Vec::new(),
    };
    genesis.validate()?;
    Ok(genesis)
}

/// An account of the beginning.
pub(crate) fn account(key: PublicKey, balance: Amount) -> GenesisAccount {
    GenesisAccount { id: key.account(), keys: Vec::new(), balance }
}

/// A decided block.
pub(crate) struct Decided {
    pub(crate) height: Height,
    pub(crate) block: Vec<u8>,
    pub(crate) certificate: Vec<u8>,
    /// How many transactions it has.
    pub(crate) transactions: usize,
}

/// The ledger of whoever proposes, and those who decide.
pub(crate) struct Chain {
    pub(crate) ledger: Ledger,
    pub(crate) time: Time,
    validators: Vec<SecretKey>,
    nonce: u64,
}

impl Chain {
    pub(crate) fn new(genesis: &Genesis) -> Result<Self, Fault> {
        let validators = (0..genesis.validators.len()).map(|number| key(Who::Validator, number)).collect();
        Ok(Self { ledger: Ledger::new(genesis)?, time: BEGIN, validators, nonce: 0 })
    }

    pub(crate) fn proposer(&self) -> PeerId {
        self.validators[0].public().peer()
    }

    /// Until when what is signed now counts.
    pub(crate) fn expires(&self) -> Time {
        self.time.after(COUNTS)
    }

    /// A signed transaction of the key's own account, with its id.
    pub(crate) fn sign(&mut self, key: &SecretKey, action: grange_ledger::Action) -> (TxId, Signed<Transaction>) {
        self.nonce += 1;
        let body = Transaction { account: key.public().account(), nonce: self.nonce, action };
        let signed = Signed::seal(self.ledger.network(), key, self.expires(), body);
        (signed.id(), signed)
    }

    /// Makes a block of as many of the transactions as it holds, a time after the one before, and commits it; gives how many.
    pub(crate) fn decide(
        &mut self,
        after: Millis,
        transactions: &[(TxId, Signed<Transaction>)],
    ) -> Result<Decided, Fault> {
        self.time = self.time.after(after);
        let mut candidates = transactions.iter().map(|(id, transaction)| (*id, transaction));
        let prepared = self.ledger.build(self.time, self.proposer(), &mut candidates)?;
        if let Some((_, refused)) = prepared.refused.first() {
            return Err(format!("a transaction was refused: {refused}").into());
        }
        let (id, height, transactions) = (prepared.id, prepared.block.header.height, prepared.block.transactions.len());
        let block = prepared.block.encode();
        self.ledger.commit(prepared)?;
        let certificate = certify(self.ledger.network(), &self.validators, height, id).encode();
        Ok(Decided { height, block, certificate, transactions })
    }

    /// Makes as many blocks as it takes to hold all the transactions.
    pub(crate) fn decide_all(
        &mut self,
        after: Millis,
        transactions: &[(TxId, Signed<Transaction>)],
    ) -> Result<Vec<Decided>, Fault> {
        let (mut blocks, mut done) = (Vec::new(), 0);
        while done < transactions.len() {
            let decided = self.decide(after, &transactions[done..])?;
            if decided.transactions == 0 {
                return Err("a block holds none of the transactions".into());
            }
            done += decided.transactions;
            blocks.push(decided);
        }
        Ok(blocks)
    }
}

/// What all validators sign under a block.
fn certify(network: NetworkId, validators: &[SecretKey], height: Height, block: BlockId) -> Certificate {
    let mut signatures: Vec<Seal> = validators
        .iter()
        .map(|key| {
            let validator = key.public().peer();
            let vote = Vote { kind: VoteKind::Precommit, height, round: 0, block: Some(block), validator };
            Seal { validator, signature: grange_types::SignedVote::seal(network, key, vote).signature }
        })
        .collect();
    signatures.sort_unstable_by_key(|seal| seal.validator);
    Certificate { height, round: 0, block, signatures }
}
