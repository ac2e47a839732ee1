//! Cut, seal, code and place objects; audit them; plan repair.
//!
//! So far there is the [`log`] of a service's key-values, which is on a second operator's disk before a write is acknowledged, and
//! from which whoever serves next goes on; the [`share`]s of the key that it is sealed under; and [`secret`]s under the same key. Objects, their shards and
//! their repair are still to come.
//!
//! # Rules
//! - Machines only: what is written, sent and read are actions that an edge carries out, in order.
//! - Bulk bytes pass through messages and disks, never through a machine; actions carry positions in the log.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod log;
pub mod secret;
pub mod share;
