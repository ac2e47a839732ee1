//! Other processes, known so exactly that a number that was given to another one is never signalled.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// How often a process that should end is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long the kernel may take to end a process that was killed.
const KILLED: Duration = Duration::from_secs(3);

/// One run of one program, as a file keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Its number, which the system gives to another one later.
    pub(crate) pid: i32,
    /// When it began, in ticks since the boot: no two with one number have the same.
    started: u64,
    /// Which boot that was.
    boot: String,
    /// What it runs.
    executable: PathBuf,
}

/// Processes that did not even end when they were killed.
#[derive(Debug, thiserror::Error)]
#[error("the processes {pids:?} cannot be ended")]
pub(crate) struct Unkillable {
    pids: Vec<i32>,
}

impl Identity {
    /// The process with this number now; none when there is none, or when it has ended and waits to be reaped.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let started = start_of_living(&stat)?;
        let executable = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        Some(Self { pid, started, boot: boot()?, executable: without_mark(&executable) })
    }

    /// This process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(std::process::id().cast_signed())
    }

    /// What a file says; none when there is no file or it says nothing of use.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// What a file says, if that process is alive.
    pub(crate) fn read_alive(file: &Path) -> Option<Self> {
        Self::read(file).filter(Self::is_alive)
    }

    /// Replaces a file in one step.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let beside = file.with_extension("new");
        fs::write(&beside, serde_json::to_vec(self)?)?;
        fs::rename(beside, file)
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|present| present == *self)
    }

    /// Sends a signal, to this process or to none.
    fn signal(&self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        // From here on the descriptor means one process, whatever becomes of its number.
        let Ok(descriptor) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return };
        if self.is_alive() {
            // It may end at this moment, which is what was wanted.
            let _ = rustix::process::pidfd_send_signal(descriptor, signal);
        }
    }
}

/// Asks processes to end, waits for that long, and kills those that remain.
pub(crate) fn stop(processes: &[Identity], grace: Duration) -> Result<(), Unkillable> {
    processes.iter().for_each(|process| process.signal(Signal::TERM));
    if wait_gone(processes, grace) {
        return Ok(());
    }
    processes.iter().for_each(|process| process.signal(Signal::KILL));
    if wait_gone(processes, KILLED) {
        return Ok(());
    }
    let alive = processes.iter().filter(|process| process.is_alive());
    Err(Unkillable { pids: alive.map(|process| process.pid).collect() })
}

fn wait_gone(processes: &[Identity], patience: Duration) -> bool {
    let began = Instant::now();
    while processes.iter().any(Identity::is_alive) {
        if began.elapsed() >= patience {
            return false;
        }
        thread::sleep(LOOK);
    }
    true
}

/// Lets no program that this one starts from now on inherit a descriptor, be it ours or our caller's.
pub(crate) fn close_on_exec() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if number > 2 {
            // SAFETY: setting a flag by number touches no memory, and a number that is closed meanwhile is refused.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// The start time in a line of `/proc/PID/stat`, unless the process has ended.
fn start_of_living(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // Field 22 of the line; the state is field 3.
    fields.nth(18)?.parse().ok()
}

fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// The kernel marks the path of a program that was replaced since.
fn without_mark(executable: &Path) -> PathBuf {
    match executable.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(text) => PathBuf::from(text),
        None => executable.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_known_by_its_start() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 8642 9 10";
        assert_eq!(start_of_living(stat), Some(8_642));
        assert_eq!(start_of_living(&stat.replace(" S ", " Z ")), None);
        assert_eq!(start_of_living(""), None);
        assert_eq!(start_of_living("7 (cat) S 1"), None);
    }

    #[test]
    fn a_number_that_was_given_to_another_process_is_not_signalled() {
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let identity = Identity::of(child.id().cast_signed()).unwrap();
        let earlier = Identity { started: identity.started - 1, ..identity.clone() };
        assert!(identity.is_alive() && !earlier.is_alive());
        stop(&[earlier], Duration::from_secs(5)).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        // Nobody reaps it before it is seen to be gone.
        stop(std::slice::from_ref(&identity), Duration::from_secs(5)).unwrap();
        assert!(!identity.is_alive());
        child.wait().unwrap();
    }

    #[test]
    fn what_does_not_end_is_killed() {
        // It waits by itself: a program that it started for that would outlive it, with all files that are open here.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; while :; do read -r line; done"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let identity = Identity::of(child.id().cast_signed()).unwrap();
        stop(&[identity], Duration::from_millis(50)).unwrap();
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn an_identity_outlives_its_process_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        assert_eq!(Identity::read(&file), None);
        let own = Identity::own().unwrap();
        own.write(&file).unwrap();
        assert_eq!(Identity::read_alive(&file), Some(own.clone()));
        Identity { boot: "another".into(), ..own }.write(&file).unwrap();
        assert_eq!(Identity::read_alive(&file), None);
    }
}
