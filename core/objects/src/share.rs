//! A deployment's key in shares, of which two make the key and one tells nothing.
//!
//! The key is a point of a line over GF(2¹²⁸), twice for its two halves: what the line is at zero. A holder's share is what the line is
//! at the holder's own place, which is a hash of its id; so shares need no numbers, and a steward that is replaced takes no
//! other's place. The slope is a hash of the key: a share can be made again at any time, and is always the same.
//!
//! Every share carries a check of the key, so that a false one among two is noticed before anything is sealed.
//!
//! Source: Shamir, How to Share a Secret (1979). The field is that of GCM, x¹²⁸ + x⁷ + x² + x + 1, with bits in the usual order.

use core::fmt;

use grange_types::{DeploymentId, PeerId, SealKey, SecretKey, Wire};
use serde::{Deserialize, Serialize};

use crate::log::LogId;

/// The key of a deployment, as the node that opens it draws it, of its own key; every other node of the owner takes it over.
#[must_use]
pub fn deployment_key(owner: &SecretKey, deployment: DeploymentId) -> SealKey {
    let mut hasher = blake3::Hasher::new_derive_key("grange 2026 deployment key 1");
    hasher.update(&owner.to_bytes()).update(deployment.as_bytes());
    SealKey::new(*hasher.finalize().as_bytes())
}

/// One share of a deployment's key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    place: [u8; 16],
    value: [[u8; 16]; 2],
    check: [u8; 32],
}

/// Tells nothing of the share.
impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Share(…)")
    }
}

impl Share {
    /// The share of a holder.
    #[must_use]
    pub fn of(key: &SealKey, holder: PeerId) -> Self {
        let place = place(holder);
        let slope = halves(&blake3::derive_key("grange 2026 deployment key: slope 1", key.as_bytes()));
        let secret = halves(key.as_bytes());
        let value = [0, 1].map(|half| (secret[half] ^ times(slope[half], place)).to_le_bytes());
        Self { place: place.to_le_bytes(), value, check: check(key) }
    }

    /// Whether another share says that it is of the same key.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.check == other.check
    }

    /// The key of two shares of different holders; none if they are not of the same key, or one is false.
    #[must_use]
    pub fn join(&self, other: &Self) -> Option<SealKey> {
        let (a, b) = (u128::from_le_bytes(self.place), u128::from_le_bytes(other.place));
        if a == b || !self.agrees(other) {
            return None;
        }
        let width = inverse(a ^ b);
        let half = |index: usize| {
            let (at_a, at_b) = (u128::from_le_bytes(self.value[index]), u128::from_le_bytes(other.value[index]));
            times(times(at_a, b) ^ times(at_b, a), width)
        };
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&half(0).to_le_bytes());
        bytes[16..].copy_from_slice(&half(1).to_le_bytes());
        let key = SealKey::new(bytes);
        (check(&key) == self.check).then_some(key)
    }
}

impl Wire for Share {
    const NAME: &'static str = "share";
    const LIMIT: usize = 128;
}

/// What is asked of who holds shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareRequest {
    /// Hold this share of a deployment's key; said by its owner to a steward.
    Hold {
        /// The deployment.
        deployment: DeploymentId,
        /// The share.
        share: Share,
    },
    /// Give what you hold; said by who holds the lease of this slot and generation.
    Give {
        /// Which slot.
        log: LogId,
        /// Which generation.
        generation: u64,
    },
    /// Give what you hold; said by a node of the owner that has not the key: it came later, or in place of one that was lost.
    Restore {
        /// The deployment.
        deployment: DeploymentId,
    },
}

impl Wire for ShareRequest {
    const NAME: &'static str = "share-request";
    const LIMIT: usize = 512;
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareReply {
    /// It is on the disk.
    Held,
    /// One share, or two from a node of the owner.
    Given(Vec<Share>),
    /// The asker may not, or there is none.
    Refused,
}

impl Wire for ShareReply {
    const NAME: &'static str = "share-reply";
    const LIMIT: usize = 512;
}

/// Where on the line a holder's share is; never at zero, where the key is.
fn place(holder: PeerId) -> u128 {
    halves(&blake3::derive_key("grange 2026 deployment key: place 1", holder.as_bytes()))[0].max(1)
}

fn check(key: &SealKey) -> [u8; 32] {
    blake3::derive_key("grange 2026 deployment key: check 1", key.as_bytes())
}

fn halves(bytes: &[u8; 32]) -> [u128; 2] {
    let mut halves = [[0; 16]; 2];
    halves[0].copy_from_slice(&bytes[..16]);
    halves[1].copy_from_slice(&bytes[16..]);
    halves.map(u128::from_le_bytes)
}

/// The product in the field, in the same time for all values.
const fn times(mut a: u128, b: u128) -> u128 {
    let mut product = 0;
    let mut bit = 0;
    while bit < 128 {
        product ^= a & ((b >> bit) & 1).wrapping_neg();
        a = (a << 1) ^ ((a >> 127).wrapping_neg() & 0x87);
        bit += 1;
    }
    product
}

/// One over a value that is not zero: its power of 2¹²⁸ − 2.
const fn inverse(a: u128) -> u128 {
    let mut result = 1;
    let mut square = a;
    let mut step = 1;
    while step < 128 {
        square = times(square, square);
        result = times(result, square);
        step += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_that_of_gcm() {
        // x · x¹²⁷ = x⁶⁴ · x⁶⁴ = x⁷ + x² + x + 1.
        assert_eq!(times(2, 1 << 127), 0x87);
        assert_eq!(times(1 << 64, 1 << 64), 0x87);
        // H and the first block of test case 2 of the specification of GCM, their bits in our order, and GHASH's product.
        let gcm = |text: u128| text.reverse_bits();
        let product =
            times(gcm(0x0388_dace_60b6_a392_f328_c2b9_71b2_fe78), gcm(0x66e9_4bd4_ef8a_2c3b_884c_fa59_ca34_2b2e));
        assert_eq!(product, gcm(0x5e2e_c746_9170_6288_2c85_b068_5353_deb7));
        // Every value but zero has one inverse, and products are spread over sums.
        let mut value = 0x66e9_4bd4_ef8a_2c3b_884c_fa59_ca34_2b2e_u128;
        for _ in 0..200 {
            assert_eq!(times(value, inverse(value)), 1);
            let next = times(value, 0x0388_dace_60b6_a392_f328_c2b9_71b2_fe78);
            assert_eq!(times(value ^ next, 7), times(value, 7) ^ times(next, 7));
            value = next;
        }
        assert_eq!(inverse(1), 1);
    }

    #[test]
    fn any_two_shares_make_the_key_and_a_false_one_is_noticed() {
        let key = SealKey::new(core::array::from_fn(|index| index as u8));
        let share = |holder: u8| Share::of(&key, PeerId([holder; 32]));
        for (a, b) in [(1, 2), (2, 3), (3, 1), (250, 251)] {
            assert_eq!(share(a).join(&share(b)), Some(key.clone()));
        }
        assert_eq!(share(1).join(&share(1)), None, "one is not two");
        let mut bad = share(2);
        bad.value[1][3] ^= 1;
        assert_eq!(share(1).join(&bad), None);
        let other = SealKey::new([9; 32]);
        assert_eq!(share(1).join(&Share::of(&other, PeerId([2; 32]))), None);
        assert_eq!(format!("{:?} {key:?}", share(1)), "Share(…) SealKey(…)");
    }
}
