//! Logs and key-value data of a deployment, wherever its replicas are: asked for over a stream, answered as NDJSON lines.
//!
//! Logs are for the owner's nodes and the stewards, who look after the deployment while its owner is away. Data is in clear at its
//! provider and sealed everywhere else, so it is for the owner's nodes alone: a steward has one share of two.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use grange_api::{BegunLine, DataLine, Line, LogLine, NoteLine, Problem, ProblemCode, Timestamp};
use grange_net::{Net, PeerStream, Protocol};
use grange_peer::{Replica, RouteTable, Routed};
use grange_sandbox::{LogStream, Sandboxes};
use grange_types::{DeploymentId, LeaseId, PeerId, Wire, limits};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::Instant;

mod data;
mod generations;

use self::generations::{notes_of, replaced};
use crate::ingress::Ingress;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaperRequest {
    /// Lines of a deployment's log.
    Logs {
        /// The deployment's name.
        name: String,
        /// One service, or all.
        service: Option<String>,
        /// Whether to wait for more.
        follow: bool,
        /// Lines after this one.
        after: u64,
        /// Of which lease; between nodes always one.
        lease: Option<LeaseId>,
    },
    /// The key-value data this node holds of a deployment.
    Data {
        /// The deployment's name.
        name: String,
        /// One service, or all.
        service: Option<String>,
    },
}

impl PaperRequest {
    /// Whether the answer goes on after what there is.
    const fn is_followed(&self) -> bool {
        matches!(self, Self::Logs { follow: true, .. })
    }

    /// The one lease that it is about.
    const fn lease(&self) -> Option<LeaseId> {
        match self {
            Self::Logs { lease, .. } => *lease,
            Self::Data { .. } => None,
        }
    }

    /// Whether it is about this replica's service.
    fn wants(&self, replica: &Replica) -> bool {
        let (Self::Logs { service, .. } | Self::Data { service, .. }) = self;
        service.as_ref().is_none_or(|service| *service == replica.service)
    }

    /// Whether a peer may see it, by our own ledger.
    pub(crate) fn is_for(&self, peer: PeerId, deployment: DeploymentId, table: &RouteTable) -> bool {
        let steward = matches!(self, Self::Logs { .. }) && table.is_steward(peer, deployment);
        steward || table.is_owner(peer, deployment)
    }

    /// What is said to whoever may not.
    pub(crate) fn denied(&self) -> Problem {
        let (operation, name, text, remedy) = match self {
            Self::Logs { name, .. } => (
                "logs",
                name,
                "this node is neither its owner's nor a steward's, so that no provider shows it logs",
                "ask a node of its owner or of a steward: name it with --node",
            ),
            Self::Data { name, .. } => (
                "data export",
                name,
                "this node is not its owner's, so that no provider shows it data",
                "ask a node of its owner: name it with --node; if it is lost, `grange identity restore` makes another one",
            ),
        };
        Problem::new(ProblemCode::Denied, operation, name, text).with_remedy(remedy)
    }
}

impl Wire for PaperRequest {
    const NAME: &'static str = "paper-request";
    // Two names, a number and a lease.
    const LIMIT: usize = 4 * limits::NAME_BYTES;
}

/// A line is at most this long: a value of a megabyte in base 64, and its frame.
const LINE_BYTES: usize = 2 * limits::KEY_VALUE_VALUE_BYTES;
/// Lines read from a log in one go.
const LOG_PAGE: usize = 256;
/// Lines that wait for a slow reader.
pub(crate) const LINES: usize = 256;

/// Between two looks at which leases there are, for whoever follows a log.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A peer that says nothing for so long, where it is not its turn to wait, is given up.
const SILENCE: Duration = Duration::from_secs(10);
/// Whoever is followed and has nothing to tell says so this often, by an empty line.
const ALIVE_EVERY: Duration = Duration::from_secs(3);
/// How long the longest line may take: 70 KB/s.
const LINE_WITHIN: Duration = Duration::from_secs(30);

/// What lines are collected and produced from.
#[derive(Clone)]
pub(crate) struct Papers {
    pub(crate) net: Arc<Net>,
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) sandboxes: Arc<Sandboxes>,
}

