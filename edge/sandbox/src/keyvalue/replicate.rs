//! Carries a store's entries to its keepers: the hands of [`Writer`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use grange_objects::log::write::{Action, Event};
use grange_objects::log::{
    Answer, Entry, KeepReply, KeepRequest, LogId, PAYLOAD_BYTES, Plan, Promise, Refusal, View, Writer,
};
use grange_types::{PeerId, Time};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::KeyValueError;
use super::content::Sealer;
use super::outbox::{Committed, Outbox};
use super::store::{Store, page, standing};
use crate::keep::{Digest, KeepMetrics, KeeperLink};

/// Bytes of entries that are kept for keepers that lag; who lags further gets a whole copy.
const WINDOW: usize = 32 << 20;
/// Between two looks at the clock when nothing is due.
const IDLE: Duration = Duration::from_secs(1);

/// What a store is replicated with.
#[derive(Clone)]
pub(crate) struct Replication {
    pub(crate) log: LogId,
    pub(crate) generation: u64,
    pub(crate) keepers: BTreeSet<PeerId>,
    pub(crate) link: Arc<dyn KeeperLink>,
    pub(crate) sealer: Sealer,
    pub(crate) metrics: Arc<KeepMetrics>,
}

/// A store that is replicated as long as this lives.
pub(crate) struct Replicated {
    pub(crate) store: Arc<Store>,
    _stop: DropGuard,
}

impl Replication {
    /// Begins to replicate an open store. Its log has a view of this generation already, or begins it by this plan. Blocks.
    pub(crate) fn begin(
        self,
        store: Arc<Store>,
        first: Option<Plan>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Replicated, KeyValueError> {
        let standing = store.standing()?;
        let generation = self.generation;
        let marks = first.as_ref().map(|plan| plan.marks.clone()).unwrap_or_default();
        let (outbox, taken) = Outbox::new(self.sealer.clone(), Arc::clone(&self.metrics));
        let outbox = Arc::new(outbox);
        store.replicate(Arc::clone(&outbox));
        let followers = self.keepers.iter().map(|keeper| (*keeper, marks.get(keeper).copied())).collect();
        let writer = Writer::new(Time(0), self.generation, standing.mark, standing.view.as_ref(), followers);
        if let Some(view) = &standing.view {
            self.link.counts(&self.log, self.generation, view);
        }
        let last = standing.mark.sequence;
        let stop = CancellationToken::new();
        let run = Run {
            replication: self,
            store: Arc::clone(&store),
            outbox,
            writer,
            started: Instant::now(),
            last,
            early: BTreeMap::new(),
            window: BTreeMap::new(),
            bytes: 0,
            asks: JoinSet::new(),
        };
        runtime.spawn(run.run(taken, stop.clone()));
        if let Some(Plan { keepers, without, .. }) = first {
            store.commit_view(generation, |at| View { at, before: keepers.clone(), keepers, without })?;
        }
        Ok(Replicated { store, _stop: stop.drop_guard() })
    }
}

struct Run {
    replication: Replication,
    store: Arc<Store>,
    outbox: Arc<Outbox>,
    writer: Writer,
    started: Instant,
    /// The last entry that the writer was told of.
    last: u64,
    /// Entries that came before the one before them.
    early: BTreeMap<u64, Entry>,
    window: BTreeMap<u64, Entry>,
    bytes: usize,
    asks: JoinSet<(PeerId, Answer)>,
}

impl Run {
    async fn run(mut self, mut taken: mpsc::UnboundedReceiver<Committed>, stop: CancellationToken) {
        loop {
            while let Some(action) = self.writer.poll_action() {
                self.carry_out(action);
            }
            let now = self.now();
            self.outbox.set_silent(self.writer.silent(now).into_iter().collect());
            let wait = self.writer.poll_timeout().map_or(IDLE, |time| Duration::from_millis(time.since(now).0));
            let event = tokio::select! {
                () = stop.cancelled() => return,
                committed = taken.recv() => {
                    let Some(committed) = committed else { return };
                    self.take(committed);
                    continue;
                }
                Some(answered) = self.asks.join_next() => match answered {
                    Ok((keeper, answer)) => Event::Answered { keeper, answer },
                    Err(_) => continue,
                },
                () = tokio::time::sleep(wait) => Event::Tick,
            };
            let now = self.now();
            self.writer.handle(now, event);
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Tells the writer of entries in their order, whatever order they come in.
    fn take(&mut self, committed: Committed) {
        self.early.insert(committed.sequence, committed.entry);
        while let Some(entry) = self.early.remove(&(self.last + 1)) {
            self.last += 1;
            self.bytes += entry.bytes();
            if let Some(view) = &entry.view {
                self.replication.link.counts(&self.replication.log, self.replication.generation, view);
            }
            let view = entry.view.clone();
            self.window.insert(self.last, entry);
            let now = self.now();
            self.writer.handle(now, Event::Committed { view });
        }
        let mut through = None;
        while self.bytes > WINDOW && self.window.len() > 1 {
            let Some((sequence, entry)) = self.window.pop_first() else { break };
            self.bytes -= entry.bytes();
            through = Some(sequence);
        }
        if let Some(through) = through {
            let now = self.now();
            self.writer.handle(now, Event::Forgotten { through });
        }
    }

    fn forget(&mut self, through: u64) {
        self.window = self.window.split_off(&through.saturating_add(1));
        self.bytes = self.window.values().map(Entry::bytes).sum();
        let now = self.now();
        self.writer.handle(now, Event::Forgotten { through });
    }

    fn carry_out(&mut self, action: Action) {
        let Replication { log, generation, keepers, .. } = &self.replication;
        let (log, generation) = (log.clone(), *generation);
        match action {
            Action::Push { to, after } => {
                let entries = self.entries(after.sequence);
                self.ask(to, KeepRequest::Write { log, generation, after, entries });
            }
            Action::Look { to } => {
                let promise = Promise { generation, keepers: keepers.clone() };
                self.ask(to, KeepRequest::Seal { log, promise });
            }
            Action::Copy { to } => {
                let (replication, store) = (self.replication.clone(), Arc::clone(&self.store));
                self.asks.spawn(async move { (to, copy(&replication, store, to).await) });
            }
            Action::ChangeView { keepers, before } => {
                let store = Arc::clone(&self.store);
                tracing::info!(log = ?self.replication.log, ?keepers, "keyvalue.view");
                tokio::task::spawn_blocking(move || {
                    let make = |at| View { at, keepers, before, without: BTreeSet::new() };
                    if let Err(error) = store.commit_view(generation, make) {
                        tracing::warn!(error = &error as &dyn std::error::Error, "keyvalue.view_failed");
                    }
                });
            }
            Action::Acknowledge { through } => self.outbox.acknowledged(through),
            Action::Forget { through } => self.forget(through),
            Action::Stop { generation } => {
                tracing::info!(log = ?self.replication.log, generation, "keyvalue.fenced");
                self.outbox.stopped(generation);
                let store = Arc::clone(&self.store);
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = store.seal(generation) {
                        tracing::warn!(error = &error as &dyn std::error::Error, "keyvalue.seal_failed");
                    }
                });
            }
        }
    }

