//! Quotes for one slot: the best offer is asked first, the next one too when it takes its time, and the first good answer
//! wins. A quote is good only if it is from whom it was asked, for what was asked, and not dearer than the price sheet.

use grange_market::{Match, QuoteRequest};
use grange_types::{DeploymentId, LeaseTerms, Millis, PeerId, Prices, PublicKey, Quote, Signed, Time};

use crate::context::{Asked, Context, REQUEST_WITHIN};
use crate::message::{Ask, Channel};

/// How long an answer may take before the next offer is asked as well.
const HEDGE: Millis = Millis(150);

/// What a provider holds for us until its quote is leased or lapses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reservation {
    provider: PeerId,
    deployment: DeploymentId,
    slot: u32,
    nonce: u64,
}

impl Reservation {
    /// What a quote reserves.
    pub(crate) const fn of(provider: PeerId, quote: &Quote) -> Self {
        Self { provider, deployment: quote.deployment, slot: quote.slot, nonce: quote.nonce }
    }

    /// Tells the provider that we do not take it, so that others may have it at once.
    pub(crate) fn give_back(self, ctx: &mut Context) {
        let Self { provider, deployment, slot, nonce } = self;
        let ask = Ask::Cancel { deployment, slot, nonce };
        ctx.ask(provider, Channel::Market, &ask, REQUEST_WITHIN, Asked::Cancel);
    }
}

/// What has come of the asking so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// A provider reserves the capacity.
    Won(Box<Signed<Quote>>),
    /// Answers are still to come.
    Open,
    /// Nobody is left to ask.
    Lost {
        /// Why the last one did not.
        reason: String,
    },
}

/// The asking for one slot.
pub(crate) struct Bids {
    request: QuoteRequest,
    matches: Vec<Match>,
    asked: usize,
    answered: usize,
    next: Time,
    reason: Option<String>,
    quote: Option<Signed<Quote>>,
}

impl Bids {
    /// Offers for a request, the best first; nobody is asked yet.
    pub(crate) const fn new(request: QuoteRequest, matches: Vec<Match>) -> Self {
        Self { request, matches, asked: 0, answered: 0, next: Time(0), reason: None, quote: None }
    }

    /// The quote that won.
    pub(crate) const fn quote(&self) -> Option<&Signed<Quote>> {
        self.quote.as_ref()
    }

    /// When the next offer is to be asked if nothing comes before.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        (self.quote.is_none() && self.asked < self.matches.len()).then_some(self.next)
    }

    /// Asks the next offer, if it is time.
    pub(crate) fn tick(&mut self, ctx: &mut Context, asked: &Asked) {
        if self.poll_timeout().is_some_and(|next| ctx.now >= next) {
            self.ask(ctx, asked);
        }
    }

    fn ask(&mut self, ctx: &mut Context, asked: &Asked) {
        let Some(found) = self.matches.get(self.asked) else { return };
        self.asked += 1;
        self.next = ctx.now.after(HEDGE);
        let request = QuoteRequest { own: found.own, ..self.request.clone() };
        let ask = Ask::Quote { request };
        ctx.ask(found.provider, Channel::Market, &ask, REQUEST_WITHIN, asked.clone());
    }

    /// A provider answered, or did not; asks the next one when nobody else is being waited for.
    pub(crate) fn answered(
        &mut self,
        ctx: &mut Context,
        asked: &Asked,
        from: PeerId,
        answer: Result<Signed<Quote>, String>,
    ) -> Verdict {
        self.answered += 1;
        if self.quote.is_some() {
            // Another one was quicker; this reservation lapses.
            return Verdict::Open;
        }
        match answer.and_then(|quote| self.judge(ctx, from, quote)) {
            Ok(quote) => {
                self.quote = Some(quote.clone());
                return Verdict::Won(Box::new(quote));
            }
            Err(reason) => self.reason = Some(reason),
        }
        if self.answered == self.asked {
            self.ask(ctx, asked);
        }
        if self.answered < self.asked {
            return Verdict::Open;
        }
        Verdict::Lost { reason: self.reason.clone().unwrap_or_else(|| "no provider is left to ask".into()) }
    }

    fn judge(&self, ctx: &Context, from: PeerId, quote: Signed<Quote>) -> Result<Signed<Quote>, String> {
        let asked = self.matches.iter().take(self.asked).find(|found| found.provider == from);
        let Some(found) = asked else { return Err("it was not asked".into()) };
        let Quote { deployment, slot, generation, terms, .. } = &quote.body;
        let request = &self.request;
        let theirs = (*deployment, *slot, *generation);
        let ours = (request.deployment, request.slot, request.generation);
        let LeaseTerms { provider, operator, kind, workload, resources, prices, max_rate, isolation } = terms;
        let same = (*provider, *operator, *kind, *workload, *resources)
            == (from, found.operator, request.kind, request.workload, request.resources);
        let signed = quote.signer == PublicKey::from(from) && quote.open(ctx.network, ctx.now).is_ok();
        if theirs != ours || !same || *isolation < request.isolation || !signed {
            return Err("its quote is for something else".into());
        }
        if !within(prices, &found.prices) || *max_rate > request.max_rate {
            return Err("its quote is dearer than its price sheet".into());
        }
        Ok(quote)
    }
}

/// Whether no price is above its limit.
fn within(prices: &Prices, limits: &Prices) -> bool {
    let list = |prices: &Prices| {
        let Prices { cpu_hour, memory_gib_hour, disk_gib_hour, request_million, egress_gib } = *prices;
        [cpu_hour, memory_gib_hour, disk_gib_hour, request_million, egress_gib]
    };
    list(prices).iter().zip(list(limits)).all(|(price, limit)| *price <= limit)
}
