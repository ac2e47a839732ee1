//! Shares of deployments' keys: given to stewards by the owner's nodes, and by both to whoever holds the lease.
//!
//! The node that opens a deployment draws its key and keeps it. Each steward keeps one share, and gives it to the holder of an
//! open lease of that deployment and to the nodes of its owner, by its own ledger. Two shares make the key; a node of the owner
//! gives two. A node of the owner that has not the key, since it came later or in place of one that was lost, takes it over: from
//! another one, from two stewards, or from one and whoever runs the deployment. A steward that takes the place of one that is
//! lost gets its share of whoever runs the deployment, if the owner is away.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use grange_net::{Net, Protocol, Reply};
use grange_objects::log::LogId;
use grange_objects::share::{Share, ShareReply, ShareRequest};
use grange_peer::RouteTable;
use grange_types::{DeploymentId, PeerId, SealKey, Wire, Work};
use tokio::task::block_in_place;

use crate::ingress::Ingress;
use crate::settings::Folder;
use crate::vault::Vault;

/// How long a holder of shares may take: a look at its ledger and one file.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Between two rounds of asking for shares, or of giving them to stewards that have none.
const AGAIN: Duration = Duration::from_millis(500);
const GIVE_EVERY: Duration = Duration::from_secs(2);
/// Who refuses is asked again after twice as long as before, up to this.
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);
/// How long a user waits for a key that has to be taken over.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// Shares of a node of the owner, which knows the key: else one steward could make up a key by itself.
const OF_OWNER: usize = 2;
const OF_OTHERS: usize = 1;

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

/// Who is not asked again yet, as he said no or nothing, and how long he is left alone the next time.
#[derive(Default)]
struct Patience(BTreeMap<(DeploymentId, PeerId), (Instant, Duration)>);

impl Patience {
    fn is_over(&self, what: (DeploymentId, PeerId), now: Instant) -> bool {
        self.0.get(&what).is_none_or(|(until, _)| *until <= now)
    }

    fn refused(&mut self, what: (DeploymentId, PeerId), now: Instant) {
        // He may hear of the deployment a moment later than we did, so the first time is short.
        let wait = self.0.get(&what).map_or(AGAIN, |(_, wait)| (*wait * 2).min(AGAIN_AT_MOST));
        self.0.insert(what, (now + wait, wait));
    }

    fn agreed(&mut self, what: (DeploymentId, PeerId)) {
        self.0.remove(&what);
    }

    /// Until somebody may be asked again, or for as long as nothing else makes us look.
    fn left(&self, now: Instant) -> Duration {
        let left = self.0.values().filter_map(|(until, _)| until.checked_duration_since(now));
        left.filter(|left| !left.is_zero()).min().map_or(GIVE_EVERY, |left| left.min(GIVE_EVERY))
    }
}

/// The key of two shares, at least one of which is among the first so many. A false share makes no key with any other, so every
/// pair is tried.
fn joined(shares: &[Share], firm: usize) -> Option<SealKey> {
    let firm = shares.iter().take(firm).enumerate();
    let mut pairs = firm.flat_map(|(at, one)| shares[at + 1..].iter().map(move |two| (one, two)));
    pairs.find_map(|(one, two)| one.join(two))
}

/// Who holds shares of a deployment's key, and how many of each are believed.
fn holders(table: &RouteTable, deployment: DeploymentId) -> Vec<(PeerId, usize)> {
    let Some(parties) = table.parties.get(&deployment) else { return Vec::new() };
    let owners = parties.owners.iter().map(|owner| (*owner, OF_OWNER));
    owners.chain(parties.stewards.iter().map(|steward| (*steward, OF_OTHERS))).collect()
}

/// The shares of this node.
pub(crate) struct Shares {
    net: Arc<Net>,
    vault: Vault,
    /// The keys of what runs here, for stewards that come later and for nodes of the owner that have not the key.
    running: Mutex<BTreeMap<DeploymentId, SealKey>>,
}

impl Shares {
    pub(crate) fn new(net: Arc<Net>, folder: &Folder) -> io::Result<Self> {
        Ok(Self { net, vault: Vault::open(folder)?, running: Mutex::default() })
    }

    /// Keeps the key of a deployment that this node opens. Writes a file.
    pub(crate) fn keep_key(&self, deployment: DeploymentId, key: &SealKey) {
        self.vault.keep_key(deployment, key);
    }

    /// The key of a deployment of this node's own account; takes it over if another node drew it, and waits a moment for that.
    pub(crate) async fn own_key(&self, deployment: DeploymentId, ingress: &Ingress) -> Option<SealKey> {
        let until = Instant::now() + TAKEN_WITHIN;
        loop {
            let moved = ingress.moved_within(AGAIN);
            if let Some(key) = self.vault.key(deployment) {
                return Some(key);
            }
            if self.take_over(deployment, ingress).await {
                continue;
            }
            if Instant::now() >= until {
                return None;
            }
            moved.await;
        }
    }

