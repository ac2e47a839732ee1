//! What is seen of other operators: looks at those who sell, visits to what runs there, leases on the ledger, copies of
//! key-values, orders that were placed to see; and what others say that they saw.
//!
//! # Rules
//! - Once a minute one node each of up to 32 operators that sell is asked whether it is there. What came of it is told to
//!   everybody every five minutes, under the node's signature.
//! - What another node says counts as its operator's word, and only while that operator answers for it: with the bond that
//!   the network asks of who registers nodes, or, where it asks none, with a vote. Where keys cost nothing, their words are
//!   worth nothing.
//! - A lease is the word of whoever pays for it: that it was kept, once its last receipt is in; that it was broken, when the
//!   provider closed it. What we paid for ourselves and what died under our eyes is our own evidence.
//! - A replica that answers badly, or late, says nothing of its provider: that may be its own program.
//! - The book is stored once a minute while it is small and changes, and survives a restart.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{Action as Deed, Block, Lease, LeaseState, Ledger};
use grange_market::Trust;
use grange_market::trust::{Book, Eyes, Grounds, Kind, Lookout, Seen};
use grange_types::{AccountId, Amount, DeploymentId, LeaseId, Millis, PeerId, Record, Sightings, Signed, Time, Wire};
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::context::{Asked, Context, REQUEST_WITHIN};
use crate::message::{Ask, Channel, MarketMessage};
use crate::shelf::Shelf;

/// A word on what was seen is worth its room for so long.
const TOLD_LIFE: Millis = Millis::minutes(15);
/// Trust is computed anew so often where nothing was seen, since it decays.
const AGES_EVERY: Millis = Millis::minutes(10);
/// And no more often than this where there are news.
const NEWS_EVERY: Millis = Millis::seconds(2);
/// A lease that was shorter shows nothing.
const SHORTEST: Millis = Millis::minutes(10);
/// Between two times that a book is stored, while it is small and when it is not.
const STORE_EVERY: Millis = Millis::minutes(1);
const STORE_LARGE_EVERY: Millis = Millis::minutes(30);
const LARGE: usize = 256 << 10;
/// Orders that may be open at once; those that could not be closed yet count.
const ORDERS: usize = 64;

/// What a payer saw of a provider's operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glimpse {
    /// A replica there answered.
    Answered(AccountId),
    /// Its node did not, or does not run it.
    Failed(AccountId),
    /// It had to be replaced for that.
    Died(AccountId, LeaseId),
}

/// What is kept across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was seen of others.
    pub book: Book,
    /// What was ordered to see.
    pub orders: Orders,
}

impl Record for Evidence {
    const NAME: &'static str = "evidence";
    const LIMIT: usize = Book::LIMIT + ORDERS * 32 + 64;
}

/// Orders that show whether providers serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The day of the last one, counted since the Unix epoch.
    pub day: u64,
    /// The budgets of that day's orders.
    pub spent: Amount,
    /// Those that may still be open.
    pub open: BTreeSet<DeploymentId>,
}

/// The eyes and the memory.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) book: Book,
    pub(crate) orders: Orders,
    lookout: Lookout,
    /// Leases that were seen to die, and so were not kept.
    died: BTreeSet<LeaseId>,
    /// Whether anything was seen since trust was computed, and since the book was stored.
    news: bool,
    unstored: bool,
    next_ages: Time,
    next_news: Time,
    next_store: Time,
}

impl Witness {
    /// Goes on with what is on the disk; what cannot be read any more is lost, which costs some days of watching.
    pub(crate) fn recover(ctx: &mut Context, stored: &[u8]) -> Self {
        let mut witness = Self { news: true, ..Self::default() };
        match Evidence::from_record(stored) {
            Ok(Evidence { book, orders }) => (witness.book, witness.orders) = (book, orders),
            Err(_) if stored.is_empty() => {}
            Err(error) => ctx.push(Action::Note {
                event: "trust.lost",
                purpose: "what was seen of others before the restart".into(),
                reason: error.to_string(),
            }),
        }
        witness
    }

