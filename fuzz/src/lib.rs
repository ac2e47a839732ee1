//! Bad bytes: every decoder, parser and machine as a plain function, replayed and mutated.
//!
//! A target takes any bytes and must not panic, take long or hold much memory; a decoder must also give back the bytes it
//! took. What is private in a crate comes through its door, a hidden `mod fuzz`. Inputs begin with the golden bytes of the
//! target's crate and the files of `corpus/TARGET`, and go on with mutations of whatever was accepted. Mutations come from a
//! seed, so that a run can be repeated; the functions are plain, so that a fuzzer that is guided by coverage calls the same:
//! the one in `cargo-fuzz/`, which is no part of our workspace.
//!
//! # Parts
//! | part | what it does |
//! |---|---|
//! | `target` | the list of targets |
//! | `edges`, `sites`, `disks` | targets of `edge/` and `node/`: peers, browsers, files |
//! | `people` | targets of files that a person writes, or that the command line keeps for one |
//! | `machines` | targets that are whole machines: what peers may send to a ledger, to consensus, to a peer |
//! | `seeds` | where inputs begin |
//! | `mutate` | how they change |
//! | `hunt` | runs a target, and catches it when it falls |
//! | `memory` | counts what an input costs |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod disks;
mod edges;
mod hunt;
mod machines;
mod memory;
mod mutate;
mod people;
mod seeds;
mod sites;
mod target;

pub use hunt::{Catch, Hunt, hunt};
pub use seeds::of as seeds;
pub use target::{TARGETS, Target};