impl Papers {
    /// Collects lines from every node that has some: of the present generation of each replica, and upon `earlier` also
    /// of those before. What could not be reached is said at the end, and why there are no more to whoever follows.
    pub(crate) fn collect(self, request: PaperRequest, earlier: bool) -> mpsc::Receiver<Line> {
        let (lines, collected) = mpsc::channel(LINES);
        tokio::spawn(async move {
            let (PaperRequest::Logs { name, .. } | PaperRequest::Data { name, .. }) = &request;
            let deployment = self.leads_to(name);
            let missed = match &request {
                PaperRequest::Logs { .. } => {
                    self.before(name, &request, earlier, &lines).await;
                    self.logs(name, deployment, &request, &lines).await
                }
                PaperRequest::Data { .. } => self.data(name, &request, earlier, &lines).await,
            };
            let problem = match request.is_followed() {
                true => Some(self.over(name, deployment, &missed)),
                false => (!missed.is_empty()).then(|| unreachable_of(&request, &missed)),
            };
            if let Some(problem) = problem {
                let _ = lines.send(Line::Problem(problem)).await;
            }
        });
        collected
    }

    /// Lines of replicas that were replaced, the oldest first; or a note that there may be some.
    async fn before(&self, name: &str, request: &PaperRequest, earlier: bool, lines: &mpsc::Sender<Line>) {
        let table = self.ingress.table();
        let Some(named) = table.names.get(name) else { return };
        let before = replaced(named, request);
        if !earlier {
            for text in notes_of(named, request, &before) {
                note(text, lines).await;
            }
            return;
        }
        let mut missed = BTreeSet::new();
        for replica in before {
            let Routed { provider, lease, .. } = replica.at;
            if !missed.contains(&provider) {
                // What was is at its end, also for whoever follows what is.
                missed.extend(self.ask_peer(provider, at_once(request, lease), lines.clone()).await);
            }
        }
        if !missed.is_empty() {
            let text = format!("{} cannot be asked now", shorts(&missed));
            note(text + ": what earlier generations wrote there is missing", lines).await;
        }
    }

    /// One stream a lease; whoever follows gets those of later generations as they come, until the name no longer leads to
    /// the deployment and each stream is at its end.
    async fn logs(
        &self,
        name: &str,
        deployment: Option<DeploymentId>,
        request: &PaperRequest,
        lines: &mpsc::Sender<Line>,
    ) -> BTreeSet<PeerId> {
        let follow = request.is_followed();
        let (mut begun, mut open) = (BTreeSet::new(), BTreeMap::new());
        let mut streams = FuturesUnordered::new();
        let mut missed = BTreeSet::new();
        let mut over: Option<Instant> = None;
        loop {
            if deployment.is_some() && self.leads_to(name) == deployment {
                for (lease, peer) in self.leases(request).into_iter().filter(|(lease, _)| begun.insert(*lease)) {
                    let ended = self.ask_peer(peer, of_lease(request, lease), lines.clone());
                    streams.push(ended.map(move |ended| (lease, ended)));
                    open.insert(lease, peer);
                }
            } else if over.get_or_insert_with(Instant::now).elapsed() >= SILENCE {
                // Who has not heard by now that it is over would be waited for as long as he does not.
                missed.extend(open.into_values());
                return missed;
            }
            if streams.is_empty() && (!follow || over.is_some()) {
                return missed;
            }
            tokio::select! {
                () = lines.closed() => return missed,
                Some((lease, ended)) = streams.next(), if !streams.is_empty() => {
                    open.remove(&lease);
                    missed.extend(ended);
                }
                () = tokio::time::sleep(LOOK_EVERY), if follow => {}
            }
        }
    }

    /// Which deployment a name leads to now.
    fn leads_to(&self, name: &str) -> Option<DeploymentId> {
        self.ingress.table().names.get(name).map(|named| named.deployment)
    }

    /// Why there are no more lines for whoever follows a log.
    fn over(&self, name: &str, deployment: Option<DeploymentId>, missed: &BTreeSet<PeerId>) -> Problem {
        let lives = deployment.is_some_and(|deployment| self.ingress.table().parties.contains_key(&deployment));
        let why = if lives { "no longer leads to what was followed" } else { "was removed" };
        let mut text = format!("{name} {why}: its log ends here");
        if !missed.is_empty() {
            text += &format!(", without the last of what {} kept", shorts(missed));
        }
        Problem::new(ProblemCode::NotFound, "logs", name, text)
            .with_remedy("`grange ps` lists what there is; `grange usage` still has the bill")
    }

