//! The log of one service's key-values: one writer, copies at keepers of other operators, a successor that misses nothing.
//!
//! A slot of a deployment has one **writer** at a time, the holder of its current lease; the lease's generation is the
//! writer's. **Keepers** are nodes of other operators than the writer's. The log is a row of entries, each with a sequence
//! number; an entry holds changes to numbered contents, and sometimes a new **view**: the keepers that count.
//!
//! # Rules
//! - Upon a write: it is durable at the writer, then sent to all keepers. It is acknowledged when one counting keeper has it
//!   durably too. There is no acknowledgement without a keeper, unless the writer was given none.
//! - A keeper applies an entry only if it holds the log up to the one before. So whoever has an entry has all before it.
//! - Upon a request of a lower generation than it has promised: a keeper refuses it, for ever.
//! - A keeper that is new or lags too far gets everything in pages, set aside until the last is there, then the entries after.
//! - A keeper that is silent for [`SILENT`] is left out of the view, if another counting one answers; one that has caught up
//!   is taken in. A view counts when an entry with it is acknowledged; meanwhile only keepers that are in both count.
//! - A node that is sealed and wrote an earlier generation itself tells of the view in its own store too.
//! - Upon a new generation: the **successor** seals keepers, which makes them refuse all before, and asks whatever keepers
//!   those name. It has heard enough when every keeper of the newest view it heard of has answered, and every keeper that
//!   was promised to a generation in between; where nobody knows of any, all of its own and who wrote before by the ledger. It goes on from the newest mark it heard of. If that does not come about it
//!   waits, says for whom, and after [`GIVE_UP`] goes on from the newest copy there is and says what it went on without.
//!
//! # Why nothing acknowledged is lost
//! An acknowledged entry is at a keeper of every view that counted or was being brought about at that time. All keepers of a
//! view are heard after they promised to accept nothing older, so the entry is among what they hold, or a keeper has a newer
//! view, and then all of that one are heard. `tests/world.rs` tries to break this with crashes, partitions, and messages that are lost,
//! late and out of order.
//!
//! # What it leaves out
//! Who may write: the edge asks the ledger before it hands a request on. What the contents are: they are sealed bytes here.
//! Reads: the writer answers them alone, and may show a write before it is acknowledged.
//!
//! Source: Viewstamped Replication Revisited (Liskov, Cowling 2012), with generations from the ledger instead of elections.

mod keeper;
mod message;
mod succession;
mod writer;

pub use keeper::{Keeper, Task};
pub use message::{
    Change, Content, Entry, KeepReply, KeepRequest, LogId, Mark, PAYLOAD_BYTES, Promise, Refusal, Standing, View,
};
pub use succession::{GIVE_UP, Plan, Succession};
pub use writer::{Answer, SILENT, Writer};

/// What a successor is told, and what it wants.
pub mod succeed {
    pub use super::succession::{Action, Event};
}

/// What a writer is told, and what it wants.
pub mod write {
    pub use super::writer::{Action, Event};
}
