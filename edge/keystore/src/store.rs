//! The file that opens with a passphrase.

use core::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use grange_types::{AccountId, DecodeError, PublicKey, Record};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::phrase::Phrase;

/// The shortest passphrase: below it the cost of a guess helps nobody.
const SHORTEST: usize = 8;
const LONGEST: usize = 1_024;
/// What is sealed, 32 bytes, and its tag.
const SEALED_BYTES: usize = 48;

/// What a person types to open a keystore.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a text of 8 to 1,024 bytes.
    pub fn new(text: String) -> Result<Self, KeystoreError> {
        let text = Zeroizing::new(text);
        if (SHORTEST..=LONGEST).contains(&text.len()) { Ok(Self(text)) } else { Err(KeystoreError::Length) }
    }

    /// Whether it is the same text, for whoever asks twice.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// What one guess costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Times that it is gone through.
    pub passes: u32,
    /// Threads that it is made for.
    pub lanes: u32,
}

impl Cost {
    /// 64 MiB three times: RFC 9106's second recommendation, a tenth of a second or two on a small machine.
    pub const USUAL: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// The most that a file may ask for.
    pub const MOST: Self = Self { memory_kib: 1 << 20, passes: 16, lanes: 16 };

    const fn is_legal(self) -> bool {
        let Self { memory_kib, passes, lanes } = self;
        let most = Self::MOST;
        let enough = memory_kib >= 8 * lanes && passes >= 1 && lanes >= 1;
        enough && memory_kib <= most.memory_kib && passes <= most.passes && lanes <= most.lanes
    }
}

/// Why a keystore cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// It cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is no keystore.
    #[error("{} is no keystore", .path.display())]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DecodeError,
    },
    /// It asks for more memory or time than a keystore may, or for too little.
    #[error("the keystore asks for a cost out of its bounds")]
    Cost,
    /// The passphrase is another, or the file was altered.
    #[error("the passphrase is wrong, or the keystore was altered")]
    Refused,
    /// A passphrase is too short or too long.
    #[error("a passphrase has {SHORTEST} to {LONGEST} bytes")]
    Length,
}

/// An owner's key, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keystore {
    clear: Clear,
    sealed: Vec<u8>,
}

/// What stands in the clear, and is bound to what is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Clear {
    /// The form of this file; there is one.
    form: u8,
    account: AccountId,
    owner: PublicKey,
    cost: Cost,
    salt: [u8; 16],
    nonce: [u8; 24],
}

const FORM: u8 = 1;

impl Record for Keystore {
    const NAME: &'static str = "keystore";
    /// Form, account, key, three numbers, salt, nonce, and what is sealed with its length.
    const LIMIT: usize = 1 + 32 + 32 + 15 + 16 + 24 + SEALED_BYTES + 2;
}

impl Record for Clear {
    const NAME: &'static str = "keystore-clear";
    const LIMIT: usize = 1 + 32 + 32 + 15 + 16 + 24;
}

