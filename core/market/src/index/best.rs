//! The best few candidates of a search, of distinct operators as far as there are any.

use core::cmp::Reverse;

use grange_types::PeerId;

use super::block::distance_key;
use crate::offer::{Offer, Trust};

/// Whose capacity an offer is, in the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Own,
    Other,
}

/// What candidates are ordered by: whose, cost, trust, distance, provider.
type Rank = (Whose, u128, Reverse<Trust>, u32, PeerId);

/// An offer that satisfies the need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// The offer.
    pub(super) offer: &'a Offer,
    rank: Rank,
}

impl<'a> Candidate<'a> {
    /// An offer that costs so much per hour.
    pub(super) fn new(offer: &'a Offer, cost: u128, own: bool) -> Self {
        let whose = if own { Whose::Own } else { Whose::Other };
        let distance = distance_key(offer.distance);
        Self { offer, rank: (whose, cost, Reverse(offer.trust), distance, offer.sheet.provider) }
    }

    /// What it costs per hour.
    pub(super) const fn cost(&self) -> u128 {
        self.rank.1
    }

    /// Whether it is the buyer's own.
    pub(super) fn is_own(&self) -> bool {
        self.rank.0 == Whose::Own
    }
}

/// The best `limit` candidates so far.
#[derive(Debug)]
pub(super) struct Best<'a> {
    limit: usize,
    /// The best of each operator, best first. Whoever falls out can only come back by something better.
    distinct: Vec<Candidate<'a>>,
    /// The best of all, best first.
    any: Vec<Candidate<'a>>,
}

impl<'a> Best<'a> {
    /// None yet.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, distinct: Vec::with_capacity(limit + 1), any: Vec::with_capacity(limit + 1) }
    }

    /// What costs more than this cannot become an answer.
    pub(super) fn ceiling(&self) -> u128 {
        match self.distinct.last() {
            Some(last) if self.distinct.len() == self.limit => last.cost(),
            _ => u128::MAX,
        }
    }

    /// Offers a candidate.
    pub(super) fn push(&mut self, candidate: Candidate<'a>) {
        insert(&mut self.any, candidate, self.limit);
        let operator = candidate.offer.sheet.operator;
        if let Some(place) = self.distinct.iter().position(|other| other.offer.sheet.operator == operator) {
            if self.distinct[place].rank <= candidate.rank {
                return;
            }
            self.distinct.remove(place);
        }
        insert(&mut self.distinct, candidate, self.limit);
    }

    /// The answers: those of distinct operators, then further ones if there are fewer than wanted.
    pub(super) fn finish(self) -> Vec<Candidate<'a>> {
        let mut answers = self.distinct;
        for candidate in self.any {
            if answers.len() == self.limit {
                break;
            }
            if answers.iter().all(|answer| answer.rank != candidate.rank) {
                answers.push(candidate);
            }
        }
        answers
    }
}

fn insert<'a>(list: &mut Vec<Candidate<'a>>, candidate: Candidate<'a>, limit: usize) {
    let place = list.partition_point(|other| other.rank < candidate.rank);
    if place < limit {
        list.insert(place, candidate);
        list.truncate(limit);
    }
}
