//! The API's view of the node: the peer answers what it knows, the edges answer the rest.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::{StreamExt, TryStreamExt};
use grange_api::{
    Base64, Blob, BlockLine, Call, GenesisFile, Invite, Line, Operation, Peer as PeerEntry, PieceLine, Problem,
    ProblemCode, Reply, Timestamp, Token,
};
use grange_disk::{BlobWriter as DiskWriter, Blobs, DiskError};
use grange_gateway::{Answer, Backend, BlobWriter, CallRecord, Principal, SecretToken, TokenRefusal};
use grange_ledger::Genesis;
use grange_net::{Net, PathKind};
use grange_peer::{Asker, Event, Named};
use grange_sandbox::SandboxError;
use grange_types::{
    AccountId, Amount, BlobId, ByteCount, DeploymentId, Height, LeaseId, Manifest, Millis, PeerId, Right, SiteIndex,
    Wire, Work, Workload,
};
use tokio::sync::{mpsc, oneshot};

use crate::audit::AuditLog;
use crate::clock::Clock;
use crate::found::Invitation;
use crate::ingress::Ingress;
use crate::keys::ApiKeys;
use crate::papers::{PaperRequest, Papers};
use crate::pump::{Calls, PumpState, Waiting};
use crate::settings::{Contact, Folder};
use crate::shares::Shares;
use crate::storage::{Stored, StoredSnapshot};
use crate::workloads::{Workloads, chain};

/// Lines of the audit log that are in memory at once.
const AUDIT_PAGE: usize = 256;

/// What calls are answered from.
pub(crate) struct Api {
    pub(crate) folder: Folder,
    pub(crate) genesis: Genesis,
    pub(crate) clock: Clock,
    pub(crate) net: Arc<Net>,
    pub(crate) blobs: Arc<Blobs>,
    /// The chain and its snapshots; none on a light node.
    pub(crate) archive: Option<Stored>,
    pub(crate) workloads: Arc<Workloads>,
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) state: Arc<Mutex<PumpState>>,
    pub(crate) token: RwLock<SecretToken>,
    pub(crate) keys: ApiKeys,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) random: fn() -> [u8; 32],
    pub(crate) shares: Arc<Shares>,
}

/// What a call spends.
enum Spending<'a> {
    Transfer(Amount),
    /// What a plan of it says.
    Deploy(&'a Manifest),
}

