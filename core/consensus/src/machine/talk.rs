//! What comes from peers and from the host while a height runs, and what peers are told again.

use grange_types::{BlockId, Height, PeerId, Proposal, SignedProposal, SignedVote, VoteKind, Wire};
use malachitebft_core_consensus::LocallyProposedValue;
use malachitebft_core_types::{Round, Threshold, Timeout, TimeoutKind, VoteType};

use super::{Cause, Consensus, Phase, ROUNDS_AHEAD, TELL_AGAIN};
use crate::blocks::{Held, Verdict};
use crate::certificate::{Certificate, PolkaCertificate, RoundCertificate};
use crate::chain::{self, Address, CoreInput, Value};
use crate::event::{Action, Fault};
use crate::host::Wanted;
use crate::journal::judged;
use crate::message::{BLOCK_LIMIT, Message, ROUND_LIMIT, block_id};

impl Consensus {
    /// Takes bytes from a peer; what is no message of a height that matters is dropped.
    pub(super) fn receive(&mut self, from: PeerId, bytes: &[u8]) {
        let known = self.host.validators.contains(from) || self.host.connected.contains(&from);
        if self.phase == Phase::Idle || !known || from == self.host.me {
            return;
        }
        let Ok(message) = Message::decode(bytes) else { return };
        if message.round() > ROUND_LIMIT {
            return;
        }
        self.host.silent.remove(&from);
        let (now, ours, theirs) = (self.host.now, self.host.height, message.height());
        let member = self.host.validators.contains(from);
        if theirs > ours {
            self.claims.hear(now, (from, member), theirs, ours, &self.host.timeouts);
        }
        match &message {
            Message::Status { .. } => {}
            _ if theirs < ours => self.tell(from),
            _ if self.phase == Phase::Observing || !member => {}
            _ if theirs > ours => self.inbox.push(from, bytes.len(), message, ours),
            _ => {
                if matches!(self.phase, Phase::Waiting(_)) {
                    self.begin(Cause::Known);
                }
                self.consider(from, message);
            }
        }
    }

    /// Takes a message of the present height.
    pub(super) fn consider(&mut self, from: PeerId, message: Message) {
        if !self.host.validators.contains(from) {
            return;
        }
        if self.phase != Phase::Running {
            // Who decides late needs the block no less.
            if let (Phase::Decided(true), Message::Want { block, .. }) = (self.phase, &message) {
                self.give(from, *block);
            }
            return;
        }
        match message {
            Message::Vote(signed) => self.consider_vote(from, &signed),
            Message::Proposal { proposal, block } => self.consider_proposal(&proposal, block),
            Message::Offer(proposal) => self.consider_offer(from, proposal),
            Message::Want { block, .. } => self.give(from, block),
            Message::Body { block, .. } => self.consider_body(block),
            // Nobody signs twice: a longer list is only there to be checked at length.
            Message::Polka(PolkaCertificate { signatures, .. }) if signatures.len() > self.host.validators.len() => {}
            Message::Round(RoundCertificate { signatures, .. }) if signatures.len() > self.host.validators.len() => {}
            Message::Polka(certificate) => {
                self.feed(CoreInput::PolkaCertificate(chain::polka_to_core(&certificate)));
            }
            Message::Round(certificate) => {
                self.feed(CoreInput::RoundCertificate(chain::round_certificate_to_core(&certificate)));
            }
            Message::Status { .. } | Message::Begin { .. } => {}
        }
        self.attend();
    }

    fn consider_vote(&mut self, from: PeerId, signed: &SignedVote) {
        // A vote of ours that comes back may be one we have no record of: our log was lost. No other is signed then.
        if signed.vote.validator == self.host.me && signed.verify(self.host.network).is_ok() {
            self.host.note_own_vote(signed);
        }
        // Whose vote it says it is, is not known yet; who speaks is.
        if let (VoteKind::Prevote, Some(block), true) =
            (signed.vote.kind, signed.vote.block, signed.vote.validator == from)
        {
            self.host.bodies.held_by(block, from);
        }
        self.feed(CoreInput::Vote(chain::signed_vote_to_core(signed)));
    }

    /// Looks at a proposal by its hash: takes it at once if the block is here, else looks for that first.
    fn consider_offer(&mut self, from: PeerId, signed: SignedProposal) {
        let Proposal { height, round, block, proposer, .. } = signed.proposal;
        if self.host.blocks.contains(block) {
            return self.consider_proposal(&signed, Vec::new());
        }
        let turn = self.host.validators.proposer(height, round);
        let far = round > self.host.round.saturating_add(ROUNDS_AHEAD);
        if turn != Some(proposer) || far || signed.verify(self.host.network).is_err() {
            return;
        }
        self.host.note_proposal(signed);
        self.host.bodies.offered(self.host.now, from, &signed.proposal);
        self.ask_for_bodies();
    }

