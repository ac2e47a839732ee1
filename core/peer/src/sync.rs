//! Catching up: ask one peer at a time for the blocks we lack, until nobody linked has more.

use std::collections::BTreeMap;

use grange_types::{Height, PeerId, Wire};

use crate::context::{Asked, Context};
use crate::message::{Channel, Head, SyncReply, SyncRequest};
use crate::spine::Spine;

/// A page of blocks may be two megabytes over a slow line.
const PAGE_WITHIN: u64 = 10_000;

/// Who has what, and whom we are asking.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    heads: BTreeMap<PeerId, Height>,
    asking: Option<PeerId>,
}

impl Sync {
    pub(crate) fn connected(&self, ctx: &mut Context, spine: &Spine, peer: PeerId) {
        ctx.send(peer, Channel::Sync, &Head { height: spine.ledger.height() });
    }

    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        self.heads.remove(&peer);
        if self.asking == Some(peer) {
            self.asking = None;
        }
    }

    pub(crate) fn head(&mut self, from: PeerId, height: Height) {
        let known = self.heads.entry(from).or_default();
        *known = height.max(*known);
    }

    /// Tells those who do not vote, and so hear nothing of consensus, that there is a new block.
    pub(crate) fn committed(&self, ctx: &mut Context, spine: &Spine) {
        let validators = spine.validators();
        let head = Head { height: spine.ledger.height() };
        if !validators.contains(ctx.me) {
            return;
        }
        for peer in ctx.linked.clone().into_iter().filter(|peer| !validators.contains(*peer)) {
            ctx.send(peer, Channel::Sync, &head);
        }
    }

    /// Asks the peer with the longest chain for what follows ours, unless we are asking already.
    pub(crate) fn pursue(&mut self, ctx: &mut Context, spine: &mut Spine) {
        for (peer, height) in spine.ahead.drain(..).collect::<Vec<_>>() {
            // Whoever decides a height holds the one before it.
            self.head(peer, Height(height.0.saturating_sub(1)));
        }
        if self.asking.is_some() {
            return;
        }
        let ours = spine.ledger.height();
        let best = self.heads.iter().filter(|(peer, _)| ctx.linked.contains(peer)).max_by_key(|(_, height)| **height);
        let Some((&peer, &height)) = best else { return };
        if height > ours {
            self.asking = Some(peer);
            ctx.ask(peer, Channel::Sync, &SyncRequest { from: ours.next() }, PAGE_WITHIN, Asked::Sync);
        }
    }

    pub(crate) fn answered(&mut self, ctx: &mut Context, spine: &mut Spine, from: PeerId, answer: Option<Vec<u8>>) {
        self.asking = None;
        let before = spine.ledger.height();
        let honest = match answer.map(|bytes| SyncReply::decode(&bytes)) {
            Some(Ok(reply)) => spine.adopt(ctx, reply.blocks),
            _ => false,
        };
        if !honest || spine.ledger.height() == before {
            // It does not have what it promised; whoever does will say so again.
            self.heads.remove(&from);
        }
    }
}
