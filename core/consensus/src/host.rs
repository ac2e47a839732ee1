//! Answers what Malachite's core asks for in the course of one input: timers, signatures, the log, messages.
//!
//! What leaves the machine is collected here and let out by [`Host::settle`], behind the flush of what it rests on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use grange_types::{
    BlockId, Equivocation, Height, Millis, NetworkId, PeerId, Proposal, Record, SecretKey, Signature, SignedProposal,
    SignedVote, Time, Vote, VoteKind, Wire,
};
use malachitebft_core_consensus::{
    ConsensusMsg, LivenessMsg, MisbehaviorEvidence, Resumable, SignedConsensusMsg, VoteExtensionError,
};
use malachitebft_core_types::{self as bft, Timeout, TimeoutKind};

use crate::blocks::{Blocks, Origin};
use crate::bodies::Bodies;
use crate::certificate::{Certificate, verify_certificate, verify_polka, verify_round};
use crate::chain::{self, Address, Chain, CoreEffect, CoreInput, CoreResume, number};
use crate::event::{Action, Config, Fault};
use crate::journal::Entry;
use crate::message::Message;
use crate::timers::{Tempo, Timeouts, Timers};
use crate::validators::ValidatorSet;

/// Rounds whose beginning is remembered, to measure late proposals.
const BEGUN: usize = 16;

/// The host has refused to sign; the fault is in [`Host::fault`].
#[derive(Debug)]
pub(crate) struct Refused;

/// Something to send, held back until the log is flushed.
#[derive(Debug)]
struct Parcel {
    /// To one peer, or to all other validators.
    to: Option<PeerId>,
    round: u32,
    bytes: Vec<u8>,
}

/// Whether a block to propose is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// None.
    Nothing,
    /// The core wants one for this round.
    Unasked(u32),
    /// The host was asked for it.
    Asked(u32),
}

/// Everything but the core's own state.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) network: NetworkId,
    key: SecretKey,
    pub(crate) takes_part: bool,
    pub(crate) me: PeerId,
    pub(crate) timeouts: Timeouts,
    inline: usize,
    pub(crate) now: Time,
    pub(crate) height: Height,
    pub(crate) validators: ValidatorSet,
    pub(crate) connected: BTreeSet<PeerId>,
    /// Those who let their last turn pass and were not heard of since.
    pub(crate) silent: BTreeSet<PeerId>,
    pub(crate) timers: Timers,
    pub(crate) tempo: Tempo,
    /// The present round, who proposes in it, and when the last rounds began.
    pub(crate) round: u32,
    pub(crate) proposer: Option<PeerId>,
    began: BTreeMap<u32, Time>,
    pub(crate) blocks: Blocks,
    /// Blocks that were proposed by their hash and are not here yet.
    pub(crate) bodies: Bodies,
    /// The block that came with the proposal in hand; held once the core accepts the proposal.
    pub(crate) incoming: Option<(BlockId, Vec<u8>)>,
    /// The block this validator may be locked on.
    pub(crate) locked: Option<BlockId>,
    pub(crate) wanted: Wanted,
    /// Our proposal of the present round.
    pub(crate) proposed: Option<SignedProposal>,
    /// All votes and proposals this key has signed for the present height.
    votes: BTreeMap<(VoteKind, u32), SignedVote>,
    proposals: BTreeMap<u32, SignedProposal>,
    pub(crate) fault: Option<Fault>,
    pub(crate) decided: Option<Certificate>,
    evidence: Vec<Equivocation>,
    /// While the log is replayed: BLAKE3 of its entries, which are not written again.
    recorded: Option<BTreeSet<[u8; 32]>>,
    actions: VecDeque<Action>,
    outbox: Vec<Parcel>,
    last: Vec<Action>,
    dirty: bool,
}

