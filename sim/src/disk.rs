//! A disk that keeps what was flushed, and lies about the rest when the power goes.

use std::collections::BTreeMap;

use grange_peer::{Archive, Recovery};
use grange_types::{BlobId, Height};

use crate::dice::Dice;

/// Snapshots that are kept.
const SNAPSHOTS: usize = 2;

/// A record with its checksum; one whose bits have flipped is found out when it is read.
struct Stored<T> {
    content: T,
    intact: bool,
}

/// A block and its certificate.
type Decided = (Vec<u8>, Vec<u8>);

/// What survives a peer's death.
#[derive(Default)]
pub(crate) struct Disk {
    snapshots: BTreeMap<u64, Stored<Vec<Vec<u8>>>>,
    chain: BTreeMap<u64, Stored<Decided>>,
    turns: BTreeMap<u64, Vec<u8>>,
    log: Log,
    /// What the log was before a reset that was not flushed yet.
    before: Option<Log>,
    pub(crate) blobs: BTreeMap<BlobId, Vec<u8>>,
    /// What was seen of others.
    pub(crate) evidence: Vec<u8>,
    /// No byte can be written any more.
    pub(crate) full: bool,
    /// Flushes do nothing, though they say that they did.
    pub(crate) lies: bool,
}

/// A write-ahead log.
#[derive(Clone, Default)]
struct Log {
    height: Height,
    entries: Vec<Vec<u8>>,
    flushed: usize,
    /// Up to where the mark beside the log says that it was durable: after a power cut it may be older than the log.
    marked: usize,
    /// Up to where the mark itself is durable: it is flushed at each start.
    marked_for_good: usize,
    /// Up to where it was durable when the power went: of what lies between the mark and this, nothing tells damage from a
    /// torn end.
    durable: usize,
    /// The first entry whose bits have flipped.
    damaged: Option<usize>,
}

impl Disk {
    pub(crate) fn append(&mut self, entry: Vec<u8>) {
        self.log.entries.push(entry);
    }

    pub(crate) fn flush(&mut self) {
        if !self.lies {
            self.log.flushed = self.log.entries.len();
            self.log.marked = self.log.flushed;
            self.before = None;
        }
    }

    pub(crate) fn reset(&mut self, height: Height) {
        let old = core::mem::replace(&mut self.log, Log { height, ..Log::default() });
        self.before.get_or_insert(old);
    }

    pub(crate) fn commit(&mut self, height: Height, block: Vec<u8>, certificate: Vec<u8>) {
        // A real disk refuses it, and the node ends.
        let gap = self.chain.last_key_value().is_some_and(|(last, _)| last + 1 != height.0);
        assert!(!gap, "block {height} does not follow the last one on the disk");
        self.chain.insert(height.0, Stored { content: (block, certificate), intact: true });
    }

    pub(crate) fn snapshot(&mut self, height: Height, state: Vec<Vec<u8>>) {
        self.snapshots.insert(height.0, Stored { content: state, intact: true });
        while self.snapshots.len() > SNAPSHOTS {
            self.snapshots.pop_first();
        }
    }

    pub(crate) fn turn(&mut self, height: Height, turn: Vec<u8>) {
        if self.turns.last_key_value().is_none_or(|(last, _)| *last < height.0) {
            self.turns.insert(height.0, turn);
        }
    }

    /// Begins anew behind a snapshot of a peer's.
    pub(crate) fn install(&mut self, height: Height, state: Vec<Vec<u8>>) {
        self.snapshot(height, state);
        self.end_at(height.0);
    }

    pub(crate) fn prune(&mut self, first: Height) {
        self.chain = self.chain.split_off(&first.0);
    }

    /// Everything that it kept of the ledger is gone; the files of deployments lie on another disk.
    pub(crate) fn replaced(&mut self) {
        let blobs = core::mem::take(&mut self.blobs);
        *self = Self { lies: self.lies, blobs, ..Self::default() };
    }

