//! After the storm: everything that can be paid runs again soon, and nothing that was acknowledged is lost.

use grange_ledger::{Deployment, Lease, Ledger, Slot};
use grange_types::{Amount, Millis};

use crate::world::World;

/// Until the chain goes on, once nothing is broken any more.
const GOES_ON: Millis = Millis::seconds(10);
/// Until a slot whose provider left is leased to another.
const REPLACED: Millis = Millis::seconds(10);
/// How long a workload may take to begin after it was leased.
const BEGINS: Millis = Millis::seconds(5);
/// A budget with less than this may be used up.
const AFFORDS: Amount = Amount::credits(5);

impl World<'_> {
    /// Watches over what runs where, every second.
    pub(crate) fn look_around(&mut self) {
        for host in 0..self.hosts.len() {
            let machine = &self.hosts[host];
            if let Some(peer) = machine.peer.as_ref().filter(|_| machine.honest() && machine.frozen_until <= self.now) {
                self.checks.runs(self.now, host, machine.running.keys().copied(), peer.ledger());
            }
        }
    }

    /// Everything has to run by now.
    pub(crate) fn judge_recovery(&mut self) {
        let verdict = self.goes_on().and_then(|()| self.all_run());
        self.checks.judge(self.now, "recovery", verdict);
        let verdict = self.dead_are_forgotten();
        self.checks.judge(self.now, "offers", verdict);
    }

    /// The last judgement.
    pub(crate) fn judge_the_end(&mut self) {
        self.judge_recovery();
        let verdict = self.nothing_is_lost();
        self.checks.judge(self.now, "answers", verdict);
        let verdict = self.honest_still_vote();
        self.checks.judge(self.now, "validators", verdict);
        let verdict = self.checks.money.losses(self.checks.chain.halted);
        self.checks.judge(self.now, "loss", verdict);
        let verdict = self.checks.money.debts(self.checks.chain.halted);
        self.checks.judge(self.now, "debt", verdict);
        let made = core::mem::take(&mut self.checks.made);
        self.coverage.add(&made);
    }

    /// Blocks are decided, and everybody has them.
    fn goes_on(&self) -> Result<(), String> {
        let still = self.now.since(self.checks.chain.moved_at);
        if still > GOES_ON {
            let why = |host: &crate::host::Host| {
                let peer = host.peer.as_ref()?;
                let round = peer.metrics().into_iter().find(|(name, _)| *name == "grange_consensus_round")?.1;
                Some(format!("; {} in round {round}: {}", host.name, peer.reason()?))
            };
            let reasons: String = self.hosts[..self.validators].iter().filter_map(why).collect();
            return Err(format!("no block was decided for {} ms, though nothing is broken any more{reasons}", still.0));
        }
        let (last, known) = (self.checks.chain.last().0, self.checks.chain.known(self.now));
        for host in self.hosts.iter().filter(|host| host.alive() && host.honest()) {
            let Some(peer) = &host.peer else { continue };
            let height = peer.ledger().height().0;
            if height < known {
                let linked = peer.linked().len();
                let why = peer.reason().unwrap_or_else(|| "it sees nothing wrong".into());
                let name = &host.name;
                return Err(format!(
                    "{name} is at height {height}, the chain at {last} and ten seconds ago at {known}; {linked} linked; {why}"
                ));
            }
        }
        Ok(())
    }

    /// Whoever lost his vote had voted falsely.
    fn honest_still_vote(&self) -> Result<(), String> {
        let Some(ledger) = self.newest() else { return Err("nobody lives".into()) };
        let view = ledger.view();
        for host in &self.hosts[..self.validators] {
            let votes = view.validators().iter().any(|entry| entry.key == host.config.key.public());
            let false_one = host.villain.as_ref().is_some_and(|villain| villain.votes_falsely());
            if !votes && !false_one {
                return Err(format!("{} lost its vote, though it never voted falsely", host.name));
            }
        }
        Ok(())
    }

    /// The ledger that has come farthest.
    pub(crate) fn newest(&self) -> Option<&Ledger> {
        let ledgers = self.hosts.iter().filter_map(|host| Some(host.peer.as_ref()?.ledger()));
        ledgers.max_by_key(|ledger| ledger.height())
    }

    /// Every deployment that can pay has every slot served.
    fn all_run(&self) -> Result<(), String> {
        let Some(ledger) = self.newest() else { return Err("nobody lives".into()) };
        let view = ledger.view();
        for deployment in view.deployments().filter(|found| found.is_open() && self.pays(ledger, found)) {
            for slot in &deployment.slots {
                let lease = slot.lease.and_then(|lease| view.lease(lease)).filter(|lease| lease.is_open(view.now()));
                let name = deployment.name().unwrap_or("?");
                let Some(lease) = lease else {
                    if self.was_left_by_a_villain(ledger, deployment, slot) {
                        continue;
                    }
                    return Err(format!("slot {} of {name} has no open lease", slot.number));
                };
                if !self.serves(lease) && !self.takes_over_from_a_villain(ledger, lease) {
                    let place = self.places.get(&lease.terms.provider).copied().unwrap_or(0);
                    let host = &self.hosts[place].name;
                    return Err(format!(
                        "slot {} of {name} is leased from {host}, which does not serve lease {}",
                        slot.number,
                        lease.id.short()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether a deployment's owner pays, and has what it takes.
    fn pays(&self, ledger: &Ledger, deployment: &Deployment) -> bool {
        let payers = deployment.stewards().map(|steward| steward.account).chain([deployment.owner]);
        let honest = |account: grange_types::AccountId| {
            self.places.get(&account.peer()).is_some_and(|place| self.hosts[*place].honest())
        };
        payers.into_iter().all(honest) && ledger.view().held_by(deployment) >= AFFORDS
    }

    fn serves(&self, lease: &Lease) -> bool {
        let Some(place) = self.places.get(&lease.terms.provider) else { return false };
        let host = &self.hosts[*place];
        // Who takes work and rests is found out again and again; that he rests just now proves nothing.
        let rests = !host.honest() && !host.serves();
        let runs = host.running.get(&lease.id);
        // Whoever has what was acknowledged last and is gone for good is waited for longer than worlds go on.
        let gone = self.gone.map(|gone| self.hosts[gone].id());
        if gone.is_some_and(|gone| self.keeping.waits_for(*place, lease.id, gone)) {
            return true;
        }
        rests || (host.alive() && runs.is_some_and(|run| run.serving && run.work.generation == lease.generation))
    }

    /// Whether a lease has only just begun, because whoever had the slot before is a villain that was found out.
    fn takes_over_from_a_villain(&self, ledger: &Ledger, lease: &Lease) -> bool {
        let view = ledger.view();
        let honest =
            |other: &Lease| self.places.get(&other.terms.provider).is_none_or(|host| self.hosts[*host].honest());
        let mut before = view
            .leases_of(lease.deployment)
            .filter(|other| (other.slot, other.generation + 1) == (lease.slot, lease.generation) && !honest(other));
        view.now().since(lease.start) < BEGINS && before.next().is_some()
    }

    /// Whether a slot is open since a moment, because a villain's host gave its lease up: that is after the storm, and takes as long
    /// as any other replacement.
    fn was_left_by_a_villain(&self, ledger: &Ledger, deployment: &Deployment, slot: &Slot) -> bool {
        let view = ledger.view();
        let last = view
            .leases_of(deployment.id)
            .filter(|lease| lease.slot == slot.number)
            .max_by_key(|lease| lease.generation);
        let villain =
            |lease: &Lease| self.places.get(&lease.terms.provider).is_some_and(|host| !self.hosts[*host].honest());
        last.filter(|lease| villain(lease))
            .and_then(|lease| lease.ended)
            .is_some_and(|ended| view.now().since(ended) < REPLACED)
    }

    /// What people were told is final is in the chain where they were told.
    fn nothing_is_lost(&self) -> Result<(), String> {
        for (transaction, height) in &self.load.paid {
            if !self.checks.chain.holds(transaction, *height) {
                return Err(format!("payment {} was said to be in block {height}", transaction.short()));
            }
        }
        Ok(())
    }

    /// Nobody has the offer of one who left longer ago than offers live.
    fn dead_are_forgotten(&self) -> Result<(), String> {
        let Some(gone) = self.checks.offers.forgotten(self.now).filter(|gone| self.hosts[*gone].config.roles.provider)
        else {
            return Ok(());
        };
        let sellers = self.hosts.iter().filter(|host| host.alive() && host.config.roles.provider).count() as u64;
        for host in self.hosts.iter().filter(|host| host.honest()) {
            let Some(peer) = &host.peer else { continue };
            let known = peer.metrics().into_iter().find(|(name, _)| *name == "grange_offers_indexed");
            let known = known.map_or(0, |(_, count)| count);
            if known > sellers {
                let gone = &self.hosts[gone].name;
                return Err(format!("{} knows {known} offers of {sellers} sellers: {gone} left a day ago", host.name));
            }
        }
        Ok(())
    }
}
