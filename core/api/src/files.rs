//! Configs and secrets as JSON: bytes are base64, and the values of secrets stand beside the manifest, never in it.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use grange_types::{Content, File, Secrets};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::base64::Base64;

/// A file that a component finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileBody {
    /// Where, from the root on.
    #[schema(example = "/run/secrets/token")]
    pub target: String,
    /// What is in it.
    pub content: ContentBody,
}

/// What is in a file: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ContentBody {
    /// A config, in base64.
    #[schema(value_type = String)]
    Config(Base64),
    /// A secret, whose value stands beside the manifest.
    Secret {
        /// Its name.
        name: String,
        /// Its sealed value, in base64; empty before a node has sealed it.
        #[serde(default, skip_serializing_if = "is_empty")]
        #[schema(value_type = String)]
        sealed: Base64,
    },
}

fn is_empty(bytes: &Base64) -> bool {
    bytes.0.is_empty()
}

/// Secrets by name, in base64. Prints names alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretsBody(pub Secrets);

impl SecretsBody {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for SecretsBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, BASE64.encode(value))))
    }
}

impl<'de> Deserialize<'de> for SecretsBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut secrets = Secrets::default();
        for (name, text) in BTreeMap::<String, String>::deserialize(deserializer)? {
            // The text is a secret, so the error does not repeat any of it.
            let value =
                BASE64.decode(text.as_bytes()).map_err(|_| serde::de::Error::custom("a secret is not base64"))?;
            secrets.insert(name, value);
        }
        Ok(Self(secrets))
    }
}

impl From<FileBody> for File {
    fn from(body: FileBody) -> Self {
        let content = match body.content {
            ContentBody::Config(bytes) => Content::Config(bytes.0),
            ContentBody::Secret { name, sealed } => Content::Secret { name, sealed: sealed.0 },
        };
        Self { target: body.target, content }
    }
}

impl From<File> for FileBody {
    fn from(file: File) -> Self {
        let content = match file.content {
            Content::Config(bytes) => ContentBody::Config(Base64(bytes)),
            Content::Secret { name, sealed } => ContentBody::Secret { name, sealed: Base64(sealed) },
        };
        Self { target: file.target, content }
    }
}
