//! Who decides a height, with how much weight, and whose turn it is.

use std::sync::Arc;

use grange_types::{Height, PeerId, limits};
use malachitebft_core_types as bft;

use crate::chain::{Address, Chain};

/// The most power one validator can have: 128 times it, times three, still fits 64 bits.
const POWER_LIMIT: u64 = 1 << 54;

/// One who votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validator {
    /// Its key, which is also its peer id.
    pub peer: PeerId,
    /// The weight of its vote.
    pub power: u64,
}

/// A validator as the core sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    address: Address,
    power: u64,
}

/// Those who decide one height, sorted by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValidatorSet {
    members: Arc<[Member]>,
    total: u64,
}

/// How much voting power can be reached, against what a decision needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum {
    /// Power of this validator and of those connected to it.
    pub connected: u64,
    /// The least power that decides: more than two thirds of the total.
    pub needed: u64,
    /// All power.
    pub total: u64,
}

impl Quorum {
    /// Whether a decision is possible.
    #[must_use]
    pub const fn reached(&self) -> bool {
        self.connected >= self.needed
    }
}

impl ValidatorSet {
    /// The set of these validators, the same on every node for the same list in any order.
    ///
    /// Those without power are left out, the power of one named twice is added up, and of more than
    /// [`limits::VALIDATORS`] the most powerful stay (of equals, the lower key). One validator's power counts up to
    /// 2⁵⁴.
    #[must_use]
    pub fn new(validators: Vec<Validator>) -> Self {
        let mut powers = std::collections::BTreeMap::<PeerId, u64>::new();
        for Validator { peer, power } in validators {
            let sum = powers.entry(peer).or_default();
            *sum = sum.saturating_add(power).min(POWER_LIMIT);
        }
        let mut members: Vec<Member> = powers
            .into_iter()
            .filter(|&(_, power)| power > 0)
            .map(|(peer, power)| Member { address: Address(peer), power })
            .collect();
        // The sort is stable, so that equals stay in the order of their keys.
        members.sort_by_key(|member| core::cmp::Reverse(member.power));
        members.truncate(limits::VALIDATORS);
        members.sort_by_key(|member| member.address);
        let total = members.iter().map(|member| member.power).sum();
        Self { members: members.into(), total }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = Validator> + '_ {
        self.members.iter().map(|member| Validator { peer: member.address.0, power: member.power })
    }

    /// All power.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The least power that decides: more than two thirds of the total.
    #[must_use]
    pub const fn needed(&self) -> u64 {
        self.total * 2 / 3 + 1
    }

    /// The power of one peer; nothing if it is no validator.
    #[must_use]
    pub fn power(&self, peer: PeerId) -> u64 {
        self.member(&Address(peer)).map_or(0, |member| member.power)
    }

    /// Whether a peer is a validator.
    #[must_use]
    pub fn contains(&self, peer: PeerId) -> bool {
        self.member(&Address(peer)).is_some()
    }

    /// Whose turn it is to propose; nobody's in an empty set.
    ///
    /// With equal powers the first proposer goes round by height. With unequal ones it follows the golden ratio's
    /// sequence over the powers added up, which gives each its share of any long run of heights without long runs of
    /// one validator. Within a height each further round goes to the next in the set, so that a dead proposer is
    /// followed by another.
    #[must_use]
    pub fn proposer(&self, height: Height, round: u32) -> Option<PeerId> {
        self.members.get(self.turn(height, round)).map(|member| member.address.0)
    }

    /// The member whose turn it is; the core is never started with an empty set.
    pub(crate) fn turn(&self, height: Height, round: u32) -> usize {
        let count = self.members.len() as u64;
        if count == 0 {
            return 0;
        }
        let equal = self.members.windows(2).all(|pair| pair[0].power == pair[1].power);
        let first = if equal { height.0 % count } else { self.share(height) };
        ((first + u64::from(round)) % count) as usize
    }

