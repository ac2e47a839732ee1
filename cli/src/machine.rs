//! What this machine is: its name, and how much of it can be sold.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use grange_api::ResourceSet;
use grange_types::{ByteCount, Time, limits};

/// Its name, as far as it fits a display name.
pub(crate) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|letter| !letter.is_control()).collect();
    let mut end = name.len().min(limits::NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    if end == 0 { "grange".to_owned() } else { name[..end].to_owned() }
}

/// The wall clock.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Processors.
pub(crate) fn processors() -> u32 {
    thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// Memory.
pub(crate) fn memory() -> ByteCount {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    ByteCount::kib(kib.unwrap_or(1 << 20))
}

/// What is free on the disk of a folder, which need not exist yet.
pub(crate) fn disk_free(folder: &Path) -> Option<ByteCount> {
    let existing = folder.ancestors().find(|folder| folder.exists())?;
    let disk = rustix::fs::statvfs(existing).ok()?;
    Some(ByteCount(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// What one node sells of this machine when it is its only one: half of everything.
pub(crate) fn half(folder: &Path) -> ResourceSet {
    let disk = disk_free(folder).unwrap_or(ByteCount::gib(1));
    ResourceSet {
        cpu_millis: processors().saturating_mul(1_000) / 2,
        memory: ByteCount(memory().0 / 2),
        disk: ByteCount(disk.0 / 2),
    }
}

/// What one of several nodes of a dev cloud sells: each as many processors as there are and at least four, since
/// they are rarely busy at once, and its part of half the memory and disk.
pub(crate) fn share(folder: &Path, nodes: u32) -> ResourceSet {
    let half = half(folder);
    let part = |whole: ByteCount, least: ByteCount| ByteCount((whole.0 / u64::from(nodes.max(1))).max(least.0));
    ResourceSet {
        cpu_millis: processors().max(4).saturating_mul(1_000),
        memory: part(half.memory, ByteCount::gib(1)),
        disk: part(half.disk, ByteCount::gib(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_something_to_sell() {
        let half = half(Path::new("/nowhere/at/all"));
        assert!(half.cpu_millis >= 500 && half.memory.0 > 0 && half.disk.0 > 0);
        assert!(share(Path::new("/"), 4).cpu_millis >= 4_000);
        assert!(!host_name().is_empty() && host_name().len() <= limits::NAME_BYTES);
        // The first of January 2024: an earlier clock is wrong.
        assert!(now() > Time(1_704_067_200_000));
    }
}
