//! How an input changes.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// Inputs do not grow beyond this.
const LONGEST: usize = 64 << 10;
/// Bytes that decoders stumble over: ends of numbers, of varints, of text.
const TELLING: &[&[u8]] = &[
    &[0],
    &[1],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0xff; 9],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
    &[0xc3, 0x28],
    b"${",
    b"&a [*a]",
    b": ",
    b"\n  - ",
    b"{\"",
    b"9999999999999999999999999999999999999999",
];

/// A stream of numbers that can be drawn again.
pub(crate) struct Dice(Pcg64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Pcg64::new(u128::from(seed), 0x0a02_bdbf_7bb3_c0a7))
    }

    /// A number below `end`; 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from((u128::from(self.0.next_u64()) * end as u128) >> 64).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.0.next_u64().to_le_bytes()[0]
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = (length - start).min(1 << self.below(8));
        start..start + self.below(most + 1)
    }
}

/// Changes an input in one to eight places, perhaps with parts of another.
pub(crate) fn mutate(input: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(8) {
        let length = input.len();
        match dice.below(9) {
            0 if length > 0 => input[dice.below(length)] ^= 1 << dice.below(8),
            1 if length > 0 => input[dice.below(length)] = dice.byte(),
            2 => drop(input.drain(dice.range(length))),
            3 => input.truncate(dice.below(length + 1)),
            4 => {
                let part = input[dice.range(length)].to_vec();
                put(input, dice.below(length + 1), &part);
            }
            5 => {
                let part = &other[dice.range(other.len())];
                put(input, dice.below(length + 1), part);
            }
            6 if length > 0 => {
                let at = dice.below(length);
                let telling = TELLING[dice.below(TELLING.len())];
                let end = (at + telling.len()).min(length);
                input.splice(at..end, telling.iter().copied());
            }
            7 if length > 0 => {
                let at = dice.below(length);
                input[at] = input[at].wrapping_add(if dice.below(2) == 0 { 1 } else { u8::MAX });
            }
            _ => put(input, dice.below(length + 1), TELLING[dice.below(TELLING.len())]),
        }
        input.truncate(LONGEST);
    }
}

fn put(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    let at = at.min(input.len());
    input.splice(at..at, part.iter().copied());
}
