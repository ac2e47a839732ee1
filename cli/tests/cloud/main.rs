//! Whole clouds of real processes, as a user starts them: the main job, and the faults it stands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod errors;
mod faults;
mod identity;
mod keys;
mod liar;
mod light;
mod load;
mod logs;
mod main_job;
mod money;
mod secrets;
mod stewards;
mod support;
mod trust;
mod upgrade;
mod verify;
