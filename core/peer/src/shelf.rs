//! Price sheets: our own, told to everybody, and those of others, from which we match.
//!
//! A sheet counts only when its provider signed it and the ledger lists that provider under the operator it names:
//! placement counts operators, so nobody may pretend to be another's.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::Ledger;
use grange_market::{Desk, OfferIndex, Trust};
use grange_types::{
    AccountId, Millis, OfferDelta, PeerId, PriceSheet, PublicKey, Resources, Signed, Time, Wire, limits,
};

use crate::action::Action;
use crate::context::Context;
use crate::message::{Channel, MarketMessage};

/// Our sheet is told again so often, for those who joined since.
const SHEET_EVERY: Millis = Millis::minutes(10);
/// What is free is told again so often; it lapses after minutes.
const DELTA_EVERY: Millis = Millis::seconds(60);
/// What a buyer gave back is told within so long.
const FREED_AFTER: Millis = Millis(1_000);
/// A delta is worth a word for so long.
const DELTA_LIFE: Millis = Millis::minutes(5);

pub(crate) struct Shelf {
    pub(crate) index: OfferIndex,
    /// How far each operator of whom anything was seen is trusted.
    trust: BTreeMap<AccountId, Trust>,
    /// When the links to providers broke.
    broke: BTreeMap<PeerId, Time>,
    next_sheet: Time,
    next_delta: Time,
    /// What was told last is free.
    told: Resources,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self {
            index: OfferIndex::new(limits::OFFERS),
            trust: BTreeMap::new(),
            broke: BTreeMap::new(),
            next_sheet: Time(0),
            next_delta: Time(0),
            told: Resources::default(),
        }
    }

    /// Tells our sheet and what is free, when it is time.
    pub(crate) fn tick(&mut self, ctx: &mut Context, ledger: &Ledger, desk: Option<&mut Desk>) {
        self.index.expire(ctx.now);
        self.broke.retain(|provider, _| self.index.get(provider).is_some());
        let Some(desk) = desk else { return };
        if ctx.now >= self.next_sheet {
            self.next_sheet = ctx.now.after(SHEET_EVERY);
            let sheet = seal_sheet(ctx, desk);
            self.take_sheet(ctx, ledger, sheet.clone());
            ctx.push(Action::Gossip(MarketMessage::Sheet(sheet).encode()));
        }
        if ctx.now >= self.next_delta {
            self.next_delta = ctx.now.after(DELTA_EVERY);
            let delta = Signed::seal(ctx.network, &ctx.key, ctx.now.after(DELTA_LIFE), desk.delta(ctx.now));
            self.told = delta.body.free;
            self.take_delta(ctx, &delta);
            ctx.push(Action::Gossip(MarketMessage::Delta(delta).encode()));
        }
    }

    /// What was measured of operators: matching goes by it from now on.
    pub(crate) fn trusted(&mut self, now: Time, trust: BTreeMap<AccountId, Trust>) {
        let before = core::mem::replace(&mut self.trust, trust);
        let operators: BTreeSet<&AccountId> = before.keys().chain(self.trust.keys()).collect();
        for operator in operators {
            let trust = self.trust.get(operator).copied().unwrap_or_default();
            if before.get(operator).copied().unwrap_or_default() == trust {
                continue;
            }
            for provider in self.index.providers_of(operator) {
                let distance = self.index.get(&provider).and_then(|offer| offer.distance);
                // It was there a moment ago.
                let _ = self.index.measured(&provider, trust, distance, now);
            }
        }
    }

    /// Our prices changed: tell them now.
    pub(crate) fn changed_prices(&mut self) {
        (self.next_sheet, self.next_delta) = (Time(0), Time(0));
    }

    /// A lease of somebody came, went or was paid: everybody tells everybody what is free only where that is ours and makes
    /// a difference.
    pub(crate) fn may_have_changed(&mut self, desk: Option<&Desk>) {
        if desk.is_some_and(|desk| desk.free() != self.told) {
            self.changed_load();
        }
    }

    /// A buyer gave something back, which costs him nothing: it is told, but no oftener than a second.
    pub(crate) fn freed(&mut self, now: Time, desk: Option<&Desk>) {
        if desk.is_some_and(|desk| desk.free() != self.told) {
            self.next_delta = self.next_delta.min(now.after(FREED_AFTER));
        }
    }

    /// What is free changed: tell it now.
    pub(crate) fn changed_load(&mut self) {
        self.next_delta = Time(0);
    }

    /// A link broke.
    pub(crate) fn disconnected(&mut self, now: Time, peer: PeerId) {
        if self.index.get(&peer).is_some() {
            self.broke.insert(peer, now);
        }
    }

    /// Whether the link to a provider broke, and nothing was heard of it since: its offer stands until it lapses, but it may
    /// have died.
    pub(crate) fn may_be_dead(&self, provider: &PeerId) -> bool {
        let heard = self.index.get(provider).map(|offer| offer.heard);
        self.broke.get(provider).is_some_and(|broke| heard.is_none_or(|heard| heard <= *broke))
    }

    /// Gives a peer that has just linked our sheet, which gossip told before it came.
    pub(crate) fn connected(&mut self, ctx: &mut Context, peer: PeerId, desk: Option<&mut Desk>) {
        self.broke.remove(&peer);
        let Some(desk) = desk else { return };
        let sheet = seal_sheet(ctx, desk);
        ctx.send(peer, Channel::Market, &MarketMessage::Sheet(sheet));
        let delta = Signed::seal(ctx.network, &ctx.key, ctx.now.after(DELTA_LIFE), desk.delta(ctx.now));
        ctx.send(peer, Channel::Market, &MarketMessage::Delta(delta));
    }

    pub(crate) fn take_sheet(&mut self, ctx: &Context, ledger: &Ledger, sheet: Signed<PriceSheet>) {
        let PriceSheet { provider, operator, .. } = sheet.body;
        let signed = sheet.open(ctx.network, ctx.now).is_ok() && sheet.signer == PublicKey::from(provider);
        if signed && ledger.view().operator_of(provider) == Some(operator) {
            // An older or malformed sheet is refused by the index, which is all there is to do about it.
            let trust = self.trust.get(&operator).copied().unwrap_or_default();
            let _ = self.index.insert(sheet.body, trust, None, ctx.now);
        }
    }

    pub(crate) fn take_delta(&mut self, ctx: &Context, delta: &Signed<OfferDelta>) {
        let signed = delta.open(ctx.network, ctx.now).is_ok() && delta.signer == PublicKey::from(delta.body.provider);
        if signed {
            let _ = self.index.apply(&delta.body, ctx.now);
        }
    }
}

fn seal_sheet(ctx: &Context, desk: &mut Desk) -> Signed<PriceSheet> {
    let sheet = desk.price_sheet(ctx.now);
    Signed::seal(ctx.network, &ctx.key, ctx.now.after(limits::PRICE_SHEET_LIFETIME), sheet)
}
