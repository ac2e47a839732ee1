//! The changes of the validators since the genesis, each shown by a header: what a newcomer follows to a snapshot when the
//! blocks themselves are long gone. Nothing of it is ever let go.

use std::path::Path;

use grange_types::{Height, limits};

use crate::error::DiskError;
use crate::journal::{Journal, Tail};

/// Encoded turns by their heights, rising.
#[derive(Debug)]
pub struct Turns {
    journal: Journal,
    /// (height, offset).
    index: Vec<(u64, u64)>,
}

/// A record is {height u64 LE, turn}.
const HEAD: usize = 8;

impl Turns {
    /// Opens the file, cutting off a torn last record: it was never acknowledged.
    pub fn open(path: &Path) -> Result<(Self, Tail), DiskError> {
        let (mut index, mut rising) = (Vec::<(u64, u64)>::new(), true);
        let (journal, tail) = Journal::open(path, limits::MESSAGE_BYTES + HEAD, |offset, payload| {
            let height = payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            rising &= index.last().is_none_or(|(last, _)| *last < height);
            index.push((height, offset));
        })?;
        if !rising {
            return Err(DiskError::Format { path: path.to_path_buf() });
        }
        Ok((Self { journal, index }, tail))
    }

    /// Stores the turn of a height; durable when this returns. One that is not above the last is there already.
    pub fn append(&mut self, height: Height, turn: &[u8]) -> Result<(), DiskError> {
        if self.index.last().is_some_and(|(last, _)| *last >= height.0) {
            return Ok(());
        }
        let offset = self.journal.append(&[&height.0.to_le_bytes(), turn].concat())?;
        self.journal.flush()?;
        self.index.push((height.0, offset));
        Ok(())
    }

    /// The first turn above a height, or `None` where there is none or its bytes no longer pass their checksum.
    pub fn above(&self, height: Height) -> Result<Option<Vec<u8>>, DiskError> {
        let place = self.index.partition_point(|(at, _)| *at <= height.0);
        let Some((_, offset)) = self.index.get(place) else { return Ok(None) };
        let payload = self.journal.read(*offset)?;
        Ok(payload.and_then(|payload| payload.get(HEAD..).map(<[u8]>::to_vec)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_back_in_order_also_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("turns");
        let (mut turns, _) = Turns::open(&path).unwrap();
        assert_eq!(turns.above(Height(0)).unwrap(), None);
        for (height, turn) in [(3, b"three"), (9, b"nine!"), (9, b"again"), (4, b"older")] {
            turns.append(Height(height), turn).unwrap();
        }
        let (turns, tail) = Turns::open(&path).unwrap();
        assert_eq!(tail, Tail::Clean);
        let above = |height| turns.above(Height(height)).unwrap();
        assert_eq!((above(0).unwrap(), above(3).unwrap(), above(9)), (b"three".to_vec(), b"nine!".to_vec(), None));
    }
}
