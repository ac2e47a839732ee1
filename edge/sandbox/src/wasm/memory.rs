//! A replica's memory: one account for the linear memories and tables of all its requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grange_types::ByteCount;
use wasmtime::ResourceLimiter;

/// What one table element takes.
const ELEMENT_BYTES: u64 = 8;

/// What all requests of one replica may take together.
#[derive(Debug)]
pub(super) struct Memory {
    limit: u64,
    used: AtomicU64,
}

impl Memory {
    pub(super) const fn new(limit: ByteCount) -> Self {
        Self { limit: limit.0, used: AtomicU64::new(0) }
    }

    pub(super) const fn limit(&self) -> ByteCount {
        ByteCount(self.limit)
    }

    pub(super) fn used(&self) -> ByteCount {
        ByteCount(self.used.load(Ordering::Relaxed))
    }

    fn take(&self, bytes: u64) -> bool {
        let take = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// One request's part of its replica's memory, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Part {
    memory: Arc<Memory>,
    taken: u64,
    refused: bool,
}

impl Part {
    pub(super) const fn new(memory: Arc<Memory>) -> Self {
        Self { memory, taken: 0, refused: false }
    }

    /// Whether the component was ever refused memory: then that is why it crashed, if it did.
    pub(super) const fn refused(&self) -> bool {
        self.refused
    }

    pub(super) fn limit(&self) -> ByteCount {
        self.memory.limit()
    }

    fn grow(&mut self, current: usize, desired: usize, unit: u64) -> bool {
        let bytes = (desired.saturating_sub(current) as u64).saturating_mul(unit);
        let taken = self.memory.take(bytes);
        if taken {
            self.taken += bytes;
        } else {
            self.refused = true;
        }
        taken
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Part {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.grow(current, desired, 1))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.grow(current, desired, ELEMENT_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_share_one_limit_and_give_back_what_they_took() {
        let memory = Arc::new(Memory::new(ByteCount(100)));
        let (mut first, mut second) = (Part::new(Arc::clone(&memory)), Part::new(Arc::clone(&memory)));
        assert!(first.memory_growing(0, 60, None).unwrap());
        assert!(!second.memory_growing(0, 41, None).unwrap());
        assert!(second.refused() && !first.refused());
        assert!(second.table_growing(0, 5, None).unwrap());
        assert_eq!(memory.used(), ByteCount(100));
        drop(first);
        assert!(second.memory_growing(10, 70, Some(70)).unwrap());
        assert!(!second.memory_growing(70, 71, Some(70)).unwrap());
        drop(second);
        assert_eq!(memory.used(), ByteCount(0));
    }
}
