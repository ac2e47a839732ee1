//! Key-values: what their writers, keepers and successors do, which in a node the sandbox and its keepers' side do.
//!
//! The machines are those of `grange-objects`. What a vault holds is durable, as a database's commit is; machines die with
//! their process. A page that is asked for may be a write, which is acknowledged when its log says so.

use std::collections::{BTreeMap, BTreeSet};

use grange_objects::log::succeed::{Action as Step, Event as News};
use grange_objects::log::write::{Action, Event as Said};
use grange_objects::log::{
    Answer, Change, Entry, KeepReply, KeepRequest, Keeper, LogId, Mark, Plan, Promise, Refusal, Standing, Succession,
    Task, View, Writer,
};
use grange_peer::{Event, WorkEvent};
use grange_types::{LeaseId, Millis, PeerId, Time, Work};

use crate::host::Host;
use crate::sabotage::Sabotage;
use crate::world::{Happening, World};

/// How long a keeper may take.
const ANSWER_WITHIN: Millis = Millis::seconds(5);
/// A keeper that is not linked is known to be silent after so long.
const UNLINKED: Millis = Millis(50);
/// Who did not give his copy is asked again after so long.
const AGAIN: Millis = Millis(300);
/// Entries in one request.
const ENTRIES: usize = 64;

/// The numbers of the contents; each is one byte.
pub(crate) type Contents = BTreeSet<u64>;

/// What is durable of one log at one host.
#[derive(Default)]
struct Vault {
    standing: Standing,
    copy: Contents,
    aside: Contents,
    /// Stores of the generations that were written here.
    own: BTreeMap<u64, Store>,
}

#[derive(Clone, Default)]
struct Store {
    mark: Mark,
    view: Option<View>,
    contents: Contents,
}

/// A writer, or one who will be.
struct Process {
    host: usize,
    lease: LeaseId,
    log: LogId,
    generation: u64,
    keepers: BTreeSet<PeerId>,
    /// Questions that were not answered yet.
    open: BTreeMap<u64, PeerId>,
    part: Part,
}

enum Part {
    Succeeding { succession: Succession, waits: BTreeSet<PeerId> },
    Fetching(Plan),
    Writing { writer: Writer, window: BTreeMap<u64, Entry>, ids: BTreeMap<u64, u64> },
    Over,
}

/// What goes over a link, or is due at a process.
pub(crate) enum Parcel {
    Request { from: usize, process: u64, question: u64, request: Box<KeepRequest> },
    Reply { process: u64, question: u64, reply: Box<KeepReply> },
    Silence { process: u64, question: u64 },
    Fetch { process: u64 },
    Tick { process: u64 },
}

/// All vaults, keepers and writers.
#[derive(Default)]
pub(crate) struct Keeping {
    vaults: BTreeMap<(usize, LogId), Vault>,
    keepers: BTreeMap<(usize, LogId), Keeper>,
    processes: BTreeMap<u64, Process>,
    number: u64,
    /// Time that went by while everything slept, which no machine's own clock counts.
    pub(crate) slept: Millis,
}

impl Keeping {
    /// A process dies, and with it all machines of its host.
    pub(crate) fn died(&mut self, host: usize) {
        self.keepers.retain(|(at, _), _| *at != host);
        self.processes.retain(|_, process| process.host != host);
    }

    /// A workload stops.
    pub(crate) fn stopped(&mut self, host: usize, lease: LeaseId) {
        self.processes.retain(|_, process| process.host != host || process.lease != lease);
    }

    fn of(&self, host: usize, lease: LeaseId) -> Option<(u64, &Process)> {
        let mut found = self.processes.iter().filter(|(_, process)| process.host == host && process.lease == lease);
        found.next().map(|(id, process)| (*id, process))
    }

    /// Whether a workload that is to begin waits for this peer alone.
    pub(crate) fn waits_for(&self, host: usize, lease: LeaseId, peer: PeerId) -> bool {
        let waits = self.of(host, lease).map(|(_, process)| match &process.part {
            Part::Succeeding { waits, .. } => waits.iter().eq([&peer]),
            _ => false,
        });
        waits == Some(true)
    }