    /// The present leases that a request for logs is about.
    fn leases(&self, request: &PaperRequest) -> Vec<(LeaseId, PeerId)> {
        let PaperRequest::Logs { name, .. } = request else { return Vec::new() };
        let table = self.ingress.table();
        let replicas = table.names.get(name).map(|named| named.replicas.as_slice()).unwrap_or_default();
        replicas
            .iter()
            .filter(|replica| request.wants(replica))
            .map(|replica| (replica.at.lease, replica.at.provider))
            .collect()
    }

    /// Lines of one node, from this one without a packet; the node if it could not be asked.
    async fn ask_peer(&self, peer: PeerId, request: PaperRequest, lines: mpsc::Sender<Line>) -> Option<PeerId> {
        let given = if peer == self.net.peer_id() {
            self.produce(&request, &lines).await
        } else {
            let (PaperRequest::Logs { name, .. } | PaperRequest::Data { name, .. }) = &request;
            let table = self.ingress.table();
            let of = request.lease().and_then(|lease| table.names.get(name)?.under(lease));
            fetch(&self.net, (peer, of), &request, &lines).await
        };
        given.err().map(|error| {
            tracing::info!(peer = %peer, %error, "papers.unreachable");
            peer
        })
    }

    /// Answers a peer that wants lines, if it may see them.
    pub(crate) async fn serve(self, mut stream: PeerStream, from: PeerId) {
        let Ok(request) = timed(SILENCE, read_request(&mut stream)).await else { return };
        let (PaperRequest::Logs { name, .. } | PaperRequest::Data { name, .. }) = &request;
        let table = self.ingress.table();
        if !table.names.get(name).is_some_and(|named| request.is_for(from, named.deployment, &table)) {
            tracing::info!(peer = %from, name, "papers.denied");
            return;
        }
        let followed = request.is_followed();
        let (lines, mut produced) = mpsc::channel(LINES);
        let produce = async move {
            if let Err(error) = self.produce(&request, &lines).await {
                // Else whoever asked would take what there was so far for everything.
                let problem = Problem::new(ProblemCode::Internal, "papers", "", error.to_string());
                let _ = lines.send(Line::Problem(problem)).await;
            }
        };
        let send = async {
            loop {
                let mut text = match tokio::time::timeout(ALIVE_EVERY, produced.recv()).await {
                    Ok(Some(line)) => serde_json::to_vec(&line).map_err(io::Error::other)?,
                    Ok(None) => return stream.shutdown().await,
                    Err(_) if followed => Vec::new(),
                    Err(_) => continue,
                };
                text.push(b'\n');
                timed(SILENCE, stream.write_all(&text)).await?;
            }
        };
        // Whoever sends no more needs no more produced.
        let sent = tokio::select! {
            sent = send => sent,
            () = async { produce.await; std::future::pending().await } => Ok(()),
        };
        if let Err(error) = sent {
            tracing::debug!(peer = %from, %error, "papers.broken");
        }
    }

    /// Produces the lines of this node.
    async fn produce(&self, request: &PaperRequest, lines: &mpsc::Sender<Line>) -> io::Result<()> {
        let table = self.ingress.table();
        match request {
            PaperRequest::Logs { name, lease, follow, after, .. } => {
                let named = table.names.get(name);
                if let Some(replica) = named.zip(*lease).and_then(|(named, lease)| named.under(lease)) {
                    self.tail(name, replica, *follow, *after, lines).await;
                }
                Ok(())
            }
            PaperRequest::Data { name, service } => {
                let Some(named) = table.names.get(name) else { return Ok(()) };
                let me = self.net.peer_id();
                let exported = export(named.deployment, service.as_deref(), me, &self.sandboxes, lines).await;
                exported.inspect_err(|error| tracing::warn!(name, %error, "data.export_failed"))
            }
        }
    }

    /// Whether a lease is one of the present ones of a name.
    fn is_current(&self, name: &str, lease: LeaseId) -> bool {
        let table = self.ingress.table();
        table.names.get(name).is_some_and(|named| named.replicas.iter().any(|replica| replica.at.lease == lease))
    }

