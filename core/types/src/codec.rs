//! The canonical codec: postcard, bounded, and refused unless it re-encodes to itself.
//!
//! Two traits say what may become bytes: [`Wire`] for what peers exchange and sign, [`Record`] for what a
//! node keeps on its own disk. Nothing else is encoded anywhere; `cargo xtask tidy` holds every implementor
//! against a golden file `golden/<name>.hex` beside the crate's sources.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than the type allows; checked before anything is read.
    #[error("{name} of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// What was being decoded.
        name: &'static str,
        /// How long it was.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Not the type's form: truncated, an unknown variant, a value out of range.
    #[error("the bytes are no {name}")]
    Malformed {
        /// What was being decoded.
        name: &'static str,
    },
    /// They decode, but to a value whose encoding is other bytes.
    #[error("the bytes of a {name} are not in canonical form")]
    NotCanonical {
        /// What was being decoded.
        name: &'static str,
    },
}

/// A type that peers exchange. Its bytes are frozen: a change is a new variant or a new type.
pub trait Wire: Serialize + DeserializeOwned {
    /// The type's name: of its golden file, and the domain of its signatures.
    const NAME: &'static str;
    /// The most bytes one value may take.
    const LIMIT: usize;

    /// The canonical bytes. Values are kept within [`Wire::LIMIT`] by their constructors.
    #[must_use]
    fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads the canonical bytes of one value, all of them.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        from_bytes(Self::NAME, Self::LIMIT, bytes)
    }
}

/// A type that a node keeps on its own disk. Its bytes are frozen like those of [`Wire`].
pub trait Record: Serialize + DeserializeOwned {
    /// The type's name, and that of its golden file.
    const NAME: &'static str;
    /// The most bytes one value may take.
    const LIMIT: usize;

    /// The canonical bytes.
    #[must_use]
    fn to_record(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads the canonical bytes of one value, all of them.
    fn from_record(bytes: &[u8]) -> Result<Self, DecodeError> {
        from_bytes(Self::NAME, Self::LIMIT, bytes)
    }
}

/// Most encodings fit this: a vote, a receipt, a transfer. Growing byte by byte costs more than writing.
const USUAL: usize = 256;

fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    // postcard fails only on a sequence of unknown length or a refusing `Serialize`; derived code has neither,
    // and an empty encoding is refused by every decoder.
    postcard::to_extend(value, Vec::with_capacity(USUAL)).unwrap_or_default()
}

fn from_bytes<T: Serialize + DeserializeOwned>(
    name: &'static str,
    limit: usize,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { name, length: bytes.len(), limit });
    }
    let value: T = postcard::from_bytes(bytes).map_err(|_| DecodeError::Malformed { name })?;
    if to_bytes(&value) != bytes {
        return Err(DecodeError::NotCanonical { name });
    }
    Ok(value)
}

/// Holds a value against the golden file that freezes its bytes; for tests of implementors.
///
/// `golden` is the text of the file: hexadecimal digits, white space ignored. Also shows that the bytes decode
/// back, that every truncation is refused without a panic, and that a trailing byte is refused.
///
/// # Panics
/// When the bytes differ; the message holds the new encoding.
pub fn check_golden<T: Serialize + DeserializeOwned>(value: &T, golden: &str) {
    let bytes = to_bytes(value);
    let expected: String = golden.split_whitespace().collect();
    let actual = data_encoding::HEXLOWER.encode(&bytes);
    assert!(expected == actual, "the golden bytes differ; the encoding is now\n{actual}");
    assert!(from_bytes::<T>("golden", usize::MAX, &bytes).is_ok(), "golden bytes do not decode");
    for end in 0..bytes.len() {
        // A prefix may be a value of its own only if nothing follows it; here it must not equal the whole.
        let _ = from_bytes::<T>("golden", usize::MAX, &bytes[..end]);
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(from_bytes::<T>("golden", usize::MAX, &longer).is_err(), "a trailing byte was accepted");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        number: u32,
        text: String,
    }

    fn decode(bytes: &[u8]) -> Result<Sample, DecodeError> {
        from_bytes("sample", 16, bytes)
    }

    #[test]
    fn only_canonical_bytes_within_the_limit_decode() {
        let sample = Sample { number: 1, text: "ab".into() };
        assert_eq!(to_bytes(&sample), [1, 2, b'a', b'b']);
        assert_eq!(decode(&[1, 2, b'a', b'b']), Ok(sample));
        // A varint padded with a zero group decodes to the same number, but is not canonical.
        assert_eq!(decode(&[0x81, 0x00, 2, b'a', b'b']), Err(DecodeError::NotCanonical { name: "sample" }));
        assert_eq!(decode(&[1, 2, b'a']), Err(DecodeError::Malformed { name: "sample" }));
        assert_eq!(decode(&[1, 2, b'a', b'b', 0]), Err(DecodeError::NotCanonical { name: "sample" }));
        assert_eq!(decode(&[0; 17]), Err(DecodeError::TooLong { name: "sample", length: 17, limit: 16 }));
        // A length that promises more than there is allocates nothing and fails.
        assert_eq!(decode(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(DecodeError::Malformed { name: "sample" }));
    }
}