    /// Who writes now, with each keeper that counts.
    pub(crate) fn writers_with_keepers(&self) -> impl Iterator<Item = (usize, PeerId)> {
        let writing = self.processes.values().filter(|process| matches!(process.part, Part::Writing { .. }));
        let keepers = |process: &Process| {
            let vault = self.vaults.get(&(process.host, process.log.clone()))?;
            Some(vault.own.get(&process.generation)?.view.as_ref()?.keepers.clone())
        };
        writing.flat_map(move |process| keepers(process).into_iter().flatten().map(|keeper| (process.host, keeper)))
    }

    /// What the disk of each keeper of a log holds.
    fn copies<'a>(&'a self, log: &LogId, hosts: &[Host]) -> Vec<(PeerId, &'a Contents)> {
        let of = self.vaults.iter().filter(|((_, of), _)| of == log);
        of.map(|((host, _), vault)| (hosts[*host].id(), &vault.copy)).collect()
    }

    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

fn log_of(work: &Work) -> LogId {
    LogId { deployment: work.deployment, service: work.service.clone(), replica: work.replica }
}

impl World<'_> {
    fn monotonic(&self) -> Time {
        Time(self.now.0 - self.keeping.slept.0)
    }

    /// A workload has come up: it serves once its key-values are here.
    pub(crate) fn begin_keeping(&mut self, host: usize, work: &Work) {
        if work.keepers.is_empty() {
            return self.serve(host, work.lease);
        }
        let (me, log, generation) = (self.hosts[host].id(), log_of(work), work.generation);
        for process in self.keeping.processes.values_mut().filter(|process| process.host == host && process.log == log)
        {
            process.part = Part::Over;
        }
        let key = (host, log.clone());
        let vault = self.keeping.vaults.entry(key).or_default();
        let chosen = work.keepers.iter().copied().collect();
        let own = vault.own.get(&generation).cloned();
        let keepers = if own.is_some() { chosen } else { vault.standing.keepers_of(generation, chosen) };
        let newest = vault.own.values().next_back().cloned().unwrap_or_default();
        // Our own keeper promises it first, or there is nothing to begin.
        let promise = Promise { generation, keepers: keepers.clone() };
        let request = KeepRequest::Seal { log: log.clone(), promise: promise.clone() };
        let KeepReply::Sealed(told) = self.keep(host, &request) else {
            let reason = "its log has gone on elsewhere".to_owned();
            return self.tell(host, Millis(5), Event::Work { lease: work.lease, event: WorkEvent::Failed { reason } });
        };
        let now = self.monotonic();
        let part = if let Some(Store { mark, view, .. }) = own {
            let followers = keepers.iter().map(|keeper| (*keeper, None)).collect();
            let writer = Writer::new(now, generation, mark, view.as_ref(), followers);
            self.serve(host, work.lease);
            Part::Writing { writer, window: BTreeMap::new(), ids: BTreeMap::new() }
        } else {
            let mut own = Standing { promises: told.promises, mark: newest.mark, view: newest.view };
            own.mention(told.view);
            let before = work.before.iter().filter(|before| **before != me).copied().collect();
            let succession = Succession::new(now, promise, before, Some(own));
            Part::Succeeding { succession, waits: BTreeSet::new() }
        };
        let id = self.keeping.next();
        let (lease, open) = (work.lease, BTreeMap::new());
        self.keeping.processes.insert(id, Process { host, lease, log, generation, keepers, open, part });
        self.drive(id);
    }

    /// A write comes to a workload, if it takes any.
    pub(crate) fn write(&mut self, host: usize, lease: LeaseId) {
        let Some((id, Process { part: Part::Writing { .. }, .. })) = self.keeping.of(host, lease) else { return };
        let number = self.keeping.next();
        self.commit(id, vec![Change { number, content: Some(vec![1]) }], None);
        self.drive(id);
    }

    /// Something comes to a host's machines: later, while it is frozen; never, once it died.
    pub(crate) fn keeps(&mut self, to: usize, life: u32, over: Option<(usize, u32)>, parcel: Parcel) {
        let stands = over.is_none_or(|(from, session)| {
            let link = self.network.link(from, to);
            link.up && link.session == session
        });
        let host = &self.hosts[to];
        if host.life != life || !host.alive() || !stands {
            return;
        }
        if host.frozen_until > self.now {
            return self.at(host.frozen_until, Happening::Keep { to, life, over, parcel: Box::new(parcel) });
        }
        match parcel {
            Parcel::Request { from, process, question, request } => {
                let reply = Box::new(self.asked_to_keep(from, to, &request));
                self.pass(to, from, Parcel::Reply { process, question, reply });
            }
            Parcel::Reply { process, question, reply } => self.answered(process, question, Some(*reply)),
            Parcel::Silence { process, question } => self.answered(process, question, None),
            Parcel::Fetch { process } => self.fetch_copy(process),
            Parcel::Tick { process } => {
                let now = self.monotonic();
                match self.keeping.processes.get_mut(&process).map(|process| &mut process.part) {
                    Some(Part::Succeeding { succession, .. }) => succession.handle(now, News::Tick),
                    Some(Part::Writing { writer, .. }) => writer.handle(now, Said::Tick),
                    _ => return,
                }
                self.drive(process);
            }
        }
    }

    /// Over the link between two hosts, as the weather lets it.
    fn pass(&mut self, from: usize, to: usize, parcel: Parcel) {
        let link = self.network.link(from, to);
        if !link.up || !self.hosts[to].alive() {
            return;
        }
        let (life, over) = (self.hosts[to].life, Some((from, link.session)));
        // A stream of its own: what is lost is sent again by the transport, or the link falls.
        if let Some(at) = self.network.send(self.now, from, to, &mut self.dice.network).first().copied() {
            self.at(at, Happening::Keep { to, life, over, parcel: Box::new(parcel) });
        }
    }

    fn later(&mut self, host: usize, after: Millis, parcel: Parcel) {
        let life = self.hosts[host].life;
        self.at(self.now.after(after), Happening::Keep { to: host, life, over: None, parcel: Box::new(parcel) });
    }

    /// A process asks a keeper.
    fn put(&mut self, id: u64, to: PeerId, request: KeepRequest) {
        let question = self.keeping.next();
        let Some(process) = self.keeping.processes.get_mut(&id) else { return };
        process.open.insert(question, to);
        let (host, Some(place)) = (process.host, self.places.get(&to).copied()) else { return };
        self.coverage.count("message", "keep");
        if place == host {
            let reply = Box::new(self.asked_to_keep(host, host, &request));
            return self.later(host, Millis(1), Parcel::Reply { process: id, question, reply });
        }
        let patience = if self.network.link(host, place).up { ANSWER_WITHIN } else { UNLINKED };
        self.later(host, patience, Parcel::Silence { process: id, question });
        let request = Box::new(request);
        self.pass(host, place, Parcel::Request { from: host, process: id, question, request });
    }

    /// A keeper is asked: only whoever holds the slot by its own ledger is answered.
    fn asked_to_keep(&mut self, from: usize, to: usize, request: &KeepRequest) -> KeepReply {
        let asker = self.hosts[from].id();
        if self.hosts[to].routes().room_of(asker, request.log(), request.generation()).is_none() {
            return KeepReply::Refused(Refusal::Denied);
        }
        let before =
            self.keeping.vaults.get(&(to, request.log().clone())).and_then(|vault| vault.standing.view.clone());
        let reply = self.keep(to, request);
        let after = self.keeping.vaults.get(&(to, request.log().clone())).and_then(|vault| vault.standing.view.clone());
        if let Some(view) = after.filter(|view| before.as_ref() != Some(view)) {
            self.tell(to, Millis(0), counts(request.log().clone(), &view, false));
        }
        reply
    }

    /// A keeper's disk and machine.
    fn keep(&mut self, host: usize, request: &KeepRequest) -> KeepReply {
        let key = (host, request.log().clone());
        if self.hosts[host].disk.full {
            return KeepReply::Refused(Refusal::Failed);
        }
        let forgets = self.sabotage == Some(Sabotage::KeeperForgets);
        let vault = self.keeping.vaults.entry(key.clone()).or_default();
        let fresh = || Keeper::new(vault.standing.clone());
        let keeper = self.keeping.keepers.entry(key).or_insert_with(fresh);
        keeper.handle(request);
        let mut answer = KeepReply::Refused(Refusal::Failed);
        while let Some(task) = keeper.poll_action() {
            match (task, request) {
                (Task::Store { standing, skip }, KeepRequest::Write { entries, .. }) => {
                    vault.standing = standing;
                    let changes = entries.iter().skip(skip).flat_map(|entry| &entry.changes);
                    if !forgets {
                        vault.copy.extend(changes.map(|change| change.number));
                    }
                }
                (Task::Store { standing, .. }, _) => vault.standing = standing,
                (Task::SetAside, KeepRequest::Copy { contents, .. }) => {
                    vault.aside = contents.iter().map(|(number, _)| *number).collect();
                }
                (Task::SetAside, _) => {}
                (Task::Replace { standing }, _) => {
                    vault.standing = standing;
                    vault.copy = core::mem::take(&mut vault.aside);
                }
                (Task::Page, _) => answer = KeepReply::Page { contents: paged(&vault.copy), whole: Some([0; 32]) },
                (Task::Reply(reply), _) => answer = reply,
            }
        }
        if let (KeepReply::Sealed(standing), Some((_, store))) = (&mut answer, vault.own.last_key_value()) {
            standing.mention(store.view.clone());
        }
        answer
    }

    fn answered(&mut self, id: u64, question: u64, reply: Option<KeepReply>) {
        let now = self.monotonic();
        let Some(process) = self.keeping.processes.get_mut(&id) else { return };
        // A copy of an answer, or one that comes late.
        let Some(keeper) = process.open.remove(&question) else { return };
        match &mut process.part {
            Part::Succeeding { succession, .. } => succession.handle(
                now,
                match reply {
                    Some(KeepReply::Sealed(standing)) => News::Heard { keeper, standing },
                    Some(KeepReply::Refused(Refusal::Fenced { generation })) => News::Fenced { generation },
                    _ => News::Silent { keeper },
                },
            ),
            Part::Fetching(plan) => match reply {
                Some(KeepReply::Page { contents, .. }) => {
                    let plan = plan.clone();
                    return self.begin_store(id, &plan, contents.into_iter().map(|(number, _)| number).collect());
                }
                Some(KeepReply::Refused(Refusal::Fenced { .. })) => process.part = Part::Over,
                _ => {
                    let host = process.host;
                    return self.later(host, AGAIN, Parcel::Fetch { process: id });
                }
            },
            Part::Writing { writer, .. } => writer.handle(now, Said::Answered { keeper, answer: said(reply) }),
            Part::Over => {}
        }
        self.drive(id);
    }

    /// Goes on from our own copy, or fetches one.
    fn take(&mut self, id: u64, plan: Plan) {
        let Some(process) = self.keeping.processes.get_mut(&id) else { return };
        if !plan.from.is_empty() {
            process.part = Part::Fetching(plan);
            return self.fetch_copy(id);
        }
        let vault = self.keeping.vaults.get(&(process.host, process.log.clone()));
        let own = vault.and_then(|vault| vault.own.values().next_back()).filter(|store| store.mark == plan.mark);
        let contents = own.map(|store| store.contents.clone()).unwrap_or_default();
        self.begin_store(id, &plan, contents);
    }

    fn fetch_copy(&mut self, id: u64) {
        let Some(Process { part: Part::Fetching(plan), generation, log, .. }) = self.keeping.processes.get(&id) else {
            return;
        };
        let from: Vec<PeerId> = plan.from.iter().copied().collect();
        let request = KeepRequest::Read { log: log.clone(), generation: *generation, mark: plan.mark, after: 0 };
        if let Some(keeper) = self.dice.work.pick(&from).copied() {
            self.put(id, keeper, request);
        }
    }

    /// Everything that a generation begins with is here: its first entry is committed, and it serves.
    fn begin_store(&mut self, id: u64, plan: &Plan, contents: Contents) {
        let now = self.monotonic();
        let Some(process) = self.keeping.processes.get_mut(&id) else { return };
        let (host, lease, log, generation) = (process.host, process.lease, process.log.clone(), process.generation);
        let copies = self.keeping.copies(&log, &self.hosts);
        self.checks.begins(self.now, (&log, generation), plan, &contents, &copies);
        let Some(process) = self.keeping.processes.get_mut(&id) else { return };
        let followers = process.keepers.iter().map(|keeper| (*keeper, plan.marks.get(keeper).copied())).collect();
        let writer = Writer::new(now, generation, plan.mark, None, followers);
        process.part = Part::Writing { writer, window: BTreeMap::new(), ids: BTreeMap::new() };
        let store = Store { mark: plan.mark, view: None, contents };
        let (entries, without) = (store.contents.len(), plan.without.len());
        self.keeping.vaults.entry((host, log)).or_default().own.insert(generation, store);
        self.coverage.count("load", if plan.from.is_empty() { "store-begun" } else { "store-taken-over" });
        if without > 0 {
            self.coverage.count("load", "store-begun-without");
        }
        self.note(
            Some(host),
            format_args!("begins generation {generation} with {entries} writes, {without} not heard"),
        );
        self.commit(id, Vec::new(), Some((plan.keepers.clone(), plan.keepers.clone())));
        self.serve(host, lease);
        self.drive(id);
    }

    fn commit(&mut self, id: u64, changes: Vec<Change>, view: Option<(BTreeSet<PeerId>, BTreeSet<PeerId>)>) {
        let now = self.monotonic();
        let Some(process) = self.keeping.processes.get_mut(&id) else { return };
        let Part::Writing { writer, window, ids } = &mut process.part else { return };
        let vault = self.keeping.vaults.get_mut(&(process.host, process.log.clone()));
        let Some(store) = vault.and_then(|vault| vault.own.get_mut(&process.generation)) else { return };
        store.mark = Mark { generation: process.generation, sequence: store.mark.sequence + 1 };
        let view = view.map(|(keepers, before)| View { at: store.mark, keepers, before, without: BTreeSet::new() });
        if view.is_some() {
            store.view.clone_from(&view);
        }
        ids.extend(changes.iter().map(|change| (store.mark.sequence, change.number)));
        store.contents.extend(changes.iter().map(|change| change.number));
        window.insert(store.mark.sequence, Entry { changes, view: view.clone() });
        writer.handle(now, Said::Committed { view: view.clone() });
        let (host, log) = (process.host, process.log.clone());
        self.checks.committed(self.now, &log, store.mark, &store.contents);
        if let Some(view) = view {
            self.tell(host, Millis(0), counts(log, &view, true));
        }
    }

    /// Does what a process wants done, and notes when it wants to be woken.
    fn drive(&mut self, id: u64) {
        while let Some(process) = self.keeping.processes.get_mut(&id) {
            let log = process.log.clone();
            match &mut process.part {
                Part::Succeeding { succession, waits } => match succession.poll_action() {
                    Some(Step::Seal { keeper, promise }) => self.put(id, keeper, KeepRequest::Seal { log, promise }),
                    Some(Step::Wait { keepers }) => {
                        let names: Vec<String> = keepers.iter().map(PeerId::short).collect();
                        let reason = format!("its key-values are waited for: {} must answer first", names.join(", "));
                        *waits = keepers;
                        let (host, lease) = (process.host, process.lease);
                        self.note(Some(host), format_args!("{reason}"));
                        self.tell(host, Millis(0), Event::Work { lease, event: WorkEvent::Waiting { reason } });
                    }
                    Some(Step::Stop { .. }) => process.part = Part::Over,
                    Some(Step::Begin(plan)) => self.take(id, plan),
                    None => break,
                },
                Part::Writing { writer, .. } => match writer.poll_action() {
                    Some(action) => self.write_on(id, action),
                    None => break,
                },
                Part::Fetching(_) | Part::Over => return,
            }
        }
        let Some(process) = self.keeping.processes.get(&id) else { return };
        let due = match &process.part {
            Part::Succeeding { succession, .. } => succession.poll_timeout(),
            Part::Writing { writer, .. } => writer.poll_timeout(),
            Part::Fetching(_) | Part::Over => None,
        };
        if let Some(due) = due {
            let after = Millis(due.since(self.monotonic()).0.max(20));
            self.later(process.host, after, Parcel::Tick { process: id });
        }
    }

    fn write_on(&mut self, id: u64, action: Action) {
        let Some(process) = self.keeping.processes.get_mut(&id) else { return };
        let (host, log, generation) = (process.host, process.log.clone(), process.generation);
        let Part::Writing { writer, window, ids } = &mut process.part else { return };
        match action {
            Action::Push { to, after } => {
                let entries =
                    window.range(after.sequence + 1..).map(|(_, entry)| entry.clone()).take(ENTRIES).collect();
                self.put(id, to, KeepRequest::Write { log, generation, after, entries });
            }
            Action::Copy { to } => {
                let vault = self.keeping.vaults.get(&(host, log.clone()));
                let Some(store) = vault.and_then(|vault| vault.own.get(&generation)) else { return };
                let (Some(view), mark, contents) = (store.view.clone(), store.mark, paged(&store.contents)) else {
                    return;
                };
                let whole = Some([0; 32]);
                self.put(id, to, KeepRequest::Copy { log, generation, to: mark, view, page: 0, contents, whole });
            }
            Action::Look { to } => {
                let promise = Promise { generation, keepers: process.keepers.clone() };
                self.put(id, to, KeepRequest::Seal { log, promise });
            }
            Action::ChangeView { keepers, before } => self.commit(id, Vec::new(), Some((keepers, before))),
            Action::Acknowledge { through } => {
                let done: Vec<u64> = ids.range(..=through).map(|(_, number)| *number).collect();
                ids.retain(|sequence, _| *sequence > through);
                let copies = self.keeping.copies(&log, &self.hosts);
                for number in done {
                    self.coverage.count("load", "written");
                    self.checks.acknowledges(self.now, &log, generation, number, &copies);
                }
            }
            Action::Forget { through } => {
                window.retain(|sequence, _| *sequence > through);
                let now = Time(self.now.0 - self.keeping.slept.0);
                writer.handle(now, Said::Forgotten { through });
            }
            Action::Stop { .. } => {
                self.coverage.count("load", "writer-fenced");
                process.part = Part::Over;
            }
        }
    }
}

/// What a keeper's reply says to the writer.
fn said(reply: Option<KeepReply>) -> Answer {
    match reply {
        None => Answer::Silent,
        Some(KeepReply::Sealed(Standing { mark, .. })) => Answer::At(mark),
        Some(KeepReply::Stored(mark) | KeepReply::Refused(Refusal::Elsewhere(mark))) => Answer::At(mark),
        Some(KeepReply::Refused(Refusal::Fenced { generation })) => Answer::Fenced(generation),
        Some(_) => Answer::Refused,
    }
}

fn paged(contents: &Contents) -> Vec<(u64, Vec<u8>)> {
    contents.iter().map(|number| (*number, vec![1])).collect()
}

fn counts(log: LogId, view: &View, own: bool) -> Event {
    let View { at, keepers, without, .. } = view.clone();
    Event::Keepers { log, generation: at.generation, keepers, without, own }
}