    /// Asks for the blocks whose time has come.
    pub(super) fn ask_for_bodies(&mut self) {
        let (now, height) = (self.host.now, self.host.height);
        while let Some((peer, block)) = self.host.bodies.ask(now) {
            self.host.send(peer, &Message::Want { height, block });
        }
    }

    /// Gives a validator a block that it lacks.
    fn give(&mut self, to: PeerId, block: BlockId) {
        let Some(bytes) = self.host.blocks.get(block).map(|held| held.bytes.clone()) else { return };
        if self.host.bodies.may_serve(to, block) {
            self.host.send(to, &Message::Body { height: self.host.height, block: bytes });
        }
    }

    /// Takes a block that was asked for, and the proposals that waited for it.
    fn consider_body(&mut self, block: Vec<u8>) {
        if self.host.bodies.is_idle() || block.len() > BLOCK_LIMIT {
            return;
        }
        let id = block_id(&block);
        if !self.host.bodies.wants(id) {
            return;
        }
        for signed in self.host.bodies.arrived(id) {
            self.consider_proposal(&signed, block.clone());
        }
    }

    /// Looks at a proposal as cheaply as possible before its block is hashed and its signature checked.
    fn consider_proposal(&mut self, signed: &SignedProposal, block: Vec<u8>) {
        let proposal = signed.proposal;
        let turn = self.host.validators.proposer(proposal.height, proposal.round);
        let far = proposal.round > self.host.round.saturating_add(ROUNDS_AHEAD);
        if turn != Some(proposal.proposer) || far || block.len() > BLOCK_LIMIT {
            return;
        }
        if !self.host.blocks.contains(proposal.block) {
            if block_id(&block) != proposal.block {
                return;
            }
            self.host.incoming = Some((proposal.block, block));
        }
        self.feed(CoreInput::Proposal(chain::signed_proposal_to_core(signed)));
        self.host.incoming = None;
    }

    /// Takes the block the host has built.
    pub(super) fn built(&mut self, height: Height, round: u32, block: Vec<u8>) {
        if self.phase != Phase::Running || height != self.host.height {
            return;
        }
        self.host.measure(round);
        if self.host.wanted != Wanted::Asked(round) || round != self.host.round || block.len() > BLOCK_LIMIT {
            return;
        }
        self.host.wanted = Wanted::Nothing;
        let (id, locked) = (block_id(&block), self.host.locked);
        self.host.blocks.insert(id, block, round, false, locked);
        self.host.blocks.judged(id, true);
        let value = LocallyProposedValue::new(height.into(), Round::new(round), Value(id));
        self.feed(CoreInput::Propose(value));
        self.attend();
    }

    /// Takes the host's judgement of a block.
    pub(super) fn validated(&mut self, height: Height, block: BlockId, valid: bool) {
        if self.phase != Phase::Running || height != self.host.height {
            return;
        }
        let Some(origin) = self.host.blocks.get(block).and_then(Held::cause) else { return };
        self.host.blocks.judged(block, valid);
        self.host.measure(origin.round);
        self.feed(judged(height, origin.round, origin.polka_round, origin.proposer, block, valid));
        self.attend();
    }

    /// After an input: passes on what the core has come to want.
    pub(super) fn attend(&mut self) {
        let Some(core) = self.core.as_deref().filter(|_| self.phase == Phase::Running) else { return };
        let (height, round) = (self.host.height, self.host.round);
        // Two thirds precommitted nil: this round decides nothing, whatever votes are still to come.
        if core.driver.votes().is_threshold_met(&Round::new(round), VoteType::Precommit, Threshold::Nil) {
            self.host.timers.hasten_precommit(round, self.host.now);
        }
        if self.host.wanted == Wanted::Unasked(round) && core.driver.step_is_propose() {
            self.host.wanted = Wanted::Asked(round);
            self.host.push(Action::Build { height, round });
        }
        if let Some(certificate) = self.host.decided.take() {
            return self.decide(certificate);
        }
        while let Some((id, origin, held)) = self.host.blocks.unasked() {
            held.verdict = Verdict::Asked;
            let block = held.bytes.clone();
            let (round, proposer) = (origin.round, origin.proposer);
            self.host.push(Action::Validate { height, round, proposer, id, block, timely: false });
        }
        self.ask_again();
    }

    /// Asks the host once more of a block that it refused and that two thirds prevoted.
    fn ask_again(&mut self) {
        let Some(core) = self.core.as_deref() else { return };
        let height = self.host.height;
        let prevoted = |id: BlockId, round: u32| {
            let (round, value) = (Round::new(round), Threshold::Value(id));
            core.polka_certificate(round, &id).is_some()
                || core.driver.votes().is_threshold_met(&round, VoteType::Prevote, value)
        };
        while let Some((id, origin, held)) = self.host.blocks.refused(prevoted) {
            held.verdict = Verdict::AskedAgain;
            let block = held.bytes.clone();
            let (round, proposer) = (origin.round, origin.proposer);
            self.host.push(Action::Validate { height, round, proposer, id, block, timely: true });
        }
    }