    /// Looks around if it is time, tells what was seen, and lets matching know.
    pub(crate) fn tick(&mut self, ctx: &mut Context, ledger: &Ledger, shelf: &mut Shelf) {
        if self.lookout.is_due(ctx.now) {
            for (operator, node) in self.lookout.begin(ctx.now, &sellers(ctx, shelf)) {
                ctx.ask(node, Channel::Market, &Ask::Look, REQUEST_WITHIN, Asked::Look { operator });
            }
        }
        for (operator, answered) in self.lookout.end(ctx.now, !ctx.linked.is_empty()) {
            self.note(ctx, ledger, operator, Kind::Uptime, answered);
        }
        if let Some((period, seen)) = self.lookout.tell(ctx.now) {
            for seen in seen.chunks(Sightings::MOST) {
                let told = Sightings { period, seen: seen.to_vec() };
                let told = Signed::seal(ctx.network, &ctx.key, ctx.now.after(TOLD_LIFE), told);
                ctx.push(Action::Gossip(MarketMessage::Seen(told).encode()));
            }
        }
        if ctx.now >= self.next_ages {
            self.next_ages = ctx.now.after(AGES_EVERY);
            self.book.sweep(ctx.now);
            self.died.retain(|lease| ledger.view().lease(*lease).is_some());
            self.news = true;
        }
        if self.news && ctx.now >= self.next_news {
            (self.news, self.next_news) = (false, ctx.now.after(NEWS_EVERY));
            shelf.trusted(ctx.now, self.trusted(ctx, ledger));
        }
        self.store(ctx);
    }

    /// An operator's node says that it is there.
    pub(crate) fn answered(&mut self, operator: AccountId) {
        self.lookout.answered(operator);
    }

    /// A node says what it saw.
    pub(crate) fn hear(&mut self, ctx: &Context, ledger: &Ledger, told: &Signed<Sightings>) {
        let Some(observer) = ledger.view().account_of(told.signer.peer()) else { return };
        // The cheap question first: a signature is only verified of who is heard at all.
        if told.body.seen.len() > Sightings::MOST || !answers(ledger, &observer) {
            return;
        }
        if told.open(ctx.network, ctx.now).is_ok() {
            let answers = |account: &AccountId| answers(ledger, account);
            self.book.hear(ctx.now, &Eyes { me: ctx.account, answers: &answers }, observer, &told.body);
            (self.news, self.unstored) = (true, true);
        }
    }

    /// What our payer saw.
    pub(crate) fn saw(&mut self, ctx: &Context, ledger: &Ledger, glimpse: Glimpse) {
        // Who is cut off itself finds everybody gone.
        if ctx.linked.is_empty() || !ctx.follows(ledger) {
            return;
        }
        match glimpse {
            Glimpse::Answered(operator) => self.note(ctx, ledger, operator, Kind::Served, true),
            Glimpse::Failed(operator) => self.note(ctx, ledger, operator, Kind::Served, false),
            Glimpse::Died(operator, lease) => {
                if self.died.insert(lease) {
                    self.note(ctx, ledger, operator, Kind::Lease, false);
                }
            }
        }
    }

    /// Who keeps a second copy for us, and whom our writer had to go on without.
    pub(crate) fn copies(&mut self, ctx: &Context, ledger: &Ledger, (kept, lost): (Vec<PeerId>, Vec<PeerId>)) {
        for (peers, ok) in [(kept, true), (lost, false)] {
            for operator in peers.into_iter().filter_map(|peer| ledger.view().operator_of(peer)) {
                self.note(ctx, ledger, operator, Kind::Copy, ok);
            }
        }
    }

    /// A lease changed: once its last receipt is in, it was kept or not.
    pub(crate) fn lease_changed(&mut self, ctx: &Context, ledger: &Ledger, id: LeaseId) {
        let Some(lease) = ledger.view().lease(id).filter(|lease| matches!(lease.state, LeaseState::Closed { .. }))
        else {
            return;
        };
        let length = lease.ended.unwrap_or(lease.start).since(lease.start);
        let kept = lease.counters.served.0.saturating_mul(10) >= length.0.saturating_mul(8);
        let moved = self.died.contains(&id) || replaced(ledger, lease);
        if lease.is_priced() && length >= SHORTEST && kept && !moved {
            self.note_lease(ctx, ledger, lease, true);
        }
    }

    /// Leases that their providers closed before their time.
    pub(crate) fn deserted(&mut self, ctx: &Context, ledger: &Ledger, id: LeaseId) {
        if self.died.insert(id)
            && let Some(lease) = ledger.view().lease(id)
        {
            self.note_lease(ctx, ledger, lease, false);
        }
    }

    /// What today's orders may have cost so far.
    pub(crate) fn ordered_today(&self, now: Time) -> Amount {
        let full = self.orders.open.len() >= ORDERS;
        let spent = if self.orders.day == now.0 / Millis::DAY.0 { self.orders.spent } else { Amount::ZERO };
        if full { Amount::MAX } else { spent }
    }

    /// Takes down an order, before it leaves.
    pub(crate) fn ordered(&mut self, ctx: &mut Context, deployment: DeploymentId, budget: Amount) {
        let spent = self.ordered_today(ctx.now).saturating_add(budget);
        (self.orders.day, self.orders.spent) = (ctx.now.0 / Millis::DAY.0, spent);
        self.orders.open.insert(deployment);
        (self.unstored, self.next_store) = (true, ctx.now);
        self.store(ctx);
    }

