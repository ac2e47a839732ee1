//! A node that keeps no ledger: it follows headers, and answers what it can have proven to it.
//!
//! # Rules
//! - Upon a question: the entries that answer it are asked of one linked peer at a time, under one header. A header that its
//!   validators did not decide, or an entry that the header's state does not have, is as good as no answer: the next peer is
//!   asked, and that one not again for a while.
//! - Headers do not go back: one below the newest that was believed is no answer either. How old the newest is can be seen in
//!   the status; a peer can keep new blocks from a reader, never show it false ones.
//! - Upon a transaction: it is signed here, given to every peer, and answered when a decided block holds it: the blocks since
//!   then are fetched and each held against its certificate.
//! - Everything else is refused, with the remedy to ask a node that keeps the ledger.

use std::collections::{BTreeMap, BTreeSet};

use grange_api::{Call, Reply, Submitted};
use grange_consensus::Certificate;
use grange_ledger::{Action as Deed, Block, BlockHeader, HeaderProof, StateKey, Transaction};
use grange_types::{AccountId, BlobId, BlockId, Height, Millis, PeerId, Signed, Time, TxId, Wire};

use super::answer::{self, Known};
use super::{Sealed, Trust};
use crate::action::{Action, RequestId};
use crate::config::Config;
use crate::context::{Asked, Context};
use crate::event::{Asker, CallId, Event};
use crate::message::{Batch, Channel, Head, Proofs, SyncReply, SyncRequest, Turns};
use crate::routes::RouteTable;
use crate::sync::reached;

/// A proof waits for the next block, which an idle network makes every few seconds.
const PROOF_WITHIN: u64 = 8_000;
/// A page of blocks may be two megabytes.
const PAGE_WITHIN: u64 = 10_000;
/// A user waits no longer for an answer.
const ANSWER_WITHIN: Millis = Millis::seconds(20);
/// Nor for a transaction to be in a block.
const FINAL_WITHIN: Millis = Millis::seconds(30);
/// Between two looks at the newest header.
const LOOK_EVERY: Millis = Millis::seconds(5);
/// Between two looks for a transaction in new blocks.
const SEEK_EVERY: Millis = Millis(500);
/// Who shows so often what unknown validators decided, and does not show how they came to it, shows what does not hold.
const DOUBTS: u32 = 8;
/// For how long who showed what does not hold is not asked.
const TIRED: Millis = Millis::seconds(30);
/// A newest header that is older than this is said to be old.
const OLD: Millis = Millis::seconds(30);

/// What a user waits for.
#[derive(Debug)]
struct Pending {
    call: Call,
    until: Time,
    /// Peers that were asked for it.
    asked: BTreeSet<PeerId>,
    sent: Option<Sent>,
    /// The header that answers it but for the time, which the block before it has.
    under: Option<BlockHeader>,
}

/// A transaction on its way into a block.
#[derive(Debug)]
struct Sent {
    id: TxId,
    /// The next block to look at.
    from: Height,
    /// When to look again.
    next: Time,
}

/// A node without a state.
pub struct Reader {
    ctx: Context,
    display: String,
    network_name: String,
    trust: Trust,
    newest: Option<BlockHeader>,
    /// Peers that keep the ledger, and how far they are by their own word.
    heads: BTreeMap<PeerId, Height>,
    tired: BTreeMap<PeerId, Time>,
    /// How often each peer showed what validators decided that are not known, since more of them became known.
    doubted: BTreeMap<PeerId, u32>,
    pending: BTreeMap<CallId, Pending>,
    next_look: Time,
}

