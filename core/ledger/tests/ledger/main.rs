//! The ledger's rules, told as scripts, and its defences, each named by what is tried against it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authority;
mod bill;
mod blocks;
mod caps;
mod ceilings;
mod deposits;
mod envelopes;
mod mempool;
mod network;
mod random;
mod receipts;
mod reserves;
mod script;
mod snapshots;
mod versions;
mod world;