impl Backend for Api {
    fn call(&self, principal: Principal, call: Call) -> BoxFuture<'_, Result<Answer, Problem>> {
        Box::pin(async move {
            if self.archive.is_none() && is_for_deploying(&call) {
                // The peer of a light node says that it is one, before anything is sent in vain.
                return self.ask(principal, call).await;
            }
            match call {
                Call::Peers => Ok(Answer::Json(Reply::Peers(self.peers()))),
                Call::PutBlob { blob } => self.put_blob(blob),
                Call::HasBlob { blob } => self.has_blob(blob),
                Call::RotateToken => self.rotate_token(),
                Call::ApiKeys => Ok(Answer::Json(Reply::ApiKeys(self.keys.list(self.clock.now())))),
                Call::CreateKey(request) => {
                    let made = self.keys.create(request, (self.random)(), self.clock.now())?;
                    Ok(Answer::Json(Reply::NewApiKey(made)))
                }
                Call::RevokeKey { name } => Ok(Answer::Json(Reply::RevokedKeys(vec![self.keys.revoke(&name)?]))),
                Call::RevokeKeys => Ok(Answer::Json(Reply::RevokedKeys(self.keys.revoke_all(self.clock.now())?))),
                Call::Audit { follow, after, principal } => {
                    let principal = principal.map(|text| self.keys.principal(text)).transpose()?;
                    Ok(self.audit_lines(follow, after.unwrap_or(0), principal))
                }
                Call::Invite(request) => self.invite(request.valid_for),
                Call::LedgerGenesis => Ok(Answer::Json(Reply::Genesis(self.genesis_file()))),
                call @ (Call::LedgerBlocks { .. } | Call::LedgerSnapshot { .. }) => match (&self.archive, call) {
                    (Some(archive), Call::LedgerBlocks { from }) => blocks(archive, from),
                    (Some(archive), Call::LedgerSnapshot { at }) => snapshot(archive, at).await,
                    // The peer of a light node says that it is one.
                    (_, call) => self.ask(principal, call).await,
                },
                call @ (Call::Logs { .. } | Call::ExportData { .. }) => self.papers(principal, call).await,
                Call::Deploy { manifest, secrets, .. } => {
                    self.check(&manifest).await?;
                    if !secrets.is_empty() {
                        self.bring_key(&manifest.name).await;
                    }
                    let most = self.charge(&principal, Spending::Deploy(&manifest)).await?;
                    Ok(self.lines(principal, Call::Deploy { manifest, secrets, most }).await)
                }
                call @ Call::Plan { .. } => {
                    let answer = self.ask(principal.clone(), call).await?;
                    self.would_deploy(&principal, &answer)?;
                    Ok(answer)
                }
                Call::Transfer(request) => {
                    self.charge(&principal, Spending::Transfer(request.amount)).await?;
                    self.ask(principal, Call::Transfer(request)).await
                }
                call @ (Call::SetPrices(_) | Call::Pause(_)) => {
                    let operation = call.operation();
                    let answer = self.ask(principal, call).await?;
                    self.remember(operation, &answer)?;
                    Ok(answer)
                }
                call => self.ask(principal, call).await,
            }
        })
    }

    fn principal(&self, token: &SecretToken) -> Result<Principal, TokenRefusal> {
        if self.token.read().unwrap_or_else(PoisonError::into_inner).matches(token) {
            return Ok(Principal::owner(self.account()));
        }
        if !token.expose().starts_with("grk_") {
            return Err(TokenRefusal::Unknown);
        }
        let rights = self.keys.rights(token.expose(), self.clock.now())?;
        Ok(Principal { account: self.account(), name: rights.name.clone(), rights: Some(rights) })
    }

    fn record(&self, record: CallRecord) -> BoxFuture<'static, ()> {
        self.audit.record(record, self.clock.now())
    }

    fn peer(&self) -> PeerId {
        self.net.peer_id()
    }

    fn ready(&self) -> Result<(), String> {
        match &self.state.lock().unwrap_or_else(PoisonError::into_inner).reason {
            Some(reason) => Err(reason.clone()),
            None => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (keep, api) = (self.workloads.sandboxes().keep_metrics(), self.audit.counts());
        crate::metrics::page(&state.metrics, &self.net.metrics(), keep, api)
    }
}

impl Api {
    /// The account that the node acts for: it changes when its owner's key registers it under another one.
    fn account(&self) -> AccountId {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.account.unwrap_or(self.net.peer_id().account())
    }

    /// Tells the peer the key under which the secrets of a deployment of ours are sealed, if it is there already. Without it the
    /// peer says what is to be done.
    async fn bring_key(&self, name: &str) {
        let table = self.ingress.table();
        let Some(deployment) = table.names.get(name).map(|named| named.deployment) else { return };
        if !table.is_owner(self.net.peer_id(), deployment) {
            return;
        }
        if let Some(key) = self.shares.own_key(deployment, &self.ingress).await {
            let _ = self.events.send(Event::Key { deployment, key }).await;
        }
    }

    /// Counts what a call would spend against the limit of the key it is made with, before anything is done. Gives what was
    /// counted: the call may not take more, whatever has happened on the ledger since.
    async fn charge(&self, principal: &Principal, spending: Spending<'_>) -> Result<Option<Amount>, Problem> {
        let Some(rights) = &principal.rights else { return Ok(None) };
        let (amount, operation) = match spending {
            Spending::Transfer(amount) => (amount, Operation::Transfer.id()),
            // What it takes beyond what the deployment has already; a deployment that fails counts too.
            Spending::Deploy(manifest) => {
                let operation = Operation::Deploy.id();
                let plan = self.ask(principal.clone(), Call::Plan { manifest: Box::new(manifest.clone()) }).await;
                match plan.map_err(|problem| Problem { operation: operation.to_owned(), ..problem })? {
                    Answer::Json(Reply::Plan(plan)) => (plan.takes, operation),
                    _ => (manifest.budget, operation),
                }
            }
        };
        // What is counted is never given back: nothing is, of what is refused because no block is made. The peer itself is asked,
        // since what it let others read may be a moment old.
        if let Answer::Json(Reply::Status(status)) = self.ask(principal.clone(), Call::Status).await?
            && let Some(reason) = status.reason
        {
            return Err(Problem::new(ProblemCode::LedgerHalted, operation, "ledger", reason));
        }
        self.keys.spend(rights, amount, operation)?;
        Ok(rights.scope.max_spend.map(|_| amount))
    }

