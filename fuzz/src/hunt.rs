//! Runs a target, and catches it when it falls.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::memory::most_during;
use crate::mutate::{Dice, mutate};
use crate::seeds;
use crate::target::Target;

/// Accepted inputs that are mutated further.
const POOL: usize = 512;
/// One input that takes longer is a catch of its own.
const PATIENCE: Duration = Duration::from_secs(2);
/// One input that makes a target hold more at one time is a catch of its own. The longest input is a five-hundredth of it.
const ROOM: usize = 32 << 20;

/// An input under which a target fell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catch {
    /// The input.
    pub input: Vec<u8>,
    /// What happened.
    pub what: String,
}

/// What a hunt came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hunt {
    /// Inputs replayed from files.
    pub replayed: usize,
    /// Inputs made by mutation.
    pub made: u64,
    /// Inputs that were accepted.
    pub accepted: u64,
    /// What was caught first.
    pub catch: Option<Catch>,
}

/// Replays a target's seeds and then mutates them for so long; the same seed makes the same inputs.
#[must_use]
pub fn hunt(root: &Path, target: &Target, last: Duration, seed: u64) -> Hunt {
    let mut found = Hunt::default();
    let mut pool: Vec<Vec<u8>> = Vec::new();
    for (_, input) in seeds::of(root, target) {
        found.replayed += 1;
        if !found.take(target, &input) {
            return found;
        }
        pool.push(input);
    }
    let (mut dice, began) = (Dice::new(seed), Instant::now());
    while began.elapsed() < last {
        let mut input = pool[dice.below(pool.len())].clone();
        let other = &pool[dice.below(pool.len())];
        mutate(&mut input, other, &mut dice);
        found.made += 1;
        let before = found.accepted;
        if !found.take(target, &input) {
            return found;
        }
        if found.accepted > before {
            let place = if pool.len() < POOL { pool.len() } else { dice.below(POOL) };
            if place == pool.len() {
                pool.push(input);
            } else {
                pool[place] = input;
            }
        }
    }
    found
}

impl Hunt {
    /// Gives a target one input; false if it fell.
    fn take(&mut self, target: &Target, input: &[u8]) -> bool {
        let began = Instant::now();
        let (ended, held) = most_during(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
        let caught = match ended {
            Ok(accepted) => {
                self.accepted += u64::from(accepted);
                let took = began.elapsed();
                let long = (took > PATIENCE).then(|| format!("it took {} ms", took.as_millis()));
                long.or_else(|| (held > ROOM).then(|| format!("it held {} MiB", held >> 20)))
            }
            Err(panic) => Some(words(panic.as_ref())),
        };
        self.catch = caught.map(|what| Catch { input: input.to_vec(), what });
        self.catch.is_none()
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "it panicked".into())
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Memory is counted for all threads, so that one test hunts at a time.
    static TURN: Mutex<()> = Mutex::new(());

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    #[test]
    fn what_falls_over_an_input_is_caught_with_it() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let run = |bytes: &[u8]| {
            assert!(bytes.first() != Some(&0xff), "it begins with 255");
            bytes.len() > 3
        };
        let target = Target { name: "none", home: "core/types", run };
        let found = hunt(root(), &target, Duration::from_secs(20), 1);
        let catch = found.catch.expect("a fault that any fuzzer finds");
        assert_eq!((catch.input[0], catch.what.as_str()), (0xff, "it begins with 255"));
        assert!(found.replayed > 3);
    }

    #[test]
    fn an_input_that_takes_too_much_memory_is_caught() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // A length that is believed.
        let run = |bytes: &[u8]| {
            let length = bytes.first().map_or(0, |first| usize::from(*first) << 18);
            std::hint::black_box(Vec::<u8>::with_capacity(length)).capacity() > 0
        };
        let target = Target { name: "none", home: "core/types", run };
        let catch = hunt(root(), &target, Duration::from_secs(20), 1).catch.expect("a fault that any fuzzer finds");
        assert!(usize::from(catch.input[0]) << 18 > ROOM && catch.what.ends_with("MiB"), "{catch:?}");
    }

    #[test]
    fn every_target_stands_and_comes_to_something_that_it_accepts() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        for target in crate::TARGETS {
            let found = hunt(root(), target, Duration::from_millis(200), 1);
            assert_eq!(found.catch, None, "{}", target.name);
            // Golden bytes are signed by nobody, so that machines refuse them.
            let none = ["ledger", "consensus", "consensus-log", "peer"].contains(&target.name);
            assert!(none || found.accepted > 0, "{} accepts none of {} inputs", target.name, found.made);
        }
    }
}
