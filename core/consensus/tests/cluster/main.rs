//! Whole clusters of machines in a false world of seeded delays, loss, crashes and lies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crashes;
mod faults;
mod lies;
mod pace;
mod world;
