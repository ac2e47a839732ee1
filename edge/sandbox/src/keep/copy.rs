//! One copy: the hands of [`Keeper`].

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use grange_objects::log::{
    Content, Entry, KeepReply, KeepRequest, Keeper, PAYLOAD_BYTES, Refusal, Standing, Task, View,
};
use grange_types::{ByteCount, Record as _};
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, WriteTransaction};

use super::{Digest, KeepError, Kept};

/// The content of each number.
const CONTENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("contents");
/// How the copy stands, under one name.
const STANDING: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("standing");
/// Bytes of all contents, under one name.
const BYTES: TableDefinition<'_, &str, u64> = TableDefinition::new("bytes");
const ONLY: &str = "only";

/// Memory that a copy may use to keep pages.
const CACHE: usize = 1 << 20;
/// How long closing a database may take.
const CLOSING: Duration = Duration::from_secs(2);
/// The room of a slot is granted this many times over, for what stands around small entries, and one write more; the
/// provider's store counts in the same way, so that it refuses before we do.
const ROOM: u64 = 4;

/// A copy that is open.
#[derive(Debug)]
pub(super) struct Copy {
    folder: PathBuf,
    database: Option<Database>,
    aside: Option<Aside>,
    keeper: Keeper,
}

/// A copy that comes in pages.
#[derive(Debug)]
struct Aside {
    database: Database,
    digest: Digest,
    bytes: u64,
}

/// A task that could not be done.
enum Stop {
    Full,
    Failed(KeepError),
}

impl<E: Into<KeepError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Copy {
    pub(super) fn open(folder: PathBuf) -> Result<Self, KeepError> {
        std::fs::create_dir_all(&folder).map_err(|source| KeepError::Files { path: folder.clone(), source })?;
        let database = open(&folder.join("copy.redb"))?;
        let keeper = Keeper::new(read_standing(&database)?);
        Ok(Self { folder, database: Some(database), aside: None, keeper })
    }

    pub(super) fn standing(&self) -> Standing {
        self.keeper.standing().clone()
    }

    pub(super) fn view(&self) -> Option<View> {
        self.keeper.standing().view.clone()
    }

    pub(super) fn answer(&mut self, request: &KeepRequest, limit: ByteCount) -> Result<Kept, KeepError> {
        let before = self.view();
        self.keeper.handle(request);
        let mut reply = KeepReply::Refused(Refusal::Failed);
        while let Some(task) = self.keeper.poll_action() {
            match self.carry_out(task, request, limit) {
                Ok(Some(answer)) => reply = answer,
                Ok(None) => {}
                Err(stop) => {
                    // What the machine believes to be on the disk is not there.
                    self.aside = None;
                    self.reopen()?;
                    return match stop {
                        Stop::Full => Ok(Kept { reply: KeepReply::Refused(Refusal::Full), view: None }),
                        Stop::Failed(error) => Err(error),
                    };
                }
            }
        }
        Ok(Kept { reply, view: self.view().filter(|view| before.as_ref() != Some(view)) })
    }

    fn carry_out(&mut self, task: Task, request: &KeepRequest, limit: ByteCount) -> Result<Option<KeepReply>, Stop> {
        let room = limit.0.saturating_mul(ROOM).saturating_add(2 * PAYLOAD_BYTES as u64);
        match task {
            Task::Store { standing, skip } => {
                let entries = match request {
                    KeepRequest::Write { entries, .. } => entries.get(skip..).unwrap_or_default(),
                    _ => &[],
                };
                self.store(&standing, entries, room)?;
            }
            Task::SetAside => self.set_aside(request, room)?,
            Task::Replace { standing } => self.replace(&standing, request)?,
            Task::Page => return Ok(Some(self.page(request)?)),
            Task::Reply(reply) => return Ok(Some(reply)),
        }
        Ok(None)
    }

    fn database(&mut self) -> Result<&Database, KeepError> {
        if self.database.is_none() {
            self.database = Some(open(&self.folder.join("copy.redb"))?);
        }
        self.database.as_ref().ok_or(KeepError::Database { source: redb::Error::DatabaseAlreadyOpen })
    }

    fn reopen(&mut self) -> Result<(), KeepError> {
        let standing = read_standing(self.database()?)?;
        self.keeper = Keeper::new(standing);
        Ok(())
    }

    fn store(&mut self, standing: &Standing, entries: &[Entry], room: u64) -> Result<(), Stop> {
        let transaction = begin(self.database()?, Durability::Immediate)?;
        {
            let mut contents = transaction.open_table(CONTENTS)?;
            let mut count = transaction.open_table(BYTES)?;
            let mut bytes = count.get(ONLY)?.map_or(0, |bytes| bytes.value());
            for change in entries.iter().flat_map(|entry| &entry.changes) {
                let old = match &change.content {
                    Some(content) => replaced(contents.insert(change.number, content.as_slice())?),
                    None => replaced(contents.remove(change.number)?),
                };
                let new = change.content.as_ref().map_or(0, |content| content.len() as u64);
                bytes = bytes.saturating_sub(old).saturating_add(new);
            }
            let grows = entries.iter().flat_map(|entry| &entry.changes).any(|change| change.content.is_some());
            if grows && bytes > room {
                return Err(Stop::Full);
            }
            count.insert(ONLY, bytes)?;
        }
        write_standing(&transaction, standing)?;
        transaction.commit()?;
        Ok(())
    }