    /// Refuses the plan of what the same key could not deploy for its limit.
    fn would_deploy(&self, principal: &Principal, answer: &Answer) -> Result<(), Problem> {
        let (Some(rights), Answer::Json(Reply::Plan(plan))) = (&principal.rights, answer) else { return Ok(()) };
        if !rights.scope.rights.contains(&Right::Deploy) {
            // It deploys nothing anyway, and may plan for somebody who does.
            return Ok(());
        }
        self.keys.affords(rights, plan.takes, Operation::Plan.id())
    }

    /// Lines of the audit log, a page in memory at a time.
    fn audit_lines(&self, follow: bool, after: u64, principal: Option<String>) -> Answer {
        let (audit, mut news) = (Arc::clone(&self.audit), self.audit.subscribe());
        let (lines, collected) = mpsc::channel(AUDIT_PAGE);
        tokio::spawn(async move {
            let mut after = after;
            loop {
                news.borrow_and_update();
                let page = tokio::task::block_in_place(|| audit.page(after, principal.as_deref(), AUDIT_PAGE));
                let (page, seen) = match page {
                    Ok(page) => page,
                    Err(error) => {
                        let problem = Problem::new(ProblemCode::Internal, "audit", "audit.ndjson", error.to_string());
                        let _ = lines.send(Err(problem)).await;
                        return;
                    }
                };
                let more = page.len() == AUDIT_PAGE;
                after = seen;
                for line in page {
                    if lines.send(Ok(Line::Audit(line))).await.is_err() {
                        return;
                    }
                }
                if more {
                    continue;
                }
                if !follow {
                    return;
                }
                tokio::select! {
                    changed = news.changed() => if changed.is_err() { return },
                    () = lines.closed() => return,
                }
            }
        });
        let next = |mut lines: mpsc::Receiver<_>| async move { lines.recv().await.map(|line| (line, lines)) };
        Answer::Lines(Box::pin(stream::unfold(collected, next)))
    }

    /// Asks the peer and waits for its one answer.
    async fn ask(&self, principal: Principal, call: Call) -> Result<Answer, Problem> {
        let operation = call.operation().id();
        let (sender, answer) = oneshot::channel();
        self.send(principal, call, Waiting::Reply(sender)).await;
        match answer.await {
            Ok(reply) => reply.map(Answer::Json),
            Err(_) => {
                let node = self.net.peer_id().to_string();
                Err(Problem::new(ProblemCode::NotReady, operation, node, "the node is shutting down"))
            }
        }
    }

    /// Writes what a provider was told into its configuration, so that the next start knows it.
    fn remember(&self, operation: Operation, answer: &Answer) -> Result<(), Problem> {
        let Answer::Json(Reply::Provider(told)) = answer else { return Ok(()) };
        let written = self.folder.read_settings().and_then(|mut settings| {
            (settings.prices, settings.paused) = (told.prices, told.paused);
            self.folder.write_settings(&settings)
        });
        written.map_err(|error| {
            let text = format!("it is so now, but the next start will not know it: {}", chain(&error));
            Problem::new(ProblemCode::Internal, operation.id(), self.folder.settings().display().to_string(), text)
        })
    }

    /// Asks the peer and streams its lines.
    async fn lines(&self, principal: Principal, call: Call) -> Answer {
        let (sender, lines) = mpsc::unbounded_channel();
        self.send(principal, call, Waiting::Lines(sender)).await;
        let next = |mut lines: mpsc::UnboundedReceiver<_>| async move { lines.recv().await.map(|line| (line, lines)) };
        Answer::Lines(Box::pin(stream::unfold(lines, next)))
    }