    async fn tail(&self, name: &str, replica: &Replica, follow: bool, after: u64, lines: &mpsc::Sender<Line>) {
        let lease = replica.at.lease;
        let log = loop {
            match self.sandboxes.logs(lease) {
                Ok(Some(log)) => break log,
                // What is leased and has not begun will have a log.
                Ok(None) if follow && self.is_current(name, lease) => tokio::time::sleep(LOOK_EVERY).await,
                _ => return,
            }
        };
        let (mut sequence, mut over) = (0, !follow);
        loop {
            let Ok(page) = log.read_after(sequence, LOG_PAGE) else { return };
            let last = page.len() < LOG_PAGE;
            for line in page {
                sequence = line.sequence;
                let line = show(replica, line);
                if line.id > after && lines.send(Line::Log(line)).await.is_err() {
                    return;
                }
            }
            if !last {
                continue;
            }
            if over {
                return;
            }
            over = !self.is_current(name, lease);
            tokio::select! {
                // What it still writes while it is stopped is there a moment later, and read before the end.
                () = log.wait_after(sequence), if !over => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = lines.closed() => return,
            }
        }
    }
}

/// A line with an id that grows over all leases of a deployment: its millisecond, and its place within the lease.
fn show(replica: &Replica, line: grange_sandbox::LogLine) -> LogLine {
    LogLine {
        id: line.time.0 << 12 | line.sequence & 0xfff,
        at: Timestamp(line.time),
        service: replica.service.clone(),
        replica: replica.replica,
        provider: replica.at.provider,
        generation: replica.at.generation,
        stream: word(line.stream).to_owned(),
        text: line.text,
    }
}

/// Where a line came from, in the API's words.
const fn word(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Out => "stdout",
        LogStream::Error => "stderr",
        LogStream::System => "node",
    }
}

fn of_lease(request: &PaperRequest, of: LeaseId) -> PaperRequest {
    let mut request = request.clone();
    if let PaperRequest::Logs { lease, .. } = &mut request {
        *lease = Some(of);
    }
    request
}

/// The same for what a lease that is over has written, without waiting for more.
fn at_once(request: &PaperRequest, of: LeaseId) -> PaperRequest {
    let mut request = of_lease(request, of);
    if let PaperRequest::Logs { follow, .. } = &mut request {
        *follow = false;
    }
    request
}

async fn note(note: String, lines: &mpsc::Sender<Line>) {
    let _ = lines.send(Line::Note(NoteLine { note })).await;
}

fn shorts(peers: &BTreeSet<PeerId>) -> String {
    peers.iter().map(|peer| peer.short()).collect::<Vec<_>>().join(", ")
}

fn unreachable_of(request: &PaperRequest, missed: &BTreeSet<PeerId>) -> Problem {
    let (operation, name) = match request {
        PaperRequest::Logs { name, .. } => ("logs", name),
        PaperRequest::Data { name, .. } => ("data export", name),
    };
    let text = format!("{} cannot be asked now, so what is kept there is missing here", shorts(missed));
    Problem::new(ProblemCode::ReplicaFailed, operation, name, text)
        .with_remedy("start the node again, or wait until it is back, then ask again")
}

/// What a peer says, as far as it may: the lines of the replica whose log it was asked for, or what it holds itself, under its own
/// name.
fn own_line(peer: PeerId, of: Option<&Replica>, line: Line) -> Option<Line> {
    match (line, of) {
        (Line::Log(line), Some(Replica { service, replica, at, .. })) => Some(Line::Log(LogLine {
            provider: peer,
            service: service.clone(),
            replica: *replica,
            generation: at.generation,
            ..line
        })),
        (Line::Data(line), None) => Some(Line::Data(DataLine { provider: peer, current: false, ..line })),
        (Line::Begun(line), None) => Some(Line::Begun(BegunLine { provider: peer, ..line })),
        _ => None,
    }
}

