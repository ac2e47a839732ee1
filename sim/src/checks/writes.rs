//! A write that was acknowledged is in what every later generation begins with, and a copy is what its mark says.

use std::collections::{BTreeMap, BTreeSet};

use grange_objects::log::{LogId, Mark, Plan};

use crate::keeping::Contents;

/// What was written and acknowledged in each log.
#[derive(Default)]
pub(crate) struct Writes {
    logs: BTreeMap<LogId, Written>,
}

#[derive(Default)]
struct Written {
    /// By which generation each write was acknowledged.
    acknowledged: BTreeMap<u64, u64>,
    /// What each generation began with, unless it said that it goes on without somebody.
    begun: BTreeMap<u64, Contents>,
    /// How many contents there are at each mark, and their sum.
    marks: BTreeMap<Mark, (usize, u64)>,
}

fn sum(contents: &Contents) -> (usize, u64) {
    (contents.len(), contents.iter().fold(0, |sum: u64, number| sum.wrapping_add(number.wrapping_mul(0x9e37_79b9))))
}

impl Writes {
    /// A writer has committed an entry.
    pub(super) fn committed(&mut self, log: &LogId, mark: Mark, contents: &Contents) -> Result<(), String> {
        match self.logs.entry(log.clone()).or_default().marks.insert(mark, sum(contents)) {
            None => Ok(()),
            Some(_) => Err(format!("two entries have number {} of generation {}", mark.sequence, mark.generation)),
        }
    }

    /// A generation begins with these contents.
    pub(super) fn begins(
        &mut self,
        log: &LogId,
        generation: u64,
        plan: &Plan,
        contents: &Contents,
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
        if plan.without.is_empty() {
            written.begun.insert(generation, contents.clone());
        } else {
            // It says so, and nobody later has what it lacks.
            written.acknowledged.retain(|number, _| !lost.contains(number));
            return Ok(());
        }
        match lost.first() {
            None => Ok(()),
            Some(number) => Err(format!(
                "generation {generation} of {} begins without {} acknowledged writes, of which one is {number}",
                log.deployment.short(),
                lost.len()
            )),
        }
    }

    /// A write is acknowledged by a generation.
    pub(super) fn acknowledges(&mut self, log: &LogId, generation: u64, number: u64) -> Result<(), String> {
        let written = self.logs.entry(log.clone()).or_default();
        written.acknowledged.insert(number, generation);
        let without = written.begun.range(generation + 1..).find(|(_, contents)| !contents.contains(&number));
        match without {
            None => Ok(()),
            Some((later, _)) => Err(format!(
                "a write was acknowledged by generation {generation} of {} after {later} had begun without it",
                log.deployment.short()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use grange_types::DeploymentId;

    use super::*;

    #[test]
    fn what_is_lost_or_said_too_late_is_found() {
        let log = LogId { deployment: DeploymentId([1; 32]), service: "web".into(), replica: 0 };
        let mark = |generation, sequence| Mark { generation, sequence };
        let plan = |mark, without: &[u8]| Plan {
            mark,
            from: BTreeSet::new(),
            keepers: BTreeSet::new(),
            marks: BTreeMap::new(),
            without: without.iter().map(|fill| grange_types::PeerId([*fill; 32])).collect(),
        };
        let mut writes = Writes::default();
        assert_eq!(writes.begins(&log, 1, &plan(Mark::default(), &[]), &Contents::new()), Ok(()));
        assert_eq!(writes.committed(&log, mark(1, 1), &Contents::from([7])), Ok(()));
        assert!(writes.committed(&log, mark(1, 1), &Contents::from([8])).is_err(), "twice");
        assert_eq!(writes.acknowledges(&log, 1, 7), Ok(()));
        assert!(writes.begins(&log, 2, &plan(mark(1, 1), &[]), &Contents::from([8])).is_err(), "another copy");
        assert!(writes.begins(&log, 2, &plan(Mark::default(), &[]), &Contents::new()).is_err(), "7 is lost");
        assert!(writes.acknowledges(&log, 1, 9).is_err(), "2 has begun without it");
        assert_eq!(writes.begins(&log, 3, &plan(Mark::default(), &[5]), &Contents::new()), Ok(()), "it says so");
        assert_eq!(writes.begins(&log, 4, &plan(Mark::default(), &[]), &Contents::new()), Ok(()));
    }
}
