//! What helps where the ledger refused a part of an update: what became of the rest is read off the ledger, and why it was
//! refused says whether anybody tries again.

use grange_api::Problem;
use grange_ledger::{Ledger, Rejection, RejectionKind};
use grange_types::{BlobId, DeploymentId};

/// What is true of an update that its payers carry on.
pub(super) const CARRIED_ON: &str = "the new version is ordered and is tried again until it serves, the old one goes on as \
                                     long; deploy the file of before to go back";

/// What the ledger has of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing: what ran before goes on.
    Before,
    /// It names the new version; what of it has no lease yet, the payers place.
    Ordered,
    /// The deployment was removed.
    Removed,
}

impl Standing {
    /// Reads it off the ledger.
    pub(super) fn of(ledger: &Ledger, deployment: DeploymentId, manifest: BlobId) -> Self {
        match ledger.view().deployment(deployment).filter(|found| found.is_open()) {
            Some(found) if found.manifest == manifest => Self::Ordered,
            Some(_) => Self::Before,
            None => Self::Removed,
        }
    }
}

/// The same problem, with a remedy that is true of an update that stands so.
pub(super) fn explained(problem: Problem, standing: Standing, rejection: &Rejection) -> Problem {
    use RejectionKind::{Conflict, Denied, Expired, Invalid, Limit, NotFound};
    let helps = problem.remedy.clone();
    match (standing, rejection.kind()) {
        (Standing::Removed, _) => problem.with_remedy("it was removed meanwhile; deploy again to begin anew"),
        (Standing::Before, Conflict | NotFound | Expired) => {
            problem.with_remedy("deploy again: nothing of the new version is ordered, and the old one goes on")
        }
        (Standing::Before, Denied | Limit | Invalid) => {
            problem.with_remedy(format!("{helps}; nothing of the new version is ordered, and the old one goes on"))
        }
        // Nobody has more money or room by trying again.
        (Standing::Ordered, Limit) => problem.with_remedy(format!(
            "{helps}; then deploy again: the new version is ordered, and the old one goes on where that has no lease yet"
        )),
        (Standing::Ordered, NotFound) => {
            problem.with_remedy("another update came between: look at `grange ps`, then deploy again")
        }
        // Another provider is asked, or the same one anew.
        (Standing::Ordered, Conflict | Expired | Denied | Invalid) => problem.with_remedy(CARRIED_ON),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::rejected;
    use grange_types::{AccountId, Amount, PeerId, Time};

    #[track_caller]
    fn check(standing: Standing, rejection: &Rejection, expected: &str) {
        let told = explained(rejected("deploy", "shop", rejection), standing, rejection);
        assert!(told.remedy.contains(expected), "{}", told.remedy);
        assert_eq!(told.remedy.contains("tried again"), expected.contains("tried again"), "{}", told.remedy);
    }

    #[test]
    fn only_what_is_tried_again_is_said_to_be() {
        let id = DeploymentId([1; 32]);
        let none = Amount::ZERO;
        let stale = Rejection::GenerationStale { quoted: 2, next: 3 };
        let late = Rejection::QuoteExpired { valid_until: Time(1), time: Time(2) };
        let (provider, operator) = (PeerId([2; 32]), AccountId([3; 32]));
        let stranger = Rejection::ProviderNotRegistered { provider, operator };
        let dear = Rejection::RateTooHigh { rate: Amount::CREDIT, allowed: none };
        for rejection in [&stale, &late, &stranger, &dear] {
            check(Standing::Ordered, rejection, "is tried again until it serves");
            check(Standing::Before, rejection, "nothing of the new version is ordered");
            check(Standing::Removed, rejection, "deploy again to begin anew");
        }
        let poor = Rejection::BudgetTooLow { needed: Amount::CREDIT, available: none };
        check(Standing::Ordered, &poor, "raise the budget in the compose file, or ask for less; then deploy again");
        check(Standing::Before, &poor, "raise the budget");
        let slot = Rejection::UnknownSlot { deployment: id, slot: 1 };
        check(Standing::Ordered, &slot, "another update came between");
    }
}