impl Keystore {
    /// Seals a phrase. `random` is fresh, and never used again.
    pub fn seal(
        phrase: &Phrase,
        account: AccountId,
        passphrase: &Passphrase,
        cost: Cost,
        random: &[u8; 40],
    ) -> Result<Self, KeystoreError> {
        let (mut salt, mut nonce) = ([0; 16], [0; 24]);
        salt.copy_from_slice(&random[..16]);
        nonce.copy_from_slice(&random[16..]);
        let clear = Clear { form: FORM, account, owner: phrase.owner_key().public(), cost, salt, nonce };
        let cipher = cipher(&clear, passphrase)?;
        let (aad, msg) = (clear.to_record(), phrase.entropy().as_slice());
        let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg, aad: &aad });
        sealed.map(|sealed| Self { clear, sealed }).map_err(|_| KeystoreError::Refused)
    }

    /// Opens it.
    pub fn open(&self, passphrase: &Passphrase) -> Result<Phrase, KeystoreError> {
        let cipher = cipher(&self.clear, passphrase)?;
        let aad = self.clear.to_record();
        let payload = Payload { msg: &self.sealed, aad: &aad };
        let entropy = cipher.decrypt(&XNonce::from(self.clear.nonce), payload).map_err(|_| KeystoreError::Refused)?;
        let entropy = Zeroizing::new(entropy);
        let entropy = <[u8; 32]>::try_from(entropy.as_slice()).map_err(|_| KeystoreError::Refused)?;
        let phrase = Phrase::from_entropy(entropy);
        if phrase.owner_key().public() == self.clear.owner { Ok(phrase) } else { Err(KeystoreError::Refused) }
    }

    /// The account that the key is an owner of.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.clear.account
    }

    /// The public half of the key.
    #[must_use]
    pub const fn owner(&self) -> PublicKey {
        self.clear.owner
    }

    /// Reads a file; nothing where there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, KeystoreError> {
        let failed = |source| KeystoreError::Read { path: path.to_path_buf(), source };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(found) if found.len() > Self::LIMIT as u64 => return Err(failed(io::ErrorKind::FileTooLarge.into())),
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(failed)?;
        let read = Self::from_record(&bytes);
        read.map(Some).map_err(|source| KeystoreError::Undecodable { path: path.to_path_buf(), source })
    }

    /// Replaces a file in one step, readable by its owner alone.
    pub fn write(&self, path: &Path) -> Result<(), KeystoreError> {
        let failed = |source| KeystoreError::Write { path: path.to_path_buf(), source };
        let beside = path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(failed)?;
        file.write_all(&self.to_record()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&beside, path).map_err(failed)?;
        // The new name is durable with its folder.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

fn cipher(clear: &Clear, passphrase: &Passphrase) -> Result<XChaCha20Poly1305, KeystoreError> {
    let Cost { memory_kib, passes, lanes } = clear.cost;
    if clear.form != FORM || !clear.cost.is_legal() {
        return Err(KeystoreError::Cost);
    }
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| KeystoreError::Cost)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Zeroizing::new([0; 32]);
    argon.hash_password_into(passphrase.0.as_bytes(), &clear.salt, key.as_mut()).map_err(|_| KeystoreError::Cost)?;
    Ok(XChaCha20Poly1305::new((&*key).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::codec::check_golden;

    /// Enough for a test.
    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.into()).unwrap()
    }

    fn keystore() -> Keystore {
        let phrase = Phrase::from_entropy([3; 32]);
        Keystore::seal(&phrase, AccountId([4; 32]), &passphrase("correct horse"), CHEAP, &[5; 40]).unwrap()
    }

    #[test]
    fn the_bytes_are_frozen() {
        check_golden(&keystore(), include_str!("../golden/keystore.hex"));
        check_golden(&keystore().clear, include_str!("../golden/keystore-clear.hex"));
    }

    #[test]
    fn only_the_passphrase_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owner.keystore");
        assert!(Keystore::read(&path).unwrap().is_none());
        keystore().write(&path).unwrap();
        let read = Keystore::read(&path).unwrap().unwrap();
        assert_eq!(read.open(&passphrase("correct horse")).unwrap(), Phrase::from_entropy([3; 32]));
        assert!(matches!(read.open(&passphrase("incorrect horse")), Err(KeystoreError::Refused)));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(8).any(|window| window == [3; 8]), "the secret is on the disk");
    }

    #[test]
    fn whatever_is_altered_it_opens_no_more() {
        let bytes = keystore().to_record();
        for place in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[place] ^= 1;
            let Ok(read) = Keystore::from_record(&altered) else { continue };
            assert!(read.open(&passphrase("correct horse")).is_err(), "byte {place}");
        }
    }

    #[test]
    fn a_file_cannot_ask_for_all_memory() {
        for cost in [
            Cost { memory_kib: u32::MAX, passes: 1, lanes: 1 },
            Cost { memory_kib: 64, passes: u32::MAX, lanes: 1 },
            Cost { memory_kib: 64, passes: 1, lanes: 0 },
            Cost { memory_kib: 8, passes: 1, lanes: 2 },
        ] {
            let clear = Clear { cost, ..keystore().clear };
            let asked = Keystore { clear, sealed: Vec::new() }.open(&passphrase("correct horse"));
            assert!(matches!(asked, Err(KeystoreError::Cost)), "{cost:?}");
        }
        assert!(Cost::USUAL.is_legal() && Cost::MOST.is_legal());
        assert!(matches!(Passphrase::new("short".into()), Err(KeystoreError::Length)));
    }
}