    /// The key that a workload of ours is sealed under at its keepers; asks whoever holds shares until it is known.
    pub(crate) async fn key(
        &self,
        work: &Work,
        ingress: &Ingress,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> SealKey {
        let log = LogId { deployment: work.deployment, service: work.service.clone(), replica: work.replica };
        let request = ShareRequest::Give { log, generation: work.generation };
        let mut told = false;
        loop {
            let moved = ingress.moved_within(AGAIN);
            let table = ingress.table();
            let ask = |(holder, most)| self.ask(holder, most, &request, ingress);
            let mut asked: FuturesUnordered<_> = holders(&table, work.deployment).into_iter().map(ask).collect();
            let any = !asked.is_empty();
            let mut shares: Vec<Share> = Vec::new();
            while let Some(given) = asked.next().await {
                shares.extend(given);
                if let Some(key) = joined(&shares, shares.len()) {
                    self.running().insert(work.deployment, key.clone());
                    if table.is_owner(self.net.peer_id(), work.deployment) {
                        block_in_place(|| self.vault.keep_key(work.deployment, &key));
                    }
                    return key;
                }
            }
            // Before our table shows the lease there is nobody to ask.
            if any && !told {
                told = true;
                tracing::warn!(deployment = %work.deployment, shares = shares.len(), "shares.missing");
                progress(format!("the key of its data takes two shares, and {} could be had", shares.len()));
            }
            moved.await;
        }
    }

    /// Takes over the key of a deployment of our own account from those who can be reached. Whether it is known now.
    async fn take_over(&self, deployment: DeploymentId, ingress: &Ingress) -> bool {
        let (me, table) = (self.net.peer_id(), ingress.table());
        let request = ShareRequest::Restore { deployment };
        let there = |holder: PeerId| holder != me && self.net.is_connected(holder);
        let mut asked = holders(&table, deployment);
        asked.retain(|(holder, _)| there(*holder));
        let known: BTreeSet<PeerId> = asked.iter().map(|(holder, _)| *holder).collect();
        let runners: BTreeSet<PeerId> = table.runners(deployment).filter(|runner| there(*runner)).collect();
        let asks = |(holder, most)| self.ask(holder, most, &request, ingress);
        let firm = futures_util::future::join_all(asked.into_iter().map(asks));
        let others = runners.difference(&known).map(|runner| (*runner, OF_OTHERS));
        let (firm, others) = tokio::join!(firm, futures_util::future::join_all(others.map(asks)));
        let mut shares: Vec<Share> = firm.into_iter().flatten().collect();
        // Two who only run it could make up a key.
        let firm = shares.len();
        shares.extend(others.into_iter().flatten());
        let Some(key) = joined(&shares, firm) else {
            tracing::info!(%deployment, shares = shares.len(), "seal.missing");
            return false;
        };
        block_in_place(|| self.vault.keep_key(deployment, &key));
        tracing::info!(%deployment, "seal.taken_over");
        true
    }

    /// The shares of a holder, of which so many are believed.
    async fn ask(&self, holder: PeerId, most: usize, request: &ShareRequest, ingress: &Ingress) -> Vec<Share> {
        let reply = if holder == self.net.peer_id() {
            Some(self.answer(holder, request, ingress).await)
        } else {
            let answer = self.net.request(holder, Protocol::Steward, request.encode(), ANSWER_WITHIN).await;
            answer.ok().and_then(|bytes| ShareReply::decode(&bytes).ok())
        };
        match reply {
            Some(ShareReply::Given(shares)) => shares.into_iter().take(most).collect(),
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
                let giver = ingress.table().giver(self.net.peer_id(), from, *deployment);
                let keep = |giver| block_in_place(|| self.vault.keep_share(*deployment, share, giver));
                if giver.is_some_and(keep) {
                    return ShareReply::Held;
                }
                tracing::info!(peer = %from, %deployment, ?giver, "share.not_taken");
                ShareReply::Refused
            }
            ShareRequest::Give { log, generation } => {
                if ingress.may_write(from, log, *generation).await.is_none() {
                    tracing::info!(peer = %from, ?log, generation, "share.denied");
                    return ShareReply::Refused;
                }
                self.given(log.deployment, &ingress.table())
            }
            ShareRequest::Restore { deployment } => {
                let table = ingress.table();
                if !table.is_owner(from, *deployment) {
                    tracing::info!(peer = %from, %deployment, "share.denied");
                    return ShareReply::Refused;
                }
                self.given(*deployment, &table)
            }
        }
    }

