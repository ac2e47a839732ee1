//! Writes wait in one lane and travel together: whatever has gathered while the last commit reached the disk goes
//! into the next one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use grange_objects::log::{Change, Entry, Mark, PAYLOAD_BYTES};
use tokio::sync::oneshot;

use super::KeyValueError;
use super::content::{Sealer, Way};
use super::outbox::WRITE_WITHIN;
use super::store::Store;
use super::table::{BYTES, Changed, SEALED, Tables, check_key, check_value};

/// Writes of one commit.
const COMMIT: usize = 256;
/// Keys of one batch.
const BATCH: usize = 1_024;
/// What stands around a key and its value when they are sent and kept elsewhere, at most.
const AROUND: usize = 64;
/// A keeper grants this many times the room of a slot, for what stands around small entries.
const KEPT: u64 = 4;

/// A change to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    /// Sets keys, all or none.
    Set(Vec<(String, Vec<u8>)>),
    /// Removes keys.
    Delete(Vec<String>),
    /// Adds to the decimal number that a key holds.
    Increment(String, u64),
}

impl Write {
    /// What can be refused without looking into the store.
    fn check(&self) -> Result<(), KeyValueError> {
        let length = match self {
            Self::Set(entries) => {
                entries.iter().try_for_each(|(key, value)| check_key(key).and_then(|()| check_value(value)))?;
                entries.len()
            }
            Self::Delete(keys) => keys.len(),
            Self::Increment(key, _) => {
                check_key(key)?;
                1
            }
        };
        if length > BATCH {
            return Err(KeyValueError::BatchLength { length, limit: BATCH });
        }
        let length = self.bytes();
        if length > PAYLOAD_BYTES {
            return Err(KeyValueError::WriteLength { length, limit: PAYLOAD_BYTES });
        }
        Ok(())
    }

    /// Bytes of its keys and values.
    fn bytes(&self) -> usize {
        match self {
            Self::Set(entries) => entries.iter().map(|(key, value)| key.len() + value.len()).sum(),
            Self::Delete(_) => 0,
            Self::Increment(key, _) => key.len() + 20,
        }
    }

    /// How much room it takes on its way, at most.
    fn room(&self) -> usize {
        let count = match self {
            Self::Set(entries) => entries.len(),
            Self::Delete(keys) => keys.len(),
            Self::Increment(..) => 1,
        };
        self.bytes() + count * AROUND
    }

    /// Applies the change; if it is refused, nothing of it stays. What an increment made is returned.
    fn apply(&self, tables: &mut Tables<'_>, limit: u64) -> Result<u64, KeyValueError> {
        if let Some(generation) = tables.fact(SEALED)? {
            return Err(KeyValueError::Sealed { generation });
        }
        match self {
            Self::Set(entries) => {
                // Counts a key that is there twice twice, which errs on the side of refusing.
                let mut growth = 0_i64;
                for (key, value) in entries {
                    growth = growth.saturating_add(tables.growth(key, value)?);
                }
                check_room(tables, growth, limit)?;
                entries.iter().try_for_each(|(key, value)| tables.set(key, value))?;
                Ok(0)
            }
            Self::Delete(keys) => keys.iter().try_for_each(|key| tables.delete(key)).map(|()| 0),
            Self::Increment(key, delta) => {
                let sum = sum(tables.get(key)?, *delta)?;
                let value = sum.to_string();
                check_room(tables, tables.growth(key, value.as_bytes())?, limit)?;
                tables.set(key, value.as_bytes())?;
                Ok(sum)
            }
        }
    }
}

fn check_room(tables: &Tables<'_>, growth: i64, limit: u64) -> Result<(), KeyValueError> {
    let bytes = tables.fact(BYTES)?.unwrap_or(0).saturating_add_signed(growth);
    // Kept elsewhere, each entry takes a little more.
    let kept = bytes.saturating_add(tables.entries()?.saturating_mul(AROUND as u64));
    if growth > 0 && (bytes > limit || kept > limit.saturating_mul(KEPT).saturating_add(PAYLOAD_BYTES as u64)) {
        return Err(KeyValueError::Full { limit: grange_types::ByteCount(limit) });
    }
    Ok(())
}

fn sum(value: Option<Vec<u8>>, delta: u64) -> Result<u64, KeyValueError> {
    let number = match value {
        None => 0,
        Some(value) => std::str::from_utf8(&value)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or(KeyValueError::NotANumber)?,
    };
    number.checked_add(delta).ok_or(KeyValueError::Overflow)
}

