//! Shares of deployments' keys: given to stewards by the owner's node, and by both to whoever holds the lease.
//!
//! The key of a deployment comes of the owner's node key and the deployment's id, so the owner keeps nothing. Each steward
//! keeps one share, in a file that only its user can read, and gives it only to the holder of an open lease of that
//! deployment by its own ledger. Two shares make the key; the owner's node gives two. A steward that takes the place of one that
//! is lost gets its share of whoever runs the deployment, if the owner is away.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use grange_net::{Net, Protocol, Reply};
use grange_objects::log::LogId;
use grange_objects::share::{Share, ShareReply, ShareRequest, deployment_key};
use grange_types::{DeploymentId, PeerId, SealKey, SecretKey, Wire, Work};

use crate::ingress::Ingress;
use crate::settings::{Folder, write_secret};

/// How long a holder of shares may take: a look at its ledger and one file.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Between two rounds of asking for shares, or of giving them to stewards that have none.
const AGAIN: Duration = Duration::from_millis(500);
const GIVE_EVERY: Duration = Duration::from_secs(2);

/// The shares of this node.
pub(crate) struct Shares {
    net: Arc<Net>,
    folder: PathBuf,
    key: SecretKey,
    /// The keys of what runs here, for stewards that come later.
    known: Mutex<BTreeMap<DeploymentId, SealKey>>,
}

