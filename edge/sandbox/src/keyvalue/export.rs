//! What the stores of a deployment hold, as lines of JSON.

use std::collections::VecDeque;
use std::sync::Arc;

use data_encoding::BASE64;
use grange_types::DeploymentId;
use redb::ReadTransaction;
use serde::Serialize;

use super::store::Store;
use super::table::{KEYS, VALUES};
use super::{KeyValueError, StoreName, Stores};

/// Entries that are in memory at the same time.
const STEP: usize = 16;

/// An iterator over every entry of every store of a deployment, oldest generation first: one line of JSON each,
/// `{"service", "replica", "generation", "key", "value"}` with the value in base64, and before those of a store one without
/// key and value. It reads files: iterate where blocking is allowed. Each store is read as it was when its first line was.
/// A store is there once it is whole.
pub struct Export {
    stores: Arc<Stores>,
    names: VecDeque<StoreName>,
    current: Option<Source>,
    lines: VecDeque<Vec<u8>>,
}

struct Source {
    name: StoreName,
    moment: ReadTransaction,
    after: u64,
    /// Keeps the database open, and others from opening it a second time.
    _store: Arc<Store>,
}

#[derive(Serialize)]
struct Line<'a> {
    service: &'a str,
    replica: u32,
    generation: u64,
    #[serde(flatten)]
    entry: Option<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    key: &'a str,
    value: String,
}

impl Export {
    pub(crate) fn new(
        stores: &Arc<Stores>,
        deployment: DeploymentId,
        service: Option<&str>,
    ) -> Result<Self, KeyValueError> {
        let names = stores.names(deployment, service)?.into();
        Ok(Self { stores: Arc::clone(stores), names, current: None, lines: VecDeque::new() })
    }

    fn fill(&mut self) -> Result<(), KeyValueError> {
        while self.lines.is_empty() {
            let Some(source) = &mut self.current else {
                let Some(name) = self.names.pop_front() else { return Ok(()) };
                let store = self.stores.reading(&name)?;
                self.lines.push_back(line(&name, None));
                self.current = Some(Source { name, moment: store.read()?, after: 0, _store: store });
                continue;
            };
            source.read(&mut self.lines)?;
            if self.lines.is_empty() {
                self.current = None;
            }
        }
        Ok(())
    }
}

impl Source {
    fn read(&mut self, lines: &mut VecDeque<Vec<u8>>) -> Result<(), KeyValueError> {
        let (keys, values) = (self.moment.open_table(KEYS)?, self.moment.open_table(VALUES)?);
        for entry in keys.range(self.after + 1..)?.take(STEP) {
            let (number, key) = entry?;
            self.after = number.value();
            let value = values.get(self.after)?.map(|value| BASE64.encode(value.value())).unwrap_or_default();
            lines.push_back(line(&self.name, Some(Entry { key: key.value(), value })));
        }
        Ok(())
    }
}

fn line(name: &StoreName, entry: Option<Entry<'_>>) -> Vec<u8> {
    let StoreName { service, replica, generation, .. } = name;
    let line = Line { service, replica: *replica, generation: *generation, entry };
    // Text and numbers always become JSON.
    let mut json = serde_json::to_vec(&line).unwrap_or_default();
    json.push(b'\n');
    json
}

impl Iterator for Export {
    type Item = Result<Vec<u8>, KeyValueError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.fill() {
            self.names.clear();
            self.current = None;
            return Some(Err(error));
        }
        self.lines.pop_front().map(Ok)
    }
}
