//! An internet in network namespaces: two machines in the open, and one behind a router that hides it.
//!
//! ```text
//!    host  198.51.100.1 ──┐
//!   other  198.51.100.2 ──hub── 198.51.100.3  router  10.77.0.1 ── 10.77.0.2  hidden
//! ```
//!
//! The router masquerades as most at home do, and lets out nothing but TCP, as many at work do. So the hidden machine can
//! be dialled by nobody and speaks QUIC to nobody: what it says to a peer goes through a relay or not at all.
//!
//! Namespaces are named by this process, so that two runs do not meet, and what a run that was killed left is swept away
//! by the next one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What each namespace's name begins with; the process and the machine follow.
const PREFIX: &str = "grange-join";
/// The namespaces; the hub is the wire between the others.
const NAMESPACES: [&str; 5] = ["hub", "host", "other", "router", "hidden"];
/// Who has an address in the open.
const OPEN: [(&str, &str); 3] =
    [("host", "198.51.100.1/24"), ("other", "198.51.100.2/24"), ("router", "198.51.100.3/24")];
/// The router's rules. Its own traffic is none of theirs.
const RULES: &str = "
table ip translation {
    chain leaving {
        type nat hook postrouting priority 100
        oifname eth0 masquerade
    }
}
table ip wall {
    chain passing {
        type filter hook forward priority 0
        policy drop
        ct state established,related accept
        iifname eth1 meta l4proto tcp accept
    }
}
";

/// The internet, and a folder for the homes of its machines. Both are gone when it is dropped.
pub(crate) struct Internet {
    root: tempfile::TempDir,
}

impl Internet {
    /// Makes it, or says in one line why this machine cannot.
    pub(crate) fn make() -> Option<Self> {
        let made = Self::possible().and_then(|()| {
            sweep();
            // From here on whatever was made is removed, also if the rest cannot be.
            let internet = Self { root: tempfile::tempdir().unwrap() };
            internet.wire().map(|()| internet)
        });
        // Not `eprintln!`, which the test harness keeps to itself as long as all goes well.
        made.map_err(|reason| writeln!(std::io::stderr(), "SKIPPED: joining across machines is not tested: {reason}"))
            .ok()
    }

    /// Where the home of a machine is.
    pub(crate) fn home(&self, machine: &str) -> PathBuf {
        self.root.path().join(machine)
    }

    fn possible() -> Result<(), String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can make network namespaces".into());
        }
        let missing = |(tool, _): &(&str, &str)| Command::new(tool).arg("-V").output().is_err();
        match [("ip", "iproute2"), ("nft", "nftables")].into_iter().find(missing) {
            Some((tool, package)) => Err(format!("there is no `{tool}`; apt-get install {package}")),
            None => Ok(()),
        }
    }

    fn wire(&self) -> Result<(), String> {
        for machine in NAMESPACES {
            ip(&["netns", "add", &namespace(machine)])?;
            of(machine, "link set dev lo up")?;
        }
        of("hub", "link add name bridge0 type bridge")?;
        of("hub", "link set dev bridge0 up")?;
        for (machine, address) in OPEN {
            self.cable((machine, "eth0"), ("hub", machine))?;
            of("hub", &format!("link set dev {machine} master bridge0"))?;
            of(machine, &format!("address add {address} dev eth0"))?;
        }
        self.cable(("router", "eth1"), ("hidden", "eth0"))?;
        of("router", "address add 10.77.0.1/24 dev eth1")?;
        of("hidden", "address add 10.77.0.2/24 dev eth0")?;
        of("hidden", "route add default via 10.77.0.1")?;
        let rules = self.root.path().join("rules");
        std::fs::write(&rules, RULES).unwrap();
        inside("router", &["nft", "-f", rules.to_str().unwrap()])?;
        inside("router", &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    }

    fn cable(&self, one: (&str, &str), other: (&str, &str)) -> Result<(), String> {
        let end = |(machine, name): (&str, &str)| [name.to_owned(), namespace(machine)];
        let ([name, place], [far_name, far_place]) = (end(one), end(other));
        ip(&["link", "add", &name, "netns", &place, "type", "veth", "peer", "name", &far_name, "netns", &far_place])?;
        of(one.0, &format!("link set dev {name} up"))?;
        of(other.0, &format!("link set dev {far_name} up"))
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        NAMESPACES.iter().for_each(|machine| remove(&namespace(machine)));
    }
}

/// The namespace of a machine.
pub(crate) fn namespace(machine: &str) -> String {
    format!("{PREFIX}-{}-{machine}", std::process::id())
}

/// Removes what a run that was killed could not.
fn sweep() {
    let listed = Command::new("ip").args(["netns", "list"]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove(name);
        }
    }
}

/// Ends every process of a namespace and removes it. One that is not there needs no removing.
fn remove(namespace: &str) {
    let Ok(running) = Command::new("ip").args(["netns", "pids", namespace]).output() else { return };
    for process in String::from_utf8_lossy(&running.stdout).split_whitespace() {
        let _ = Command::new("kill").args(["-9", process]).output();
    }
    let _ = ip(&["netns", "delete", namespace]);
}

/// An `ip` command about the network of one machine.
fn of(machine: &str, words: &str) -> Result<(), String> {
    let namespace = namespace(machine);
    ip(&[vec!["-n", &namespace], words.split(' ').collect()].concat())
}

/// Another command on one machine.
fn inside(machine: &str, words: &[&str]) -> Result<(), String> {
    ip(&[&["netns", "exec", &namespace(machine)], words].concat())
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).stdin(Stdio::null()).output();
    let Output { status, stderr, .. } = output.map_err(|error| format!("ip: {error}"))?;
    let reason = || format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&stderr).trim().replace('\n', "; "));
    if status.success() { Ok(()) } else { Err(reason()) }
}