    /// An order is closed.
    pub(crate) fn order_over(&mut self, deployment: DeploymentId) {
        self.unstored |= self.orders.open.remove(&deployment);
    }

    /// What an operator is trusted, and why.
    pub(crate) fn grounds(&self, ctx: &Context, ledger: &Ledger, operator: &AccountId) -> Grounds {
        let answers = |account: &AccountId| answers(ledger, account);
        self.book.grounds(operator, &Eyes { me: ctx.account, answers: &answers }, ctx.now)
    }

    fn trusted(&self, ctx: &Context, ledger: &Ledger) -> BTreeMap<AccountId, Trust> {
        let trust = |operator: AccountId| Some((operator, self.grounds(ctx, ledger, &operator).trust?));
        self.book.subjects().filter_map(trust).collect()
    }

    fn note_lease(&mut self, ctx: &Context, ledger: &Ledger, lease: &Lease, kept: bool) {
        let Some(deployment) = ledger.view().deployment(lease.deployment) else { return };
        let at = ledger.view().block_time_of(lease.ended.unwrap_or(lease.start));
        self.take(ctx, ledger, (lease.terms.operator, deployment.owner), Kind::Lease, at, kept);
    }

    /// Takes down what we saw ourselves, now.
    pub(crate) fn note(&mut self, ctx: &Context, ledger: &Ledger, operator: AccountId, kind: Kind, ok: bool) {
        self.take(ctx, ledger, (operator, ctx.account), kind, ctx.now, ok);
    }

    fn take(
        &mut self,
        ctx: &Context,
        ledger: &Ledger,
        (subject, observer): (AccountId, AccountId),
        kind: Kind,
        at: Time,
        ok: bool,
    ) {
        let answers = |account: &AccountId| answers(ledger, account);
        let seen = Seen { subject, observer, kind, at, good: u32::from(ok), bad: u32::from(!ok) };
        self.book.note(ctx.now, &Eyes { me: ctx.account, answers: &answers }, seen);
        (self.news, self.unstored) = (true, true);
    }

    fn store(&mut self, ctx: &mut Context) {
        if self.unstored && ctx.now >= self.next_store {
            let record = Evidence { book: self.book.clone(), orders: self.orders.clone() }.to_record();
            let every = if record.len() > LARGE { STORE_LARGE_EVERY } else { STORE_EVERY };
            (self.unstored, self.next_store) = (false, ctx.now.after(every));
            ctx.push(Action::Evidence(record));
        }
    }
}

/// Whether an operator answers for what it says: with the bond that the network asks of an operator, or with a vote. A
/// network that asks for no bond gives operators away, so that only its validators are believed there.
pub(crate) fn answers(ledger: &Ledger, account: &AccountId) -> bool {
    let view = ledger.view();
    let (least, operator) = (view.parameters().min_bond, view.operator(*account).unwrap_or_default());
    let bonded = !least.is_zero() && operator.bond >= least;
    !operator.frozen && (bonded || view.validators().iter().any(|validator| validator.account == *account))
}

/// The leases of others that their providers close in a block; read before the block moves the state.
pub(crate) fn deserted(block: &Block, ledger: &Ledger) -> Vec<LeaseId> {
    let view = ledger.view();
    let closed = |transaction: &Signed<grange_ledger::Transaction>| {
        let Deed::CloseLease { lease } = &transaction.body.action else { return None };
        let found = view.lease(*lease)?;
        let owner = view.deployment(found.deployment)?.owner;
        let by_provider = transaction.body.account == found.terms.operator && found.terms.operator != owner;
        by_provider.then_some(*lease)
    };
    block.transactions.iter().filter_map(closed).collect()
}

/// Whether somebody else runs the same in a lease's place: it was taken away, whoever knows why.
fn replaced(ledger: &Ledger, lease: &Lease) -> bool {
    let open = ledger.view().open_lease_of(lease.deployment, lease.slot);
    open.is_some_and(|open| open.revision == lease.revision && open.terms.operator != lease.terms.operator)
}

/// The nodes that sell, by operator, without our own.
fn sellers(ctx: &Context, shelf: &Shelf) -> BTreeMap<AccountId, Vec<PeerId>> {
    let mut sellers: BTreeMap<AccountId, Vec<PeerId>> = BTreeMap::new();
    for sheet in shelf.index.offers().map(|offer| &offer.sheet).filter(|sheet| sheet.operator != ctx.account) {
        sellers.entry(sheet.operator).or_default().push(sheet.provider);
    }
    sellers
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::codec::check_golden;

    #[test]
    fn the_bytes_are_frozen() {
        let open = BTreeSet::from([DeploymentId([3; 32])]);
        let orders = Orders { day: 20_000, spent: Amount(700), open };
        check_golden(&Evidence { book: Book::default(), orders }, include_str!("../golden/evidence.hex"));
    }
}
