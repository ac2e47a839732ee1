//! The phases of a height: waiting for a reason to begin, running, decided and waiting for the host's commit.

mod talk;

use std::collections::BTreeMap;

use grange_types::{Height, Millis, PeerId, Record, Time};
use malachitebft_core_consensus::{Params, State, ThresholdParams, process};
use malachitebft_core_types::{ValuePayload, VoteExtensionPolicy};

use crate::chain::{Address, Chain, CoreError, CoreInput, CoreState};
use crate::claims::Claims;
use crate::event::{Action, Config, Event, Fault};
use crate::host::Host;
use crate::inbox::Inbox;
use crate::journal::Entry;
use crate::message::Message;
use crate::validators::Quorum;

/// A peer that works on a lower height is told ours at most this often.
const TELL_AGAIN: Millis = Millis(200);
/// Empty blocks are this far apart until the host says otherwise.
const PACE: Millis = Millis(1_000);
/// Proposals this many rounds ahead are not looked at; the core draws the same line for votes.
const ROUNDS_AHEAD: u32 = 10;

/// What happens to the present height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The host has not started the machine.
    Idle,
    /// This node is no validator of the height, or has forgotten what it said there: others decide, the host fetches the
    /// blocks.
    Observing,
    /// No reason yet to begin before this time.
    Waiting(Time),
    /// The core is at work.
    Running,
    /// The height is decided; the flag says whether the block was at hand for the host to commit.
    Decided(bool),
    /// A fault: silent until the height is over.
    Halted,
}

/// Why a height begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Our own wish: the others may not know yet.
    Own,
    /// A message or the log.
    Known,
}

/// One validator's part in agreeing on blocks.
pub struct Consensus {
    host: Host,
    core: Option<Box<CoreState>>,
    phase: Phase,
    inbox: Inbox,
    claims: Claims,
    told: BTreeMap<PeerId, Time>,
    work: bool,
    interval: Millis,
    stumbles: u64,
    /// What was logged before the start, until its height is reached.
    log: Option<(Height, Vec<Vec<u8>>)>,
}

impl core::fmt::Debug for Consensus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Host { me, height, round, .. } = &self.host;
        write!(f, "Consensus({me:?} at {height}/{round}, {:?})", self.phase)
    }
}

