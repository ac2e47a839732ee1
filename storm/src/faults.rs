//! How each fault is done to real processes, and undone; and who ended although nothing was done to him.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;
use rustix::process::{Pid, Signal, kill_process};

use crate::Trouble;
use crate::host::Host;
use crate::plan::{Fault, Refused, Timed};
use crate::tools::Tools;
use crate::wires;

/// What a node that cannot go on ends with.
const FAILED: i32 = 1;
/// How long after a call was refused a node may take to end, and so how long after its disk is well again.
const LATE: Duration = Duration::from_secs(5);
/// A service manager starts a node that ended again after so long.
const AGAIN: Duration = Duration::from_secs(1);
/// Calls that make durable what was written, and calls that write.
const SYNCS: &str = "fsync,fdatasync";
const WRITES: &str = "pwrite64,pwritev,pwritev2,ftruncate,fallocate";
/// Files on which a node stands: when one of them is refused, it may not go on.
const LEDGER: [&str; 2] = ["/node/wal>", "/node/chain/"];

/// Faults under way, and what was found meanwhile.
pub(crate) struct Faults<'a> {
    hosts: &'a [Host],
    tools: &'a Tools,
    /// Where the calls to which something was done are listed.
    logs: &'a Path,
    under_way: Vec<Timed>,
    /// Who does something to a node's calls: (its process, the node's, the list).
    tracers: BTreeMap<usize, (Child, u32, PathBuf)>,
    /// Until when a host may end by itself.
    excused: BTreeMap<usize, Instant>,
    /// Who has to end since it was refused what it stands on: (host, process, until when, what was refused).
    must_end: Vec<(usize, u32, Instant, String)>,
    /// Hosts whose node ended by itself, and when.
    fallen: BTreeMap<usize, Instant>,
    /// What must not have happened.
    pub(crate) findings: Vec<String>,
    /// Faults that were done.
    pub(crate) done: usize,
    /// Nodes that ended since their disk failed, as they should.
    pub(crate) halted: usize,
}

impl<'a> Faults<'a> {
    pub(crate) fn new(hosts: &'a [Host], tools: &'a Tools, logs: &'a Path) -> Self {
        Self {
            hosts,
            tools,
            logs,
            under_way: Vec::new(),
            tracers: BTreeMap::new(),
            excused: BTreeMap::new(),
            must_end: Vec::new(),
            fallen: BTreeMap::new(),
            findings: Vec::new(),
            done: 0,
            halted: 0,
        }
    }

    pub(crate) fn begin(&mut self, timed: &Timed) -> Result<(), Trouble> {
        if !self.tools.can(&timed.fault) {
            return Ok(());
        }
        println!("{timed}");
        self.done += 1;
        self.under_way.push(timed.clone());
        match &timed.fault {
            Fault::Kill { host } => self.kill(*host, timed)?,
            Fault::Clock { host, seconds } => {
                self.kill(*host, timed)?;
                self.hosts[*host].start(&[], Some(*seconds), self.tools)?;
            }
            Fault::Sleep { host } => {
                self.note(*host, timed)?;
                self.hosts[*host].signal(Signal::STOP)?;
            }
            Fault::Full { host } => {
                self.note(*host, timed)?;
                fill(&self.hosts[*host].disk)?;
            }
            Fault::Broken { host, refused } => {
                self.note(*host, timed)?;
                let calls = if *refused == Refused::Sync { SYNCS } else { WRITES };
                self.trace(*host, calls, "error=EIO")?;
            }
            Fault::Slow { host, millis } => {
                self.note(*host, timed)?;
                self.trace(*host, SYNCS, &format!("delay_exit={}", millis * 1_000))?;
            }
            Fault::Crash { host, sync } => {
                self.note(*host, timed)?;
                self.trace(*host, SYNCS, &format!("signal=KILL:when={sync}"))?;
            }
            Fault::Blackout => (0..self.hosts.len()).try_for_each(|host| self.kill(host, timed))?,
            Fault::Loss { .. } | Fault::Split { .. } | Fault::Deaf { .. } => self.cut()?,
        }
        Ok(())
    }

    pub(crate) fn end(&mut self, timed: &Timed) -> Result<(), Trouble> {
        let Some(place) = self.under_way.iter().position(|known| known == timed) else { return Ok(()) };
        self.watch()?;
        self.under_way.remove(place);
        match &timed.fault {
            Fault::Kill { host } => self.hosts[*host].start(&[], None, self.tools)?,
            Fault::Clock { host, .. } => {
                self.kill(*host, timed)?;
                self.hosts[*host].start(&[], None, self.tools)?;
            }
            Fault::Sleep { host } => self.hosts[*host].signal(Signal::CONT)?,
            Fault::Full { host } => {
                fs::remove_file(filler(&self.hosts[*host].disk))?;
                self.excused.insert(*host, Instant::now() + LATE);
            }
            Fault::Broken { host, .. } => {
                self.excused.insert(*host, Instant::now() + LATE);
                self.trace_no_more(*host, timed)?;
            }
            Fault::Slow { host, .. } => self.trace_no_more(*host, timed)?,
            Fault::Crash { host, .. } => {
                self.trace_no_more(*host, timed)?;
                // It may have synced less often than that.
                self.kill(*host, timed)?;
                self.hosts[*host].start(&[], None, self.tools)?;
            }
            Fault::Blackout => self.hosts.iter().try_for_each(|host| host.start(&[], None, self.tools))?,
            Fault::Loss { .. } | Fault::Split { .. } | Fault::Deaf { .. } => self.cut()?,
        }
        Ok(())
    }

