//! The peer: what anyone would write first. Filter a plain list, sort what is left, take distinct operators.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use grange_market::{Need, Offer};
use grange_types::PeerId;

/// The best providers for a need on the market.
pub(crate) fn find(offers: &[&Offer], need: &Need, k: usize) -> Vec<PeerId> {
    let mut fitting: Vec<_> = offers
        .iter()
        .filter(|offer| fits(offer, need))
        .map(|offer| {
            let distance = offer.distance.map_or(u64::MAX, |distance| distance.0);
            let cost = offer.sheet.prices.per_hour(&need.resources);
            (cost, Reverse(offer.trust), distance, offer.sheet.provider, offer.sheet.operator)
        })
        .filter(|(cost, ..)| need.price_max.is_none_or(|most| *cost <= most))
        .collect();
    fitting.sort_unstable();
    let mut operators = BTreeSet::new();
    fitting.into_iter().filter(|offer| operators.insert(offer.4)).map(|offer| offer.3).take(k).collect()
}

fn fits(offer: &Offer, need: &Need) -> bool {
    let sheet = &offer.sheet;
    !offer.paused
        && sheet.kinds.contains(&need.kind)
        && need.isolation.is_none_or(|least| sheet.isolation >= least)
        && need.region.as_ref().is_none_or(|wanted| sheet.region.lies_in(wanted))
        && need.trust_min.is_none_or(|least| offer.trust >= least)
        && need.latency_max.is_none_or(|most| offer.distance.is_some_and(|distance| distance <= most))
        && offer.free.cover(&need.resources)
        && sheet.operator != need.owner
        && !need.exclude.contains(&sheet.provider)
        && !need.distinct_from.contains(&sheet.operator)
}
