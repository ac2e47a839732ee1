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

use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use grange_net::{Net, Protocol, Reply};
use grange_objects::log::LogId;
use grange_objects::share::{Share, ShareReply, ShareRequest, deployment_key};
use grange_peer::RouteTable;
use grange_types::{DeploymentId, PeerId, SealKey, SecretKey, Wire, Work};

use crate::ingress::Ingress;
use crate::settings::{Folder, write_secret};

/// How long a holder of shares may take: a look at its ledger and one file.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Between two rounds of asking for shares, or of giving them to stewards that have none.
const AGAIN: Duration = Duration::from_millis(500);
const GIVE_EVERY: Duration = Duration::from_secs(2);

/// So many stewards are offered their shares at the same time.
const AT_ONCE: usize = 32;

/// What is to be offered to whom.
type Due<T> = BTreeMap<PeerId, Vec<T>>;

/// What a steward says to a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Held,
    Refused,
    None,
}

/// Offers every steward what is due to it, one thing after the other, and many stewards at the same time: one that says
/// nothing is asked no more in this round and holds up nobody else.
async fn offer_all<T, A: Copy, F: Future<Output = (A, Answer)>>(
    due: Due<T>,
    offer: impl Fn(PeerId, T) -> F,
    mut heard: impl FnMut(PeerId, (A, Answer)),
) {
    let offer = &offer;
    let one = |(steward, things): (PeerId, Vec<T>)| async move {
        let mut answers = Vec::new();
        for thing in things {
            let answer = offer(steward, thing).await;
            answers.push(answer);
            if answer.1 == Answer::None {
                break;
            }
        }
        (steward, answers)
    };
    let mut asked = stream::iter(due).map(one).buffer_unordered(AT_ONCE);
    while let Some((steward, answers)) = asked.next().await {
        answers.into_iter().for_each(|answer| heard(steward, answer));
    }
}

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
            let due = self.due(&ingress.table(), &mut told);
            let mut again = false;
            let shares = &*self;
            let offer = |steward, (deployment, key)| shares.offer(steward, deployment, key);
            offer_all(due, offer, |steward, (deployment, answer)| {
                if answer == Answer::Held {
                    told.insert((deployment, steward));
                } else {
                    // It may hear of the deployment a moment later than we did.
                    again = true;
                }
            })
            .await;
            ingress.moved_within(if again { AGAIN } else { GIVE_EVERY }).await;
        }
    }

    /// What each steward that can be reached has not been told yet.
    fn due(&self, table: &RouteTable, told: &mut BTreeSet<(DeploymentId, PeerId)>) -> Due<(DeploymentId, SealKey)> {
        let me = self.net.peer_id();
        self.known().retain(|deployment, _| table.runs(me, *deployment));
        let running = self.known().clone();
        let own = table.owned.keys().map(|deployment| (*deployment, self.own(*deployment)));
        let keys: BTreeMap<DeploymentId, SealKey> = running.into_iter().chain(own).collect();
        told.retain(|(deployment, steward)| {
            table.stewards.get(deployment).is_some_and(|stewards| stewards.contains(steward))
        });
        let mut due = Due::new();
        for (deployment, key) in keys {
            for steward in table.stewards.get(&deployment).into_iter().flatten() {
                if *steward != me && !told.contains(&(deployment, *steward)) && self.net.is_connected(*steward) {
                    due.entry(*steward).or_default().push((deployment, key.clone()));
                }
            }
        }
        due
    }

    /// Offers a steward its share of a deployment's key.
    async fn offer(&self, steward: PeerId, deployment: DeploymentId, key: SealKey) -> (DeploymentId, Answer) {
        let request = ShareRequest::Hold { deployment, share: Share::of(&key, steward) }.encode();
        let answer = self.net.request(steward, Protocol::Steward, request, ANSWER_WITHIN).await;
        let answer = match answer.map(|bytes| ShareReply::decode(&bytes)) {
            Ok(Ok(ShareReply::Held)) => Answer::Held,
            Ok(_) => Answer::Refused,
            Err(_) => Answer::None,
        };
        (deployment, answer)
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt as _;

    use super::*;

    const DUMB: PeerId = PeerId([1; 32]);

    type Told = Vec<(PeerId, u32)>;

    /// One round in which one steward never answers: offers that were made, answers that came, and whether it is over.
    fn round(stewards: u8) -> (Told, Told, bool) {
        let due: Due<u32> = (1..=stewards).map(|number| (PeerId([number; 32]), vec![7, 8])).collect();
        let (made, heard) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let offer = |steward, thing| {
            made.borrow_mut().push((steward, thing));
            async move {
                if steward == DUMB {
                    std::future::pending::<()>().await;
                }
                (thing, Answer::Held)
            }
        };
        let over = offer_all(due, offer, |steward, (thing, _)| heard.borrow_mut().push((steward, thing)));
        let over = over.now_or_never().is_some();
        (made.into_inner(), heard.into_inner(), over)
    }

    #[test]
    fn one_who_says_nothing_holds_up_nobody() {
        let (made, heard, over) = round(3);
        assert!(!over, "one is still waited for");
        let others = [2, 3].map(|number| PeerId([number; 32]));
        for steward in others {
            assert!([7, 8].iter().all(|thing| heard.contains(&(steward, *thing))), "{heard:?}");
        }
        assert_eq!(made.iter().filter(|(steward, _)| *steward == DUMB).count(), 1, "one thing at a time");
        // More than are asked at once: all but the one who holds a place are heard.
        let (_, heard, _) = round(200);
        assert_eq!(heard.len(), 2 * 199);
    }

    #[test]
    fn who_did_not_answer_is_not_asked_again_in_the_same_round() {
        let answers = RefCell::new(Vec::new());
        let offer = |_, thing: u32| async move { (thing, if thing == 7 { Answer::Refused } else { Answer::None }) };
        let due = Due::from([(DUMB, vec![7, 8, 9])]);
        let over = offer_all(due, offer, |_, answer| answers.borrow_mut().push(answer));
        assert!(over.now_or_never().is_some());
        assert_eq!(answers.into_inner(), [(7, Answer::Refused), (8, Answer::None)]);
    }
}