    /// Ends all that is under way.
    pub(crate) fn end_all(&mut self) -> Result<(), Trouble> {
        for timed in self.under_way.clone() {
            self.end(&timed)?;
        }
        Ok(())
    }

    /// Sees who has ended, and starts again whoever did; and who has not ended although it had to.
    pub(crate) fn watch(&mut self) -> Result<(), Trouble> {
        for (host, pid, until, refused) in std::mem::take(&mut self.must_end) {
            if self.hosts[host].pid() != Some(pid) {
                continue;
            }
            if Instant::now() < until {
                self.must_end.push((host, pid, until, refused));
            } else {
                self.findings.push(format!("{} went on although it was refused: {refused}", self.hosts[host].name));
            }
        }
        for (index, host) in self.hosts.iter().enumerate() {
            if let Some(status) = host.ended()? {
                if self.is_to_crash(index) && status.signal() == Some(Signal::KILL.as_raw()) {
                    // It is started when the fault is over.
                    continue;
                }
                self.fallen.insert(index, Instant::now());
                let ill = self.disk_of(index).is_some()
                    || self.excused.get(&index).is_some_and(|until| Instant::now() < *until);
                if ill && status.code() == Some(FAILED) {
                    self.halted += 1;
                } else {
                    let why =
                        if ill { "its disk failed, but it did not end in order" } else { "nothing was done to it" };
                    self.findings.push(format!("{} ended by itself ({status}); {why}", host.name));
                }
            }
            let rested = self.fallen.get(&index).is_some_and(|since| since.elapsed() >= AGAIN);
            // Whoever starts anew is not traced: its disk would be well.
            if rested && !matches!(self.disk_of(index), Some(Fault::Broken { .. })) {
                self.fallen.remove(&index);
                host.start(&[], None, self.tools)?;
            }
        }
        Ok(())
    }

    /// Whether a host's node is to be killed at a sync.
    fn is_to_crash(&self, index: usize) -> bool {
        self.under_way.iter().any(|timed| matches!(timed.fault, Fault::Crash { host, .. } if host == index))
    }

    /// What is wrong with a host's disk.
    fn disk_of(&self, index: usize) -> Option<&Fault> {
        let of_disk =
            |fault: &&Fault| matches!(fault, Fault::Full { host } | Fault::Broken { host, .. } if *host == index);
        self.under_way.iter().map(|timed| &timed.fault).find(of_disk)
    }

    fn note(&self, host: usize, timed: &Timed) -> Result<(), Trouble> {
        self.hosts[host].note(&timed.to_string())
    }

    fn kill(&mut self, host: usize, timed: &Timed) -> Result<(), Trouble> {
        self.note(host, timed)?;
        self.fallen.remove(&host);
        self.hosts[host].kill()
    }

    fn cut(&self) -> Result<(), Trouble> {
        let faults: Vec<&Fault> = self.under_way.iter().map(|timed| &timed.fault).collect();
        wires::cut(&faults)
    }

    /// Has something done to each call of some kinds that the node makes from now on.
    fn trace(&mut self, host: usize, calls: &str, injected: &str) -> Result<(), Trouble> {
        let Some(pid) = self.hosts[host].pid() else { return Ok(()) };
        let list = self.logs.join(format!("{}.calls-{}", self.hosts[host].name, self.done));
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-q", "-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{injected}")]);
        command.arg("-o").arg(&list).args(["-p", &pid.to_string()]).stdin(Stdio::null());
        let tracer = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        self.tracers.insert(host, (tracer, pid, list));
        if !is_traced(pid) {
            println!(
                "NOT COVERED: strace cannot attach to {}'s node, so that nothing happens to its disk",
                self.hosts[host].name
            );
        }
        Ok(())
    }

    /// Lets a node's calls alone again. Whoever could not keep what it must has to end by itself.
    fn trace_no_more(&mut self, index: usize, timed: &Timed) -> Result<(), Trouble> {
        let Some((mut tracer, pid, list)) = self.tracers.remove(&index) else { return Ok(()) };
        if let Some(tracer) = i32::try_from(tracer.id()).ok().and_then(Pid::from_raw) {
            kill_process(tracer, Signal::INT)?;
        }
        tracer.wait()?;
        let text = fs::read_to_string(&list).unwrap_or_default();
        let stands_on = |line: &&str| {
            line.contains("EIO") && line.contains("(INJECTED)") && LEDGER.iter().any(|file| line.contains(file))
        };
        if let Some(line) = text.lines().find(stands_on) {
            let refused = format!("{timed}: {line}; {}", list.display());
            self.must_end.push((index, pid, Instant::now() + LATE, refused));
        }
        Ok(())
    }
}

fn filler(disk: &Path) -> PathBuf {
    disk.join("filler")
}

/// Takes all the room that a disk has.
fn fill(disk: &Path) -> Result<(), Trouble> {
    let file = File::create(filler(disk))?;
    let room = rustix::fs::statvfs(disk)?;
    // A node that writes at the same time may be faster; then there is less, and the next try takes that.
    let mut length = room.f_bavail * room.f_frsize;
    while length > 0 && rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length).is_err() {
        length = length.saturating_sub(room.f_frsize);
    }
    Ok(())
}

/// Whether a process is traced, or soon is.
fn is_traced(pid: u32) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < AGAIN {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        if tracer.is_some_and(|tracer| tracer.trim() != "0") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