    /// What this node has of a deployment's key, for whoever may have it.
    fn given(&self, deployment: DeploymentId, table: &RouteTable) -> ShareReply {
        let me = self.net.peer_id();
        if let Some(key) = self.vault.key(deployment).filter(|_| table.is_owner(me, deployment)) {
            // Two places of its own, of which none is a steward's.
            return ShareReply::Given([me, PeerId(deployment.0)].map(|place| Share::of(&key, place)).into());
        }
        let of_running = self.running().get(&deployment).map(|key| Share::of(key, me));
        let share = of_running.or_else(|| block_in_place(|| self.vault.share(deployment)));
        share.map_or(ShareReply::Refused, |share| ShareReply::Given(vec![share]))
    }

    /// Hands shares out and takes keys over, for ever. Neither waits for the other: who says nothing to one of them would hold up
    /// what others wait for of the other.
    pub(crate) async fn hand_out(self: Arc<Self>, ingress: Arc<Ingress>) {
        tokio::join!(self.give(&ingress), self.take(&ingress));
    }

    /// Takes over the keys of our own deployments that are not here.
    async fn take(&self, ingress: &Ingress) {
        let me = self.net.peer_id();
        let mut patience = Patience::default();
        loop {
            let table = ingress.table();
            patience.0.retain(|(deployment, _), _| table.is_owner(me, *deployment));
            let missing = self.missing(&table, &patience);
            let take = |deployment| async move { (deployment, self.take_over(deployment, ingress).await) };
            let mut taken = stream::iter(missing).map(take).buffer_unordered(AT_ONCE);
            while let Some((deployment, known)) = taken.next().await {
                let what = (deployment, me);
                if known { patience.agreed(what) } else { patience.refused(what, Instant::now()) }
            }
            ingress.moved_within(patience.left(Instant::now())).await;
        }
    }

    /// Gives each steward its share, once, as soon as it can be reached: those of our own deployments, and of those that run
    /// here, where a steward may have come while the owner is away.
    async fn give(&self, ingress: &Ingress) {
        let mut told: BTreeSet<(DeploymentId, PeerId)> = BTreeSet::new();
        let mut patience = Patience::default();
        loop {
            let due = self.due(&ingress.table(), &mut told, &mut patience);
            let offer = |steward, (deployment, key)| self.offer(steward, deployment, key);
            offer_all(due, offer, |steward, (deployment, answer)| {
                let what = (deployment, steward);
                if answer == Answer::Held {
                    told.insert(what);
                    patience.agreed(what);
                } else {
                    patience.refused(what, Instant::now());
                }
            })
            .await;
            ingress.moved_within(patience.left(Instant::now())).await;
        }
    }

    /// Our own deployments whose key is not here, and of which somebody may be asked again.
    fn missing(&self, table: &RouteTable, patience: &Patience) -> Vec<DeploymentId> {
        let (me, now) = (self.net.peer_id(), Instant::now());
        let own = table.parties.iter().filter(|(_, parties)| parties.owners.contains(&me)).map(|(id, _)| *id);
        own.filter(|id| self.vault.key(*id).is_none() && patience.is_over((*id, me), now)).collect()
    }

