//! Catching up: ask a peer for the blocks we lack, and another when it takes its time, until nobody linked has more.

use std::collections::BTreeMap;

use grange_consensus::{Message, ValidatorSet};
use grange_types::{Height, Millis, PeerId, Time, Wire};

use crate::action::Action;
use crate::context::{Asked, Context};
use crate::join::{Join, Step};
use crate::message::{Channel, Head, SyncReply, SyncRequest};
use crate::spine::Spine;

/// A page of blocks may be two megabytes over a slow line.
const PAGE_WITHIN: u64 = 10_000;

/// Who has not answered for so long is not waited for any more: another is asked beside it.
const PATIENCE: Millis = Millis(1_000);

/// Peers asked at the same time.
const ASKED: usize = 3;

/// For how long a peer that broke its word is not asked.
const TIRED: Millis = Millis::seconds(30);

/// Who has what, and whom we are asking.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    heads: BTreeMap<PeerId, Height>,
    /// The highest of them: whether anybody has more than we is asked at every event, and there may be a thousand.
    highest: Height,
    /// The first block that we have, as linked peers were told.
    first: Option<Height>,
    /// Peers that have let go of blocks, and the first that they have.
    pruned: BTreeMap<PeerId, Height>,
    join: Join,
    /// Whom we ask: since when, and for which height first.
    asking: BTreeMap<PeerId, (Time, Height)>,
    /// Peers that did not have what they promised, and until when they are not asked.
    tired: BTreeMap<PeerId, Time>,
}

/// The longest status: its kind, and a height as a varint. Whatever is longer is another word, and not read twice.
const STATUS_BYTES: usize = 11;

/// How far its sender's chain reaches by a word of consensus, if that is what it says.
pub(crate) fn reached(bytes: &[u8]) -> Option<Height> {
    let short = bytes.len() <= STATUS_BYTES;
    match short.then(|| Message::decode(bytes))? {
        Ok(Message::Status { height }) => Some(Height(height.0.saturating_sub(1))),
        _ => None,
    }
}