impl Consensus {
    /// A machine that does nothing until [`Event::Start`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            host: Host::new(config),
            core: None,
            phase: Phase::Idle,
            inbox: Inbox::default(),
            claims: Claims::default(),
            told: BTreeMap::new(),
            work: false,
            interval: PACE,
            stumbles: 0,
            log: None,
        }
    }

    /// The world speaks. Times never go back; an earlier one counts as the latest seen.
    pub fn handle(&mut self, now: Time, event: Event) {
        self.host.now = self.host.now.max(now);
        match event {
            Event::Start { height, parent_time, validators, wal_height, wal } => {
                if self.phase == Phase::Idle {
                    self.host.turn_to(height, validators);
                    self.start(parent_time, wal_height, wal);
                }
            }
            Event::Message { from, bytes } => self.receive(from, &bytes),
            Event::Built { height, round, block } => self.built(height, round, block),
            Event::Validated { height, block, valid } => self.validated(height, block, valid),
            Event::Committed { height, validators } => {
                if height == self.host.height && matches!(self.phase, Phase::Decided(_)) {
                    self.work = false;
                    self.host.turn_to(height.next(), validators);
                    self.claims.settle(height.next());
                    self.stand();
                }
            }
            Event::Caught { height, validators } => {
                if height >= self.host.height && self.phase != Phase::Idle {
                    self.work = false;
                    self.host.turn_to(height.next(), validators);
                    self.claims.progress(self.host.now, height.next(), &self.host.timeouts);
                    self.stand();
                }
            }
            Event::Work => self.work = true,
            Event::Pace { interval } => self.pace(interval),
            Event::Connected(peer) => self.connected(peer),
            Event::Disconnected(peer) => {
                self.host.connected.remove(&peer);
                self.told.remove(&peer);
                self.claims.forget(peer);
            }
            Event::Tick => {}
        }
        self.advance();
        self.host.settle();
    }

    /// We answer: call until nothing comes, carry out in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.host.pop()
    }

    /// When to call [`Consensus::handle`] with [`Event::Tick`] if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let height = match self.phase {
            Phase::Waiting(until) => Some(until),
            Phase::Running => self.host.timers.next().into_iter().chain(self.host.bodies.due()).min(),
            Phase::Decided(_) => self.host.timers.next(),
            Phase::Idle | Phase::Observing | Phase::Halted => None,
        };
        height.into_iter().chain(self.claims.due()).min()
    }

    /// The height that is decided next, or being decided; genesis before the start.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.host.height
    }

    /// The present round; 0 while the height has not begun.
    #[must_use]
    pub const fn round(&self) -> u32 {
        self.host.round
    }

    /// Whose turn it is.
    #[must_use]
    pub fn proposer(&self) -> Option<PeerId> {
        self.host.validators.proposer(self.host.height, self.host.round)
    }

    /// Whether this node votes at the present height.
    #[must_use]
    pub fn is_validator(&self) -> bool {
        self.host.takes_part && self.host.validators.contains(self.host.me)
    }

    /// How much voting power can be reached, this node's included: below the quorum the ledger is halted.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        let set = &self.host.validators;
        let others = self.host.connected.iter().filter(|peer| **peer != self.host.me).map(|peer| set.power(*peer));
        let own = if self.host.takes_part { set.power(self.host.me) } else { 0 };
        Quorum { connected: others.sum::<u64>() + own, needed: set.needed(), total: set.total() }
    }

    /// Whether enough voting power is connected to decide.
    #[must_use]
    pub fn quorum_connected(&self) -> bool {
        self.quorum().reached()
    }

    /// Why this validator is silent at the present height, if it is.
    #[must_use]
    pub const fn fault(&self) -> Option<&Fault> {
        self.host.fault.as_ref()
    }

    /// How many inputs the core has refused with an error. Each costs at most a round; many are a defect.
    #[must_use]
    pub const fn stumbles(&self) -> u64 {
        self.stumbles
    }

    /// Starts at the first height, from the log if there is one.
    fn start(&mut self, parent_time: Time, wal_height: Height, wal: Vec<Vec<u8>>) {
        // Who votes alone was never heard, and nobody else has the blocks it lost.
        let alone = self.is_validator() && self.host.validators.len() == 1;
        let heard = if alone { wal_height == self.host.height } else { wal_height >= self.host.height };
        self.log = heard.then_some((wal_height, wal));
        self.stand();
        if let Phase::Waiting(until) = &mut self.phase {
            *until = parent_time.after(self.interval).min(*until);
        }
    }

    /// Goes on at the present height from its log.
    fn resume(&mut self, wal: &[Vec<u8>]) {
        self.phase = Phase::Running;
        match self.recall(wal) {
            Ok(()) => {
                self.host.recalled();
                self.attend();
            }
            // Nobody has ever heard a vote of one who votes alone: it may forget what it cannot read.
            Err(_) if self.host.validators.len() == 1 => {
                let Host { height, ref validators, .. } = self.host;
                self.host.turn_to(height, validators.clone());
                self.stand();
            }
            Err(fault) => self.halt(fault),
        }
    }

    /// Goes through the log of the height, to the point where it was left.
    fn recall(&mut self, wal: &[Vec<u8>]) -> Result<(), Fault> {
        let mut entries = Vec::with_capacity(wal.len());
        for (index, bytes) in wal.iter().enumerate() {
            entries.push(Entry::from_record(bytes).map_err(|error| Fault::Unreadable { index, error })?);
        }
        self.host.recall(wal, &entries);
        self.replay(&entries)
    }

    fn replay(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        let height = self.host.height;
        let inputs: Vec<Option<CoreInput>> = entries.iter().map(|entry| entry.input(height)).collect();
        let mut core = self.fresh_core();
        core.index_wal_entries(inputs.iter().flatten());
        self.core = Some(core);
        self.feed(self.start_height());
        for (index, input) in inputs.into_iter().enumerate() {
            let Some(input) = input else { continue };
            match &input {
                CoreInput::TimeoutElapsed(timeout) => self.host.timers.cancel(timeout),
                CoreInput::ProposedValue(value, _) => self.host.blocks.judged(value.value.0, value.validity.is_valid()),
                _ => {}
            }
            if !self.feed(input) {
                return Err(self.host.fault.unwrap_or(Fault::Diverged { index }));
            }
        }
        if let Some(core) = &mut self.core {
            core.reset_entries_index();
        }
        Ok(())
    }

    /// Stands before the height the host has just been turned to.
    fn stand(&mut self) {
        let Host { now, height, .. } = self.host;
        self.core = None;
        self.tell_observers();
        match self.log.take() {
            // What was said here is not known any more: others decide until the log is of use.
            Some(log) if log.0 > height => {
                self.log = Some(log);
                self.phase = Phase::Observing;
                self.inbox.take(height);
                return;
            }
            Some((of, wal)) if of == height && !wal.is_empty() && self.is_validator() => return self.resume(&wal),
            _ => {}
        }
        // Also who is listed no more has no use for what it said at the height before; who is only told not to vote may be
        // told otherwise at this very height.
        if self.host.takes_part || !self.host.validators.contains(self.host.me) {
            self.host.push(Action::WalReset { height });
        }
        if self.is_validator() {
            self.phase = Phase::Waiting(now.after(self.interval));
        } else {
            self.phase = Phase::Observing;
            self.inbox.take(height);
        }
    }

    /// Tells those who do not vote how far the chain has come. Among themselves they have nothing to tell.
    fn tell_observers(&mut self) {
        if !self.is_validator() {
            return;
        }
        let status = Message::Status { height: self.host.height };
        let observers: Vec<PeerId> =
            self.host.connected.iter().copied().filter(|peer| !self.host.validators.contains(*peer)).collect();
        for peer in observers {
            self.host.send(peer, &status);
        }
    }

    fn pace(&mut self, interval: Millis) {
        if let Phase::Waiting(until) = &mut self.phase {
            let since = until.0.saturating_sub(self.interval.0);
            *until = Time(since).after(interval);
        }
        self.interval = interval;
    }

    /// Does everything whose time has come.
    fn advance(&mut self) {
        loop {
            match self.phase {
                Phase::Waiting(until) => {
                    let Host { now, height, ref validators, .. } = self.host;
                    if self.inbox.speaks_of(height, validators) {
                        self.begin(Cause::Known);
                    } else if self.work || now >= until {
                        self.begin(Cause::Own);
                    } else {
                        break;
                    }
                }
                Phase::Running | Phase::Decided(_) => match self.host.timers.pop(self.host.now) {
                    Some(timeout) => self.ring(timeout),
                    None => break,
                },
                Phase::Idle | Phase::Observing | Phase::Halted => break,
            }
        }
        if self.phase == Phase::Running {
            self.ask_for_bodies();
        }
        // Once our height is decided and on its way to the host, talk of the next is no news.
        let ours = if self.phase == Phase::Decided(true) { self.host.height.next() } else { self.host.height };
        if let Some((height, peer)) = self.claims.pop(self.host.now, ours, &self.host.timeouts) {
            self.host.push(Action::Behind { height, peer });
        }
    }

    /// Begins the height.
    fn begin(&mut self, cause: Cause) {
        self.phase = Phase::Running;
        self.work = false;
        let height = self.host.height;
        self.core = Some(self.fresh_core());
        self.feed(self.start_height());
        if cause == Cause::Own && self.host.proposer != Some(self.host.me) {
            let message = Message::Begin { height };
            match self.host.proposer {
                // Its proposal will wake the others.
                Some(proposer) if !self.host.is_absent(Some(proposer)) => self.host.send(proposer, &message),
                _ => self.host.broadcast(&message),
            }
        }
        self.attend();
        for (from, message) in self.inbox.take(height) {
            self.consider(from, message);
        }
    }

    fn fresh_core(&self) -> Box<CoreState> {
        let Host { me, height, ref validators, .. } = self.host;
        let params = Params {
            address: Address(me),
            threshold_params: ThresholdParams::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        // Early messages wait in our own inbox, so that the core's queue stays empty.
        Box::new(State::new(Chain, height.into(), validators.clone(), params, 1, 1))
    }

    fn start_height(&self) -> CoreInput {
        let Host { height, ref validators, .. } = self.host;
        CoreInput::StartHeight(height.into(), validators.clone(), false, None, VoteExtensionPolicy::Disabled)
    }

    /// Gives the core an input and lets the host answer what it asks; false if the core failed.
    fn feed(&mut self, input: CoreInput) -> bool {
        let (Some(core), host) = (self.core.as_deref_mut(), &mut self.host) else { return true };
        let result: Result<(), CoreError> = process!(
            input: input,
            state: core,
            metrics: &(),
            with: effect => host.effect(effect)
        );
        self.host.locked = core.driver.valid_value().map(|valid| valid.value.0);
        if let Some(fault) = self.host.fault {
            self.halt(fault);
        } else if result.is_err() {
            self.stumbles += 1;
        }
        result.is_ok()
    }
}
