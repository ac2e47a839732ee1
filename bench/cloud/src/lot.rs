//! Drawing lots: the same ones in every run.

/// SplitMix64, whose whole state is a counter.
#[derive(Debug, Clone)]
pub(crate) struct Lot(u64);

impl Lot {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `count`, which is not zero.
    pub(crate) const fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % count as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_drawn_about_as_often() {
        let (mut lot, mut drawn) = (Lot::new(1), [0; 4]);
        (0..4_000).for_each(|_| drawn[lot.below(4)] += 1);
        assert!(drawn.iter().all(|count| (900..1_100).contains(count)), "{drawn:?}");
    }
}
