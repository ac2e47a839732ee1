//! Bytes in JSON: base64 with padding.

use data_encoding::BASE64;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that JSON carries as base64 text. A text that would be written differently is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_that_reads_back() {
        for (bytes, text) in [(&b""[..], "\"\""), (b"a", "\"YQ==\""), (&[0xff, 0xfe, 0xfd], "\"//79\"")] {
            assert_eq!(serde_json::to_string(&Base64(bytes.to_vec())).unwrap(), text);
            assert_eq!(serde_json::from_str::<Base64>(text).unwrap().0, bytes);
        }
        for bad in ["\"YQ\"", "\"YR==\"", "\"Y Q=\"", "7"] {
            assert!(serde_json::from_str::<Base64>(bad).is_err(), "{bad}");
        }
    }
}
