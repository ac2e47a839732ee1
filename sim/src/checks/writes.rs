//! A write that was acknowledged is in what every later generation begins with, and a copy is what its mark says.
//!
//! # Rules
//! - Upon a generation that goes on without somebody, and says so: it may lack what only those have, and nothing that a
//!   keeper has who was there. Who has what is read from the keepers' disks, not from what anybody says of himself.
//! - What nobody has at all excuses nobody: an acknowledged write was at a keeper once.

use std::collections::{BTreeMap, BTreeSet};

use grange_objects::log::{LogId, Mark, Plan};
use grange_types::PeerId;

use crate::keeping::Contents;

/// What each keeper's disk holds of a log.
pub(crate) type Copies<'a> = [(PeerId, &'a Contents)];

/// What was written and acknowledged in each log.
#[derive(Default)]
pub(crate) struct Writes {
    logs: BTreeMap<LogId, Written>,
}

#[derive(Default)]
struct Written {
    /// By which generation each write was acknowledged.
    acknowledged: BTreeMap<u64, u64>,
    /// What each generation began with, and without whom.
    begun: BTreeMap<u64, (Contents, BTreeSet<PeerId>)>,
    /// How many contents there are at each mark, and their sum.
    marks: BTreeMap<Mark, (usize, u64)>,
}

/// How many contents there are, and a sum that other ones of the same number do not come to by giving and taking: each is
/// scattered over all bits first.
fn sum(contents: &Contents) -> (usize, u64) {
    (contents.len(), contents.iter().fold(0, |sum: u64, number| sum.wrapping_add(scattered(*number))))
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014).
const fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Whether a write is with those that a generation goes on without, and with nobody else.
fn is_excused(number: u64, without: &BTreeSet<PeerId>, copies: &Copies<'_>) -> bool {
    let mut having =
        copies.iter().filter(|(_, contents)| contents.contains(&number)).map(|(keeper, _)| keeper).peekable();
    having.peek().is_some() && having.all(|keeper| without.contains(keeper))
}

impl Writes {
    /// A writer has committed an entry.
    pub(super) fn committed(&mut self, log: &LogId, mark: Mark, contents: &Contents) -> Result<(), String> {
        match self.logs.entry(log.clone()).or_default().marks.insert(mark, sum(contents)) {
            None => Ok(()),
            Some(_) => Err(format!("two entries have number {} of generation {}", mark.sequence, mark.generation)),
        }
    }

    /// A generation begins with these contents, while keepers have those copies.
    pub(super) fn begins(
        &mut self,
        log: &LogId,
        generation: u64,
        plan: &Plan,
        contents: &Contents,
        copies: &Copies<'_>,
    ) -> Result<(), String> {
        let written = self.logs.entry(log.clone()).or_default();
        let at = plan.mark;
        if written.marks.get(&at).copied().unwrap_or_default() != sum(contents) {
            let (count, is) = (contents.len(), at.sequence);
            return Err(format!(
                "the copy up to entry {is} of generation {} holds other {count} writes",
                at.generation
            ));
        }
        let earlier = written.acknowledged.iter().filter(|(_, by)| **by < generation);
        let lost: BTreeSet<u64> = earlier.map(|(number, _)| *number).filter(|one| !contents.contains(one)).collect();
        written.begun.insert(generation, (contents.clone(), plan.without.clone()));
        match lost.iter().find(|number| !is_excused(**number, &plan.without, copies)) {
            None => {
                // It says so, and nobody later has what it lacks.
                written.acknowledged.retain(|number, _| !lost.contains(number));
                Ok(())
            }
            Some(number) => Err(format!(
                "generation {generation} of {} begins without {} acknowledged writes and without {} keepers, who are not \
                 all that had {number}",
                log.deployment.short(),
                lost.len(),
                plan.without.len()
            )),
        }
    }

    /// A write is acknowledged by a generation, while keepers have those copies.
    pub(super) fn acknowledges(
        &mut self,
        log: &LogId,
        generation: u64,
        number: u64,
        copies: &Copies<'_>,
    ) -> Result<(), String> {
        let written = self.logs.entry(log.clone()).or_default();
        let mut lacking =
            written.begun.range(generation + 1..).filter(|(_, (contents, _))| !contents.contains(&number));
        let Some((later, (_, without))) = lacking.next() else {
            written.acknowledged.insert(number, generation);
            return Ok(());
        };
        if is_excused(number, without, copies) {
            return Ok(());
        }
        Err(format!(
            "a write was acknowledged by generation {generation} of {} after {later} had begun without it",
            log.deployment.short()
        ))
    }
}

