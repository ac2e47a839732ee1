//! A node's folder: what it is told (`node.json`), what it starts from (`genesis`), and its secrets (`key`, `token`).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use grange_api::{NodeRole, PriceSettings, ResourceSet};
use grange_ledger::Genesis;
use grange_types::{Amount, DecodeError, Kind, PeerId, Region, SecretKey, Wire};
use serde::{Deserialize, Serialize};

/// What a node is told; the content of `node.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A name for people.
    pub display: String,
    /// Where it stands.
    pub region: Region,
    /// The parts it plays.
    pub roles: Vec<NodeRole>,
    /// The loopback address of its HTTP API.
    pub api: SocketAddr,
    /// The loopback address of its gateway for names.
    pub gateway: SocketAddr,
    /// The UDP address it talks to peers on.
    pub listen: SocketAddr,
    /// The TCP address of the relay it offers, with the role relay.
    pub relay: Option<SocketAddr>,
    /// URLs of relays it can be reached through.
    pub relays: Vec<String>,
    /// Whether to find peers of its network on the local network.
    pub mdns: bool,
    /// Peers to link with.
    pub bootstrap: Vec<Contact>,
    /// The kinds of work it runs.
    pub kinds: Vec<Kind>,
    /// What it sells.
    pub capacity: ResourceSet,
    /// For how much; `grange provider price` writes it here.
    pub prices: PriceSettings,
    /// Whether it takes no new work; `grange provider pause` writes it here.
    #[serde(default)]
    pub paused: bool,
    /// Whether it keeps no ledger, and believes only what is proven to it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub light: bool,
    /// Whether blocks before the last two snapshots of the ledger are let go. A node that keeps all can be audited from the
    /// genesis.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub prune: bool,
    /// A snapshot of the ledger is taken every so many blocks; none for as many as suit most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_every: Option<u64>,
    /// The highest version of the ledger's rules that it follows; none for all that the program knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<u16>,
    /// What orders may cost a day that only show whether providers serve; none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canaries: Option<Amount>,
    /// After how many seconds without a link a steward of a deployment that it looks after is lost; none for ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_after: Option<u64>,
}

/// Where a peer can be dialled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The peer.
    pub peer: PeerId,
    /// Its UDP addresses.
    pub addresses: Vec<SocketAddr>,
    /// URLs of relays it is reached through.
    pub relays: Vec<String>,
}

/// Why a node's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file is missing or cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// `node.json` is not of the form above.
    #[error("{} is no valid configuration", .path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// `genesis` is no genesis.
    #[error("{} is no genesis", .path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DecodeError,
    },
    /// `key` is no secret key.
    #[error("{} does not hold 64 hexadecimal digits", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
}

/// Paths inside a node's folder.
#[derive(Debug, Clone)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// The configuration.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.0.join("node.json")
    }

    /// The network's genesis.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.0.join("genesis")
    }

    /// The node's secret key, readable by its owner alone.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.0.join("key")
    }

    /// The API token, readable by its owner alone; made at the first start.
    #[must_use]
    pub fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    /// The owner's key, sealed with a passphrase; there is none before `grange identity phrase`.
    #[must_use]
    pub fn keystore(&self) -> PathBuf {
        self.0.join("owner.keystore")
    }

    /// Any other file or folder.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes the folder of a new node.
    pub fn create(&self, settings: &Settings, genesis: &Genesis, key: &SecretKey) -> Result<(), SettingsError> {
        fs::create_dir_all(&self.0).map_err(|source| SettingsError::Write { path: self.0.clone(), source })?;
        write_secret(&self.key(), &hex(&key.to_bytes()))?;
        write(&self.genesis(), &genesis.encode())?;
        self.write_settings(settings)
    }

    /// Replaces the configuration.
    pub fn write_settings(&self, settings: &Settings) -> Result<(), SettingsError> {
        let path = self.settings();
        let text = serde_json::to_string_pretty(settings)
            .map_err(|source| SettingsError::Configuration { path: path.clone(), source })?;
        write(&path, text.as_bytes())
    }

    /// Reads the configuration.
    pub fn read_settings(&self) -> Result<Settings, SettingsError> {
        let path = self.settings();
        let text = read(&path)?;
        serde_json::from_slice(&text).map_err(|source| SettingsError::Configuration { path, source })
    }

    /// Reads the genesis.
    pub fn read_genesis(&self) -> Result<Genesis, SettingsError> {
        let path = self.genesis();
        let bytes = read(&path)?;
        Genesis::decode(&bytes).map_err(|source| SettingsError::Genesis { path, source })
    }

    /// Reads the secret key.
    pub fn read_key(&self) -> Result<SecretKey, SettingsError> {
        let path = self.key();
        let text = read(&path)?;
        let text = String::from_utf8_lossy(&text);
        // An id has the same text form: 64 hexadecimal digits.
        let bytes: PeerId = text.trim().parse().map_err(|_| SettingsError::Key { path })?;
        Ok(SecretKey::from_bytes(&bytes.0))
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    PeerId(*bytes).to_string()
}

fn read(path: &Path) -> Result<Vec<u8>, SettingsError> {
    fs::read(path).map_err(|source| SettingsError::Read { path: path.to_path_buf(), source })
}

fn write(path: &Path, content: &[u8]) -> Result<(), SettingsError> {
    replace(path, content, 0o644)
}

/// Writes a file that only its owner can read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), SettingsError> {
    replace(path, text.as_bytes(), 0o600)
}

/// Replaces what was there in one step: whoever reads finds the old or the new, and after a power cut the new, once this has
/// returned.
fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), SettingsError> {
    let failed = |source| SettingsError::Write { path: path.to_path_buf(), source };
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&beside).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    // Without this a power cut may bring back what was there before: a key of the API that was revoked opens doors again.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
