//! One store: a database file, read at once, written through its lane.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use grange_objects::log::{Content, Entry, Mark, Standing, View};
use grange_types::{ByteCount, Record as _};
use redb::{Database, Durability, ReadTransaction, ReadableDatabase as _, WriteTransaction};

use super::KeyValueError;
use super::content::{Sealer, Way};
use super::lane::{Lane, Write};
use super::outbox::{Outbox, Waiter};
use super::table::{
    BYTES, FACTS, GENERATION, KEYS, NUMBERS, RECORDS, SEALED, SEQUENCE, Tables, VALUES, VIEW, check_key,
};

/// Memory that a store may use to keep pages; a node may have a hundred stores open.
const CACHE: usize = 4 << 20;
/// How long closing a database may take.
const CLOSING: Duration = Duration::from_secs(2);
/// Keys of one page of a listing.
const PAGE: usize = 1_000;
/// Keys of one batch that is read.
const BATCH: usize = 1_024;
/// Bytes of values of one batch that is read: they are in memory together.
const BATCH_BYTES: usize = 16 << 20;

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    generation: u64,
    limit: AtomicU64,
    pub(super) lane: Lane,
    bytes: AtomicU64,
    /// Where entries go on their way to keepers, once there are some.
    outbox: Mutex<Option<Arc<Outbox>>>,
}

