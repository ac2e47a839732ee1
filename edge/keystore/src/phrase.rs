//! The words that an owner writes down.

use core::fmt;
use core::str::FromStr;

use bip39::{Language, Mnemonic};
use grange_types::SecretKey;
use zeroize::{Zeroize, Zeroizing};

/// How many words there are: 256 bits and a checksum of 8.
pub const WORDS: usize = 24;
/// What the owner's key is derived under.
pub const CONTEXT: &str = "grange 2026-11-27 owner key ed25519 from BIP-39 seed";
/// The longest text in which the words are looked for.
const TEXT_BYTES: usize = 1_024;

/// 24 words, which are an owner's key.
#[derive(Clone, PartialEq, Eq)]
pub struct Phrase {
    entropy: [u8; 32],
}

/// Why a text is no phrase. It never says a word of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Too few or too many words.
    #[error("a phrase has {WORDS} words, not {count}")]
    Count {
        /// How many there are.
        count: usize,
    },
    /// A word that is not on the list.
    #[error("word {place} is not on the list; look at its letters")]
    UnknownWord {
        /// Which, from 1.
        place: usize,
    },
    /// All are on the list, and do not belong together.
    #[error("the words do not fit together: one is wrong, or two are exchanged")]
    Checksum,
    /// Longer than any phrase.
    #[error("the text is longer than any phrase")]
    TooLong,
}

impl Phrase {
    /// The words for these random bits. The caller brings the randomness.
    #[must_use]
    pub const fn from_entropy(entropy: [u8; 32]) -> Self {
        Self { entropy }
    }

    /// The random bits.
    #[must_use]
    pub const fn entropy(&self) -> &[u8; 32] {
        &self.entropy
    }

    fn mnemonic(&self) -> Option<Mnemonic> {
        // 256 bits are a length that BIP-39 has.
        Mnemonic::from_entropy_in(Language::English, &self.entropy).ok()
    }

    /// The words, in their order.
    #[must_use]
    pub fn words(&self) -> Vec<&'static str> {
        self.mnemonic().map(|words| words.words().collect()).unwrap_or_default()
    }

    /// The owner's key.
    #[must_use]
    pub fn owner_key(&self) -> SecretKey {
        let seed = Zeroizing::new(self.mnemonic().map_or([0; 64], |words| words.to_seed_normalized("")));
        let secret = Zeroizing::new(blake3::derive_key(CONTEXT, seed.as_ref()));
        SecretKey::from_bytes(&secret)
    }
}

impl FromStr for Phrase {
    type Err = PhraseError;

    /// Takes the words in any case, with any white space between them, numbered or not.
    fn from_str(text: &str) -> Result<Self, PhraseError> {
        if text.len() > TEXT_BYTES {
            return Err(PhraseError::TooLong);
        }
        let is_number = |word: &&str| word.trim_end_matches(['.', ')']).bytes().all(|byte| byte.is_ascii_digit());
        let words: Vec<&str> = text.split_whitespace().filter(|word| !is_number(word)).collect();
        if words.len() != WORDS {
            return Err(PhraseError::Count { count: words.len() });
        }
        let plain = Zeroizing::new(words.join(" ").to_lowercase());
        let words = Mnemonic::parse_in_normalized(Language::English, &plain).map_err(|error| match error {
            bip39::Error::UnknownWord(place) => PhraseError::UnknownWord { place: place + 1 },
            bip39::Error::BadWordCount(count) => PhraseError::Count { count },
            _ => PhraseError::Checksum,
        })?;
        let (mut bytes, length) = words.to_entropy_array();
        let entropy = <[u8; 32]>::try_from(&bytes[..length.min(bytes.len())]);
        bytes.zeroize();
        entropy.map(Self::from_entropy).map_err(|_| PhraseError::Checksum)
    }
}

impl Drop for Phrase {
    fn drop(&mut self) {
        self.entropy.zeroize();
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words for 256 zero bits, as BIP-39's own test vectors have them.
    fn zero() -> String {
        format!("{} art", vec!["abandon"; 23].join(" "))
    }

    #[test]
    fn the_words_are_those_of_bip_39() {
        assert_eq!(Phrase::from_entropy([0; 32]).words().join(" "), zero());
        let all = Phrase::from_entropy([0xff; 32]).words();
        assert_eq!(all, [["zoo"; 23].as_slice(), &["vote"]].concat());
        assert_eq!(zero().parse(), Ok(Phrase::from_entropy([0; 32])));
    }

    #[test]
    fn the_same_words_are_the_same_key_for_ever() {
        let key = Phrase::from_entropy([0; 32]).owner_key().public();
        assert_eq!(key.to_string(), include_str!("../golden/owner-key.txt").trim());
        assert_ne!(Phrase::from_entropy([1; 32]).owner_key().public(), key);
    }

    #[test]
    fn people_may_write_them_as_they_like() {
        let numbered: Vec<String> =
            zero().split(' ').enumerate().map(|(index, word)| format!("{}. {word}", index + 1)).collect();
        for text in [zero().to_uppercase(), format!("  {}\n", zero().replace(' ', "\n  ")), numbered.join("\n")] {
            assert_eq!(text.parse(), Ok(Phrase::from_entropy([0; 32])), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_said_without_saying_a_word() {
        let check = |text: &str, expected| {
            let error = text.parse::<Phrase>().unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("abandon"));
        };
        check("", PhraseError::Count { count: 0 });
        check(&["abandon"; 12].join(" "), PhraseError::Count { count: 12 });
        check(&zero().replacen("abandon", "abandan", 1), PhraseError::UnknownWord { place: 1 });
        check(&zero().replace("art", "zoo"), PhraseError::Checksum);
        check(&"x".repeat(2_000), PhraseError::TooLong);
        assert_eq!(format!("{:?}", Phrase::from_entropy([7; 32])), "Phrase(..)");
    }
}