pub(super) type Answer = Result<u64, KeyValueError>;

/// The writes that wait for one store.
#[derive(Debug, Default)]
pub(super) struct Lane {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Write, oneshot::Sender<Answer>)>,
    writing: bool,
}

impl Lane {
    /// Puts a write into the lane of a store and waits until it is on disk, and at a keeper if there are some.
    pub(super) async fn write(store: &Arc<Store>, write: Write) -> Answer {
        write.check()?;
        let Some(outbox) = store.outbox() else { return Self::committed(store, write).await };
        let written = async {
            outbox.room().await;
            Self::committed(store, write).await
        };
        tokio::time::timeout(WRITE_WITHIN, written).await.unwrap_or_else(|_| Err(outbox.no_second_copy()))
    }

    async fn committed(store: &Arc<Store>, write: Write) -> Answer {
        let (sender, answer) = oneshot::channel();
        if store.lane.join(write, sender) {
            let store = Arc::clone(store);
            tokio::task::spawn_blocking(move || store.lane.drive(&store));
        }
        answer.await.unwrap_or(Err(KeyValueError::Interrupted))
    }

    /// Whether somebody must drive: nobody does yet.
    fn join(&self, write: Write, sender: oneshot::Sender<Answer>) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.push_back((write, sender));
        !std::mem::replace(&mut queue.writing, true)
    }

    /// Commits until nothing waits.
    fn drive(&self, store: &Store) {
        let _wheel = Wheel(self);
        loop {
            let batch: Vec<_> = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let take = queue.fitting();
                if take == 0 {
                    queue.writing = false;
                    return;
                }
                queue.waiting.drain(..take).collect()
            };
            let (writes, senders): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            match commit(store, &writes) {
                Ok((answers, mark, entry)) => store.answer(mark, entry, senders.into_iter().zip(answers).collect()),
                Err(error) => senders.into_iter().for_each(|sender| drop(sender.send(Err(error.clone())))),
            }
        }
    }
}

impl Queue {
    /// How many of those that wait go into the next commit: what is sent in one piece.
    fn fitting(&self) -> usize {
        let mut bytes = 0;
        let fits = |(write, _): &&(Write, oneshot::Sender<Answer>)| {
            bytes += write.room();
            bytes <= PAYLOAD_BYTES
        };
        let fitting = self.waiting.iter().take(COMMIT).take_while(fits).count();
        fitting.max(1).min(self.waiting.len())
    }
}

/// Lets another one drive if the driver panics.
struct Wheel<'a>(&'a Lane);

impl Drop for Wheel<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).writing = false;
        }
    }
}

type Done = (Vec<Answer>, Mark, Option<Entry>);

/// Applies writes in one transaction. Each is refused or done for itself; a fault of the disk fails all. Gives how far the
/// store's log reaches afterwards and, where there are keepers, the entry that says what changed, if anything did.
fn commit(store: &Store, writes: &[Write]) -> Result<Done, KeyValueError> {
    let transaction = store.begin()?;
    let mut answers = Vec::with_capacity(writes.len());
    let (bytes, mark, entry) = {
        let mut tables = Tables::open(&transaction)?;
        for write in writes {
            match write.apply(&mut tables, store.limit()) {
                Err(error @ KeyValueError::Database { .. }) => return Err(error),
                answer => answers.push(answer),
            }
        }
        let changed = tables.take_changed()?;
        let mark = if changed.is_empty() { tables.mark()? } else { tables.advance(store.generation())? };
        let outbox = store.outbox().filter(|_| !changed.is_empty());
        let entry = outbox.map(|outbox| Entry { changes: seal(&outbox.sealer, mark, &changed), view: None });
        (tables.fact(BYTES)?.unwrap_or(0), mark, entry)
    };
    transaction.commit()?;
    store.set_bytes(bytes);
    Ok((answers, mark, entry))
}

fn seal(sealer: &Sealer, mark: Mark, changed: &[Changed]) -> Vec<Change> {
    let change = |(number, now): &Changed| Change {
        number: *number,
        content: now.as_ref().map(|(key, value)| sealer.seal(mark, Way::Entry, *number, key, value)),
    };
    changed.iter().map(change).collect()
}