/// Opens a database. One that was just let go may still be closing on another thread.
fn open_database(path: &Path) -> Result<Database, redb::DatabaseError> {
    let end = Instant::now() + CLOSING;
    loop {
        match redb::Builder::new().set_cache_size(CACHE).create(path) {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPage {
    pub(crate) keys: Vec<String>,
    pub(crate) cursor: Option<u64>,
}

/// A key and its value.
pub(crate) type Pair = (String, Vec<u8>);

impl Store {
    /// Opens or makes the database, to hold nothing more until it gets a limit. Blocks.
    pub(super) fn open(path: &Path, generation: u64) -> Result<Self, KeyValueError> {
        let database = open_database(path)?;
        let store = Self {
            database,
            generation,
            limit: AtomicU64::new(0),
            lane: Lane::default(),
            bytes: AtomicU64::new(0),
            outbox: Mutex::default(),
        };
        // Makes the tables, so that every reader finds them.
        let transaction = store.begin()?;
        let bytes = Tables::open(&transaction)?.fact(BYTES)?.unwrap_or(0);
        transaction.commit()?;
        store.set_bytes(bytes);
        Ok(store)
    }

    /// A write transaction whose commit returns when it is on disk. Blocks.
    pub(super) fn begin(&self) -> Result<WriteTransaction, KeyValueError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        Ok(transaction)
    }

    pub(super) fn read(&self) -> Result<ReadTransaction, KeyValueError> {
        Ok(self.database.begin_read()?)
    }

    pub(super) fn set_limit(&self, limit: ByteCount) {
        self.limit.store(limit.0, Ordering::Relaxed);
    }

    /// Bytes of keys and values that it may hold.
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Keys and values it holds.
    pub(crate) fn bytes(&self) -> ByteCount {
        ByteCount(self.bytes.load(Ordering::Relaxed))
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        check_key(key)?;
        let transaction = self.read()?;
        let Some(number) = transaction.open_table(NUMBERS)?.get(key)?.map(|number| number.value()) else {
            return Ok(None);
        };
        Ok(transaction.open_table(VALUES)?.get(number)?.map(|value| value.value().to_vec()))
    }

    /// Whether a key is there.
    pub(crate) fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        check_key(key)?;
        Ok(self.read()?.open_table(NUMBERS)?.get(key)?.is_some())
    }

    /// The values of several keys at one moment.
    pub(crate) fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Pair>>, KeyValueError> {
        if keys.len() > BATCH {
            return Err(KeyValueError::BatchLength { length: keys.len(), limit: BATCH });
        }
        let transaction = self.read()?;
        let (numbers, values) = (transaction.open_table(NUMBERS)?, transaction.open_table(VALUES)?);
        let mut found = Vec::with_capacity(keys.len());
        let mut bytes = 0;
        for key in keys {
            check_key(&key)?;
            let value = match numbers.get(key.as_str())? {
                Some(number) => values.get(number.value())?.map(|value| value.value().to_vec()),
                None => None,
            };
            bytes += value.as_ref().map_or(0, Vec::len);
            if bytes > BATCH_BYTES {
                return Err(KeyValueError::ValueLength { length: bytes });
            }
            found.push(value.map(|value| (key, value)));
        }
        Ok(found)
    }

    /// A page of keys after a cursor, in the order in which they were first set.
    pub(crate) fn keys_after(&self, cursor: Option<u64>) -> Result<KeyPage, KeyValueError> {
        let Some(first) = cursor.unwrap_or(0).checked_add(1) else {
            return Ok(KeyPage { keys: Vec::new(), cursor: None });
        };
        let table = self.read()?.open_table(KEYS)?;
        let mut range = table.range(first..)?;
        let mut keys = Vec::new();
        let mut last = 0;
        for entry in range.by_ref().take(PAGE) {
            let (number, key) = entry?;
            last = number.value();
            keys.push(key.value().to_owned());
        }
        let more = range.next().transpose()?.is_some();
        Ok(KeyPage { keys, cursor: more.then_some(last) })
    }

    /// Does a write and waits until it is on disk. What an increment made is returned.
    pub(crate) async fn write(self: &Arc<Self>, write: Write) -> Result<u64, KeyValueError> {
        Lane::write(self, write).await
    }

    /// Sends every entry from now on to keepers, by way of this outbox.
    pub(super) fn replicate(&self, outbox: Arc<Outbox>) {
        *self.outbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(outbox);
    }

    pub(super) fn outbox(&self) -> Option<Arc<Outbox>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Answers writes of a commit: at once, or when a keeper has it too.
    pub(super) fn answer(&self, mark: Mark, entry: Option<Entry>, answered: Vec<Waiter>) {
        let (done, refused): (Vec<Waiter>, Vec<Waiter>) = answered.into_iter().partition(|(_, answer)| answer.is_ok());
        super::outbox::answer(refused);
        match (self.outbox(), entry) {
            (None, _) => super::outbox::answer(done),
            (Some(outbox), Some(entry)) => outbox.committed(mark.sequence, entry, done),
            (Some(outbox), None) => outbox.after(mark.sequence, done),
        }
    }

    /// How the store's log stands. One that was written before there were logs counts as one entry.
    pub(super) fn standing(&self) -> Result<Standing, KeyValueError> {
        let mut standing = standing(&self.read()?)?;
        if standing.mark == Mark::default() && self.bytes() > ByteCount(0) {
            standing.mark = Mark { generation: self.generation, sequence: 1 };
        }
        Ok(standing)
    }

    /// Adds an entry with nothing but a view to the store's log, durably. Blocks.
    pub(super) fn commit_view(&self, generation: u64, make: impl FnOnce(Mark) -> View) -> Result<View, KeyValueError> {
        let transaction = self.begin()?;
        let view = {
            let mut tables = Tables::open(&transaction)?;
            let view = make(tables.advance(generation)?);
            tables.set_view(&view)?;
            view
        };
        transaction.commit()?;
        if let Some(outbox) = self.outbox() {
            outbox.committed(view.at.sequence, Entry { changes: Vec::new(), view: Some(view.clone()) }, Vec::new());
        }
        Ok(view)
    }

    /// Fills a store that is being made with a page of another copy. Blocks.
    pub(super) fn fill(&self, sealer: &Sealer, contents: &[Content]) -> Result<(), KeyValueError> {
        let mut transaction = self.database.begin_write()?;
        // The commit of the mark makes all of them durable.
        transaction.set_durability(Durability::None)?;
        {
            let mut tables = Tables::open(&transaction)?;
            for (number, content) in contents {
                let (key, value) = sealer.open(*number, content)?;
                tables.place(*number, &key, &value)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Says how far the log of a store that is being made reaches, durably. Blocks.
    pub(super) fn reach(&self, mark: Mark) -> Result<(), KeyValueError> {
        let transaction = self.begin()?;
        Tables::open(&transaction)?.set_mark(mark)?;
        transaction.commit()?;
        Ok(())
    }

    /// Refuses every write from now on, for good. Blocks.
    pub(super) fn seal(&self, generation: u64) -> Result<(), KeyValueError> {
        let transaction = self.begin()?;
        Tables::open(&transaction)?.set_fact(SEALED, generation)?;
        transaction.commit()?;
        Ok(())
    }

    /// Copies every entry into a new database. Blocks.
    pub(super) fn copy_to(&self, path: &Path) -> Result<(), KeyValueError> {
        /// Entries of one commit: what is in memory at the same time.
        const STEP: usize = 64;
        let copy = Self::open(path, self.generation)?;
        let source = self.read()?;
        let (keys, values) = (source.open_table(KEYS)?, source.open_table(VALUES)?);
        let mut entries = keys.range::<u64>(..)?;
        loop {
            let mut transaction = copy.database.begin_write()?;
            // The last commit makes all of them durable.
            transaction.set_durability(Durability::None)?;
            let mut copied = 0;
            {
                let mut tables = Tables::open(&transaction)?;
                for entry in entries.by_ref().take(STEP) {
                    let (number, key) = entry?;
                    if let Some(value) = values.get(number.value())? {
                        tables.place(number.value(), key.value(), value.value())?;
                    }
                    copied += 1;
                }
            }
            transaction.commit()?;
            if copied < STEP {
                break;
            }
        }
        copy.reach(self.standing()?.mark)
    }

    /// The generation that continues this store, if it is sealed.
    #[cfg(test)]
    pub(super) fn sealed(&self) -> Option<u64> {
        Some(self.read().unwrap().open_table(FACTS).unwrap().get(SEALED).unwrap()?.value())
    }
}

/// How a store's log stands at a moment.
pub(super) fn standing(moment: &ReadTransaction) -> Result<Standing, KeyValueError> {
    let facts = moment.open_table(FACTS)?;
    let fact = |name| Ok::<_, KeyValueError>(facts.get(name)?.map_or(0, |value| value.value()));
    let mark = Mark { generation: fact(GENERATION)?, sequence: fact(SEQUENCE)? };
    let view = match moment.open_table(RECORDS)?.get(VIEW)? {
        Some(bytes) => Some(View::from_record(bytes.value()).map_err(|source| KeyValueError::Record { source })?),
        None => None,
    };
    Ok(Standing { mark, view, ..Standing::default() })
}

/// A page of a store at a moment, sealed as a copy: what comes after a number, up to so many bytes, and whether that is all.
pub(super) fn page(
    moment: &ReadTransaction,
    sealer: &Sealer,
    mark: Mark,
    after: u64,
    bytes: usize,
) -> Result<(Vec<Content>, bool), KeyValueError> {
    let (keys, values) = (moment.open_table(KEYS)?, moment.open_table(VALUES)?);
    let mut contents = Vec::new();
    let mut taken = 0;
    for entry in keys.range(after.saturating_add(1)..)? {
        let (number, key) = entry?;
        let Some(value) = values.get(number.value())? else { continue };
        let content = sealer.seal(mark, Way::Copy, number.value(), key.value(), value.value());
        taken += content.len() + 16;
        if taken > bytes && !contents.is_empty() {
            return Ok((contents, false));
        }
        contents.push((number.value(), content));
    }
    Ok((contents, true))
}
