//! False world: virtual network, disk and clock for real peers, with faults, villains, checkers and replay.
//!
//! The peers are the very machines that nodes run; everything around them is made here from one number, the seed, in one
//! thread. The same seed gives the same trace to the byte, in any process. A world lives at least ten virtual minutes:
//! operators deploy, pay and serve while machines die, disks lie, links break and villains cheat. Checkers that share no
//! code with the system judge what comes of it.
//!
//! # Parts
//! | part | what it does |
//! |---|---|
//! | `seed` | draws a world from a number: who is there, who is a villain, what goes wrong when |
//! | `world` | the queue of events and the hand that turns it |
//! | `host`, `disk`, `network` | a machine, what it keeps, how it is linked |
//! | `life` | how machines start, die, freeze and sleep |
//! | `hands` | what a machine does with the actions of its peer |
//! | `keeping` | writers, keepers and successors of key-values |
//! | `faults` | what goes wrong, and how it is mended |
//! | `villains` | who cheats, one file each |
//! | `load`, `chores`, `voters` | what people do: deploy, ask for pages, send money; new versions, names, caps, nodes; vote |
//! | `cards` | keys with a ceiling: what people, and thieves, do with them |
//! | `replacement` | another world: a crowd of a thousand nodes whose providers die |
//! | `checks` | what must hold whatever happens |
//! | `sabotage` | rules broken on purpose, each of which a checker has to find |
//! | `trace`, `coverage` | one readable line an event; what was met |
//!
//! # Rules
//! - Nothing here reads a clock or draws a number but from the seed, and nothing iterates in an order of addresses.
//! - What a node's edge promises is modelled as it is, with its limits: what was not flushed may be lost or torn.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod cards;
mod checks;
mod chores;
mod coverage;
mod dice;
mod disk;
mod faults;
mod hands;
mod host;
mod keeping;
mod life;
mod load;
mod network;
mod replacement;
mod sabotage;
mod seed;
mod trace;
mod villains;
mod voters;
mod world;

pub use checks::Violation;
pub use coverage::Coverage;
pub use replacement::{Replacements, replacements};
pub use sabotage::Sabotage;
pub use world::{Outcome, simulate};