async fn fetch(
    net: &Net,
    (peer, of): (PeerId, Option<&Replica>),
    request: &PaperRequest,
    lines: &mpsc::Sender<Line>,
) -> io::Result<()> {
    let mut stream = net.open_stream(peer, Protocol::Steward).await.map_err(io::Error::other)?;
    let bytes = request.encode();
    timed(SILENCE, stream.write_u16_le(bytes.len() as u16)).await?;
    timed(SILENCE, stream.write_all(&bytes)).await?;
    let keep = |line| own_line(peer, of, line);
    take_lines(BufReader::new(stream), request.is_followed(), keep, lines, SILENCE).await
}

/// Hands on what a peer answers, until it has no more or nobody wants it. An empty line tells only that it is there, and
/// only whoever is followed may say no more than that: anybody else could be waited for for ever.
async fn take_lines(
    mut reader: impl AsyncBufRead + Unpin,
    followed: bool,
    keep: impl Fn(Line) -> Option<Line>,
    lines: &mpsc::Sender<Line>,
    silence: Duration,
) -> io::Result<()> {
    loop {
        let taken = tokio::select! {
            taken = timed(LINE_WITHIN, take_line(&mut reader, silence)) => taken?,
            () = lines.closed() => return Ok(()),
        };
        let Some(text) = taken else { return Ok(()) };
        if text.is_empty() && followed {
            continue;
        }
        let line: Line = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if let Line::Problem(problem) = line {
            return Err(io::Error::other(problem.message));
        }
        if let Some(line) = keep(line)
            && lines.send(line).await.is_err()
        {
            return Ok(());
        }
    }
}

/// One line without its end, or nothing at the end of all. The peer is never silent for longer than this.
async fn take_line(reader: &mut (impl AsyncBufRead + Unpin), silence: Duration) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let read = timed(silence, reader.fill_buf()).await?;
        if read.is_empty() {
            return if line.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let end = read.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&read[..end.unwrap_or(read.len())]);
        let used = end.map_or(read.len(), |end| end + 1);
        reader.consume(used);
        if line.len() > LINE_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