    /// The index of the member into whose share of the total the height's point falls.
    fn share(&self, height: Height) -> u64 {
        // 2⁶⁴ divided by the golden ratio: its multiples modulo 2⁶⁴ are spread more evenly than any other's.
        let point = height.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let target = ((u128::from(point) * u128::from(self.total)) >> 64) as u64;
        let mut below = 0;
        for (index, member) in self.members.iter().enumerate() {
            below += member.power;
            if target < below {
                return index as u64;
            }
        }
        0
    }

    pub(crate) fn member_at(&self, index: usize) -> &Member {
        &self.members[index]
    }

    fn member(&self, address: &Address) -> Option<&Member> {
        let index = self.members.binary_search_by_key(address, |member| member.address).ok()?;
        self.members.get(index)
    }
}

impl bft::Validator<Chain> for Member {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &Address {
        &self.address
    }

    fn voting_power(&self) -> u64 {
        self.power
    }
}

impl bft::ValidatorSet<Chain> for ValidatorSet {
    fn count(&self) -> usize {
        self.members.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.total
    }

    fn get_by_address(&self, address: &Address) -> Option<&Member> {
        self.member(address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(powers: &[u64]) -> ValidatorSet {
        let peer = |index: usize| PeerId([index as u8 + 1; 32]);
        ValidatorSet::new(powers.iter().enumerate().map(|(i, &power)| Validator { peer: peer(i), power }).collect())
    }

    #[test]
    fn a_set_does_not_depend_on_the_order_of_its_list() {
        let one = Validator { peer: PeerId([1; 32]), power: 3 };
        let two = Validator { peer: PeerId([2; 32]), power: 5 };
        let none = Validator { peer: PeerId([3; 32]), power: 0 };
        let set = ValidatorSet::new(vec![two, none, one, one]);
        assert_eq!(set, ValidatorSet::new(vec![one, two, one, none]));
        assert_eq!(set.iter().map(|v| v.power).collect::<Vec<_>>(), [6, 5]);
        assert_eq!((set.total(), set.needed(), set.len()), (11, 8, 2));
        assert!(!set.contains(none.peer));
    }

    #[test]
    fn too_many_or_too_powerful_validators_are_cut_to_the_limits() {
        let many = (0..=200u8)
            .map(|i| Validator { peer: PeerId([i; 32]), power: u64::from(i).saturating_mul(1 << 60) })
            .collect();
        let set = ValidatorSet::new(many);
        assert_eq!(set.len(), limits::VALIDATORS);
        assert_eq!(set.total(), POWER_LIMIT * limits::VALIDATORS as u64);
        assert!(set.total().checked_mul(3).is_some());
        assert!(ValidatorSet::new(Vec::new()).is_empty());
        assert_eq!(ValidatorSet::default().proposer(Height(1), 0), None);
    }

    #[test]
    fn equal_validators_propose_in_turn() {
        let set = set(&[7; 4]);
        for height in 0..8 {
            for round in 0..8 {
                let expected = set.member_at(((height + u64::from(round)) % 4) as usize).address.0;
                assert_eq!(set.proposer(Height(height), round), Some(expected));
            }
        }
    }

    #[test]
    fn unequal_validators_propose_as_often_as_they_weigh() {
        let set = set(&[1, 2, 3, 10]);
        let mut turns = [0i64; 4];
        let mut longest = 0;
        let mut run = 0;
        for height in 0..1_600 {
            turns[set.turn(Height(height), 0)] += 1;
            run = if set.turn(Height(height), 0) == 3 { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        for (turns, power) in turns.into_iter().zip([1, 2, 3, 10]) {
            assert!((turns - power * 100).abs() <= 3, "{turns} turns for a share of {}", power * 100);
        }
        assert!(longest <= 4, "one validator proposed {longest} times in a row");
        // Whoever begins, four rounds reach all four.
        let reached: std::collections::BTreeSet<_> = (0..4).map(|round| set.turn(Height(5), round)).collect();
        assert_eq!(reached.len(), 4);
    }
}