    /// What a peer starts from, and what had to be cut for it.
    pub(crate) fn open(&mut self) -> (Recovery, Option<u64>) {
        // A journal ends at its first bad record, also when that is below a snapshot.
        let damaged = self.chain.iter().find(|(_, stored)| !stored.intact).map(|(height, _)| *height);
        if let Some(damaged) = damaged {
            self.chain.split_off(&damaged);
        }
        let snapshot = self.snapshots.iter().rev().find(|(_, stored)| stored.intact);
        let (from, snapshot) = snapshot.map_or((0, Vec::new()), |(height, stored)| (*height, stored.content.clone()));
        let mut blocks = Vec::new();
        for height in from + 1.. {
            match self.chain.get(&height) {
                Some(stored) if stored.intact => blocks.push(stored.content.0.clone()),
                _ => break,
            }
        }
        // Peers have what is damaged; the blocks behind it are fetched with it.
        let recovered = from + blocks.len() as u64;
        let cut = (self.end_at(recovered) || damaged.is_some()).then_some(recovered + 1);
        let (wal_height, wal) = self.log.open();
        if self.log.damaged.is_none() {
            self.flush();
        }
        self.log.marked_for_good = self.log.marked;
        let first = self.chain.first_key_value().map_or(recovered + 1, |(first, _)| *first);
        (Recovery { snapshot, blocks, first: Height(first), wal_height, wal, evidence: self.evidence.clone() }, cut)
    }

    /// Makes a height the last of the chain, as `Chain::end_at` does; whether anything had to go for it.
    fn end_at(&mut self, last: u64) -> bool {
        let ends = self.chain.first_key_value().zip(self.chain.last_key_value());
        let Some((first, end)) = ends.map(|((first, _), (end, _))| (*first, *end)) else { return false };
        if end == last {
            return false;
        }
        if (first..=end).contains(&(last + 1)) {
            self.chain.split_off(&(last + 1));
        } else {
            self.chain.clear();
        }
        true
    }

    /// Whether the log cannot be read as far as it was durable.
    pub(crate) fn log_is_damaged(&self) -> bool {
        self.log.damaged.is_some_and(|at| at < self.log.marked)
    }

    /// The process dies: what it wrote stays, flushed or not.
    pub(crate) fn killed(&mut self) {
        self.before = None;
        self.log.flushed = self.log.entries.len();
    }

    /// The power goes: of what was not flushed some is lost, the last of the rest may be torn. Says how many entries are
    /// gone.
    pub(crate) fn power_lost(&mut self, dice: &mut Dice) -> usize {
        if let Some(before) = self.before.take() {
            // The reset itself may not have reached the disk.
            if self.log.flushed == 0 && dice.chance(500) {
                let gone = self.log.entries.len();
                self.log = before;
                return gone;
            }
        }
        let unsynced = self.log.entries.len() - self.log.flushed;
        // A torn entry fails its checksum and is cut when the log is opened: it is as lost as those behind it.
        let kept = self.log.flushed + dice.index(unsynced + 1);
        let gone = self.log.entries.len() - kept;
        self.log.entries.truncate(kept);
        // The mark is not flushed by itself.
        self.log.durable = self.log.marked;
        self.log.marked -= dice.index(self.log.marked - self.log.marked_for_good + 1);
        gone
    }

    /// Bits flip in one stored block, in the newest snapshot or, if they may, in the log. Says in what.
    pub(crate) fn flip(&mut self, dice: &mut Dice, log: bool) -> Option<String> {
        if dice.chance(400) && log && !self.log.entries.is_empty() {
            let at = dice.index(self.log.entries.len());
            // Damage that comes together with a power cut is more than a log promises to find.
            if (self.log.marked..self.log.durable).contains(&at) {
                return None;
            }
            self.log.damaged = Some(self.log.damaged.map_or(at, |before| before.min(at)));
            return Some(format!("entry {at} of the log of height {}", self.log.height));
        }
        let heights: Vec<u64> = self.chain.keys().copied().collect();
        if dice.chance(300)
            && let Some((height, stored)) = self.snapshots.iter_mut().next_back()
        {
            stored.intact = false;
            return Some(format!("the snapshot at {height}"));
        }
        let height = *dice.pick(&heights)?;
        self.chain.get_mut(&height)?.intact = false;
        Some(format!("block {height}"))
    }
}

impl Archive for Disk {
    fn last(&self) -> Height {
        Height(self.chain.last_key_value().map_or(0, |(height, _)| *height))
    }

    fn block(&self, height: Height) -> Option<Decided> {
        self.chain.get(&height.0).filter(|stored| stored.intact).map(|stored| stored.content.clone())
    }