    async fn send(&self, principal: Principal, call: Call, waiting: Waiting) {
        let id = self.calls.register(waiting);
        let asker = Asker { account: principal.account, prefix: principal.prefix().to_owned() };
        // The pump ends only with the process; then whoever waits is told by the dropped sender.
        let _ = self.events.send(Event::Call { id, asker, call: Box::new(call) }).await;
    }

    async fn papers(&self, principal: Principal, call: Call) -> Result<Answer, Problem> {
        let table = self.ingress.table();
        let (Call::Logs { name, .. } | Call::ExportData { name, .. }) = &call else {
            // Nothing else has lines of replicas.
            return self.ask(principal, call).await;
        };
        // Whether it was removed, never was, is several, or cannot be known here, the peer says.
        let Ok(Some((name, named))) = table.find(name, principal.prefix()) else {
            return self.ask(principal, call).await;
        };
        let earlier = matches!(call, Call::Logs { earlier: true, .. } | Call::ExportData { earlier: true, .. });
        let request = match &call {
            Call::Logs { service, follow, after, .. } => PaperRequest::Logs {
                name: name.to_owned(),
                service: service.clone(),
                follow: *follow,
                after: after.unwrap_or(0),
                lease: None,
            },
            Call::ExportData { service, .. } => PaperRequest::Data { name: name.to_owned(), service: service.clone() },
            _ => return self.ask(principal, call).await,
        };
        if !request.is_for(self.net.peer_id(), named.deployment, &table) {
            return Err(request.denied());
        }
        if let PaperRequest::Logs { service: Some(service), .. } = &request
            && !named.services.contains(service)
        {
            return Err(no_service("logs", name, named, service));
        }
        let (net, ingress) = (Arc::clone(&self.net), Arc::clone(&self.ingress));
        let papers = Papers { net, ingress, sandboxes: Arc::clone(self.workloads.sandboxes()) };
        let lines = papers.collect(request, earlier);
        let next = |mut lines: mpsc::Receiver<Line>| async move { lines.recv().await.map(|line| (Ok(line), lines)) };
        Ok(Answer::Lines(Box::pin(stream::unfold(lines, next))))
    }

    fn genesis_file(&self) -> GenesisFile {
        GenesisFile { network: self.genesis.network_id(), genesis: Base64(self.genesis.encode()) }
    }

    /// What can be refused before anything is promised: blobs that are not here, components that cannot run.
    async fn check(&self, manifest: &Manifest) -> Result<(), Problem> {
        for (name, service) in &manifest.services {
            let blob = service.workload.blob();
            if !self.holds("deploy", blob)? {
                return Err(missing(name, blob));
            }
            if matches!(service.workload, Workload::Site { .. }) {
                self.check_site(name, blob)?;
            }
            let spec = Work {
                lease: LeaseId([0; 32]),
                deployment: DeploymentId([0; 32]),
                name: manifest.name.clone(),
                service: name.clone(),
                replica: 0,
                generation: 0,
                previous: None,
                keepers: Vec::new(),
                before: Vec::new(),
                seal: None,
                workload: service.workload.clone(),
                resources: service.resources,
                environment: service.environment.clone(),
                allow_http: service.allow_http.clone(),
            };
            self.workloads.check(&spec).await.map_err(|error| unfit(name, &error))?;
        }
        Ok(())
    }

    fn check_site(&self, service: &str, index: BlobId) -> Result<(), Problem> {
        let bytes = self.blobs.read(index).map_err(|error| disk("deploy", service, &error))?.unwrap_or_default();
        let index = SiteIndex::decode(&bytes).map_err(|error| {
            Problem::new(
                ProblemCode::ManifestInvalid,
                "deploy",
                service,
                format!("its site index cannot be read: {error}"),
            )
        })?;
        for file in &index.files {
            if !self.holds("deploy", file.blob)? {
                return Err(missing(&format!("{service}/{}", file.path), file.blob));
            }
        }
        Ok(())
    }

    /// Whether a blob is here; whoever hears that it is may count on it for a while.
    fn holds(&self, operation: &str, blob: BlobId) -> Result<bool, Problem> {
        self.blobs.claim(blob).map_err(|error| disk(operation, &blob.to_string(), &error))
    }

