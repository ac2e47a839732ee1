//! What a machine does with the actions of its peer: what `node` and the crates of `edge` do, in a false world.

use grange_api::{DeployDone, Line, Problem};
use grange_consensus::Message;
use grange_peer::{
    Action, Ask, AskReply, Channel, Event, Kept, MarketMessage, RequestId, SyncRequest, Visit, WorkEvent,
};
use grange_types::{BlobId, DeploymentId, LeaseId, Manifest, Millis, PeerId, Wire, Work};

use crate::host::Running;
use crate::sabotage::Sabotage;
use crate::seed::COMPONENT;
use crate::villains::Me;
use crate::world::{Happening, Question, World};

impl World<'_> {
    /// Does what a peer wants done, as its villain sees fit.
    pub(crate) fn act(&mut self, host: usize, action: Action) {
        let Some(mut villain) = self.hosts[host].villain.take() else { return self.do_it(host, action) };
        let actions = villain.act(&self.me(host), action);
        self.hosts[host].villain = Some(villain);
        for action in actions {
            self.do_it(host, action);
        }
    }

    pub(crate) fn me(&self, host: usize) -> Me<'_> {
        let machine = &self.hosts[host];
        Me {
            key: &machine.config.key,
            network: self.network_id,
            now: machine.clock(self.now),
            others: &self.others[host],
        }
    }

    fn do_it(&mut self, host: usize, action: Action) {
        self.coverage.count("action", name_of(&action));
        if writes(&action) && self.hosts[host].disk.full {
            // A node that cannot write says so and ends; it is started again when there is room.
            return self.kill(host, false, "ends, because its disk is full");
        }
        let disk = &mut self.hosts[host].disk;
        match action {
            Action::WalAppend(entry) => disk.append(entry),
            Action::WalFlush => disk.flush(),
            Action::WalReset(height) => disk.reset(height),
            Action::Commit { height, block, certificate } => {
                if let Some(said) = self.checks.decided(self.now, height, &block, &mut self.coverage) {
                    self.note(Some(host), format_args!("{said}"));
                }
                self.hosts[host].disk.commit(height, block, certificate);
            }
            Action::Snapshot { height, state } => disk.snapshot(height, state),
            Action::Keep { bytes } => drop(disk.blobs.insert(BlobId::of(&bytes), bytes)),
            // Nothing is sealed in these worlds.
            Action::KeepKey { .. } => {}
            Action::Send { to, channel, bytes } => self.say(host, to, channel, bytes),
            Action::Gossip(bytes) => {
                self.meet(&bytes);
                for other in (0..self.hosts.len()).filter(|other| *other != host) {
                    self.send(host, other, &Event::Gossip { bytes: bytes.clone() });
                }
            }
            Action::Request { id, to, channel, bytes, within } => {
                self.ask(host, id, to, channel, bytes, Millis(within))
            }
            Action::Respond { id, bytes } => self.respond(host, id, bytes),
            Action::Turn { height, turn } => disk.turn(height, turn),
            Action::Install { height, state } => {
                disk.install(height, state);
                self.note(Some(host), format_args!("begins from a snapshot at {height}"));
            }
            Action::Evidence(book) => disk.evidence = book,
            Action::Prune { first } => disk.prune(first),
            Action::Serve { id, request } => {
                self.coverage.count("message", asked_for(&request));
                if let Some(answer) = grange_peer::serve(disk, &request) {
                    self.respond(host, id, answer);
                }
            }
            Action::Fetch { deployment, blobs, from } => self.fetch(host, deployment, &blobs, &from),
            Action::Retain(kept) => self.retain(host, &kept),
            Action::Start { work, from } => self.start_work(host, &work, &from),
            Action::Visit { lease, generation, provider, within, .. } => {
                self.visit(host, lease, generation, provider, Millis(within));
            }
            Action::Stop { lease } => self.stop_work(host, lease),
            Action::Strangers { lease, served } => {
                if let Some(running) = self.hosts[host].running.get_mut(&lease) {
                    running.refuses = !served;
                }
            }
            Action::Reply { call, reply } => self.replied(host, call, *reply),
            Action::Line { call, line, last: true } => self.deployed(host, call, end_of(*line)),
            Action::Line { .. } => {}
            Action::Note { event, purpose, reason } => {
                self.coverage.count("note", event);
                self.note(Some(host), format_args!("notes {event}: {purpose}: {reason}"));
            }
            Action::Halt(why) => self.halted(host, &why),
        }
    }

    fn halted(&mut self, host: usize, why: &grange_peer::Halt) {
        let what = format!("{} halted: {why}", self.hosts[host].name);
        self.checks.found(self.now, "halt", what);
    }

    /// Sends a message to one peer.
    pub(crate) fn say(&mut self, host: usize, to: PeerId, channel: Channel, bytes: Vec<u8>) {
        let Some(place) = self.places.get(&to).copied() else { return };
        match channel {
            Channel::Consensus => self.vote(host, &bytes),
            Channel::Transactions => self.coverage.count("message", "transactions"),
            Channel::Sync => self.coverage.count("message", "head"),
            Channel::Market | Channel::Steward => self.meet(&bytes),
        }
        let from = self.hosts[host].id();
        if self.sabotage == Some(Sabotage::VoteSentTwice) && place % 2 == 1 && channel == Channel::Consensus {
            self.lie_once(host, place, &bytes);
        }
        if self.loses_receipt(&bytes) {
            return;
        }
        self.send(host, place, &Event::Message { from, channel, bytes });
    }

    /// Looks at a word of consensus: what honest validators say is held against what they said before.
    fn vote(&mut self, host: usize, bytes: &[u8]) {
        // The same word goes to every validator; it is read once.
        if self.last_word.0 == host && self.last_word.1 == bytes {
            return;
        }
        self.last_word = (host, bytes.to_vec());
        let Ok(message) = Message::decode(bytes) else { return };
        self.coverage.count(
            "message",
            match message {
                Message::Vote(_) => "vote",
                Message::Proposal { .. } => "proposal",
                Message::Offer(_) => "offer",
                Message::Want { .. } => "want",
                Message::Body { .. } => "body",
                Message::Polka(_) => "polka",
                Message::Round(_) => "round",
                Message::Status { .. } => "status",
                Message::Begin { .. } => "begin",
            },
        );
        if self.hosts[host].villain.as_ref().is_none_or(|villain| !villain.votes_falsely()) {
            self.checks.said(self.now, self.hosts[host].id(), &message);
        }
    }

    /// Looks at a word of the market.
    fn meet(&mut self, bytes: &[u8]) {
        let Ok(message) = MarketMessage::decode(bytes) else { return };
        let kind = match message {
            MarketMessage::Sheet(_) => "sheet",
            MarketMessage::Delta(_) => "delta",
            MarketMessage::Counted(_) => "counted",
            MarketMessage::Receipt(receipt) => {
                self.checks.signed(self.now, &receipt);
                "receipt"
            }
            MarketMessage::Steward(_) => "steward",
            MarketMessage::Seen(_) => "seen",
        };
        self.coverage.count("message", kind);
    }

    /// The plant `vote-sent-twice`: some hear a vote for no block where the others heard one for a block.
    fn lie_once(&mut self, host: usize, to: usize, bytes: &[u8]) {
        use grange_consensus::{SignedVote, Vote};
        let Ok(Message::Vote(signed)) = Message::decode(bytes) else { return };
        let key = &self.hosts[host].config.key;
        if signed.vote.block.is_none() || signed.vote.validator != key.public().peer() || signed.vote.height.0 % 50 != 0
        {
            return;
        }
        let other = SignedVote::seal(self.network_id, key, Vote { block: None, ..signed.vote });
        let bytes = Message::Vote(other).encode();
        self.vote(host, &bytes);
        let from = self.hosts[host].id();
        self.send(host, to, &Event::Message { from, channel: Channel::Consensus, bytes });
    }

    /// The plants `receipt-ignored` and `credit-unlimited`: as if providers took none into their books.
    fn loses_receipts(&self) -> bool {
        matches!(self.sabotage, Some(Sabotage::ReceiptIgnored | Sabotage::CreditUnlimited))
    }

    fn loses_receipt(&self, bytes: &[u8]) -> bool {
        self.loses_receipts() && matches!(MarketMessage::decode(bytes), Ok(MarketMessage::Receipt(_)))
    }

    fn ask(&mut self, host: usize, id: RequestId, to: PeerId, channel: Channel, bytes: Vec<u8>, within: Millis) {
        let kind = match (channel, Ask::decode(&bytes)) {
            (Channel::Sync, _) => "sync",
            (_, Ok(Ask::Quote { .. })) => "quote",
            (_, Ok(Ask::Look)) => "look",
            (_, Ok(Ask::Cancel { .. })) => "cancel",
            _ => "probe",
        };
        self.coverage.count("message", kind);
        let Some(asked) = self.places.get(&to).copied() else { return };
        if kind == "quote" {
            self.checks.asked_for_quote(self.now, host, asked);
        }
        self.sequence += 1;
        let question = self.sequence;
        self.asked.insert(question, Question { asker: host, life: self.hosts[host].life, id, asked });
        let from = self.hosts[host].id();
        self.send(host, asked, &Event::Request { id: RequestId(question), from, channel, bytes });
        // A peer takes the first answer only.
        self.tell(host, within, Event::Response { id, answer: None });
    }

    fn respond(&mut self, host: usize, question: RequestId, bytes: Vec<u8>) {
        let Some(asked) = self.asked.get(&question.0) else { return };
        // A copy of a question is answered like the question, and the second answer is not heard.
        if asked.asked != host {
            return;
        }
        let (asker, life, id) = (asked.asker, asked.life, asked.id);
        self.asked.remove(&question.0);
        if self.hosts[asker].life == life {
            let answer = Some(self.strip(bytes));
            self.send(host, asker, &Event::Response { id, answer });
        }
    }

    fn strip(&self, bytes: Vec<u8>) -> Vec<u8> {
        match AskReply::decode(&bytes) {
            Ok(AskReply::Probe(mut reply)) if self.loses_receipts() => {
                reply.receipt = None;
                AskReply::Probe(reply).encode()
            }
            _ => bytes,
        }
    }

    /// Copies what another host has, if it can be reached now.
    fn copy(&mut self, host: usize, blob: BlobId, from: &[PeerId]) -> bool {
        if self.hosts[host].disk.blobs.contains_key(&blob) {
            return true;
        }
        let places = from.iter().filter_map(|peer| self.places.get(peer).copied());
        let near =
            places.filter(|place| *place != host && self.network.link(host, *place).up && self.reaches(host, *place));
        let found = near.filter_map(|place| self.hosts[place].disk.blobs.get(&blob)).next().cloned();
        let Some(bytes) = found else { return false };
        self.hosts[host].disk.blobs.insert(blob, bytes);
        true
    }

    fn fetch(&mut self, host: usize, deployment: DeploymentId, blobs: &[BlobId], from: &[PeerId]) {
        let (mut here, mut manifests) = (Vec::new(), Vec::new());
        for blob in blobs.iter().copied() {
            if !self.copy(host, blob, from) {
                continue;
            }
            here.push(blob);
            if let Some(bytes) = self.hosts[host].disk.blobs.get(&blob)
                && Manifest::decode(bytes).is_ok()
            {
                manifests.push((blob, bytes.clone()));
            }
        }
        let after = self.dice.work.span(Millis(2), Millis(80));
        self.tell(host, after, Event::Fetched { deployment, here, manifests });
    }

    fn retain(&mut self, host: usize, kept: &Kept) {
        let component = BlobId::of(COMPONENT);
        let wanted = |id: &BlobId| *id == component || kept.blobs.contains(id) || kept.sites.contains(id);
        self.hosts[host].disk.blobs.retain(|id, _| wanted(id));
    }

    fn start_work(&mut self, host: usize, work: &Work, from: &[PeerId]) {
        let lease = work.lease;
        let component = work.workload.blob();
        if !self.copy(host, component, from) {
            let reason = "nobody gives its component".to_owned();
            return self.tell(host, Millis(5), Event::Work { lease, event: WorkEvent::Failed { reason } });
        }
        let running = Running::new(self.now, work.clone());
        self.hosts[host].running.insert(lease, running);
        self.note(
            Some(host),
            format_args!("starts {} for lease {}, generation {}", work.name, lease.short(), work.generation),
        );
        let after = self.dice.work.span(Millis(10), Millis(600));
        let life = self.hosts[host].life;
        self.at(self.now.after(after), Happening::Serving { host, life, lease });
    }

    fn stop_work(&mut self, host: usize, lease: LeaseId) {
        if self.sabotage == Some(Sabotage::FenceIgnored) {
            return;
        }
        let (now, serves) = (self.now, self.hosts[host].serves());
        self.keeping.stopped(host, lease);
        if let Some(mut running) = self.hosts[host].running.remove(&lease) {
            self.checks.served(lease, running.serve(now, serves));
            self.note(Some(host), format_args!("stops lease {}", lease.short()));
        }
    }

    /// A replica is asked for a page by a payer.
    fn visit(&mut self, host: usize, lease: LeaseId, generation: u64, provider: PeerId, within: Millis) {
        let Some(place) = self.places.get(&provider).copied() else { return };
        let linked = place == host || (self.network.link(host, place).up && self.reaches(host, place));
        let target = &self.hosts[place];
        let runs = target.running.get(&lease).is_some_and(|run| run.serving && run.work.generation == generation);
        let late = target.frozen_until > self.now;
        let visit = match (linked && target.alive(), late) {
            (true, true) => Visit::Late,
            (true, false) if runs && target.serves() => Visit::Answered(200),
            _ => Visit::Failed { reason: "it does not answer".to_owned() },
        };
        let after = if visit == Visit::Late { within } else { self.dice.work.span(Millis(2), Millis(60)) };
        self.tell(host, after, Event::Visited { lease, visit });
    }

    /// What happens every second: workloads are counted, villains scheme, people are watched over.
    pub(crate) fn second(&mut self) {
        for host in 0..self.hosts.len() {
            if !self.hosts[host].alive() || self.hosts[host].frozen_until > self.now {
                continue;
            }
            self.count(host);
            self.scheme(host);
        }
        self.look_around();
    }

    fn count(&mut self, host: usize) {
        let (now, machine) = (self.now, &mut self.hosts[host]);
        let serves = machine.serves();
        let mut counted = Vec::new();
        for (lease, running) in machine.running.iter_mut().filter(|(_, running)| running.serving) {
            let span = running.serve(now, serves);
            counted.push((*lease, running.counters, span));
        }
        for (lease, truth, span) in counted {
            self.checks.served(lease, span);
            let said = self.hosts[host].villain.as_ref().map_or(truth, |villain| villain.counters(truth));
            self.tell(host, Millis(0), Event::Work { lease, event: WorkEvent::Counters(said) });
        }
    }

    fn scheme(&mut self, host: usize) {
        let Some(mut villain) = self.hosts[host].villain.take() else { return };
        let mut dice = core::mem::replace(&mut self.dice.villains, crate::dice::Dice::new(0, 0));
        let actions = match &self.hosts[host].peer {
            Some(peer) => villain.scheme(&self.me(host), peer, &mut dice),
            None => Vec::new(),
        };
        self.dice.villains = dice;
        self.hosts[host].villain = Some(villain);
        for action in actions {
            self.do_it(host, action);
        }
    }

    /// Holds a peer's ledger against the one chain, whenever it has moved.
    pub(crate) fn look_at_ledger(&mut self, host: usize) {
        if let Some(peer) = &self.hosts[host].peer {
            self.checks.look(self.now, host, peer.ledger());
        }
    }
}

