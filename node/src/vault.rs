//! What a node keeps of deployments' keys, in files that only its user can read: the key of a deployment of its own account, and a
//! share where it is a steward.
//!
//! What is known is never replaced by what is said later. Only a share that came from whoever runs a deployment gives way to the
//! owner's, since a provider may have made it up.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use grange_objects::share::Share;
use grange_peer::Giver;
use grange_types::{DeploymentId, SealKey, Wire as _};

use crate::settings::{Folder, write_secret};

/// Stands behind a share that the owner has not confirmed.
const OF_PROVIDER: &str = "provider";

/// Keys and shares on the disk, the keys in memory too.
pub(crate) struct Vault {
    shares: PathBuf,
    seals: PathBuf,
    keys: Mutex<BTreeMap<DeploymentId, SealKey>>,
    /// Requests are answered side by side: to look and to write is one step.
    writing: Mutex<()>,
}

impl Vault {
    /// Opens it in a node's folder.
    pub(crate) fn open(folder: &Folder) -> io::Result<Self> {
        let (shares, seals) = (folder.at("shares"), folder.at("seals"));
        std::fs::create_dir_all(&shares)?;
        std::fs::create_dir_all(&seals)?;
        let mut keys = BTreeMap::new();
        for (deployment, path) in files(&seals)? {
            match decode(&String::from_utf8_lossy(&std::fs::read(&path)?)) {
                Some(key) => drop(keys.insert(deployment, key)),
                // It can be taken over again.
                None => tracing::warn!(%deployment, "seal.unreadable"),
            }
        }
        Ok(Self { shares, seals, keys: Mutex::new(keys), writing: Mutex::default() })
    }

    /// The key of a deployment of the node's own account.
    pub(crate) fn key(&self, deployment: DeploymentId) -> Option<SealKey> {
        self.keys().get(&deployment).cloned()
    }

    /// Keeps the key of a deployment of the node's own account, unless one is known. Writes a file.
    pub(crate) fn keep_key(&self, deployment: DeploymentId, key: &SealKey) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.keys().contains_key(&deployment) {
            return;
        }
        let text = data_encoding::HEXLOWER.encode(key.as_bytes());
        if let Err(error) = write_secret(&self.seals.join(deployment.to_string()), &text) {
            // It counts until the node ends; then it has to be taken over again.
            tracing::warn!(error = &error as &dyn std::error::Error, "seal.not_kept");
        }
        self.keys().entry(deployment).or_insert_with(|| key.clone());
    }

    /// The share of a deployment that the node is a steward of. Reads a file.
    pub(crate) fn share(&self, deployment: DeploymentId) -> Option<Share> {
        self.held(deployment).map(|(share, _)| share)
    }

    /// Keeps a share, unless one is there that does not give way; whether the one that is there now is of the same key. Reads and
    /// writes a file.
    pub(crate) fn keep_share(&self, deployment: DeploymentId, share: &Share, giver: Giver) -> bool {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, of)) = self.held(deployment)
            && (of == Giver::Owner || giver == Giver::Provider)
        {
            return held.agrees(share);
        }
        let mut text = data_encoding::HEXLOWER.encode(&share.encode());
        if giver == Giver::Provider {
            text = format!("{text} {OF_PROVIDER}");
        }
        let written = write_secret(&self.shares.join(deployment.to_string()), &text);
        if let Err(error) = &written {
            tracing::warn!(error = error as &dyn std::error::Error, "share.not_kept");
        }
        written.is_ok()
    }

    fn held(&self, deployment: DeploymentId) -> Option<(Share, Giver)> {
        let text = std::fs::read_to_string(self.shares.join(deployment.to_string())).ok()?;
        let mut words = text.split_whitespace();
        let share = Share::decode(&data_encoding::HEXLOWER.decode(words.next()?.as_bytes()).ok()?).ok()?;
        Some((share, if words.next() == Some(OF_PROVIDER) { Giver::Provider } else { Giver::Owner }))
    }

    /// Removes shares and keys of deployments that are not known, and were written before an instant: a key is there before its
    /// deployment. Reads and removes files.
    pub(crate) fn retain(&self, known: &BTreeSet<DeploymentId>, before: SystemTime) -> io::Result<()> {
        for (deployment, path) in files(&self.shares)?.into_iter().chain(files(&self.seals)?) {
            if !known.contains(&deployment) && std::fs::metadata(&path)?.modified()? < before {
                std::fs::remove_file(&path)?;
                self.keys().remove(&deployment);
            }
        }
        Ok(())
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<DeploymentId, SealKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files that are named by a deployment.
fn files(folder: &Path) -> io::Result<Vec<(DeploymentId, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let deployment = entry.file_name().to_str().and_then(|name| name.parse::<DeploymentId>().ok());
        found.extend(deployment.map(|deployment| (deployment, entry.path())));
    }
    Ok(found)
}