impl Sync {
    pub(crate) fn connected(&mut self, ctx: &mut Context, spine: &Spine, peer: PeerId) {
        let head = spine.head();
        self.first.get_or_insert(head.first);
        ctx.send(peer, Channel::Sync, &head);
    }

    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        if self.heads.remove(&peer) == Some(self.highest) {
            self.highest = self.heads.values().copied().max().unwrap_or_default();
        }
        self.pruned.remove(&peer);
        self.asking.remove(&peer);
        self.join.disconnected(peer);
    }

    /// A peer says which blocks it has.
    pub(crate) fn heard(&mut self, from: PeerId, head: Head) {
        self.head(from, head.height);
        if head.first > Height(1) {
            self.pruned.insert(from, head.first);
        }
    }

    fn head(&mut self, from: PeerId, height: Height) {
        let known = self.heads.entry(from).or_default();
        *known = height.max(*known);
        self.highest = self.highest.max(height);
    }

    /// A word of consensus may say how far its sender's chain reaches.
    pub(crate) fn overheard(&mut self, from: PeerId, bytes: &[u8]) {
        if let Some(height) = reached(bytes) {
            self.head(from, height);
        }
    }

    /// Tells everybody when blocks are gone from here. That there is a new one, consensus tells those who do not vote.
    pub(crate) fn committed(&mut self, ctx: &mut Context, spine: &Spine) {
        let head = spine.head();
        let told = self.first.replace(head.first);
        if told.is_none_or(|told| told == head.first) {
            return;
        }
        for peer in ctx.linked.clone() {
            ctx.send(peer, Channel::Sync, &head);
        }
    }

    /// Whether more validators than may lie have told how far they are, and we are there.
    pub(crate) fn is_level(&self, validators: &ValidatorSet, ours: Height) -> bool {
        let heard = validators.iter().filter(|validator| self.heads.contains_key(&validator.peer));
        let told: u64 = heard.map(|validator| validator.power).sum();
        told * 3 > validators.total() && self.behind(validators, ours) == 0
    }

    /// How many blocks are missing here, by the word of more validators than may lie.
    pub(crate) fn behind(&self, validators: &ValidatorSet, ours: Height) -> u64 {
        let mut heads: Vec<(u64, u64)> = validators
            .iter()
            .filter_map(|validator| Some((self.heads.get(&validator.peer)?.0, validator.power)))
            .collect();
        heads.sort_unstable_by(|left, right| right.cmp(left));
        let mut power = 0;
        let enough = |(head, weight): (u64, u64)| {
            power += weight;
            (power * 3 > validators.total()).then_some(head)
        };
        heads.into_iter().find_map(enough).map_or(0, |head| head.saturating_sub(ours.0))
    }

    /// Asks the peer with the longest chain for what follows ours, unless one that was asked may still answer soon.
    pub(crate) fn pursue(&mut self, ctx: &mut Context, spine: &mut Spine) {
        for (peer, height) in spine.ahead.drain(..).collect::<Vec<_>>() {
            // Whoever decides a height holds the one before it.
            self.head(peer, Height(height.0.saturating_sub(1)));
        }
        if spine.outdated().is_some() {
            return;
        }
        let ours = spine.ledger.height();
        if self.highest <= ours || self.join.is_under_way() {
            return;
        }
        let waits = self.asking.values().any(|(since, _)| ctx.now.since(*since) < PATIENCE);
        if waits || self.asking.len() >= ASKED {
            return;
        }
        self.tired.retain(|_, until| *until > ctx.now);
        // Nobody is asked in a tight circle, also who alone says that it has more.
        let rested = ctx.now.after(Millis(TIRED.0 - PATIENCE.0));
        let may = |peer: &PeerId| {
            let rested = self.tired.get(peer).is_none_or(|until| *until <= rested);
            rested && ctx.linked.contains(peer) && !self.asking.contains_key(peer)
        };
        let more = self.heads.iter().filter(|(peer, height)| **height > ours && may(peer));
        // Who broke its word is asked again only when nobody else has more.
        let gone = |peer: &PeerId| self.pruned.get(peer).is_some_and(|first| *first > ours.next());
        let best = more.max_by_key(|(peer, height)| (!self.tired.contains_key(peer), !gone(peer), **height));
        if let Some((&peer, &theirs)) = best {
            let gone = gone(&peer);
            let far = ours == Height::GENESIS && theirs.0 > spine.far();
            if gone || far {
                return self.join.begin(ctx, spine, peer);
            }
            self.asking.insert(peer, (ctx.now, ours.next()));
            ctx.ask(peer, Channel::Sync, &SyncRequest::Blocks { from: ours.next() }, PAGE_WITHIN, Asked::Sync);
        }
    }

    /// An answer on the way to a snapshot.
    pub(crate) fn joined(
        &mut self,
        ctx: &mut Context,
        spine: &mut Spine,
        (from, asked): (PeerId, &Asked),
        answer: Option<Vec<u8>>,
    ) {
        let step = match asked {
            Asked::Offer => self.join.offer(ctx, spine, from, answer),
            Asked::Piece { index } => self.join.piece(ctx, spine, (from, *index), answer),
            _ => self.join.turns(ctx, from, answer),
        };
        if step == Step::Broken {
            let reason = format!("{asked:?} of peer {} came to nothing", from.short());
            ctx.push(Action::Note { event: "sync.snapshot_refused", purpose: "begin from a snapshot".into(), reason });
            self.tired.insert(from, ctx.now.after(TIRED));
        }
    }

    pub(crate) fn answered(&mut self, ctx: &mut Context, spine: &mut Spine, from: PeerId, answer: Option<Vec<u8>>) {
        // A question that went down with its link says nothing of the peer.
        let Some((_, wanted)) = self.asking.remove(&from) else { return };
        let honest = match answer.map(|bytes| SyncReply::decode(&bytes)) {
            Some(Ok(reply)) => spine.adopt(ctx, reply.blocks),
            _ => false,
        };
        if !honest || spine.ledger.height() < wanted {
            // It does not have what it promised, or keeps it; others are asked first, however much it promises again.
            self.tired.insert(from, ctx.now.after(TIRED));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_any_height_is_read_and_nothing_else_is() {
        for height in [1, 127, 1 << 40, u64::MAX] {
            let status = Message::Status { height: Height(height) }.encode();
            assert_eq!(reached(&status), Some(Height(height - 1)));
        }
        assert_eq!(reached(&Message::Begin { height: Height(7) }.encode()), None);
        assert_eq!(reached(&[]), None);
    }
}