const fn writes(action: &Action) -> bool {
    matches!(
        action,
        Action::WalAppend(_)
            | Action::WalFlush
            | Action::WalReset(_)
            | Action::Turn { .. }
            | Action::Commit { .. }
            | Action::Install { .. }
            | Action::Keep { .. }
            | Action::KeepKey { .. }
            | Action::Evidence(_)
    )
}

/// What is asked of a disk.
const fn asked_for(request: &SyncRequest) -> &'static str {
    match request {
        SyncRequest::Blocks { .. } => "ask-blocks",
        SyncRequest::Turns { .. } => "ask-turns",
        SyncRequest::Snapshot => "ask-snapshot",
        SyncRequest::Piece { .. } => "ask-piece",
        SyncRequest::Proofs { .. } => "ask-proofs",
    }
}

/// How a deployment came to its end.
fn end_of(line: Line) -> Result<Option<DeployDone>, Problem> {
    match line {
        Line::Done(done) => Ok(Some(done)),
        Line::Problem(problem) => Err(problem),
        _ => Ok(None),
    }
}

const fn name_of(action: &Action) -> &'static str {
    match action {
        Action::WalAppend(_) => "wal-append",
        Action::WalFlush => "wal-flush",
        Action::WalReset(_) => "wal-reset",
        Action::Commit { .. } => "commit",
        Action::Snapshot { .. } => "snapshot",
        Action::Send { .. } => "send",
        Action::Request { .. } => "request",
        Action::Respond { .. } => "respond",
        Action::Turn { .. } => "turn",
        Action::Install { .. } => "install",
        Action::Prune { .. } => "prune",
        Action::Evidence(_) => "evidence",
        Action::Serve { .. } => "serve",
        Action::Gossip(_) => "gossip",
        Action::Keep { .. } => "keep",
        Action::KeepKey { .. } => "keep-key",
        Action::Fetch { .. } => "fetch",
        Action::Retain(_) => "retain",
        Action::Start { .. } => "start",
        Action::Visit { .. } => "visit",
        Action::Stop { .. } => "stop",
        Action::Strangers { .. } => "strangers",
        Action::Reply { .. } => "reply",
        Action::Line { .. } => "line",
        Action::Note { .. } => "note",
        Action::Halt(_) => "halt",
    }
}