    fn decide(&mut self, certificate: Certificate) {
        let (now, height, id) = (self.host.now, self.host.height, certificate.block);
        self.host.timers.keep_rebroadcast();
        if let Some(held) = self.host.blocks.get(id) {
            let block = held.bytes.clone();
            self.phase = Phase::Decided(true);
            self.host.push_last(Action::Decide { height, id, block, certificate });
        } else {
            // The block was let go for want of room; those who decided have it.
            self.phase = Phase::Decided(false);
            for seal in certificate.signatures.iter().filter(|seal| seal.validator != self.host.me) {
                self.claims.hear(now, (seal.validator, true), height.next(), height, &self.host.timeouts);
            }
        }
        self.host.report_evidence();
    }

    /// A timer of the height has run out.
    pub(super) fn ring(&mut self, timeout: Timeout) {
        let Some(core) = self.core.as_deref() else { return };
        let round = self.host.round;
        if timeout == Timeout::propose(Round::new(round))
            && core.driver.step_is_propose()
            && !self.host.blocks.proposed_in(round)
        {
            self.host.silent.extend(self.host.proposer.filter(|proposer| *proposer != self.host.me));
        }
        self.feed(CoreInput::TimeoutElapsed(timeout));
        if timeout.kind == TimeoutKind::Rebroadcast {
            self.propose_again();
        }
        self.attend();
    }

    /// Sends our proposal of this round to those whose prevote is missing: they may not have it.
    fn propose_again(&mut self) {
        let Some(core) = self.core.as_deref() else { return };
        let votes = core.driver.votes().per_round(Round::new(self.host.round));
        let voted = |peer: PeerId| votes.is_some_and(|v| v.get_vote(VoteType::Prevote, &Address(peer)).is_some());
        let missing: Vec<PeerId> = self
            .host
            .connected
            .iter()
            .copied()
            .filter(|peer| self.host.validators.contains(*peer) && *peer != self.host.me && !voted(*peer))
            .collect();
        for peer in missing {
            self.send_proposal(peer);
        }
    }

    /// Sends one peer our proposal of this round and what makes it acceptable.
    fn send_proposal(&mut self, peer: PeerId) {
        let (Some(core), Some(signed)) = (self.core.as_deref(), self.host.proposed) else { return };
        let polka = signed.proposal.polka_round.and_then(|round| {
            core.polka_certificate(Round::new(round), &signed.proposal.block)
                .map(|polka| Message::Polka(chain::polka(polka)))
        });
        for message in polka.into_iter().chain(self.host.with_block(signed)) {
            self.host.send(peer, &message);
        }
    }

    /// A peer has come: it hears where we are and what we last said.
    pub(super) fn connected(&mut self, peer: PeerId) {
        if peer == self.host.me {
            return;
        }
        self.host.connected.insert(peer);
        self.host.silent.remove(&peer);
        if self.phase == Phase::Idle {
            return;
        }
        self.host.send(peer, &Message::Status { height: self.host.height });
        let busy = matches!(self.phase, Phase::Running | Phase::Decided(_));
        let Some(core) = self.core.as_deref().filter(|_| busy && self.host.validators.contains(peer)) else { return };
        let entered = core.round_certificate().filter(|entered| entered.enter_round == core.round());
        let entered = entered.map(|entered| Message::Round(chain::round_certificate(&entered.certificate)));
        let votes = core.last_signed_prevote.iter().chain(&core.last_signed_precommit);
        let votes: Vec<Message> = votes.map(|vote| Message::Vote(chain::signed_vote(vote))).collect();
        if let Some(entered) = entered {
            self.host.send(peer, &entered);
        }
        self.send_proposal(peer);
        for vote in votes {
            self.host.send(peer, &vote);
        }
    }

    /// Tells a peer on a lower height where we are, but not at each of its messages.
    fn tell(&mut self, peer: PeerId) {
        let now = self.host.now;
        if self.told.get(&peer).is_some_and(|told| now < told.after(TELL_AGAIN)) {
            return;
        }
        // Only validators and connected peers come here, so that this stays as small as they are few; those that are
        // neither any more go at once.
        self.told.retain(|peer, _| self.host.validators.contains(*peer) || self.host.connected.contains(peer));
        self.told.insert(peer, now);
        self.host.send(peer, &Message::Status { height: self.host.height });
    }

    /// Falls silent until the height is over.
    pub(super) fn halt(&mut self, fault: Fault) {
        self.phase = Phase::Halted;
        self.host.fault = Some(fault);
        self.host.silence();
        self.core = None;
    }
}