fn decode(text: &str) -> Option<SealKey> {
    let bytes = data_encoding::HEXLOWER.decode(text.trim().as_bytes()).ok()?;
    Some(SealKey::new(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Barrier;
    use std::time::Duration;

    use grange_types::PeerId;

    use super::*;

    const SHOP: DeploymentId = DeploymentId([1; 32]);
    const STALL: DeploymentId = DeploymentId([2; 32]);

    fn open(folder: &tempfile::TempDir) -> Vault {
        Vault::open(&Folder(folder.path().to_path_buf())).unwrap()
    }

    fn share(key: u8) -> Share {
        Share::of(&SealKey::new([key; 32]), PeerId([7; 32]))
    }

    #[test]
    fn the_first_key_stays_also_over_a_restart_and_is_shown_to_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(&folder);
        assert_eq!(vault.key(SHOP), None);
        vault.keep_key(SHOP, &SealKey::new([3; 32]));
        vault.keep_key(SHOP, &SealKey::new([4; 32]));
        for vault in [vault, open(&folder)] {
            assert_eq!((vault.key(SHOP), vault.key(STALL)), (Some(SealKey::new([3; 32])), None));
        }
        let path = folder.path().join("seals").join(SHOP.to_string());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "half").unwrap();
        assert_eq!(open(&folder).key(SHOP), None, "what cannot be read is taken over again");
    }

    #[test]
    fn a_share_of_another_key_does_not_replace_the_owners() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(&folder);
        assert!(vault.keep_share(SHOP, &share(3), Giver::Owner));
        for giver in [Giver::Owner, Giver::Provider] {
            assert!(!vault.keep_share(SHOP, &share(4), giver), "{giver:?}");
            assert!(vault.keep_share(SHOP, &share(3), giver), "the same is the same: {giver:?}");
        }
        assert_eq!(open(&folder).share(SHOP), Some(share(3)));
    }

    #[test]
    fn a_providers_share_gives_way_to_the_owners_and_to_no_other() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(&folder).keep_share(SHOP, &share(4), Giver::Provider));
        let vault = open(&folder);
        assert!(!vault.keep_share(SHOP, &share(5), Giver::Provider));
        assert_eq!(vault.share(SHOP), Some(share(4)));
        assert!(vault.keep_share(SHOP, &share(3), Giver::Owner));
        assert!(!vault.keep_share(SHOP, &share(4), Giver::Provider));
        assert_eq!(vault.share(SHOP), Some(share(3)));
    }

    /// What every number comes to, all at the same time.
    fn at_once<T: Send>(numbers: core::ops::Range<u8>, act: impl Fn(u8) -> T + Sync) -> Vec<T> {
        let start = Barrier::new(numbers.len());
        std::thread::scope(|scope| {
            let (act, start) = (&act, &start);
            let one = |number| {
                scope.spawn(move || {
                    start.wait();
                    act(number)
                })
            };
            let threads: Vec<_> = numbers.map(one).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn of_many_keys_and_shares_at_once_one_is_kept_in_memory_and_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(&folder);
        for round in 0..50 {
            let id = DeploymentId([round; 32]);
            at_once(1..9, |number| vault.keep_key(id, &SealKey::new([number; 32])));
            assert_eq!(vault.key(id), open(&folder).key(id), "in round {round}");
            let kept = at_once(1..9, |number| (number, vault.keep_share(id, &share(number), Giver::Owner)));
            let kept: Vec<u8> = kept.into_iter().filter(|(_, kept)| *kept).map(|(number, _)| number).collect();
            assert_eq!(kept.len(), 1, "one is told that it is kept, in round {round}: {kept:?}");
            assert_eq!(vault.share(id), Some(share(kept[0])));
        }
    }

    #[test]
    fn whoever_comes_beside_it_the_owners_share_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(&folder);
        for round in 0..50 {
            let id = DeploymentId([round; 32]);
            let giver = |number| if number == 1 { Giver::Owner } else { Giver::Provider };
            let kept = at_once(1..9, |number| vault.keep_share(id, &share(number), giver(number)));
            assert!(kept[0] && vault.share(id) == Some(share(1)), "in round {round}");
        }
    }

    #[test]
    fn what_nobody_knows_any_more_goes_unless_it_has_just_come() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(&folder);
        for deployment in [SHOP, STALL] {
            vault.keep_key(deployment, &SealKey::new([3; 32]));
            vault.keep_share(deployment, &share(3), Giver::Owner);
        }
        let (known, now) = (BTreeSet::from([SHOP]), SystemTime::now());
        let there = |vault: &Vault| (vault.key(STALL).is_some(), vault.share(STALL).is_some());
        vault.retain(&known, now - Duration::from_secs(60)).unwrap();
        assert_eq!(there(&vault), (true, true));
        vault.retain(&known, now + Duration::from_secs(60)).unwrap();
        assert_eq!((there(&vault), there(&open(&folder))), ((false, false), (false, false)));
        assert!(vault.key(SHOP).is_some() && vault.share(SHOP).is_some());
    }
}
