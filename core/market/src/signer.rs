//! Who signs a lease's receipts now.

use grange_types::{AccountId, PeerId};

/// A node that may sign receipts of a deployment: its owner's, or a steward's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payer {
    /// The node.
    pub peer: PeerId,
    /// Its operator.
    pub operator: AccountId,
    /// Whether it lives, as far as this node sees.
    pub alive: bool,
}

/// The node that signs receipts of a lease now, of the owner's nodes that may pay, if there are any, followed by the stewards
/// in their rank.
///
/// The first one that lives and is not of the lease's own operator; nobody when the lease is the owner's own capacity,
/// which has no receipts.
#[must_use]
pub fn signer(payers: &[Payer], owner: AccountId, lease_operator: AccountId) -> Option<PeerId> {
    if owner == lease_operator {
        return None;
    }
    payers.iter().find(|payer| payer.alive && payer.operator != lease_operator).map(|payer| payer.peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payers as (operator, alive) of a deployment of the first operator; a payer's peer has the number of its place.
    #[track_caller]
    fn check(payers: &[(u8, bool)], lease_operator: u8, expected: Option<u8>) {
        let payers: Vec<Payer> = (0..)
            .zip(payers)
            .map(|(place, (operator, alive))| Payer {
                peer: PeerId([place; 32]),
                operator: AccountId([*operator; 32]),
                alive: *alive,
            })
            .collect();
        let signs = signer(&payers, AccountId([1; 32]), AccountId([lease_operator; 32]));
        assert_eq!(signs, expected.map(|place| PeerId([place; 32])));
    }

    #[test]
    fn the_first_living_payer_signs_but_never_for_its_own_operator() {
        check(&[(1, true), (2, true), (3, true)], 4, Some(0));
        check(&[(1, false), (2, true), (3, true)], 4, Some(1));
        check(&[(1, false), (2, true), (3, true)], 2, Some(2));
        check(&[(1, false), (2, true), (3, false)], 2, None);
        check(&[(1, true), (2, true), (3, true)], 1, None);
        check(&[(1, false), (2, true), (3, true)], 1, None);
        check(&[(1, false), (1, true), (3, true)], 4, Some(1));
        check(&[], 1, None);
        // No node of the owner may pay any more.
        check(&[(2, true), (3, true)], 2, Some(1));
        check(&[(2, true), (3, true)], 1, None);
    }
}
