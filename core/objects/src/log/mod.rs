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
//!   Whoever is being left out counts no more from when that is asked for, and another one has everything by then that was
//!   acknowledged, also before a restart.
//! - A node that is sealed and wrote an earlier generation itself tells of the view in its own store too, beside the view of
//!   the copy that it keeps.
//! - Upon a new generation: the node's own keeper promises it first; if that refuses, nothing begins. So a node that is asked
//!   as an earlier writer tells what it may begin yet, or begins it never.
//! - Then the **successor** seals keepers, which makes them refuse all before, and asks whatever keepers those name. It has
//!   heard enough when, of each generation from that of the newest mark on, every keeper of its newest view has answered or,
//!   where no view is known, every keeper that was promised to it. Where nobody has a mark and some generation is accounted for
//!   by neither, all of its own keepers and who wrote before by the ledger have to answer too. It goes on from the newest
//!   mark it heard of. If that does not come about it waits, says for whom, and after [`GIVE_UP`] goes on from the newest
//!   copy there is and says what it went on without.
//!
//! # Why nothing acknowledged is lost
//! An acknowledged entry is at a keeper of every view that counted or was being brought about at that time. All keepers of a
//! view are heard after they promised to accept nothing older, so the entry is among what they hold, or a keeper has a newer
//! view, and then all of that one are heard. A generation that has yet to begin has no view: its writer's own keeper knows of
//! it before it begins, so if that one is heard and knows nothing, it has promised the later generation and the earlier one
//! will not begin. `tests/world.rs` tries to break this with crashes, partitions, and messages that are lost,
//! late and out of order.
//!
//! # What it leaves out
//! Who may write: the edge asks the ledger before it hands a request on. What the contents are: they are sealed bytes here.
//! Reads: the writer answers them alone, and may show a write before it is acknowledged.
//! Keepers that change while a generation is about to begin: those it was given first stay until its first entry, also over a
//! restart; later ones are taken in by a view.
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
