//! Thirty-two-byte names, each its own type, written as 64 lower-case hexadecimal digits.

use core::fmt;
use core::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 64 lower-case hexadecimal digits")]
pub struct ParseIdError;

/// Decodes 64 lower-case hexadecimal digits.
pub(crate) fn parse_hex32(text: &str) -> Result<[u8; 32], ParseIdError> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return Err(ParseIdError);
    }
    HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).map_err(|_| ParseIdError)?;
    Ok(bytes)
}

/// Writes ids as text for people (JSON) and as 32 raw bytes on the wire.
pub(crate) fn serialize_bytes32<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&HEXLOWER.encode(bytes))
    } else {
        bytes.serialize(serializer)
    }
}

/// The inverse of [`serialize_bytes32`].
pub(crate) fn deserialize_bytes32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    if deserializer.is_human_readable() {
        let text = String::deserialize(deserializer)?;
        parse_hex32(&text).map_err(serde::de::Error::custom)
    } else {
        <[u8; 32]>::deserialize(deserializer)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first ten digits, for log lines and tables.
            #[must_use]
            pub fn short(&self) -> String {
                HEXLOWER.encode(&self.0[..5])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex32(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize_bytes32(&self.0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_bytes32(deserializer).map(Self)
            }
        }
    };
}

id! {
    /// BLAKE3 of the genesis: which world a signature, a handshake or a folder belongs to.
    NetworkId
}
id! {
    /// An account: its first ed25519 public key. What may sign for it is its key set in the ledger.
    AccountId
}
id! {
    /// A node: its ed25519 key, which is also its transport endpoint id.
    PeerId
}
id! {
    /// A transaction: BLAKE3 over the bytes that were signed.
    TxId
}
id! {
    /// A block: BLAKE3 over its bytes.
    BlockId
}
id! {
    /// A deployment: the id of the transaction that opened it.
    DeploymentId
}
id! {
    /// A lease: the id of the transaction that opened it.
    LeaseId
}
id! {
    /// A blob: BLAKE3 over its content.
    BlobId
}
id! {
    /// A key to an API or an object: BLAKE3 over the signed bytes of its token's first block.
    KeyId
}
id! {
    /// The authenticated summary of the ledger's state.
    StateRoot
}

impl PeerId {
    /// The account that a node which was never given another one acts for: its own key.
    #[must_use]
    pub const fn account(self) -> AccountId {
        AccountId(self.0)
    }
}

impl AccountId {
    /// The node whose key is this account's first key, where there is one.
    #[must_use]
    pub const fn peer(self) -> PeerId {
        PeerId(self.0)
    }
}

impl BlobId {
    /// Names a content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }
}