    fn peers(&self) -> Vec<PeerEntry> {
        let now = self.clock.now();
        let known = self.state.lock().unwrap_or_else(PoisonError::into_inner).linked.clone();
        let name = |peer: grange_types::PeerId| {
            let known = known.iter().find(|(linked, _)| *linked == peer);
            known.map_or_else(|| peer.short(), |(_, display)| display.clone())
        };
        let linked = self.net.peers().into_iter().filter(|status| status.connected);
        let entry = |status: grange_net::PeerStatus| PeerEntry {
            peer: status.peer,
            display: name(status.peer),
            // Of a peer behind a relay no address of its own says how it is reached.
            address: match status.path {
                Some(PathKind::Relayed) => status.address.relays.first().cloned(),
                _ => status.address.addresses.first().map(ToString::to_string),
            },
            relayed: status.path == Some(PathKind::Relayed),
            round_trip_ms: status.rtt.map(|rtt| rtt.as_millis() as u64),
            since: Timestamp(grange_types::Time(
                now.0.saturating_sub(status.connected_for.map_or(0, |span| span.as_millis() as u64)),
            )),
        };
        linked.map(entry).collect()
    }

    fn put_blob(&self, blob: BlobId) -> Result<Answer, Problem> {
        let writer = self.blobs.writer(blob).map_err(|error| disk("upload", &blob.to_string(), &error))?;
        Ok(Answer::Upload(Box::new(Upload { blob, writer: Some(writer) })))
    }

    fn has_blob(&self, blob: BlobId) -> Result<Answer, Problem> {
        let found = if self.holds("find blob", blob)? { std::fs::metadata(self.blobs.path(blob)).ok() } else { None };
        match found {
            Some(found) => Ok(Answer::Json(Reply::Blob(Blob { id: blob, size: ByteCount(found.len()) }))),
            None => {
                let text = "the blob is not on this node";
                Err(Problem::new(ProblemCode::NotFound, "find blob", blob.to_string(), text))
            }
        }
    }

    fn rotate_token(&self) -> Result<Answer, Problem> {
        // The file and the memory change together, or two rotations at once could leave a file that opens nothing.
        let mut ours = self.token.write().unwrap_or_else(PoisonError::into_inner);
        let token = BlobId((self.random)()).to_string();
        crate::settings::write_secret(&self.folder.token(), &token).map_err(|error| {
            let file = self.folder.token().display().to_string();
            Problem::new(ProblemCode::Internal, Operation::RotateToken.id(), file, error.to_string())
        })?;
        *ours = SecretToken::new(token.clone());
        Ok(Answer::Json(Reply::Token(Token { token })))
    }

    fn invite(&self, seconds: u64) -> Result<Answer, Problem> {
        let expires = self.clock.now().after(Millis::seconds(seconds));
        let contact = |address: grange_net::PeerAddress| Contact {
            peer: address.peer,
            addresses: address.addresses,
            relays: address.relays,
        };
        let others = self.net.peers().into_iter().filter(|status| status.connected).map(|status| status.address);
        let contacts = std::iter::once(self.net.addresses()).chain(others).take(8).map(contact).collect();
        let invitation = Invitation { genesis: self.genesis.clone(), contacts, expires };
        if invitation.encode().len() > Invitation::LIMIT {
            let text = "this network's genesis is too large for one string; hand out its genesis file";
            return Err(Problem::new(ProblemCode::TooLarge, "invite", self.genesis.network_id().to_string(), text));
        }
        let invite = Invite { invite: invitation.to_string(), expires: Timestamp(expires) };
        Ok(Answer::Json(Reply::Invite(invite)))
    }
}

/// Whether a call is a part of a deployment, which a light node makes none of.
const fn is_for_deploying(call: &Call) -> bool {
    matches!(call, Call::HasBlob { .. } | Call::PutBlob { .. } | Call::Deploy { .. })
}

