//! Peers among themselves: what the parts do together, over virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod forged;
mod invoice;
mod life;
mod money;
mod support;
mod update;
