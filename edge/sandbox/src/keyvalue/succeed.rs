//! Begins a generation of a store: hears the keepers, takes over the newest copy, and writes the first entry. The hands of
//! [`Succession`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use grange_objects::log::succeed::{Action, Event};
use grange_objects::log::{Content, KeepReply, KeepRequest, Mark, Plan, Promise, Refusal, Standing, Succession};
use grange_types::{ByteCount, PeerId, Time};
use tokio::task::JoinSet;

use super::replicate::{Replicated, Replication};
use super::store::Store;
use super::{KeyValueError, StoreName, Stores};
use crate::keep::{Copies, Digest};

/// A keeper that did not give its copy is asked again after so long.
const AGAIN: Duration = Duration::from_millis(300);

/// Is told what a start waits for.
pub(crate) type Progress<'a> = dyn Fn(String) + Send + Sync + 'a;

/// Who begins a generation.
pub(crate) struct Successor {
    pub(crate) stores: Arc<Stores>,
    /// This node's own keeper.
    pub(crate) copies: Arc<Copies>,
    pub(crate) name: StoreName,
    pub(crate) limit: ByteCount,
    /// Other nodes that wrote earlier generations.
    pub(crate) before: BTreeSet<PeerId>,
    pub(crate) replication: Replication,
}

/// What the disk has when a generation begins.
enum Found {
    /// The store of this very generation: its node was started again.
    Own(Arc<Store>),
    /// The store of an earlier generation, or nothing.
    Earlier(Option<(StoreName, Standing)>),
}

