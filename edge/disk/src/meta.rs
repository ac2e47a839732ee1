//! Metadata: small records under keys, in redb, committed in batches.

use std::path::{Path, PathBuf};

use grange_types::Record;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::error::DiskError;

/// A key and the bytes of its record.
type Row = (Vec<u8>, Vec<u8>);

/// A table of records of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table(pub &'static str);

/// The node's small durable facts.
#[derive(Debug)]
pub struct Meta {
    path: PathBuf,
    database: Database,
}

impl Table {
    fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.0)
    }
}

impl Meta {
    /// Opens or makes the database.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let database = Database::builder().set_cache_size(4 << 20).create(path).map_err(|source| DiskError::Meta {
            operation: "open",
            path: path.into(),
            source: Box::new(source.into()),
        })?;
        Ok(Self { path: path.into(), database })
    }

    /// The record under a key.
    pub fn get<R: Record>(&self, table: Table, key: &[u8]) -> Result<Option<R>, DiskError> {
        let found = self.read(table, key).map_err(self.failed("read"))?;
        found.map(|bytes| self.decode(&bytes)).transpose()
    }

    /// Every record of a table, in the order of the keys.
    pub fn all<R: Record>(&self, table: Table) -> Result<Vec<(Vec<u8>, R)>, DiskError> {
        let rows = self.scan(table).map_err(self.failed("list"))?;
        rows.into_iter().map(|(key, bytes)| Ok((key, self.decode(&bytes)?))).collect()
    }

    /// Stores a record durably.
    pub fn put<R: Record>(&self, table: Table, key: &[u8], record: &R) -> Result<(), DiskError> {
        self.write(table, key, Some(&record.to_record())).map_err(self.failed("write"))
    }

    /// Removes a record durably.
    pub fn remove(&self, table: Table, key: &[u8]) -> Result<(), DiskError> {
        self.write(table, key, None).map_err(self.failed("write"))
    }

    fn decode<R: Record>(&self, bytes: &[u8]) -> Result<R, DiskError> {
        R::from_record(bytes).map_err(|source| DiskError::Decode { path: self.path.clone(), source })
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(redb::Error) -> DiskError {
        let path = self.path.clone();
        move |source| DiskError::Meta { operation, path, source: Box::new(source) }
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, redb::Error> {
        let transaction = self.database.begin_read()?;
        match transaction.open_table(table.definition()) {
            Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn scan(&self, table: Table) -> Result<Vec<Row>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let table = match transaction.open_table(table.definition()) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut rows = Vec::new();
        for row in table.iter()? {
            let (key, value) = row?;
            rows.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(rows)
    }

    fn write(&self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(table.definition())?;
            match value {
                Some(value) => drop(table.insert(key, value)?),
                None => drop(table.remove(key)?),
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note(String);

    impl Record for Note {
        const NAME: &'static str = "note";
        const LIMIT: usize = 64;
    }

    const NOTES: Table = Table("notes");

    #[test]
    fn records_survive_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meta");
        let meta = Meta::open(&path).unwrap();
        assert_eq!(meta.get::<Note>(NOTES, b"a").unwrap(), None);
        assert_eq!(meta.all::<Note>(NOTES).unwrap(), []);
        meta.put(NOTES, b"b", &Note("second".into())).unwrap();
        meta.put(NOTES, b"a", &Note("first".into())).unwrap();
        drop(meta);
        let meta = Meta::open(&path).unwrap();
        assert_eq!(meta.get(NOTES, b"a").unwrap(), Some(Note("first".into())));
        meta.remove(NOTES, b"a").unwrap();
        assert_eq!(meta.all(NOTES).unwrap(), [(b"b".to_vec(), Note("second".into()))]);
    }
}
