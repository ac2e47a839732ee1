//! Bad bytes: every decoder, parser and machine as a plain function, replayed and mutated.
//!
//! A target takes any bytes and must not panic; a decoder must also give back the bytes it took. Inputs begin with the golden
//! bytes of its crate, the files of `corpus/TARGET` and a few bytes of its own, and go on with mutations of whatever was
//! accepted. Mutations come from a seed, so that a run can be repeated; the functions are plain, so that a fuzzer that is
//! guided by coverage can call the same.
//!
//! # Parts
//! | part | what it does |
//! |---|---|
//! | `target` | the list of targets |
//! | `machines` | targets that are whole machines: what peers may send to a ledger, to consensus, to a peer |
//! | `seeds` | where inputs begin |
//! | `mutate` | how they change |
//! | `hunt` | runs a target, and catches it when it falls |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod hunt;
mod machines;
mod mutate;
mod seeds;
mod target;

pub use hunt::{Catch, Hunt, hunt};
pub use target::{TARGETS, Target};