/// Streams blocks from the disk, a page in memory at a time.
fn blocks(archive: &Stored, from: Height) -> Result<Answer, Problem> {
    let (first, last) = archive.ends();
    if from < first {
        let text = format!("the blocks on this node begin at height {first}");
        return Err(Problem::new(ProblemCode::NotFound, "ledger-blocks", from.to_string(), text)
            .with_remedy("ask a node that has been there from the beginning, or begin at a checkpoint"));
    }
    let archive = archive.clone();
    let next_page = move |from: Height| {
        let archive = archive.clone();
        async move {
            if from > last {
                return Ok(None);
            }
            let page = tokio::task::spawn_blocking(move || archive.page(from)).await.unwrap_or_default();
            if page.is_empty() {
                let text = "the block cannot be read from this node's disk";
                return Err(Problem::new(ProblemCode::Internal, "ledger-blocks", from.to_string(), text));
            }
            let next = Height(from.0 + page.len() as u64);
            let lines = (from.0..).map(Height).zip(page).map(|(height, (block, certificate))| {
                Ok(Line::Block(BlockLine { height, block: Base64(block), certificate: Base64(certificate) }))
            });
            Ok(Some((stream::iter(lines), next)))
        }
    };
    Ok(Answer::Lines(stream::try_unfold(from, next_page).try_flatten().boxed()))
}

fn no_service(operation: &str, name: &str, named: &Named, service: &str) -> Problem {
    let there_are = named.services.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let text = format!("{name} has no service {service}; its services are {there_are}");
    Problem::new(ProblemCode::NotFound, operation, service, text)
        .with_remedy(format!("name one of them, or leave out --service; `grange ps {name}` lists them"))
}

/// Streams the pieces of a snapshot.
async fn snapshot(archive: &Stored, at: Option<Height>) -> Result<Answer, Problem> {
    let (archive, most) = (archive.clone(), at.unwrap_or(Height(u64::MAX)));
    let read = tokio::task::spawn_blocking(move || archive.snapshot(most)).await;
    let thing = || at.map(|at| at.to_string()).unwrap_or_default();
    let found = read
        .map_err(|error| Problem::new(ProblemCode::Internal, "ledger-snapshot", thing(), error.to_string()))?
        .map_err(|error| disk("ledger-snapshot", &thing(), &error))?;
    let Some(StoredSnapshot { height, pieces }) = found else {
        let which = if at.is_some() { "at or below that height" } else { "yet" };
        let every = grange_peer::Config::SNAPSHOT_EVERY;
        let text = format!("this node has no snapshot {which}; it takes one every {every} blocks and keeps two");
        return Err(Problem::new(ProblemCode::NotFound, "ledger-snapshot", thing(), text)
            .with_remedy("begin at the genesis, or at a newer checkpoint"));
    };
    let lines = pieces.into_iter().map(move |piece| Ok(Line::Piece(PieceLine { height, piece: Base64(piece) })));
    Ok(Answer::Lines(stream::iter(lines).boxed()))
}

struct Upload {
    blob: BlobId,
    writer: Option<DiskWriter>,
}

impl BlobWriter for Upload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async move {
            let Some(writer) = &mut self.writer else { return Ok(()) };
            tokio::task::block_in_place(|| writer.write(&bytes))
                .map_err(|error| disk("upload", &self.blob.to_string(), &error))
        })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<(), Problem>> {
        Box::pin(async move {
            let Some(writer) = self.writer.take() else { return Ok(()) };
            let finished = tokio::task::block_in_place(|| writer.finish());
            finished.map(drop).map_err(|error| disk("upload", &self.blob.to_string(), &error))
        })
    }
}

fn missing(service: &str, blob: BlobId) -> Problem {
    Problem::new(ProblemCode::BlobMissing, "deploy", service, format!("blob {blob} is not on this node"))
}

fn unfit(service: &str, error: &SandboxError) -> Problem {
    Problem::new(ProblemCode::ComponentInvalid, "deploy", service, chain(error)).with_remedy(error.remedy())
}

fn disk(operation: &str, thing: &str, error: &DiskError) -> Problem {
    let code = match error {
        DiskError::Mismatch { .. } => ProblemCode::HashMismatch,
        DiskError::TooLarge { .. } => ProblemCode::TooLarge,
        _ => ProblemCode::Internal,
    };
    Problem::new(code, operation, thing, error.to_string())
}