    fn turn_above(&self, height: Height) -> Option<Vec<u8>> {
        self.turns.range(height.0 + 1..).next().map(|(_, turn)| turn.clone())
    }

    fn snapshots(&self) -> Vec<Height> {
        self.snapshots.keys().rev().copied().map(Height).collect()
    }

    fn pieces(&self, height: Height) -> Option<u32> {
        self.snapshots.get(&height.0).map(|stored| stored.content.len() as u32)
    }

    fn piece(&self, height: Height, index: u32) -> Option<Vec<u8>> {
        let stored = self.snapshots.get(&height.0)?;
        let mut piece = stored.content.get(index as usize)?.clone();
        // A real disk does not look at the checksum of the whole for one piece.
        if !stored.intact
            && let Some(byte) = piece.last_mut()
        {
            *byte ^= 1;
        }
        Some(piece)
    }
}

impl Log {
    /// What is found: nothing may be said any more at a height whose log was durable and cannot be read.
    fn open(&mut self) -> (Height, Vec<Vec<u8>>) {
        match self.damaged {
            Some(at) if at < self.marked => (self.height.next(), Vec::new()),
            Some(at) => {
                self.entries.truncate(at);
                (self.flushed, self.damaged) = (self.flushed.min(at), None);
                (self.height, self.entries.clone())
            }
            None => (self.height, self.entries.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(disk: &mut Disk) -> Vec<Vec<u8>> {
        disk.open().0.wal
    }

    #[test]
    fn a_power_cut_takes_only_what_was_not_flushed_and_a_liar_loses_the_rest() {
        let mut dice = Dice::new(1, 1);
        let mut lost = 0;
        for _ in 0..100 {
            let mut disk = Disk::default();
            disk.append(b"one".to_vec());
            disk.flush();
            disk.append(b"two".to_vec());
            lost += disk.power_lost(&mut dice);
            assert_eq!(log(&mut disk).first().map(Vec::as_slice), Some(&b"one"[..]));
        }
        assert!((20..80).contains(&lost), "{lost} of 100");
        let mut disk = Disk { lies: true, ..Disk::default() };
        disk.append(b"one".to_vec());
        disk.flush();
        while disk.power_lost(&mut dice) == 0 {}
        assert!(log(&mut disk).is_empty());
    }

    #[test]
    fn no_bit_flips_where_a_power_cut_took_the_mark() {
        let mut dice = Dice::new(1, 1);
        let mut disk = Disk::default();
        for _ in 0..4 {
            disk.append(b"said".to_vec());
            disk.flush();
        }
        while disk.log.marked > 2 {
            disk.log.marked = 4;
            disk.power_lost(&mut dice);
        }
        for _ in 0..200 {
            disk.flip(&mut dice, true);
        }
        assert!(disk.log_is_damaged(), "what the mark covers is known to be damaged: {:?}", disk.log.damaged);
        disk.log.damaged = None;
        disk.log.marked = 0;
        (0..200).for_each(|_| drop(disk.flip(&mut dice, true)));
        assert_eq!(disk.log.damaged, None, "nothing could tell it from a torn end");
    }

    #[test]
    fn a_damaged_block_is_cut_with_what_follows_it() {
        let mut disk = Disk::default();
        for height in 1..=5 {
            disk.commit(Height(height), vec![1], vec![2]);
        }
        disk.chain.get_mut(&3).unwrap().intact = false;
        assert_eq!(grange_peer::page(&disk, Height(1)).blocks.len(), 2);
        let (recovery, cut) = disk.open();
        assert_eq!((recovery.blocks.len(), cut), (2, Some(3)));
        assert_eq!(disk.chain.len(), 2);
    }

    #[test]
    fn a_height_whose_log_is_damaged_is_sat_out() {
        let mut disk = Disk::default();
        disk.reset(Height(4));
        disk.append(b"one".to_vec());
        disk.flush();
        disk.append(b"two".to_vec());
        disk.killed();
        disk.log.damaged = Some(1);
        assert_eq!(log(&mut disk), [b"one"], "what was never said is torn");
        disk.log.damaged = Some(0);
        for _ in 0..2 {
            let (recovery, _) = disk.open();
            assert_eq!((recovery.wal_height, recovery.wal.len()), (Height(5), 0));
        }
        disk.reset(Height(5));
        disk.append(b"three".to_vec());
        assert_eq!(log(&mut disk), [b"three"]);
    }
}
