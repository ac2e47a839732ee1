//! A keeper's side: what it accepts, and what it has to have on its disk before it says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use grange_types::PeerId;

use super::message::{Entry, KeepReply, KeepRequest, Mark, Promise, Refusal, Standing, View};

/// Promises that are remembered one by one. A slot whose lease changes more often while no copy can be had has others to fear.
const PROMISES: usize = 32;
/// Keepers of one promise, or of one view.
const KEEPERS: usize = 16;
/// Keepers of promises that were joined.
const JOINED: usize = 64;

/// What a keeper does with a request. Carried out in order; if one fails, nothing after it is done, and the keeper is
/// made anew from what is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Make the standing durable, with the changes of the request's entries from this one on applied, in one step.
    Store {
        /// The standing.
        standing: Standing,
        /// How many of the request's entries were held before.
        skip: usize,
    },
    /// Put the request's page aside; the first page begins anew.
    SetAside,
    /// Check what was put aside against the hash, and make it the copy, with this standing, durably in one step.
    Replace {
        /// The standing.
        standing: Standing,
    },
    /// Answer with a page of contents.
    Page,
    /// Answer.
    Reply(KeepReply),
}

/// A copy that comes in pages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Coming {
    to: Mark,
    next: u32,
}

/// The keeper of one log.
#[derive(Debug, Clone, Default)]
pub struct Keeper {
    standing: Standing,
    coming: Option<Coming>,
    tasks: VecDeque<Task>,
}

impl Keeper {
    /// A keeper as it stands on its disk; of a log that it never heard of, by default.
    #[must_use]
    pub fn new(standing: Standing) -> Self {
        Self { standing, coming: None, tasks: VecDeque::new() }
    }

    /// How it stands.
    #[must_use]
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Somebody asks who may.
    pub fn handle(&mut self, request: &KeepRequest) {
        let known = self.standing.generation();
        if request.generation() < known {
            return self.reply(KeepReply::Refused(Refusal::Fenced { generation: known }));
        }
        if named(request).any(|keepers| keepers.len() > KEEPERS) {
            return self.reply(KeepReply::Refused(Refusal::Denied));
        }
        match request {
            KeepRequest::Seal { promise, .. } => self.seal(promise),
            KeepRequest::Write { generation, after, entries, .. } => self.write(*generation, *after, entries),
            KeepRequest::Copy { generation, to, view, page, whole, .. } => {
                self.copy(*generation, *to, view, *page, whole.is_some());
            }
            KeepRequest::Read { mark, .. } if *mark == self.standing.mark => self.tasks.push_back(Task::Page),
            KeepRequest::Read { .. } => self.reply(KeepReply::Refused(Refusal::Elsewhere(self.standing.mark))),
        }
    }

    /// What to do next; call until there is nothing.
    pub fn poll_action(&mut self) -> Option<Task> {
        self.tasks.pop_front()
    }

    fn reply(&mut self, reply: KeepReply) {
        self.tasks.push_back(Task::Reply(reply));
    }

    fn seal(&mut self, promise: &Promise) {
        // What it stood like before: a promise to the asker says nothing to the asker.
        let told = self.standing.clone();
        let Promise { generation, keepers } = promise;
        if *generation > self.standing.mark.generation && self.standing.promises.get(generation) != Some(keepers) {
            self.standing.promises.entry(*generation).or_default().extend(keepers);
            merge(&mut self.standing.promises);
            self.tasks.push_back(Task::Store { standing: self.standing.clone(), skip: 0 });
        }
        self.reply(KeepReply::Sealed(told));
    }

    fn write(&mut self, generation: u64, after: Mark, entries: &[Entry]) {
        let held = self.standing.mark;
        let last = Mark { generation, sequence: after.sequence.saturating_add(entries.len() as u64) };
        // Sent again: what is held already is held.
        let again = held.generation == generation && held.sequence > after.sequence;
        let skip = if again { held.sequence - after.sequence } else { 0 };
        let Some(new) = usize::try_from(skip).ok().filter(|skip| *skip <= entries.len()) else {
            return self.reply(KeepReply::Refused(Refusal::Elsewhere(held)));
        };
        if !again && held != after || after.generation > generation {
            return self.reply(KeepReply::Refused(Refusal::Elsewhere(held)));
        }
        if new < entries.len() {
            self.advance(last, entries[new..].iter().rev().find_map(|entry| entry.view.as_ref()));
            self.tasks.push_back(Task::Store { standing: self.standing.clone(), skip: new });
        }
        self.reply(KeepReply::Stored(self.standing.mark));
    }

    fn copy(&mut self, generation: u64, to: Mark, view: &View, page: u32, last: bool) {
        let expected = self.coming.as_ref().is_some_and(|coming| coming.to == to && coming.next == page);
        // A copy never leads back: not behind what this generation has stored already.
        if to.generation != generation || to.generation == self.standing.mark.generation && to < self.standing.mark {
            return self.reply(KeepReply::Refused(Refusal::Elsewhere(self.standing.mark)));
        }
        if page != 0 && !expected {
            self.coming = None;
            return self.reply(KeepReply::Refused(Refusal::Elsewhere(self.standing.mark)));
        }
        self.tasks.push_back(Task::SetAside);
        if !last {
            self.coming = Some(Coming { to, next: page.saturating_add(1) });
            return self.reply(KeepReply::Aside);
        }
        self.coming = None;
        self.standing.view = None;
        self.advance(to, Some(view));
        self.tasks.push_back(Task::Replace { standing: self.standing.clone() });
        self.reply(KeepReply::Stored(to));
    }

    fn advance(&mut self, mark: Mark, view: Option<&View>) {
        self.standing.mark = mark;
        self.standing.promises.retain(|generation, _| *generation > mark.generation);
        if let Some(view) = view {
            self.standing.view = Some(view.clone());
        }
    }
}

/// The sets of keepers in a request.
fn named(request: &KeepRequest) -> impl Iterator<Item = &BTreeSet<PeerId>> {
    let (promise, views) = match request {
        KeepRequest::Seal { promise, .. } => (Some(&promise.keepers), Vec::new()),
        KeepRequest::Write { entries, .. } => (None, entries.iter().filter_map(|entry| entry.view.as_ref()).collect()),
        KeepRequest::Copy { view, .. } => (None, vec![view]),
        KeepRequest::Read { .. } => (None, Vec::new()),
    };
    promise.into_iter().chain(views.into_iter().flat_map(|view| [&view.keepers, &view.before, &view.without]))
}

/// Keeps the promises few: two that are joined ask for the keepers of both, which errs on the side of waiting.
fn merge(promises: &mut BTreeMap<u64, BTreeSet<PeerId>>) {
    while promises.len() > PROMISES {
        let Some((_, oldest)) = promises.pop_first() else { return };
        if let Some(mut next) = promises.first_entry() {
            let joined = next.get_mut();
            joined.extend(oldest);
            while joined.len() > JOINED {
                joined.pop_last();
            }
        }
    }
}
