//! The numbers of a world, all from its seed.

use grange_types::Millis;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// A stream of numbers.
pub(crate) struct Dice(Pcg64);

impl Dice {
    /// The stream of a seed for one purpose: streams of different purposes are independent, so that one more draw for
    /// the load leaves the faults as they were.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(Pcg64::new(u128::from(seed) << 64 | 0x9e37_79b9_7f4a_7c15, u128::from(purpose)))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`; 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        u64::try_from((u128::from(self.number()) * u128::from(end)) >> 64).unwrap_or(0)
    }

    /// An index below `end`.
    pub(crate) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or(0)
    }

    /// A number from `low` up to, and without, `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    /// A span from `low` up to, and without, `high`.
    pub(crate) fn span(&mut self, low: Millis, high: Millis) -> Millis {
        Millis(self.between(low.0, high.0))
    }

    /// Whether something happens that happens so often in a thousand.
    pub(crate) fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// One of some.
    pub(crate) fn pick<'a, T>(&mut self, some: &'a [T]) -> Option<&'a T> {
        some.get(self.index(some.len()))
    }
}