impl Reader {
    /// A reader that knows the genesis. Nothing happens before it is linked.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let network = config.genesis.network_id();
        Self {
            ctx: Context::new(config.key, network, config.gateway_port, config.seed),
            display: config.display,
            trust: Trust::from_genesis(&config.genesis),
            network_name: config.genesis.name,
            newest: None,
            heads: BTreeMap::new(),
            tired: BTreeMap::new(),
            doubted: BTreeMap::new(),
            pending: BTreeMap::new(),
            next_look: Time(0),
        }
    }

    /// The account that the node acts for: its own key's.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.ctx.account
    }

    /// The world speaks.
    pub fn handle(&mut self, now: Time, event: Event) {
        self.ctx.now = self.ctx.now.max(now);
        match event {
            Event::Connected(peer) => drop(self.ctx.linked.insert(peer)),
            Event::Disconnected(peer) => {
                self.ctx.linked.remove(&peer);
                self.heads.remove(&peer);
                self.doubted.remove(&peer);
            }
            Event::Message { from, channel: Channel::Sync, bytes } => {
                if let Ok(head) = Head::decode(&bytes) {
                    self.heads.insert(from, head.height);
                }
            }
            Event::Message { from, channel: Channel::Consensus, bytes } => {
                if let Some(height) = reached(&bytes) {
                    self.heads.insert(from, height);
                }
            }
            Event::Response { id, answer } => self.response(id, answer.as_deref()),
            Event::Call { id, asker, call } => self.call(id, &asker, *call),
            // It sells nothing, votes on nothing and is a steward of nothing: nobody waits for its answer.
            _ => {}
        }
        self.tick();
    }

    /// What to do next; call until there is nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.ctx.pop()
    }

    /// When to call [`Reader::handle`] with [`Event::Tick`] if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let seeks = self.pending.values().filter_map(|pending| pending.sent.as_ref().map(|sent| sent.next));
        let ends = self.pending.values().map(|pending| pending.until);
        seeks.chain(ends).chain([self.next_look]).min()
    }

    /// Where its gateway sends requests: it has none.
    #[must_use]
    pub fn routes(&self) -> RouteTable {
        RouteTable::default()
    }

    /// Numbers for the metrics page: (name, value).
    #[must_use]
    pub fn metrics(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("grange_ledger_height", self.newest.as_ref().map_or(0, |header| header.height.0)),
            ("grange_peers_linked", self.ctx.linked.len() as u64),
            ("grange_light_peers_refused", self.tired.len() as u64),
        ]
    }

    /// The peers that are linked, with the beginnings of their keys for names.
    #[must_use]
    pub fn linked(&self) -> Vec<(PeerId, String)> {
        self.ctx.linked.iter().map(|peer| (*peer, peer.short())).collect()
    }

    /// Why the node is not ready, if it is not.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let Some(newest) = &self.newest else {
            return Some("no header has been proven yet: this node keeps no ledger and asks linked peers".to_owned());
        };
        let age = self.ctx.now.since(newest.time);
        (age > OLD).then(|| format!("the newest proven header is {} s old", age.0 / 1_000))
    }

    fn tick(&mut self) {
        let now = self.ctx.now;
        self.tired.retain(|_, until| *until > now);
        if now >= self.next_look && !self.heads.is_empty() {
            self.next_look = now.after(LOOK_EVERY);
            self.ask(None, &BTreeSet::new());
        }
        let late: Vec<CallId> = self.pending.iter().filter(|(_, wait)| wait.until <= now).map(|(id, _)| *id).collect();
        for id in late {
            let Some(pending) = self.pending.remove(&id) else { continue };
            let reply = match &pending.under {
                Some(header) => Ok(Reply::LedgerHeight(answer::height(header, None))),
                None => Err(answer::late(&pending.call, self.ctx.me, pending.sent.is_some())),
            };
            self.ctx.reply(id, reply);
        }
        self.seek();
    }

    /// Asks a peer for the entries that answer a call, or for the newest header alone; `false` where nobody is left.
    fn ask(&mut self, call: Option<CallId>, but: &BTreeSet<PeerId>) -> bool {
        let fresh = |peer: &&PeerId| !but.contains(*peer) && !self.tired.contains_key(*peer);
        let best = self.heads.iter().filter(|(peer, _)| fresh(peer)).max_by_key(|(_, height)| **height);
        let Some(peer) = best.map(|(peer, _)| *peer) else { return false };
        let known = Known::default();
        let keys = call
            .and_then(|id| self.pending.get(&id))
            .map_or_else(Vec::new, |wait| answer::keys(&wait.call, self.ctx.account, &known));
        self.ask_of(peer, call, keys);
        true
    }

    fn ask_of(&mut self, peer: PeerId, call: Option<CallId>, keys: Vec<StateKey>) {
        if let Some(pending) = call.and_then(|id| self.pending.get_mut(&id)) {
            pending.asked.insert(peer);
        }
        let request = SyncRequest::Proofs { keys: keys.clone() };
        self.ctx.ask(peer, Channel::Sync, &request, PROOF_WITHIN, Asked::Proofs { call, keys });
    }

    fn response(&mut self, id: RequestId, answer: Option<&[u8]>) {
        let Some((from, asked)) = self.ctx.answered(id) else { return };
        match asked {
            Asked::Proofs { call, keys } => self.proofs(from, call, &keys, answer),
            Asked::Turns => self.turns(from, answer),
            Asked::Seek { call } => self.found(from, call, answer),
            Asked::Parent { call } => self.dated(call, answer),
            _ => {}
        }
    }

    /// Entries came under a header, or nothing.
    fn proofs(&mut self, from: PeerId, call: Option<CallId>, keys: &[StateKey], answer: Option<&[u8]>) {
        match answer.map(|bytes| self.believe(keys, bytes)) {
            Some(Ok((header, known))) => {
                self.newest = Some(header.clone());
                if self.trust.turns(&header) {
                    self.ask_turns(from);
                }
                if let Some(id) = call {
                    self.known(from, id, &header, &known);
                }
            }
            // Others may decide by now: who decides is learnt first, then the question is asked again.
            Some(Err(Doubt::Validators)) if !self.tired.contains_key(&from) && self.may_doubt(from) => {
                self.ask_turns(from);
                self.again(call);
            }
            _ => {
                self.refuse(from, call.is_some());
                self.again(call);
            }
        }
    }

    /// Holds an answer against what is known.
    fn believe(&self, keys: &[StateKey], bytes: &[u8]) -> Result<(BlockHeader, Known), Doubt> {
        let Proofs { sealed, shown } = Proofs::decode(bytes).map_err(|_| Doubt::False)?;
        let header = self.trust.check(&sealed).map_err(|_| Doubt::Validators)?;
        let older = self.newest.as_ref().is_some_and(|newest| header.height < newest.height);
        if older || shown.len() != keys.len() {
            return Err(Doubt::False);
        }
        let mut known = Known::default();
        for (key, shown) in keys.iter().zip(shown) {
            shown.check(header, key).map_err(|_| Doubt::False)?;
            known.insert(key.clone(), shown.entry);
        }
        Ok((header.clone(), known))
    }

    /// What answers a call is proven, or what leads to it.
    fn known(&mut self, from: PeerId, id: CallId, header: &BlockHeader, known: &Known) {
        let Some(pending) = self.pending.get(&id) else { return };
        let keys = answer::keys(&pending.call, self.ctx.account, known);
        if keys.iter().any(|key| !known.contains_key(key)) {
            // All under one header, so that what is answered was true at one time.
            return self.ask_of(from, Some(id), keys);
        }
        // Before the first block there is none that could have a time.
        if pending.call == Call::LedgerHeight && header.height > Height(1) {
            return self.ask_parent(from, id, header);
        }
        let facts = answer::Facts { ctx: &self.ctx, network: &self.network_name, header, known };
        let reply = facts.answer(&pending.call);
        self.pending.remove(&id);
        self.ctx.reply(id, reply);
    }

    /// Asks for the block after which the state was as a header says: the header names it, and it has its time.
    fn ask_parent(&mut self, from: PeerId, id: CallId, header: &BlockHeader) {
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.under = Some(header.clone());
        }
        let request = SyncRequest::Blocks { from: answer::before(header) };
        self.ctx.ask(from, Channel::Sync, &request, PAGE_WITHIN, Asked::Parent { call: id });
    }

    /// The block came, or not, as it does not in time either: then the answer is without its time, and proven all the same.
    fn dated(&mut self, id: CallId, answer: Option<&[u8]>) {
        let Some(header) = self.pending.remove(&id).and_then(|pending| pending.under) else { return };
        let blocks = answer.and_then(|bytes| SyncReply::decode(bytes).ok()).map_or_else(Vec::new, |page| page.blocks);
        // A block that has the id that the header names is the block before it, whoever brings it.
        let is_parent = |bytes: &[u8]| BlockId(*BlobId::of(bytes).as_bytes()) == header.parent;
        let parent = blocks.iter().find(|(bytes, _)| is_parent(bytes)).and_then(|(bytes, _)| Block::decode(bytes).ok());
        let time = parent.map(|parent| parent.header.time);
        self.ctx.reply(id, Ok(Reply::LedgerHeight(answer::height(&header, time))));
    }

    /// Asks another peer, if one is left.
    fn again(&mut self, call: Option<CallId>) {
        let Some(id) = call else { return };
        let Some(asked) = self.pending.get(&id).map(|pending| pending.asked.clone()) else { return };
        if !self.ask(call, &asked) && !self.ask(call, &BTreeSet::new()) {
            let Some(pending) = self.pending.remove(&id) else { return };
            self.ctx.reply(id, Err(answer::nobody(&pending.call, self.ctx.me)));
        }
    }

    /// Whether it may still be that a peer is ahead of what is known here.
    fn may_doubt(&mut self, from: PeerId) -> bool {
        let doubts = self.doubted.entry(from).or_default();
        *doubts += 1;
        *doubts <= DOUBTS
    }

    fn refuse(&mut self, from: PeerId, noisy: bool) {
        self.doubted.remove(&from);
        self.tired.insert(from, self.ctx.now.after(TIRED));
        if noisy {
            let reason = format!("peer {} did not prove what it was asked for", from.short());
            self.ctx.push(Action::Note { event: "light.unproven", purpose: "proofs".into(), reason });
        }
    }

    fn ask_turns(&mut self, peer: PeerId) {
        let request = SyncRequest::Turns { above: self.trust.height() };
        self.ctx.ask(peer, Channel::Sync, &request, PAGE_WITHIN, Asked::Turns);
    }

    fn turns(&mut self, from: PeerId, answer: Option<&[u8]>) {
        let Some(Ok(Turns { turns })) = answer.map(Turns::decode) else { return self.refuse(from, false) };
        let before = self.trust.height();
        for turn in turns.iter().filter(|turn| turn.height() > self.trust.height()).collect::<Vec<_>>() {
            if self.trust.follow(turn).is_err() {
                return self.refuse(from, true);
            }
        }
        // An answer that brought nothing new is the last one: else whoever tells one old turn for ever is asked for ever.
        if self.trust.height() > before {
            self.doubted.clear();
            self.ask_turns(from);
        }
    }

    fn call(&mut self, id: CallId, asker: &Asker, call: Call) {
        if let Some(problem) = answer::unproven(&call, asker) {
            return self.ctx.reply(id, Err(problem));
        }
        match call {
            Call::Status => {
                let status = answer::status(&self.ctx, &self.display, self.newest.as_ref(), self.reason());
                self.ctx.reply(id, Ok(Reply::Status(status)));
            }
            Call::Transfer(request) => {
                let deed = Deed::Transfer { to: request.to, amount: request.amount, memo: request.memo.clone() };
                let transaction = self.signed(deed);
                self.send(id, Call::Transfer(request), transaction);
            }
            Call::SubmitTransaction { ref bytes } => match Signed::<Transaction>::decode(bytes) {
                Ok(transaction) => self.send(id, call, transaction),
                Err(error) => self.ctx.reply(id, Err(crate::problem::undecodable("submit", error))),
            },
            call if answer::is_answered(&call) => {
                let until = self.ctx.now.after(ANSWER_WITHIN);
                self.pending.insert(id, Pending { call, until, asked: BTreeSet::new(), sent: None, under: None });
                if !self.ask(Some(id), &BTreeSet::new())
                    && let Some(pending) = self.pending.remove(&id)
                {
                    self.ctx.reply(id, Err(answer::nobody(&pending.call, self.ctx.me)));
                }
            }
            call => self.ctx.reply(id, Err(answer::light(&call, self.ctx.me))),
        }
    }

    /// A deed of our own account, signed.
    fn signed(&mut self, action: Deed) -> Signed<Transaction> {
        let expires = self.ctx.now.after(FINAL_WITHIN);
        let body = Transaction { account: self.ctx.account, nonce: self.ctx.number(), action };
        Signed::seal(self.ctx.network, &self.ctx.key, expires, body)
    }

    /// Gives a transaction to every peer and looks for it in the blocks that follow.
    fn send(&mut self, id: CallId, call: Call, transaction: Signed<Transaction>) {
        let Some(newest) = self.newest.as_ref().map(|header| header.height) else {
            return self.ctx.reply(id, Err(answer::nobody(&call, self.ctx.me)));
        };
        let now = self.ctx.now;
        // The newest header may be some seconds old: a transaction cannot stand in a block before it was signed.
        let sent = Sent { id: transaction.id(), from: newest.next(), next: now.after(SEEK_EVERY) };
        let batch = Batch { transactions: vec![transaction] };
        for peer in self.heads.keys().copied().collect::<Vec<_>>() {
            self.ctx.send(peer, Channel::Transactions, &batch);
        }
        let until = now.after(FINAL_WITHIN);
        self.pending.insert(id, Pending { call, until, asked: BTreeSet::new(), sent: Some(sent), under: None });
    }

    /// Asks for the blocks in which transactions may be by now.
    fn seek(&mut self) {
        let now = self.ctx.now;
        let mut questions = Vec::new();
        for (id, pending) in &mut self.pending {
            if let Some(sent) = pending.sent.as_mut().filter(|sent| sent.next <= now) {
                sent.next = now.after(SEEK_EVERY);
                questions.push((*id, sent.from));
            }
        }
        let fresh = |peer: &&PeerId| !self.tired.contains_key(*peer);
        let best = self.heads.iter().filter(|(peer, _)| fresh(peer)).max_by_key(|(_, height)| **height);
        let Some(peer) = best.map(|(peer, _)| *peer) else { return };
        for (call, from) in questions {
            let request = SyncRequest::Blocks { from };
            self.ctx.ask(peer, Channel::Sync, &request, PAGE_WITHIN, Asked::Seek { call });
        }
    }

    /// Blocks came in which a transaction may be.
    fn found(&mut self, from: PeerId, call: CallId, answer: Option<&[u8]>) {
        let Some(Ok(SyncReply { blocks })) = answer.map(SyncReply::decode) else { return };
        for (block, certificate) in blocks {
            let Some(sent) = self.pending.get_mut(&call).and_then(|pending| pending.sent.as_mut()) else { return };
            let Some((block, header)) = decided(&self.trust, &block, &certificate) else {
                // Either a lie, or others decide by now.
                return self.ask_turns(from);
            };
            if header.height != sent.from {
                continue;
            }
            sent.from = sent.from.next();
            let id = sent.id;
            if self.newest.as_ref().is_none_or(|newest| newest.height < header.height) {
                self.newest = Some(header.clone());
            }
            if block.transactions.iter().any(|transaction| transaction.id() == id) {
                self.pending.remove(&call);
                let height = header.height;
                return self.ctx.reply(call, Ok(Reply::Submitted(Submitted { transaction: id, height })));
            }
            if self.trust.turns(&header) {
                return self.ask_turns(from);
            }
        }
    }
}

/// Why an answer is none.
enum Doubt {
    /// The validators that are known have not signed it.
    Validators,
    /// It does not hold.
    False,
}

/// A block whose certificate holds, with its header.
fn decided(trust: &Trust, bytes: &[u8], certificate: &[u8]) -> Option<(Block, BlockHeader)> {
    let block = Block::decode(bytes).ok()?;
    let certificate = Certificate::decode(certificate).ok()?;
    // A block that encodes to these bytes has this id: no proof of its header is needed.
    let id = BlockId(*BlobId::of(bytes).as_bytes());
    if certificate.block != id {
        return None;
    }
    let sealed = Sealed { header: HeaderProof::of(&block), certificate };
    let header = trust.check(&sealed).ok()?.clone();
    Some((block, header))
}