    /// What each steward that can be reached has not been told yet.
    fn due(
        &self,
        table: &RouteTable,
        told: &mut BTreeSet<(DeploymentId, PeerId)>,
        patience: &mut Patience,
    ) -> Due<(DeploymentId, SealKey)> {
        let (me, now) = (self.net.peer_id(), Instant::now());
        self.running().retain(|deployment, _| table.runs(me, *deployment));
        told.retain(|(deployment, steward)| table.is_steward(*steward, *deployment));
        patience.0.retain(|(deployment, steward), _| table.is_steward(*steward, *deployment));
        let mut due = Due::new();
        for (deployment, parties) in &table.parties {
            // A node of the owner that has not the key offers nothing: what it could guess would be another's.
            let key = if parties.owners.contains(&me) {
                self.vault.key(*deployment)
            } else {
                self.running().get(deployment).cloned()
            };
            let Some(key) = key else { continue };
            for steward in parties.stewards.iter().filter(|steward| **steward != me) {
                let what = (*deployment, *steward);
                if !told.contains(&what) && patience.is_over(what, now) && self.net.is_connected(*steward) {
                    due.entry(*steward).or_default().push((*deployment, key.clone()));
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

    fn running(&self) -> MutexGuard<'_, BTreeMap<DeploymentId, SealKey>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the shares and keys of deployments that are not known and came before an instant. Reads and removes files.
    pub(crate) fn retain(&self, known: &BTreeSet<DeploymentId>, before: SystemTime) -> io::Result<()> {
        self.vault.retain(known, before)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt as _;
    use grange_gateway::{ReplicaLookup, Serve};
    use grange_net::{Config, NetEvent};
    use grange_peer::Parties;
    use grange_types::{LeaseId, NetworkId, SecretKey};
    use tokio::sync::mpsc;

    use super::*;

    const DUMB: PeerId = PeerId([1; 32]);

    const SHOP: DeploymentId = DeploymentId([1; 32]);

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

    /// A node on loopback that knows this one.
    async fn node(key: u8, known: Option<&Net>) -> (Net, mpsc::Receiver<NetEvent>) {
        let mut config = Config::new(NetworkId([42; 32]), SecretKey::from_bytes(&[key; 32]));
        config.bind = Some(([127, 0, 0, 1], 0).into());
        config.bootstrap.extend(known.map(Net::addresses));
        Net::start(config).await.unwrap()
    }

    struct NoReplicas;

    impl ReplicaLookup for NoReplicas {
        fn find(&self, _: LeaseId, _: u64) -> Option<Arc<dyn Serve>> {
            None
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_that_nobody_gives_holds_no_share_up() {
        let folder = tempfile::tempdir().unwrap();
        let (net, _events) = node(1, None).await;
        let (dumb, _unanswered) = node(2, Some(&net)).await;
        let (steward, mut asked) = node(3, Some(&net)).await;
        let (me, dumb, steward) = (net.peer_id(), dumb.peer_id(), steward.peer_id());
        let within = Instant::now() + Duration::from_secs(30);
        while !(net.is_connected(dumb) && net.is_connected(steward)) {
            assert!(Instant::now() < within, "no links");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The key of one of our deployments is only with who says nothing; of the other one it is here.
        let (missing, known) = (SHOP, DeploymentId([2; 32]));
        let party = |steward| Parties { owners: vec![me], stewards: vec![steward] };
        let parties = [(missing, party(dumb)), (known, party(steward))].into();
        let net = Arc::new(net);
        let ingress = Arc::new(Ingress::new(Arc::clone(&net), Arc::new(NoReplicas)));
        ingress.publish(RouteTable { parties, ..RouteTable::default() });
        let shares = Arc::new(Shares::new(net, &Folder(folder.path().to_path_buf())).unwrap());
        shares.keep_key(known, &SealKey::new([3; 32]));
        let handing = tokio::spawn(shares.hand_out(ingress));
        let given = async {
            loop {
                if let Some(NetEvent::Request { bytes, .. }) = asked.recv().await {
                    break ShareRequest::decode(&bytes).unwrap();
                }
            }
        };
        let given = tokio::time::timeout(ANSWER_WITHIN / 2, given).await.expect("it waits for who says nothing");
        let share = Share::of(&SealKey::new([3; 32]), steward);
        assert_eq!(given, ShareRequest::Hold { deployment: known, share });
        handing.abort();
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

    #[test]
    fn who_refuses_is_asked_again_less_and_less_often() {
        let (mut patience, mut now, what) = (Patience::default(), Instant::now(), (SHOP, DUMB));
        assert!(patience.is_over(what, now));
        assert_eq!(patience.left(now), GIVE_EVERY);
        let mut waits = Vec::new();
        for _ in 0..10 {
            patience.refused(what, now);
            assert!(!patience.is_over(what, now) && patience.left(now) <= GIVE_EVERY);
            assert!(patience.is_over((DeploymentId([2; 32]), DUMB), now), "another deployment is another thing");
            let asked = now;
            while !patience.is_over(what, now) {
                now += AGAIN;
            }
            waits.push(now - asked);
        }
        assert_eq!((waits[0], waits[1], waits[9]), (AGAIN, AGAIN * 2, AGAIN_AT_MOST));
        assert_eq!(patience.left(now), GIVE_EVERY, "who may be asked already is not waited for");
        patience.agreed(what);
        patience.refused(what, now);
        assert!(patience.is_over(what, now + AGAIN), "it begins anew");
    }

    #[test]
    fn two_that_only_run_it_make_no_key() {
        let share = |key: u8, holder: u8| Share::of(&SealKey::new([key; 32]), PeerId([holder; 32]));
        let (steward, other, runner) = (share(3, 1), share(3, 2), share(3, 4));
        let made_up = [share(9, 5), share(9, 6)];
        let key = Some(SealKey::new([3; 32]));
        assert_eq!(joined(&[steward.clone(), other], 2), key);
        assert_eq!(joined(&[steward.clone(), made_up[0].clone(), made_up[1].clone()], 1), None);
        let all = [steward.clone(), made_up[0].clone(), made_up[1].clone(), runner];
        assert_eq!(joined(&all, 1), key, "one of a steward and one of who runs it do");
        assert_eq!((joined(&[steward], 1), joined(&[], 0)), (None, None));
    }
}