#[cfg(test)]
mod tests {
    use grange_types::DeploymentId;

    use super::*;

    /// Commits, acknowledges and begins in one log.
    struct Case {
        writes: Writes,
        log: LogId,
    }

    const fn mark(generation: u64, sequence: u64) -> Mark {
        Mark { generation, sequence }
    }

    impl Case {
        /// The number 7 is acknowledged as the first entry of generation 1.
        fn new() -> Self {
            let log = LogId { deployment: DeploymentId([1; 32]), service: "web".into(), replica: 0 };
            let mut case = Self { writes: Writes::default(), log };
            assert_eq!(case.begins(1, Mark::default(), &[], &[], &[]), Ok(()));
            assert_eq!(case.writes.committed(&case.log, mark(1, 1), &Contents::from([7])), Ok(()));
            assert_eq!(case.acknowledges(1, 7, &[(5, &[7])]), Ok(()));
            case
        }

        fn begins(
            &mut self,
            generation: u64,
            at: Mark,
            without: &[u8],
            contents: &[u64],
            copies: &[(u8, &[u64])],
        ) -> Result<(), String> {
            let without = without.iter().map(|fill| PeerId([*fill; 32])).collect();
            let (from, keepers, marks) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
            let plan = Plan { mark: at, from, keepers, marks, without };
            let contents = contents.iter().copied().collect();
            let held = held(copies);
            let copies: Vec<_> = held.iter().map(|(keeper, contents)| (*keeper, contents)).collect();
            self.writes.begins(&self.log, generation, &plan, &contents, &copies)
        }

        fn acknowledges(&mut self, generation: u64, number: u64, copies: &[(u8, &[u64])]) -> Result<(), String> {
            let held = held(copies);
            let copies: Vec<_> = held.iter().map(|(keeper, contents)| (*keeper, contents)).collect();
            self.writes.acknowledges(&self.log, generation, number, &copies)
        }
    }

    fn held(copies: &[(u8, &[u64])]) -> Vec<(PeerId, Contents)> {
        copies.iter().map(|(fill, numbers)| (PeerId([*fill; 32]), numbers.iter().copied().collect())).collect()
    }

    #[test]
    fn what_is_lost_or_said_too_late_is_found() {
        let mut case = Case::new();
        assert!(case.writes.committed(&case.log, mark(1, 1), &Contents::from([8])).is_err(), "twice");
        assert!(case.begins(2, mark(1, 1), &[], &[8], &[(5, &[7])]).is_err(), "another copy");
        assert!(case.begins(2, Mark::default(), &[], &[], &[(5, &[7])]).is_err(), "7 is lost");
        assert!(case.acknowledges(1, 9, &[(5, &[7, 9])]).is_err(), "2 has begun without it");
    }

    #[test]
    fn only_what_nobody_else_has_is_excused() {
        let nothing = Mark::default();
        assert!(Case::new().begins(2, nothing, &[5], &[], &[(5, &[7]), (6, &[7])]).is_err(), "6 was there and has it");
        assert!(Case::new().begins(2, nothing, &[6], &[], &[(5, &[7]), (6, &[])]).is_err(), "5 was there and has it");
        assert!(Case::new().begins(2, nothing, &[5], &[], &[(5, &[]), (6, &[])]).is_err(), "nobody has it");
        let mut case = Case::new();
        assert_eq!(case.begins(3, nothing, &[5], &[], &[(5, &[7]), (6, &[])]), Ok(()), "it says so");
        assert_eq!(case.begins(4, nothing, &[], &[], &[(5, &[7])]), Ok(()), "what is lost is lost once");
        let mut case = Case::new();
        assert_eq!(case.begins(3, nothing, &[5], &[], &[(5, &[7])]), Ok(()));
        assert_eq!(case.acknowledges(1, 9, &[(5, &[7, 9])]), Ok(()), "5 was not there");
        assert!(case.acknowledges(1, 10, &[(5, &[7, 9]), (6, &[10])]).is_err(), "6 was there");
    }

    #[test]
    fn two_sets_do_not_share_a_sum_by_giving_and_taking() {
        assert_ne!(sum(&Contents::from([1, 4])), sum(&Contents::from([2, 3])));
        assert_ne!(sum(&Contents::from([10, 20, 30])), sum(&Contents::from([11, 20, 29])));
    }
}