impl Host {
    pub(crate) fn new(config: Config) -> Self {
        let me = config.key.public().peer();
        Self {
            network: config.network,
            key: config.key,
            takes_part: config.votes,
            me,
            timeouts: config.timeouts,
            inline: config.inline,
            now: Time(0),
            height: Height::GENESIS,
            validators: ValidatorSet::default(),
            connected: BTreeSet::new(),
            silent: BTreeSet::new(),
            timers: Timers::default(),
            tempo: Tempo::default(),
            round: 0,
            proposer: None,
            began: BTreeMap::new(),
            blocks: Blocks::default(),
            bodies: Bodies::default(),
            incoming: None,
            locked: None,
            wanted: Wanted::Nothing,
            proposed: None,
            votes: BTreeMap::new(),
            proposals: BTreeMap::new(),
            fault: None,
            decided: None,
            evidence: Vec::new(),
            recorded: None,
            actions: VecDeque::new(),
            outbox: Vec::new(),
            last: Vec::new(),
            dirty: false,
        }
    }

    /// Forgets everything about the present height and stands before another.
    pub(crate) fn turn_to(&mut self, height: Height, validators: ValidatorSet) {
        self.height = height;
        self.validators = validators;
        self.timers.clear();
        self.round = 0;
        self.proposer = None;
        self.began.clear();
        self.blocks = Blocks::default();
        self.bodies = Bodies::default();
        self.incoming = None;
        self.locked = None;
        self.wanted = Wanted::Nothing;
        self.proposed = None;
        self.votes.clear();
        self.proposals.clear();
        self.fault = None;
        self.decided = None;
        self.evidence.clear();
        self.recorded = None;
        self.dirty = false;
        self.silent.retain(|peer| self.validators.contains(*peer));
    }

    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn pop(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Holds an action back until everything else of this call, and the flush, is out.
    pub(crate) fn push_last(&mut self, action: Action) {
        self.last.push(action);
    }

    pub(crate) fn send(&mut self, to: PeerId, message: &Message) {
        self.outbox.push(Parcel { to: Some(to), round: message.round(), bytes: message.encode() });
    }

    /// Sends to all other validators, if there are any.
    pub(crate) fn broadcast(&mut self, message: &Message) {
        if self.validators.len() > 1 {
            self.outbox.push(Parcel { to: None, round: message.round(), bytes: message.encode() });
        }
    }

    /// Drops what was to be sent.
    pub(crate) fn silence(&mut self) {
        self.outbox.clear();
        self.last.clear();
        self.timers.clear();
    }

    /// Lets out what was held back: first the flush, then messages, then decisions.
    ///
    /// Only what others hear of us must not be forgotten. A decision rests on its certificate, which is stored with its
    /// block: the flush before it would be one more wait for nothing.
    pub(crate) fn settle(&mut self) {
        if !self.outbox.is_empty() && core::mem::take(&mut self.dirty) {
            self.actions.push_back(Action::WalFlush);
        }
        for Parcel { to, bytes, .. } in core::mem::take(&mut self.outbox) {
            self.actions.push_back(match to {
                Some(to) => Action::Send { to, bytes },
                None => Action::Broadcast { bytes },
            });
        }
        self.actions.extend(core::mem::take(&mut self.last));
    }

    /// Begins the replay of a log: its entries are not written again, its votes not signed anew.
    pub(crate) fn recall(&mut self, entries: &[Vec<u8>], decoded: &[Entry]) {
        self.recorded = Some(entries.iter().map(|bytes| *blake3::hash(bytes).as_bytes()).collect());
        for entry in decoded {
            match entry {
                Entry::Block(bytes) => {
                    let id = crate::message::block_id(bytes);
                    self.blocks.insert(id, bytes.clone(), 0, true, None);
                }
                Entry::Vote(signed) => self.note_own_vote(signed),
                Entry::Proposal(signed) if signed.proposal.proposer == self.me => {
                    self.proposals.entry(signed.proposal.round).or_insert(*signed);
                }
                Entry::Proposal(_) | Entry::Judged { .. } | Entry::Timeout { .. } | Entry::Polka(_) => {}
            }
        }
    }

    /// The log has been replayed; of what was said again only what still matters is sent.
    pub(crate) fn recalled(&mut self) {
        self.recorded = None;
        self.outbox.retain(|parcel| parcel.round.saturating_add(1) >= self.round);
    }

    /// Notes a vote under our own key, wherever it comes from, so that no other is signed beside it.
    pub(crate) fn note_own_vote(&mut self, signed: &SignedVote) {
        if signed.vote.validator == self.me {
            self.votes.entry((signed.vote.kind, signed.vote.round)).or_insert(*signed);
        }
    }

    /// Whether a proposer is not worth waiting for.
    fn absent(&self, proposer: PeerId) -> bool {
        proposer != self.me && (!self.connected.contains(&proposer) || self.silent.contains(&proposer))
    }

    /// Whether nobody would hear a proposer's turn begin.
    pub(crate) fn is_absent(&self, proposer: Option<PeerId>) -> bool {
        proposer.is_none_or(|proposer| self.absent(proposer))
    }

    /// Answers one effect.
    pub(crate) fn effect(&mut self, effect: CoreEffect) -> Result<CoreResume, Refused> {
        use malachitebft_core_consensus::Effect as E;
        Ok(match effect {
            E::CancelAllTimeouts(r) => self.then(Self::cancel_all, r),
            E::CancelTimeout(timeout, r) => self.then(|host| host.timers.cancel(&timeout), r),
            E::ScheduleTimeout(timeout, r) => self.then(|host| host.schedule(timeout), r),
            E::StartRound(_, round, proposer, _, r) => {
                self.then(|host| host.round_starts(number(round), proposer.0), r)
            }
            E::PublishConsensusMsg(message, r) => self.then(|host| host.publish(&message), r),
            E::PublishLivenessMsg(message, r) => self.then(|host| host.republish(&message), r),
            E::RepublishVote(vote, r) => self.then(|host| host.republish(&LivenessMsg::Vote(vote)), r),
            E::RepublishRoundCertificate(certificate, r) => {
                self.then(|host| host.republish(&LivenessMsg::SkipRoundCertificate(certificate)), r)
            }
            E::GetValue(_, round, _, r) => self.then(|host| host.wanted = Wanted::Unasked(number(round)), r),
            // Proposals always carry their block.
            E::RestreamProposal(.., r) => r.resume_with(()),
            E::Decide(certificate, _, r) => self.then(|host| host.decided = Some(chain::certificate(&certificate)), r),
            E::Finalize(_, _, evidence, r) => self.then(|host| host.collect(&evidence), r),
            E::SignVote(ballot, r) => {
                let signature = self.sign_vote(chain::vote(&ballot))?;
                r.resume_with(bft::SignedMessage::new(ballot, signature.into()))
            }
            E::SignProposal(offer, r) => {
                let signature = self.sign_proposal(chain::proposal(&offer))?;
                r.resume_with(bft::SignedMessage::new(offer, signature.into()))
            }
            E::VerifySignature(message, key, r) => r.resume_with(self.verify(&message, key)),
            E::VerifyCommitCertificate(certificate, set, _, r) => {
                let verdict = verify_certificate(self.network, &chain::certificate(&certificate), &set);
                r.resume_with(verdict.map_err(|_| bft::CertificateError::VerificationError(None)))
            }
            E::VerifyPolkaCertificate(certificate, set, _, r) => {
                let verdict = verify_polka(self.network, &chain::polka(&certificate), &set);
                r.resume_with(verdict.map_err(|_| bft::CertificateError::VerificationError(None)))
            }
            E::VerifyRoundCertificate(certificate, set, _, r) => {
                let verdict = verify_round(self.network, &chain::round_certificate(&certificate), &set);
                r.resume_with(verdict.map_err(|_| bft::CertificateError::VerificationError(None)))
            }
            E::WalAppend(_, input, r) => self.then(|host| host.log(&input), r),
            // The host syncs blocks itself and votes carry no extensions: none of these is ever asked for.
            E::CertVerifiedSyncValue(_, _, r) => r.resume_with(()),
            E::CertRejectedSyncValue(_, _, _, r) => r.resume_with(()),
            E::VerifyExtendedCommitCertificate(.., r) => {
                r.resume_with(Err(bft::CertificateError::VerificationError(None)))
            }
            E::ExtendVote(.., r) => r.resume_with(None),
            E::VerifyVoteExtension(.., r) => r.resume_with(Err(VoteExtensionError::InvalidVoteExtension)),
        })
    }

    fn then<R: Resumable<Chain, Value = ()>>(&mut self, act: impl FnOnce(&mut Self), resume: R) -> CoreResume {
        act(self);
        resume.resume_with(())
    }

    fn cancel_all(&mut self) {
        self.timers.clear();
    }

    fn schedule(&mut self, timeout: Timeout) {
        let round = number(timeout.round);
        let wait = match timeout.kind {
            TimeoutKind::Propose => self.timeouts.propose(round, self.tempo.usual(), self.is_absent(self.proposer)),
            TimeoutKind::Prevote | TimeoutKind::Precommit => self.timeouts.vote(round),
            TimeoutKind::Rebroadcast => self.timeouts.rebroadcast.max(Millis(1)),
            TimeoutKind::FinalizeHeight(_) => return,
        };
        self.timers.set(timeout, self.now.after(wait));
    }

    fn round_starts(&mut self, round: u32, proposer: PeerId) {
        self.round = round;
        self.proposer = Some(proposer);
        self.began.insert(round, self.now);
        if self.began.len() > BEGUN {
            self.began.pop_first();
        }
        self.wanted = Wanted::Nothing;
        self.proposed = None;
    }

    fn publish(&mut self, message: &SignedConsensusMsg<Chain>) {
        match message {
            SignedConsensusMsg::Vote(vote) => self.broadcast(&Message::Vote(chain::signed_vote(vote))),
            SignedConsensusMsg::Proposal(proposal) => {
                let proposal = chain::signed_proposal(proposal);
                if proposal.proposal.proposer == self.me {
                    self.proposed = Some(proposal);
                }
                if let Some(message) = self.with_block(proposal) {
                    self.broadcast(&message);
                }
            }
        }
    }

    fn republish(&mut self, message: &LivenessMsg<Chain>) {
        self.broadcast(&match message {
            LivenessMsg::Vote(vote) => Message::Vote(chain::signed_vote(vote)),
            LivenessMsg::PolkaCertificate(certificate) => Message::Polka(chain::polka(certificate)),
            LivenessMsg::SkipRoundCertificate(certificate) => Message::Round(chain::round_certificate(certificate)),
        });
    }

    /// A proposal with its block, or by its hash if that is long; nothing if the block has been let go.
    pub(crate) fn with_block(&self, proposal: SignedProposal) -> Option<Message> {
        let held = self.blocks.get(proposal.proposal.block)?;
        if held.bytes.len() > self.inline {
            return Some(Message::Offer(proposal));
        }
        Some(Message::Proposal { proposal, block: held.bytes.clone() })
    }

    /// Signs a vote, once and for all: the same vote again is the same signature, another one is refused.
    fn sign_vote(&mut self, vote: Vote) -> Result<Signature, Refused> {
        let Vote { kind, height, round, .. } = vote;
        match self.votes.get(&(kind, round)) {
            Some(signed) if signed.vote == vote => Ok(signed.signature),
            Some(_) => {
                self.fault = Some(Fault::SecondVote { kind, height, round });
                Err(Refused)
            }
            None => {
                let signed = SignedVote::seal(self.network, &self.key, vote);
                self.votes.insert((kind, round), signed);
                Ok(signed.signature)
            }
        }
    }

    /// Signs a proposal under the same rule.
    fn sign_proposal(&mut self, proposal: Proposal) -> Result<Signature, Refused> {
        let Proposal { height, round, .. } = proposal;
        match self.proposals.get(&round) {
            Some(signed) if signed.proposal == proposal => Ok(signed.signature),
            Some(_) => {
                self.fault = Some(Fault::SecondProposal { height, round });
                Err(Refused)
            }
            None => {
                let signed = SignedProposal::seal(self.network, &self.key, proposal);
                self.proposals.insert(round, signed);
                Ok(signed.signature)
            }
        }
    }

    fn verify(&self, message: &bft::SignedMessage<Chain, ConsensusMsg<Chain>>, key: Address) -> bool {
        let signature = Signature::from(message.signature);
        match &message.message {
            ConsensusMsg::Vote(ballot) => {
                let signed = SignedVote { vote: chain::vote(ballot), signature };
                let own = self.votes.get(&(signed.vote.kind, signed.vote.round)) == Some(&signed);
                signed.vote.validator == key.0 && (own || signed.verify(self.network).is_ok())
            }
            ConsensusMsg::Proposal(offer) => {
                let signed = SignedProposal { proposal: chain::proposal(offer), signature };
                let own = self.proposals.get(&signed.proposal.round) == Some(&signed);
                signed.proposal.proposer == key.0 && (own || signed.verify(self.network).is_ok())
            }
        }
    }

    /// Learns from a block that could be voted for, in time or late, how long a round's block takes.
    pub(crate) fn measure(&mut self, round: u32) {
        if let Some(began) = self.began.get(&round) {
            self.tempo.measured(self.now.since(*began));
        }
    }

    /// Logs an input of the core. The core logs a proposal exactly when it accepts it, which is also when its block
    /// is held.
    fn log(&mut self, input: &CoreInput) {
        let Some(entry) = Entry::of(input) else { return };
        match &entry {
            Entry::Proposal(signed) => {
                let Proposal { block, round, polka_round, proposer, .. } = signed.proposal;
                if let Some((id, bytes)) = self.incoming.take_if(|(id, _)| *id == block) {
                    self.blocks.insert(id, bytes, round, false, self.locked);
                }
                self.blocks.accepted(block, Origin { round, polka_round, proposer });
                self.log_block(block);
                self.note_proposal(*signed);
            }
            Entry::Judged { block, .. } => self.log_block(*block),
            Entry::Block(_) | Entry::Vote(_) | Entry::Timeout { .. } | Entry::Polka(_) => {}
        }
        self.append(&entry);
    }

    fn log_block(&mut self, id: BlockId) {
        let Some(held) = self.blocks.get_mut(id).filter(|held| !held.logged) else { return };
        held.logged = true;
        let entry = Entry::Block(held.bytes.clone());
        self.append(&entry);
    }

    fn append(&mut self, entry: &Entry) {
        let bytes = entry.to_record();
        let known = |recorded: &BTreeSet<[u8; 32]>| recorded.contains(blake3::hash(&bytes).as_bytes());
        if self.recorded.as_ref().is_some_and(known) {
            return;
        }
        self.dirty = true;
        self.actions.push_back(Action::WalAppend(bytes));
    }

    /// Notes a proposal whose signature holds, its block be here or not: two for one round prove that its proposer lies.
    pub(crate) fn note_proposal(&mut self, signed: SignedProposal) {
        if let Some(first) = self.bodies.noted(signed) {
            self.prove(Equivocation::Proposals(first, signed));
        }
    }

    fn collect(&mut self, evidence: &MisbehaviorEvidence<Chain>) {
        for (one, other) in evidence.votes.iter().flat_map(|(_, pairs)| pairs) {
            self.prove(Equivocation::Votes(chain::signed_vote(one), chain::signed_vote(other)));
        }
        for (one, other) in evidence.proposals.iter().flat_map(|(_, pairs)| pairs) {
            self.prove(Equivocation::Proposals(chain::signed_proposal(one), chain::signed_proposal(other)));
        }
    }

    /// Keeps a proof until the height is decided. One against a validator is enough.
    fn prove(&mut self, proof: Equivocation) {
        if self.evidence.iter().all(|known| known.validator() != proof.validator()) {
            self.evidence.push(proof);
        }
    }

    /// Hands on the evidence of the height that was decided.
    pub(crate) fn report_evidence(&mut self) {
        let height = self.height;
        for proof in core::mem::take(&mut self.evidence) {
            let validator = proof.validator();
            self.push_last(Action::Evidence { height, validator, proof: Box::new(proof) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        let key = SecretKey::from_bytes(&[1; 32]);
        Host::new(Config {
            network: NetworkId([2; 32]),
            key,
            votes: true,
            timeouts: Timeouts::default(),
            inline: Config::INLINE,
        })
    }

    #[test]
    fn one_vote_is_signed_per_round_and_kind_whatever_the_core_asks() {
        let mut host = host();
        let vote = |kind, round, block: Option<u8>| {
            let block = block.map(|fill| BlockId([fill; 32]));
            Vote { kind, height: Height(1), round, block, validator: PeerId([3; 32]) }
        };
        let first = host.sign_vote(vote(VoteKind::Prevote, 0, None)).unwrap();
        assert_eq!(host.sign_vote(vote(VoteKind::Prevote, 0, None)).unwrap(), first);
        assert!(host.sign_vote(vote(VoteKind::Precommit, 0, Some(1))).is_ok());
        assert!(host.sign_vote(vote(VoteKind::Prevote, 1, Some(1))).is_ok());
        assert_eq!(host.fault, None);
        assert!(host.sign_vote(vote(VoteKind::Prevote, 0, Some(1))).is_err());
        let fault = Fault::SecondVote { kind: VoteKind::Prevote, height: Height(1), round: 0 };
        assert_eq!(host.fault, Some(fault));
    }

    #[test]
    fn one_proposal_is_signed_per_round_whatever_the_core_asks() {
        let mut host = host();
        let proposal = |round, fill, polka_round| Proposal {
            height: Height(1),
            round,
            block: BlockId([fill; 32]),
            polka_round,
            proposer: PeerId([3; 32]),
        };
        let first = host.sign_proposal(proposal(0, 1, None)).unwrap();
        assert_eq!(host.sign_proposal(proposal(0, 1, None)).unwrap(), first);
        assert!(host.sign_proposal(proposal(1, 1, Some(0))).is_ok());
        assert_eq!(host.fault, None);
        assert!(host.sign_proposal(proposal(1, 1, None)).is_err());
        assert_eq!(host.fault, Some(Fault::SecondProposal { height: Height(1), round: 1 }));
    }

    #[test]
    fn what_leaves_stands_behind_one_flush_and_decisions_behind_all() {
        let mut host = host();
        let validator = |fill| crate::validators::Validator { peer: PeerId([fill; 32]), power: 1 };
        host.turn_to(Height(1), ValidatorSet::new(vec![validator(1), validator(2)]));
        host.push_last(Action::Behind { height: Height(2), peer: PeerId([1; 32]) });
        host.broadcast(&Message::Status { height: Height(1) });
        host.append(&Entry::Block(vec![1]));
        host.broadcast(&Message::Status { height: Height(2) });
        host.settle();
        let kinds: Vec<_> = core::iter::from_fn(|| host.pop())
            .map(|action| match action {
                Action::WalAppend(_) => 'a',
                Action::WalFlush => 'f',
                Action::Broadcast { .. } => 'b',
                Action::Behind { .. } => 'l',
                _ => '?',
            })
            .collect();
        assert_eq!(kinds, ['a', 'f', 'b', 'b', 'l']);
        // Nothing new in the log: no second flush.
        host.broadcast(&Message::Status { height: Height(3) });
        host.settle();
        assert!(matches!(host.pop(), Some(Action::Broadcast { .. })));
    }
}