impl Shares {
    pub(crate) fn new(net: Arc<Net>, folder: &Folder, key: SecretKey) -> io::Result<Self> {
        let folder = folder.at("shares");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { net, folder, key, known: Mutex::default() })
    }

    /// The key of a deployment of this node's own account.
    fn own(&self, deployment: DeploymentId) -> SealKey {
        deployment_key(&self.key, deployment)
    }

    /// The key that a workload of ours is sealed under at its keepers; asks whoever holds shares until it is known.
    pub(crate) async fn key(
        &self,
        work: &Work,
        ingress: &Ingress,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> SealKey {
        let log = LogId { deployment: work.deployment, service: work.service.clone(), replica: work.replica };
        let mut told = false;
        loop {
            let request = ShareRequest::Give { log: log.clone(), generation: work.generation };
            let mut asked: FuturesUnordered<_> =
                (0..).zip(&work.stewards).map(|(place, holder)| self.ask(*holder, place, &request, ingress)).collect();
            let mut shares: Vec<Share> = Vec::new();
            while let Some(given) = asked.next().await {
                shares.extend(given);
                // A false share makes no key with any other, so every pair is tried.
                let pairs =
                    shares.iter().enumerate().flat_map(|(at, one)| shares[..at].iter().map(move |two| (one, two)));
                if let Some(key) = pairs.filter_map(|(one, two)| one.join(two)).next() {
                    self.known().insert(work.deployment, key.clone());
                    return key;
                }
            }
            if !told {
                told = true;
                tracing::warn!(deployment = %work.deployment, shares = shares.len(), "shares.missing");
                progress(format!("the key of its data takes two shares, and {} could be had", shares.len()));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The shares of a holder: two of the owner's node, which stands first, and one of a steward. Else one steward could make
    /// up a key by itself.
    async fn ask(&self, holder: PeerId, place: usize, request: &ShareRequest, ingress: &Ingress) -> Vec<Share> {
        let reply = if holder == self.net.peer_id() {
            Some(self.answer(holder, request, ingress).await)
        } else {
            let answer = self.net.request(holder, Protocol::Steward, request.encode(), ANSWER_WITHIN).await;
            answer.ok().and_then(|bytes| ShareReply::decode(&bytes).ok())
        };
        match reply {
            Some(ShareReply::Given(shares)) => shares.into_iter().take(if place == 0 { 2 } else { 1 }).collect(),
            _ => Vec::new(),
        }
    }

    /// Answers a peer's request.
    pub(crate) async fn serve(self: Arc<Self>, from: PeerId, bytes: Vec<u8>, reply: Reply, ingress: Arc<Ingress>) {
        // Dropped without an answer, the reply says that there is none.
        let Ok(request) = ShareRequest::decode(&bytes) else { return };
        reply.send(self.answer(from, &request, &ingress).await.encode());
    }

    async fn answer(&self, from: PeerId, request: &ShareRequest, ingress: &Ingress) -> ShareReply {
        match request {
            ShareRequest::Hold { deployment, share } => {
                let has = self.kept(*deployment).is_some();
                let table = ingress.table();
                // Who runs a part of it need not go on telling where there is a share.
                let there = has && table.may_hand(from, *deployment, false);
                let kept = if table.may_hand(from, *deployment, has) { self.keep(*deployment, share) } else { there };
                if kept { ShareReply::Held } else { ShareReply::Refused }
            }
            ShareRequest::Give { log, generation } => {
                if ingress.may_write(from, log, *generation).await.is_none() {
                    tracing::info!(peer = %from, ?log, generation, "share.denied");
                    return ShareReply::Refused;
                }
                let deployment = log.deployment;
                if ingress.table().owned.contains_key(&deployment) {
                    // Two places of its own, of which none is a steward's.
                    let (key, places) = (self.own(deployment), [self.net.peer_id(), PeerId(deployment.0)]);
                    return ShareReply::Given(places.map(|place| Share::of(&key, place)).into());
                }
                self.kept(deployment).map_or(ShareReply::Refused, |share| ShareReply::Given(vec![share]))
            }
        }
    }

    fn path(&self, deployment: DeploymentId) -> PathBuf {
        self.folder.join(deployment.to_string())
    }

    fn keep(&self, deployment: DeploymentId, share: &Share) -> bool {
        let text = data_encoding::HEXLOWER.encode(&share.encode());
        let written = tokio::task::block_in_place(|| write_secret(&self.path(deployment), &text));
        if let Err(error) = &written {
            tracing::warn!(error = error as &dyn std::error::Error, "share.not_kept");
        }
        written.is_ok()
    }

    fn kept(&self, deployment: DeploymentId) -> Option<Share> {
        let text = tokio::task::block_in_place(|| std::fs::read_to_string(self.path(deployment))).ok()?;
        let bytes = data_encoding::HEXLOWER.decode(text.trim().as_bytes()).ok()?;
        Share::decode(&bytes).ok()
    }

    /// Gives each steward its share, once, as soon as it can be reached: those of our own deployments, and of those that run
    /// here, where a steward may have come while the owner is away. For ever.
    pub(crate) async fn hand_out(self: Arc<Self>, ingress: Arc<Ingress>) {
        let mut told: BTreeSet<(DeploymentId, PeerId)> = BTreeSet::new();
        loop {
            let table = ingress.table();
            let me = self.net.peer_id();
            self.known().retain(|deployment, _| table.runs(me, *deployment));
            let running = self.known().clone();
            let own = table.owned.keys().map(|deployment| (*deployment, self.own(*deployment)));
            let keys: BTreeMap<DeploymentId, SealKey> = running.into_iter().chain(own).collect();
            told.retain(|(deployment, steward)| {
                table.stewards.get(deployment).is_some_and(|stewards| stewards.contains(steward))
            });
            let mut refused = false;
            for (deployment, key) in keys {
                for steward in table.stewards.get(&deployment).into_iter().flatten() {
                    if *steward == me || told.contains(&(deployment, *steward)) || !self.net.is_connected(*steward) {
                        continue;
                    }
                    let request = ShareRequest::Hold { deployment, share: Share::of(&key, *steward) }.encode();
                    let answer = self.net.request(*steward, Protocol::Steward, request, ANSWER_WITHIN).await;
                    if answer.is_ok_and(|bytes| ShareReply::decode(&bytes) == Ok(ShareReply::Held)) {
                        told.insert((deployment, *steward));
                    } else {
                        // It may hear of the deployment a moment later than we did.
                        refused = true;
                    }
                }
            }
            ingress.moved_within(if refused { AGAIN } else { GIVE_EVERY }).await;
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<DeploymentId, SealKey>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the shares of deployments that are not known. Reads and removes files.
    pub(crate) fn retain(&self, known: &BTreeSet<DeploymentId>) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let deployment = entry.file_name().to_str().and_then(|name| name.parse::<DeploymentId>().ok());
            if deployment.is_some_and(|deployment| !known.contains(&deployment)) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}