async fn timed<T>(within: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(within, future).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn read_request(stream: &mut PeerStream) -> io::Result<PaperRequest> {
    let length = stream.read_u16_le().await?;
    if usize::from(length) > PaperRequest::LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    PaperRequest::decode(&bytes).map_err(io::Error::other)
}

async fn export(
    deployment: DeploymentId,
    service: Option<&str>,
    me: PeerId,
    sandboxes: &Sandboxes,
    lines: &mpsc::Sender<Line>,
) -> io::Result<()> {
    let export = sandboxes.export(deployment, service).map_err(io::Error::other)?;
    for entry in export {
        let bytes = entry.map_err(io::Error::other)?;
        let Exported { service, replica, generation, entry } =
            serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        let line = match entry {
            None => Line::Begun(BegunLine { service, provider: me, replica, generation, begun: true }),
            Some(Entry { bucket, key, value }) => {
                // Whoever gathers the lines of all nodes knows which are.
                let current = false;
                Line::Data(DataLine { service, provider: me, replica, generation, current, bucket, key, value })
            }
        };
        if lines.send(line).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// One line as the sandbox exports it: that a store was begun, or an entry of it.
#[derive(Deserialize)]
struct Exported {
    service: String,
    replica: u32,
    generation: u64,
    #[serde(flatten)]
    entry: Option<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    bucket: String,
    key: String,
    value: String,
}

#[cfg(test)]
mod tests {
    use grange_peer::Parties;
    use grange_types::{Kind, Time};

    use super::*;

    const SILENCE: Duration = Duration::from_millis(200);
    const LINE: &[u8] = b"{\"phase\":\"plan\",\"ms\":3}\n";

    #[test]
    fn requests_are_frozen() {
        let logs = PaperRequest::Logs {
            name: "shop".into(),
            service: Some("web".into()),
            follow: true,
            after: 300,
            lease: None,
        };
        grange_types::codec::check_golden(&logs, include_str!("../golden/paper-request.hex"));
        let data = PaperRequest::Data { name: "shop".into(), service: None };
        grange_types::codec::check_golden(&data, include_str!("../golden/paper-request-data.hex"));
    }

    #[test]
    fn data_is_for_the_owners_nodes_and_logs_for_the_stewards_too() {
        let [owner, second, steward, stranger] = [1, 2, 3, 4].map(|byte| PeerId([byte; 32]));
        let shop = DeploymentId([7; 32]);
        let parties = Parties { owners: vec![owner, second], stewards: vec![steward] };
        let table = RouteTable { parties: [(shop, parties)].into(), ..RouteTable::default() };
        let name = || "shop".to_owned();
        let logs = PaperRequest::Logs { name: name(), service: None, follow: false, after: 0, lease: None };
        let data = PaperRequest::Data { name: name(), service: None };
        let seen = |request: &PaperRequest, deployment| {
            [owner, second, steward, stranger].map(|peer| request.is_for(peer, deployment, &table))
        };
        assert_eq!(seen(&logs, shop), [true, true, true, false]);
        assert_eq!(seen(&data, shop), [true, true, false, false]);
        assert_eq!((seen(&logs, DeploymentId([8; 32])), seen(&data, DeploymentId([8; 32]))), ([false; 4], [false; 4]));
    }

    /// What comes of an answer of these pieces, between which half of the silence goes by, and how many lines come.
    async fn taken(followed: bool, answer: &[&[u8]], ends: bool) -> (io::Result<()>, usize) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        let (lines, mut handed) = mpsc::channel(LINES);
        let give = async move {
            for piece in answer {
                tokio::time::sleep(SILENCE / 2).await;
                if theirs.write_all(piece).await.is_err() {
                    break;
                }
            }
            let held = (!ends).then_some(theirs);
            std::future::pending::<()>().await;
            drop(held);
        };
        let taken = tokio::select! {
            taken = take_lines(BufReader::new(ours), followed, Some, &lines, SILENCE) => taken,
            () = give => unreachable!("it never ends"),
        };
        drop(lines);
        let mut count = 0;
        while handed.recv().await.is_some() {
            count += 1;
        }
        (taken, count)
    }

    #[track_caller]
    fn check((taken, count): (io::Result<()>, usize), expected: Result<usize, io::ErrorKind>) {
        assert_eq!(taken.map(|()| count).map_err(|error| error.kind()), expected);
    }

    #[tokio::test]
    async fn a_peer_that_says_nothing_is_given_up() {
        check(taken(false, &[LINE, LINE], true).await, Ok(2));
        check(taken(false, &[LINE], false).await, Err(io::ErrorKind::TimedOut));
        check(taken(true, &[LINE], false).await, Err(io::ErrorKind::TimedOut));
        check(taken(false, &[LINE, &LINE[..5]], true).await, Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_peer_is_believed_about_what_it_was_asked_for_and_nothing_else() {
        let [asked, other] = [1, 2].map(|byte| PeerId([byte; 32]));
        let at = Routed { provider: asked, lease: LeaseId([3; 32]), generation: 4 };
        let of = Replica { service: "web".into(), replica: 1, kind: Kind::Wasm, at, since: Time(0) };
        let (service, stream, text) = ("db".to_owned(), "stdout".to_owned(), "hello".to_owned());
        let line = LogLine {
            id: 9,
            at: Timestamp(Time(0)),
            service,
            replica: 7,
            provider: other,
            generation: 8,
            stream,
            text,
        };
        let Some(Line::Log(told)) = own_line(asked, Some(&of), Line::Log(line.clone())) else {
            panic!("it was asked for")
        };
        assert_eq!((told.service.as_str(), told.replica, told.generation, told.provider), ("web", 1, 4, asked));
        assert_eq!(own_line(asked, None, Line::Log(line)), None);
        let note = Line::Note(NoteLine { note: "\u{1b}[2J".into() });
        assert_eq!((own_line(asked, Some(&of), note.clone()), own_line(asked, None, note)), (None, None));
    }

    #[tokio::test]
    async fn who_breaks_off_with_a_problem_has_not_said_everything() {
        let problem = br#"{"code":"internal","operation":"papers","thing":"","message":"disk","remedy":"","exit":1}"#;
        let answer = [LINE, problem.as_slice(), b"\n"];
        check(taken(false, &answer, true).await, Err(io::ErrorKind::Other));
    }

    #[tokio::test]
    async fn only_who_is_followed_may_say_that_it_is_there_and_no_more() {
        let answer = [LINE, b"\n", b"\n", b"\n", LINE];
        check(taken(true, &answer, true).await, Ok(2));
        check(taken(false, &answer, true).await, Err(io::ErrorKind::Other));
    }
}