    /// The entries after this one, as many as go into a request.
    fn entries(&self, after: u64) -> Vec<Entry> {
        let mut bytes = 0;
        let mut entries = Vec::new();
        for entry in self.window.range(after.saturating_add(1)..).map(|(_, entry)| entry) {
            bytes += entry.bytes();
            if bytes > PAYLOAD_BYTES && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        entries
    }

    fn ask(&mut self, keeper: PeerId, request: KeepRequest) {
        let link = Arc::clone(&self.replication.link);
        self.asks.spawn(async move { (keeper, answer(link.ask(keeper, request).await)) });
    }
}

/// What a keeper's reply says to the writer.
fn answer(reply: Option<KeepReply>) -> Answer {
    match reply {
        None => Answer::Silent,
        Some(KeepReply::Sealed(standing)) => Answer::At(standing.mark),
        Some(KeepReply::Stored(mark) | KeepReply::Refused(Refusal::Elsewhere(mark))) => Answer::At(mark),
        Some(KeepReply::Refused(Refusal::Fenced { generation })) => Answer::Fenced(generation),
        Some(refused) => {
            tracing::debug!(?refused, "keyvalue.refused");
            Answer::Refused
        }
    }
}

/// Sends a keeper everything that the store holds now, page by page.
async fn copy(replication: &Replication, store: Arc<Store>, keeper: PeerId) -> Answer {
    let moment = tokio::task::spawn_blocking(move || {
        let moment = store.read()?;
        standing(&moment).map(|standing| (Arc::new(moment), standing))
    });
    let Ok(Ok((moment, standing))) = moment.await else { return Answer::Refused };
    let (to, Some(view)) = (standing.mark, standing.view) else { return Answer::Refused };
    let (mut digest, mut after, mut number) = (Digest::default(), 0, 0);
    loop {
        let (moment, sealer) = (Arc::clone(&moment), replication.sealer.clone());
        let read = tokio::task::spawn_blocking(move || page(&moment, &sealer, to, after, PAYLOAD_BYTES));
        let Ok(Ok((contents, last))) = read.await else { return Answer::Refused };
        digest.add(&contents);
        after = contents.last().map_or(after, |(number, _)| *number);
        let request = KeepRequest::Copy {
            log: replication.log.clone(),
            generation: replication.generation,
            to,
            view: view.clone(),
            page: number,
            contents,
            whole: last.then(|| digest.finish()),
        };
        match replication.link.ask(keeper, request).await {
            Some(KeepReply::Aside) if !last => number += 1,
            reply => return answer(reply),
        }
    }
}
