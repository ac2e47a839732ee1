//! Which slots of a deployment need a lease now, and where to ask for it.
//!
//! # Rules
//! - A slot is due when it has no lease, when its replica is dead, or when its lease runs an older revision of it.
//! - A slot that never ran waits until every service it depends on has a replica that serves. One that ran does not: its
//!   dependencies may need it in turn, and a dead front page helps nobody.
//! - Replicas of one service are kept on distinct operators. When no further operator has an offer, a slot may share
//!   one, on another provider than its siblings while there is one: a replica that shares is better than none, and
//!   the pick says so. This comes before `own-first`: of several replicas one is on the owner's own capacity, the others
//!   where its failure does not reach them. Who wants all of them at home asks for `own`.
//! - The provider of a dead replica is not asked again for that slot.
//! - Slots are handled in the order of their numbers; what one is offered first, its later siblings avoid.

use std::collections::{BTreeMap, BTreeSet};

use grange_types::{AccountId, BlobId, LeaseId, PeerId, Time};

use crate::index::OfferIndex;
use crate::offer::{Constraint, Match, Need, NoOffer};
use crate::watch::Health;

/// One slot of a deployment, as its manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotNeed {
    /// Its number.
    pub slot: u32,
    /// The service.
    pub service: String,
    /// What the slot should run: its revision on the ledger.
    pub revision: BlobId,
    /// What one replica needs; operators and providers to avoid are added here.
    pub need: Need,
    /// Services that must serve before this one starts.
    pub depends_on: Vec<String>,
}

/// A lease that a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The slot.
    pub slot: u32,
    /// The lease.
    pub lease: LeaseId,
    /// Who serves it.
    pub provider: PeerId,
    /// Its operator.
    pub operator: AccountId,
    /// What it runs.
    pub revision: BlobId,
    /// How it looks.
    pub health: Health,
}

/// A slot that needs a lease now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The slot.
    pub slot: u32,
    /// The service.
    pub service: String,
    /// What to look for: distinct operators and dead providers filled in.
    pub need: Need,
    /// The lease that the new one replaces.
    pub replaces: Option<LeaseId>,
}

/// The answer for one due slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// The slot.
    pub slot: u32,
    /// The service.
    pub service: String,
    /// The lease that the new one replaces.
    pub replaces: Option<LeaseId>,
    /// Whom to ask, best first, or what excluded everybody.
    pub matches: Result<Vec<Match>, NoOffer>,
    /// Whether the slot has to share an operator with a sibling.
    pub shares: bool,
}

/// The slots that need a lease now, in the order of their numbers.
#[must_use]
pub fn due(slots: &[SlotNeed], leases: &[Held]) -> Vec<Due> {
    let held: BTreeMap<u32, &Held> = leases.iter().map(|lease| (lease.slot, lease)).collect();
    let services: BTreeMap<u32, &str> = slots.iter().map(|slot| (slot.slot, slot.service.as_str())).collect();
    let serves = |lease: &&Held| matches!(lease.health, Health::Alive | Health::Suspect);
    let serving: BTreeSet<&str> =
        leases.iter().filter(serves).filter_map(|lease| services.get(&lease.slot).copied()).collect();
    let ready = |slot: &SlotNeed| slot.depends_on.iter().all(|service| serving.contains(service.as_str()));
    let mut wanted: Vec<&SlotNeed> = slots
        .iter()
        .filter(|slot| match held.get(&slot.slot) {
            None => ready(slot),
            Some(lease) => lease.health == Health::Dead || lease.revision != slot.revision,
        })
        .collect();
    wanted.sort_by_key(|slot| slot.slot);
    let due = wanted.into_iter().map(|slot| {
        let lease = held.get(&slot.slot).copied();
        let mut need = slot.need.clone();
        for other in leases {
            let sibling = other.slot != slot.slot && services.get(&other.slot) == Some(&slot.service.as_str());
            if sibling && other.health != Health::Dead {
                need.distinct_from.push(other.operator);
            }
        }
        if let Some(dead) = lease.filter(|lease| lease.health == Health::Dead) {
            need.exclude.push(dead.provider);
        }
        Due { slot: slot.slot, service: slot.service.clone(), need, replaces: lease.map(|lease| lease.lease) }
    });
    due.collect()
}

/// Finds for each due slot the best `k` offers to ask, keeping siblings on distinct operators as far as there are any.
#[must_use]
pub fn place(index: &OfferIndex, slots: &[SlotNeed], leases: &[Held], k: usize, now: Time) -> Vec<Pick> {
    let services: BTreeMap<u32, &str> = slots.iter().map(|slot| (slot.slot, slot.service.as_str())).collect();
    let mut chosen: BTreeMap<String, Vec<(AccountId, PeerId)>> = BTreeMap::new();
    for lease in leases.iter().filter(|lease| lease.health != Health::Dead) {
        if let Some(service) = services.get(&lease.slot) {
            chosen.entry((*service).to_owned()).or_default().push((lease.operator, lease.provider));
        }
    }
    let mut picks = Vec::new();
    for Due { slot, service, mut need, replaces } in due(slots, leases) {
        let siblings = chosen.entry(service.clone()).or_default();
        if let Some(former) = leases.iter().find(|lease| lease.slot == slot && lease.health != Health::Dead) {
            // A replica that is replaced by a newer revision of itself is no sibling.
            if let Some(place) = siblings.iter().position(|(_, provider)| *provider == former.provider) {
                siblings.remove(place);
            }
        }
        need.distinct_from.extend(siblings.iter().map(|(operator, _)| *operator));
        need.distinct_from.sort_unstable();
        need.distinct_from.dedup();
        let (matches, shares) = search(index, &need, siblings, k, now);
        if let Some(best) = matches.as_ref().ok().and_then(|matches| matches.first()) {
            siblings.push((best.operator, best.provider));
        }
        picks.push(Pick { slot, service, replaces, matches, shares });
    }
    picks
}

/// Searches with distinct operators, then with distinct providers, then without either; says whether it had to share.
fn search(
    index: &OfferIndex,
    need: &Need,
    siblings: &[(AccountId, PeerId)],
    k: usize,
    now: Time,
) -> (Result<Vec<Match>, NoOffer>, bool) {
    let refused = match index.find(need, k, now) {
        Err(refused) if refused.excluded.contains_key(&Constraint::Operator) => refused,
        decided => return (decided, false),
    };
    let shared = Need { distinct_from: Vec::new(), ..need.clone() };
    let mut apart = shared.clone();
    apart.exclude.extend(siblings.iter().map(|(_, provider)| *provider));
    match index.find(&apart, k, now).or_else(|_| index.find(&shared, k, now)) {
        Ok(matches) => (Ok(matches), true),
        Err(_) => (Err(refused), false),
    }
}
