//! What a key and its value look like on a keeper's disk: bytes that it cannot read, if the deployment has a key.
//!
//! A content is a byte that says how it is sealed, and then
//! - 0: the key's length as two bytes little-endian, the key, the value;
//! - 1: the generation and the sequence number of the entry or copy it came with, eight bytes little-endian each, a byte for which
//!   of the two, and the former sealed with AES-256-GCM.
//!
//! The sealing key is derived from the deployment's for each log, generation, and kind; the nonce is the place: sequence
//! number and content number, six bytes each. A place is sealed once, since an entry is durable before it is sent, and a
//! copy of the same mark has the same contents. So nothing can be put where it does not belong: not into another deployment,
//! service, replica, generation or number.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use grange_objects::log::{LogId, Mark};
use grange_types::SealKey;

use super::KeyValueError;
use super::store::Pair;

const PLAIN: u8 = 0;
const SEALED: u8 = 1;
const HEAD: usize = 1 + 8 + 8 + 1;

/// How a content came to a keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In an entry.
    Entry = 0,
    /// In a page of a copy.
    Copy = 1,
}

/// Seals and opens the contents of one log.
#[derive(Clone)]
pub(crate) struct Sealer {
    log: LogId,
    key: Option<SealKey>,
}

impl Sealer {
    pub(crate) const fn new(log: LogId, key: Option<SealKey>) -> Self {
        Self { log, key }
    }

    /// The content of a key and its value.
    pub(crate) fn seal(&self, mark: Mark, way: Way, number: u64, key: &str, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes();
        let plain = [&length, key.as_bytes(), value].concat();
        let Some(cipher) = self.cipher(mark.generation, way as u8) else {
            return [&[PLAIN], plain.as_slice()].concat();
        };
        let (generation, sequence) = (mark.generation.to_le_bytes(), mark.sequence.to_le_bytes());
        let head = [&[SEALED], &generation[..], &sequence[..], &[way as u8]].concat();
        let payload = Payload { msg: &plain, aad: &place(&head, number) };
        // Fails only for more bytes than memory holds; an empty content is refused by whoever opens it.
        let sealed = cipher.encrypt(&nonce(mark.sequence, number), payload).unwrap_or_default();
        [head, sealed].concat()
    }

    /// The key and the value of a content.
    pub(crate) fn open(&self, number: u64, content: &[u8]) -> Result<Pair, KeyValueError> {
        let unreadable = || KeyValueError::Unreadable { number };
        match content.split_first() {
            Some((&PLAIN, plain)) if self.key.is_none() => pair(plain).ok_or_else(unreadable),
            Some((&SEALED, _)) if content.len() >= HEAD => {
                let eight = |at: usize| content[at..at + 8].try_into().map(u64::from_le_bytes);
                let (Ok(generation), Ok(sequence)) = (eight(1), eight(9)) else { return Err(unreadable()) };
                let cipher = self.cipher(generation, content[HEAD - 1]).ok_or_else(unreadable)?;
                let payload = Payload { msg: &content[HEAD..], aad: &place(&content[..HEAD], number) };
                let plain = cipher.decrypt(&nonce(sequence, number), payload).map_err(|_| unreadable())?;
                pair(&plain).ok_or_else(unreadable)
            }
            _ => Err(unreadable()),
        }
    }

    fn cipher(&self, generation: u64, way: u8) -> Option<Aes256Gcm> {
        let key = self.key.as_ref()?;
        let mut hasher = blake3::Hasher::new_derive_key("grange 2026 key-value content 1");
        hasher.update(key.as_bytes()).update(self.log.deployment.as_bytes());
        hasher.update(&(self.log.service.len() as u64).to_le_bytes()).update(self.log.service.as_bytes());
        hasher.update(&self.log.replica.to_le_bytes()).update(&generation.to_le_bytes()).update(&[way]);
        Some(Aes256Gcm::new(hasher.finalize().as_bytes().into()))
    }
}

/// What is sealed in with a content: its head, and its number.
fn place(head: &[u8], number: u64) -> Vec<u8> {
    [head, &number.to_le_bytes()].concat()
}

fn nonce(sequence: u64, number: u64) -> Nonce<aes_gcm::aead::consts::U12> {
    let (sequence, number) = (sequence.to_le_bytes(), number.to_le_bytes());
    let mut nonce = [0; 12];
    nonce[..6].copy_from_slice(&sequence[..6]);
    nonce[6..].copy_from_slice(&number[..6]);
    nonce.into()
}

fn pair(plain: &[u8]) -> Option<Pair> {
    let (length, rest) = plain.split_first_chunk::<2>()?;
    let (key, value) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some((std::str::from_utf8(key).ok()?.to_owned(), value.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::DeploymentId;

    fn sealer(replica: u32, key: Option<u8>) -> Sealer {
        let log = LogId { deployment: DeploymentId([1; 32]), service: "api".into(), replica };
        Sealer::new(log, key.map(|byte| SealKey::new([byte; 32])))
    }

    const MARK: Mark = Mark { generation: 3, sequence: 9 };

    #[test]
    fn a_content_is_opened_only_in_its_place() {
        let content = sealer(0, Some(7)).seal(MARK, Way::Entry, 5, "name", b"a secret value");
        assert!(!content.windows(6).any(|window| window == b"secret"));
        assert_eq!(sealer(0, Some(7)).open(5, &content).unwrap(), ("name".to_owned(), b"a secret value".to_vec()));
        assert!(sealer(0, Some(7)).open(6, &content).is_err(), "under another number");
        assert!(sealer(1, Some(7)).open(5, &content).is_err(), "in another replica");
        assert!(sealer(0, Some(8)).open(5, &content).is_err(), "with another key");
        assert!(sealer(0, None).open(5, &content).is_err(), "without a key");
        for at in 0..content.len() {
            let mut bad = content.clone();
            bad[at] ^= 1;
            assert!(sealer(0, Some(7)).open(5, &bad).is_err(), "with byte {at} changed");
            assert!(sealer(0, Some(7)).open(5, &content[..at]).is_err(), "cut after {at}");
        }
    }

    #[test]
    fn who_has_a_key_takes_nothing_plain() {
        let plain = sealer(0, None).seal(MARK, Way::Copy, 5, "name", b"value");
        assert_eq!(sealer(0, None).open(5, &plain).unwrap(), ("name".to_owned(), b"value".to_vec()));
        assert!(sealer(0, Some(7)).open(5, &plain).is_err());
    }

    #[test]
    fn a_sealed_content_has_these_bytes() {
        let content = sealer(0, Some(7)).seal(MARK, Way::Entry, 5, "k", b"v");
        let golden = include_str!("../../golden/content.hex");
        assert_eq!(data_encoding::HEXLOWER.encode(&content), golden.trim());
    }
}