impl Successor {
    /// Begins, or goes on after a restart. Waits for keepers as long as it has to.
    pub(crate) async fn run(self, progress: &Progress<'_>) -> Result<Replicated, KeyValueError> {
        let this = Arc::new(Arc::new(self).blocking(Self::pinned).await?);
        let told = this.blocking(Self::promise).await?;
        let found = this.blocking(Self::look).await?;
        let (store, first) = match found {
            Found::Own(store) => (store, None),
            Found::Earlier(earlier) => {
                let mut own = earlier.as_ref().map(|(_, standing)| standing.clone()).unwrap_or_default();
                own.promises = told.promises;
                own.mention(told.view);
                let plan = this.plan(own, progress).await?;
                let earlier = earlier.map(|(name, _)| name);
                (this.make(&plan, earlier, progress).await?, Some(plan))
            }
        };
        let runtime = tokio::runtime::Handle::current();
        this.blocking(move |this| this.replication.clone().begin(store, first, &runtime)).await
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, KeyValueError> + Send + 'static,
    ) -> Result<T, KeyValueError> {
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&this)).await.unwrap_or(Err(KeyValueError::Interrupted))
    }

    /// The same with the keepers that this generation was first started with: stewards may have changed since.
    fn pinned(&self) -> Result<Self, KeyValueError> {
        let Replication { log, generation, keepers, .. } = &self.replication;
        let standing = self.copies.standing(log).map_err(|_| KeyValueError::NoPromise)?;
        let keepers =
            if self.is_begun()? { keepers.clone() } else { standing.keepers_of(*generation, keepers.clone()) };
        let replication = Replication { keepers, ..self.replication.clone() };
        Ok(Self {
            stores: Arc::clone(&self.stores),
            copies: Arc::clone(&self.copies),
            name: self.name.clone(),
            limit: self.limit,
            before: self.before.clone(),
            replication,
        })
    }

    /// Whether this generation has its first entry, which names who keeps it.
    fn is_begun(&self) -> Result<bool, KeyValueError> {
        if !self.stores.has(&self.name) {
            return Ok(false);
        }
        let view = self.stores.store(&self.name, self.limit)?.standing()?.view;
        Ok(view.is_some_and(|view| view.at.generation == self.name.generation))
    }

    /// Has this node's own keeper promise this generation, before anybody else does: whoever continues the log later and asks
    /// here hears of it, or was here first, and then nothing begins. Gives how that keeper stands.
    fn promise(&self) -> Result<Standing, KeyValueError> {
        let Replication { log, generation, keepers, .. } = &self.replication;
        let promise = Promise { generation: *generation, keepers: keepers.clone() };
        match self.copies.answer(&KeepRequest::Seal { log: log.clone(), promise }, self.limit).reply {
            KeepReply::Sealed(standing) => Ok(standing),
            KeepReply::Refused(Refusal::Fenced { generation }) => Err(KeyValueError::Sealed { generation }),
            _ => Err(KeyValueError::NoPromise),
        }
    }

    fn look(&self) -> Result<Found, KeyValueError> {
        if self.stores.has(&self.name) {
            if self.is_begun()? {
                return Ok(Found::Own(self.stores.store(&self.name, self.limit)?));
            }
            // It was never begun: nobody was told of anything in it.
            self.stores.discard(&self.name)?;
        }
        let Some(earlier) = self.stores.earlier(&self.name)? else { return Ok(Found::Earlier(None)) };
        let store = self.stores.reading(&earlier)?;
        store.seal(self.name.generation)?;
        let standing = store.standing()?;
        Ok(Found::Earlier(Some((earlier, standing))))
    }

    /// Seals keepers until it is known where to go on.
    async fn plan(&self, own: Standing, progress: &Progress<'_>) -> Result<Plan, KeyValueError> {
        let started = Instant::now();
        let now = || Time(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        let Replication { generation, keepers, link, log, .. } = &self.replication;
        let promise = Promise { generation: *generation, keepers: keepers.clone() };
        let mut succession = Succession::new(now(), promise, self.before.clone(), Some(own));
        let mut asks = JoinSet::new();
        loop {
            while let Some(action) = succession.poll_action() {
                match action {
                    Action::Seal { keeper, promise } => {
                        let (link, request) = (Arc::clone(link), KeepRequest::Seal { log: log.clone(), promise });
                        asks.spawn(async move { heard(keeper, link.ask(keeper, request).await) });
                    }
                    Action::Wait { keepers } => {
                        let names: Vec<String> = keepers.iter().map(PeerId::short).collect();
                        let text = format!("its key-values are waited for: {} must answer first", names.join(", "));
                        tracing::warn!(?log, generation, keepers = names.join(" "), "keyvalue.waits");
                        progress(text);
                    }
                    Action::Begin(plan) => return self.check(plan),
                    Action::Stop { generation } => return Err(KeyValueError::Sealed { generation }),
                }
            }
            let wait = succession.poll_timeout().map_or(AGAIN, |time| Duration::from_millis(time.since(now()).0));
            let event = tokio::select! {
                Some(Ok(event)) = asks.join_next() => event,
                () = tokio::time::sleep(wait) => Event::Tick,
            };
            succession.handle(now(), event);
        }
    }

    fn check(&self, plan: Plan) -> Result<Plan, KeyValueError> {
        if plan.mark.generation == self.name.generation {
            return Err(KeyValueError::Forgotten { generation: self.name.generation });
        }
        if !plan.without.is_empty() {
            let without: Vec<String> = plan.without.iter().map(PeerId::short).collect();
            tracing::warn!(log = ?self.replication.log, without = without.join(" "), "keyvalue.goes_on_without");
        }
        Ok(plan)
    }

    /// Makes the store, with everything up to where its log goes on.
    async fn make(
        self: &Arc<Self>,
        plan: &Plan,
        earlier: Option<StoreName>,
        progress: &Progress<'_>,
    ) -> Result<Arc<Store>, KeyValueError> {
        let partial = self.blocking(|this| this.stores.partial(&this.name)).await?;
        if plan.from.is_empty() {
            let (at, mark) = (partial.clone(), plan.mark);
            self.blocking(move |this| this.take_own(&at, mark, earlier)).await?;
        } else {
            self.fetch(plan, &partial, progress).await?;
        }
        self.blocking(move |this| {
            this.stores.complete(&this.name, &partial)?;
            this.stores.store(&this.name, this.limit)
        })
        .await
    }

    /// Goes on from the copy of an earlier generation on this disk, or from nothing.
    fn take_own(&self, partial: &Path, mark: Mark, earlier: Option<StoreName>) -> Result<(), KeyValueError> {
        match earlier.filter(|_| mark != Mark::default()) {
            Some(earlier) => self.stores.reading(&earlier)?.copy_to(partial),
            None => Store::open(partial, self.name.generation)?.reach(mark),
        }
    }

    /// Takes over the copy of a keeper that has it; asks one after the other until one gave it.
    async fn fetch(
        self: &Arc<Self>,
        plan: &Plan,
        partial: &Path,
        progress: &Progress<'_>,
    ) -> Result<(), KeyValueError> {
        loop {
            for keeper in &plan.from {
                match self.fetch_from(*keeper, plan.mark, partial.to_path_buf()).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => progress(format!("its key-values are fetched from {}", keeper.short())),
                    Err(error @ (KeyValueError::Sealed { .. } | KeyValueError::Database { .. })) => return Err(error),
                    Err(error) => {
                        tracing::warn!(keeper = %keeper, error = &error as &dyn std::error::Error, "keyvalue.copy_bad");
                        progress(error.to_string());
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Whether the copy of this keeper is here, whole.
    async fn fetch_from(self: &Arc<Self>, keeper: PeerId, mark: Mark, partial: PathBuf) -> Result<bool, KeyValueError> {
        let store = self
            .blocking(move |this| {
                let _ = std::fs::remove_file(&partial);
                Store::open(&partial, this.name.generation).map(Arc::new)
            })
            .await?;
        let (mut after, mut digest) = (0, Digest::default());
        loop {
            let Replication { log, generation, link, .. } = &self.replication;
            let request = KeepRequest::Read { log: log.clone(), generation: *generation, mark, after };
            let (contents, whole) = match link.ask(keeper, request).await {
                Some(KeepReply::Page { contents, whole }) => (contents, whole),
                Some(KeepReply::Refused(Refusal::Fenced { generation })) => {
                    return Err(KeyValueError::Sealed { generation });
                }
                _ => return Ok(false),
            };
            // Numbers only grow, so that whoever sends the same again is not followed for ever.
            let next = contents.last().map_or(after, |(number, _): &Content| *number);
            digest.add(&contents);
            if whole.is_some_and(|whole| whole != digest.finish()) || whole.is_none() && next <= after {
                return Err(KeyValueError::Digest { keeper });
            }
            after = next;
            let filled = Arc::clone(&store);
            self.blocking(move |this| {
                filled.fill(&this.replication.sealer, &contents)?;
                if whole.is_some() { filled.reach(mark) } else { Ok(()) }
            })
            .await?;
            if whole.is_some() {
                return Ok(true);
            }
        }
    }
}

/// What a keeper's reply says to a successor.
fn heard(keeper: PeerId, reply: Option<KeepReply>) -> Event {
    match reply {
        Some(KeepReply::Sealed(standing)) => Event::Heard { keeper, standing },
        Some(KeepReply::Refused(Refusal::Fenced { generation })) => Event::Fenced { generation },
        _ => Event::Silent { keeper },
    }
}
