//! Peers among themselves: what the parts do together, over virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod away;
mod budget;
mod ceilings;
mod disk;
mod forged;
mod invoice;
mod life;
mod light;
mod means;
mod money;
mod reader;
mod restored;
mod room;
mod secrets;
mod support;
mod trust;
mod turns;
mod update;