    fn set_aside(&mut self, request: &KeepRequest, room: u64) -> Result<(), Stop> {
        let KeepRequest::Copy { page, contents, .. } = request else { return Ok(()) };
        if *page == 0 {
            self.aside = None;
            let path = self.folder.join("coming.redb");
            let _ = std::fs::remove_file(&path);
            self.aside = Some(Aside { database: open(&path)?, digest: Digest::default(), bytes: 0 });
        }
        let Some(aside) = &mut self.aside else { return Err(Stop::Full) };
        // The last commit makes all of them durable.
        let transaction = begin(&aside.database, Durability::None)?;
        {
            let mut table = transaction.open_table(CONTENTS)?;
            for (number, content) in contents {
                aside.bytes = aside.bytes.saturating_add(content.len() as u64);
                table.insert(number, content.as_slice())?;
            }
        }
        transaction.commit()?;
        aside.digest.add(contents);
        if aside.bytes > room { Err(Stop::Full) } else { Ok(()) }
    }

    fn replace(&mut self, standing: &Standing, request: &KeepRequest) -> Result<(), Stop> {
        let KeepRequest::Copy { whole: Some(whole), .. } = request else { return Err(Stop::Full) };
        let Some(aside) = self.aside.take().filter(|aside| aside.digest.finish() == *whole) else {
            return Err(Stop::Full);
        };
        let transaction = begin(&aside.database, Durability::Immediate)?;
        transaction.open_table(BYTES)?.insert(ONLY, aside.bytes)?;
        write_standing(&transaction, standing)?;
        transaction.commit()?;
        drop(aside);
        self.database = None;
        let (from, to) = (self.folder.join("coming.redb"), self.folder.join("copy.redb"));
        let files = |source| KeepError::Files { path: from.clone(), source };
        std::fs::rename(&from, &to).map_err(files)?;
        std::fs::File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(files)?;
        self.database()?;
        Ok(())
    }

    fn page(&mut self, request: &KeepRequest) -> Result<KeepReply, Stop> {
        let KeepRequest::Read { after, .. } = request else { return Err(Stop::Full) };
        let moment = self.database()?.begin_read()?;
        let table = moment.open_table(CONTENTS)?;
        let mut contents: Vec<Content> = Vec::new();
        let mut taken = 0;
        for entry in table.range(after.saturating_add(1)..)? {
            let (number, content) = entry?;
            taken += content.value().len() + 16;
            if taken > PAYLOAD_BYTES && !contents.is_empty() {
                return Ok(KeepReply::Page { contents, whole: None });
            }
            contents.push((number.value(), content.value().to_vec()));
        }
        let mut digest = Digest::default();
        for entry in table.iter()? {
            let (number, content) = entry?;
            digest.one(number.value(), content.value());
        }
        Ok(KeepReply::Page { contents, whole: Some(digest.finish()) })
    }
}

fn replaced(old: Option<redb::AccessGuard<'_, &[u8]>>) -> u64 {
    old.map_or(0, |old| old.value().len() as u64)
}

/// Opens or makes a database with its tables. One that was just let go may still be closing.
fn open(path: &Path) -> Result<Database, KeepError> {
    let end = Instant::now() + CLOSING;
    let database = loop {
        match redb::Builder::new().set_cache_size(CACHE).create(path) {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => break opened?,
        }
    };
    let transaction = begin(&database, Durability::Immediate)?;
    let _: Table<'_, u64, &[u8]> = transaction.open_table(CONTENTS)?;
    let _: Table<'_, &str, &[u8]> = transaction.open_table(STANDING)?;
    let _: Table<'_, &str, u64> = transaction.open_table(BYTES)?;
    transaction.commit()?;
    Ok(database)
}

fn begin(database: &Database, durability: Durability) -> Result<WriteTransaction, KeepError> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(durability)?;
    Ok(transaction)
}

fn read_standing(database: &Database) -> Result<Standing, KeepError> {
    let moment = database.begin_read()?;
    match moment.open_table(STANDING)?.get(ONLY)? {
        Some(bytes) => Standing::from_record(bytes.value()).map_err(|source| KeepError::Standing { source }),
        None => Ok(Standing::default()),
    }
}

fn write_standing(transaction: &WriteTransaction, standing: &Standing) -> Result<(), KeepError> {
    transaction.open_table(STANDING)?.insert(ONLY, standing.to_record().as_slice())?;
    Ok(())
}
