//! What the kernel says of a process: its processor time and its memory.

use std::fs;
use std::time::Duration;

use crate::Fault;

/// What Linux counts processor time in, for every architecture that it shows to programs.
const TICKS_PER_SECOND: u64 = 100;

/// Where the fields of `/proc/PID/stat` are, counted after the name in parentheses.
const OWN: [usize; 2] = [11, 12];
const CHILDREN: [usize; 2] = [13, 14];

/// Memory that a process holds, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// All that is resident.
    pub(crate) resident: u64,
    /// Of it, what is not a file's.
    pub(crate) anonymous: u64,
}

/// The processor time of a process since it began, all its threads together.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Fault> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.map_err(|error| format!("process {pid} is gone: {error}"))?;
    ticks(&stat, OWN)
}

/// The processor time of this process.
pub(crate) fn own_cpu() -> Result<Duration, Fault> {
    cpu(std::process::id())
}

/// The processor time of all processes that this one has started and waited for.
pub(crate) fn children_cpu() -> Result<Duration, Fault> {
    ticks(&fs::read_to_string("/proc/self/stat")?, CHILDREN)
}

/// The memory of a process now.
pub(crate) fn memory(pid: u32) -> Result<Memory, Fault> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.map_err(|error| format!("process {pid} is gone: {error}"))?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: Option<u64> = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| format!("/proc/{pid}/status has no {name}"))
    };
    Ok(Memory { resident: bytes("VmRSS:")?, anonymous: bytes("RssAnon:")? })
}

fn ticks(stat: &str, fields: [usize; 2]) -> Result<Duration, Fault> {
    // The name may hold anything, also parentheses and spaces.
    let rest = stat.rsplit_once(')').map_or(stat, |(_, rest)| rest);
    let all: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |field: usize| all.get(field).and_then(|text| text.parse::<u64>().ok());
    let sum = number(fields[0]).zip(number(fields[1])).map(|(user, system)| user + system);
    let sum = sum.ok_or_else(|| format!("/proc/PID/stat has no processor time: {stat}"))?;
    Ok(Duration::from_millis(sum * 1_000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 0 0 0 0 0 12 8 100 50 20 0 1 0 5";
        assert_eq!(ticks(stat, OWN).unwrap(), Duration::from_millis(200));
        assert_eq!(ticks(stat, CHILDREN).unwrap(), Duration::from_millis(1_500));
        assert!(ticks("7 (x) S", OWN).is_err());
    }

    #[test]
    fn this_process_has_memory() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.resident >= memory.anonymous && memory.anonymous > 0);
    }
}
