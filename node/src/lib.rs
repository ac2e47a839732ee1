//! Join core and edges: the pump, roles, configuration, metrics, shutdown.
//!
//! Thin on purpose: whatever can be decided without touching the world is decided in `core/`. What is left is bringing
//! events to the peer, carrying out its actions in order, and opening the doors.

mod audit;
mod backend;
mod clock;
mod exchange;
mod flusher;
mod found;
pub mod identity;
mod ingress;
mod keeping;
mod keys;
mod metrics;
mod mind;
mod papers;
mod pump;
mod retention;
mod run;
mod settings;
mod shares;
mod storage;
mod tally;
mod vault;
mod workloads;

/// The door for bad bytes: what a stranger's bytes go through here, for `grange-fuzz` and nobody else.
#[doc(hidden)]
pub mod fuzz {
    pub use crate::papers::PaperRequest;
}

pub use clock::Clock;
pub use found::{Founder, Invitation, InvitationError, dev_genesis};
pub use grange_ledger::{Genesis, VERSION as RULES};
pub use grange_peer::{Audit, AuditError, AuditSummary, Checkpoint, Invoice, InvoiceError};
pub use grange_sandbox::{CompileError, compile_component, run_compile_component};
pub use pump::PumpError;
pub use run::{NodeError, Options, Ready, run};
pub use settings::{Contact, Folder, Settings, SettingsError};
