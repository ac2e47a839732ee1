//! Beginning from a snapshot: for a node without a past that is far behind, and for one whose next block nobody keeps.
//!
//! # Rules
//! - First the changes of the validators since the genesis, or since our own last block, each under the certificate of
//!   those before it; then the offer of a snapshot, whose state root stands in a header under a certificate of theirs; then
//!   its pieces. A state that has another root than that header is thrown away whole.
//! - One peer is asked at a time. Who does not answer, or shows what does not hold, is not asked again for a while.
//! - What came to our own account and went before the snapshot is not known here: the history begins with what it held.

use grange_ledger::{HeaderProof, Ledger};
use grange_types::{Height, PeerId, Wire};

use crate::archive::PIECES;
use crate::context::{Asked, Context};
use crate::light::{Sealed, Trust, Turn};
use crate::message::{Channel, Piece, SnapshotOffer, SyncRequest, Turns};
use crate::spine::Spine;

/// A page or a piece may be two megabytes over a slow line.
const WITHIN: u64 = 10_000;
/// Pieces asked for at the same time.
const AHEAD: u32 = 4;

/// What is asked of whom.
#[derive(Debug, Default)]
pub(crate) struct Join {
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    from: PeerId,
    /// Before any turn.
    begin: Trust,
    trust: Trust,
    turns: Vec<Turn>,
    offer: Option<Offer>,
}

/// A snapshot that is on its way.
#[derive(Debug)]
struct Offer {
    last: HeaderProof,
    next: Sealed,
    pieces: Vec<Option<Vec<u8>>>,
    asked: u32,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It goes on.
    On,
    /// The state has been replaced.
    Done,
    /// What was shown does not hold, or nothing came.
    Broken,
}

impl Join {
    /// Whether it goes on.
    pub(crate) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Begins with one peer.
    pub(crate) fn begin(&mut self, ctx: &mut Context, spine: &Spine, from: PeerId) {
        let trust = Trust::at(&spine.ledger);
        let turns = SyncRequest::Turns { above: trust.height() };
        self.under_way = Some(UnderWay { from, begin: trust.clone(), trust, turns: Vec::new(), offer: None });
        ctx.ask(from, Channel::Sync, &turns, WITHIN, Asked::Turns);
    }

    /// A peer is gone; what it was asked is not answered any more.
    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        self.under_way.take_if(|under_way| under_way.from == peer);
    }

    /// A page of turns came, or nothing.
    pub(crate) fn turns(&mut self, ctx: &mut Context, from: PeerId, answer: Option<Vec<u8>>) -> Step {
        let Some(under_way) = self.under_way.as_mut().filter(|under_way| under_way.from == from) else {
            return Step::On;
        };
        let Some(Ok(Turns { turns })) = answer.map(|bytes| Turns::decode(&bytes)) else { return self.give_up() };
        if turns.is_empty() {
            ctx.ask(from, Channel::Sync, &SyncRequest::Snapshot, WITHIN, Asked::Offer);
            return Step::On;
        }
        for turn in turns {
            if under_way.trust.follow(&turn).is_err() {
                return self.give_up();
            }
            under_way.turns.push(turn);
        }
        let request = SyncRequest::Turns { above: under_way.trust.height() };
        ctx.ask(from, Channel::Sync, &request, WITHIN, Asked::Turns);
        Step::On
    }

    /// An offer came, or nothing.
    pub(crate) fn offer(&mut self, ctx: &mut Context, spine: &Spine, from: PeerId, answer: Option<Vec<u8>>) -> Step {
        let Some(under_way) = self.under_way.as_mut().filter(|under_way| under_way.from == from) else {
            return Step::On;
        };
        let offer = answer.and_then(|bytes| SnapshotOffer::decode(&bytes).ok()).and_then(|reply| reply.offer);
        let Some((last, next, count)) = offer.map(|offer| *offer) else { return self.give_up() };
        let (before, after) = (&last.header, &next.header.header);
        // The snapshot may be older than the last turns: its header is under the validators of its own time.
        let mut trust = under_way.begin.clone();
        let then = under_way.turns.iter().take_while(|turn| turn.height() < after.height);
        let followed = then.into_iter().all(|turn| trust.follow(turn).is_ok());
        let follows = followed
            && trust.check(&next).is_ok()
            && after.height == before.height.next()
            && last.id().is_ok_and(|id| id == after.parent);
        if !follows || before.height <= spine.ledger.height() || count == 0 || count > PIECES {
            return self.give_up();
        }
        under_way.offer = Some(Offer { last, next, pieces: vec![None; count as usize], asked: 0 });
        self.ask_pieces(ctx);
        Step::On
    }

    fn ask_pieces(&mut self, ctx: &mut Context) {
        let Some(UnderWay { from, offer: Some(offer), .. }) = &mut self.under_way else { return };
        let here = offer.pieces.iter().flatten().count() as u32;
        while offer.asked < (offer.pieces.len() as u32).min(here + AHEAD) {
            let index = offer.asked;
            offer.asked += 1;
            let request = SyncRequest::Piece { height: offer.last.header.height, index };
            ctx.ask(*from, Channel::Sync, &request, WITHIN, Asked::Piece { index });
        }
    }

    /// A piece came, or nothing.
    pub(crate) fn piece(
        &mut self,
        ctx: &mut Context,
        spine: &mut Spine,
        (from, index): (PeerId, u32),
        answer: Option<Vec<u8>>,
    ) -> Step {
        let Some(under_way) = self.under_way.as_mut().filter(|under_way| under_way.from == from) else {
            return Step::On;
        };
        let Some(place) = under_way.offer.as_mut().and_then(|offer| offer.pieces.get_mut(index as usize)) else {
            return Step::On;
        };
        let piece = answer.and_then(|bytes| Piece::decode(&bytes).ok()).map(|piece| piece.bytes);
        let Some(bytes) = piece.filter(|bytes| !bytes.is_empty()) else { return self.give_up() };
        *place = Some(bytes);
        let whole = under_way.offer.as_ref().is_some_and(|offer| offer.pieces.iter().all(Option::is_some));
        if !whole {
            self.ask_pieces(ctx);
            return Step::On;
        }
        self.install(ctx, spine)
    }

    /// All is here: makes the state of it, if it is the one that the header names.
    fn install(&mut self, ctx: &mut Context, spine: &mut Spine) -> Step {
        let Some(UnderWay { turns, offer: Some(offer), .. }) = self.under_way.take() else { return Step::Broken };
        let Offer { last: HeaderProof { header: last, .. }, next, pieces, .. } = offer;
        let next = next.header.header;
        let pieces: Vec<Vec<u8>> = pieces.into_iter().flatten().collect();
        let Ok(ledger) = Ledger::restore(&pieces) else { return Step::Broken };
        let named = ledger.network() == ctx.network
            && (ledger.height(), ledger.time(), ledger.head()) == (last.height, last.time, next.parent)
            && ledger.state_root() == next.state_root;
        if !named {
            return Step::Broken;
        }
        let turns = turns.into_iter().filter(|turn| turn.height() <= ledger.height());
        let turns: Vec<(Height, Vec<u8>)> = turns.map(|turn| (turn.height(), turn.encode())).collect();
        spine.install(ctx, ledger, pieces, turns);
        Step::Done
    }

    fn give_up(&mut self) -> Step {
        self.under_way = None;
        Step::Broken
    }
}
