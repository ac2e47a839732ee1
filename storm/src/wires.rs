//! The network of the hosts: a switch, a router that hides one of them, and what is cut.
//!
//! ```text
//!   ada   198.51.100.1 ──┐
//!   bob   198.51.100.2 ──┤
//!   cleo  198.51.100.3 ──switch── 198.51.100.9  router  10.77.0.1 ── 10.77.0.2  eva
//!   dan   198.51.100.4 ──┘
//! ```
//!
//! The router masquerades, as most at home do: eva can dial and cannot be dialled. Each host's faults are rules of its own
//! firewall, written anew as a whole whenever one begins or ends.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use crate::Trouble;
use crate::plan::{Fault, HOSTS, VALIDATORS};

/// Where `ip` keeps network namespaces.
const NAMESPACES: &str = "/run/netns";
/// The one that hides the last host.
const ROUTER: &str = "router";
/// The router's rules.
const MASQUERADE: &str = "
table ip translation {
    chain leaving {
        type nat hook postrouting priority 100
        oifname eth0 masquerade
    }
}
";

/// The address under which the others see a host.
fn address(host: usize) -> String {
    if host < VALIDATORS { outside(host) } else { "198.51.100.9".to_owned() }
}

/// The address of a host that votes.
pub(crate) fn outside(host: usize) -> String {
    format!("198.51.100.{}", host + 1)
}

/// Makes it all in this process's own network.
pub(crate) fn make() -> Result<(), Trouble> {
    ip("link set dev lo up")?;
    ip("link add name switch0 type bridge")?;
    ip("link set dev switch0 up")?;
    for (host, name) in HOSTS.iter().enumerate() {
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {name} link set dev lo up"))?;
        inside(name, || fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").ok())?;
        if host < VALIDATORS {
            plug(name, &format!("{}/24", outside(host)))?;
        }
    }
    ip(&format!("netns add {ROUTER}"))?;
    plug(ROUTER, "198.51.100.9/24")?;
    let Some(hidden) = HOSTS.last() else { return Ok(()) };
    ip(&format!("link add name eth1 netns {ROUTER} type veth peer name eth0 netns {hidden}"))?;
    for (name, device, own) in [(ROUTER, "eth1", "10.77.0.1/24"), (*hidden, "eth0", "10.77.0.2/24")] {
        ip(&format!("-n {name} address add {own} dev {device}"))?;
        ip(&format!("-n {name} link set dev {device} up"))?;
    }
    ip(&format!("-n {hidden} route add default via 10.77.0.1"))?;
    nft(ROUTER, MASQUERADE)?;
    inside(ROUTER, || fs::write("/proc/sys/net/ipv4/ip_forward", "1"))??;
    Ok(())
}

/// A cable from a host's `eth0` to the switch.
fn plug(name: &str, own: &str) -> Result<(), Trouble> {
    ip(&format!("link add name {name} type veth peer name eth0 netns {name}"))?;
    ip(&format!("link set dev {name} master switch0 up"))?;
    ip(&format!("-n {name} address add {own} dev eth0"))?;
    ip(&format!("-n {name} link set dev eth0 up"))
}

/// Lets these faults, and no others, hold in the network.
pub(crate) fn cut(faults: &[&Fault]) -> Result<(), Trouble> {
    HOSTS.iter().enumerate().try_for_each(|(host, name)| nft(name, &rules(host, faults)))
}

/// A host's firewall under some faults.
fn rules(host: usize, faults: &[&Fault]) -> String {
    let (mut hears, mut says) = (String::new(), String::new());
    let from = |others: Vec<usize>| {
        let addresses: Vec<String> = others.into_iter().filter(|other| *other != host).map(address).collect();
        if addresses.is_empty() {
            String::new()
        } else {
            format!("iifname eth0 ip saddr {{ {} }} drop\n", addresses.join(", "))
        }
    };
    for fault in faults {
        match fault {
            Fault::Loss { host: of, percent } if *of == host => {
                hears.push_str(&format!("iifname eth0 numgen random mod 100 < {percent} drop\n"));
                says.push_str(&format!("oifname eth0 numgen random mod 100 < {percent} drop\n"));
            }
            Fault::Split { apart } => {
                let side = apart.contains(&host);
                hears.push_str(&from((0..HOSTS.len()).filter(|other| apart.contains(other) != side).collect()));
            }
            Fault::Deaf { host: of, to } if *of == host => hears.push_str(&from(to.clone())),
            _ => {}
        }
    }
    format!(
        "table inet storm\nflush table inet storm\ntable inet storm {{\nchain hears {{\ntype filter hook input priority 0\n\
         {hears}}}\nchain says {{\ntype filter hook output priority 0\n{says}}}\n}}\n"
    )
}

/// Does something in a thread that stands in a host's network: sockets that it makes and processes that it starts are there.
pub(crate) fn inside<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T, Trouble> {
    let network = fs::File::open(Path::new(NAMESPACES).join(name))?;
    let worker = || {
        // SAFETY: takes a descriptor that is open, and changes the network of this thread alone, which ends with the work.
        let moved = unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) };
        if moved == 0 { Ok(work()) } else { Err(std::io::Error::last_os_error()) }
    };
    let done = std::thread::scope(|scope| scope.spawn(worker).join());
    let done = done.map_err(|_| format!("the work in {name}'s network panicked"))?;
    Ok(done.map_err(|error| format!("cannot enter the network of {name}: {error}"))?)
}

fn nft(name: &str, rules: &str) -> Result<(), Trouble> {
    let file = format!("/run/{name}.rules");
    fs::write(&file, rules)?;
    ip(&format!("netns exec {name} nft -f {file}"))
}

fn ip(words: &str) -> Result<(), Trouble> {
    run("ip", words)
}

/// Runs a program that has to succeed.
pub(crate) fn run(program: &str, words: &str) -> Result<(), Trouble> {
    let output =
        Command::new(program).args(words.split(' ')).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {words}: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_a_rule_on_both_sides() {
        let split = Fault::Split { apart: vec![1, 4] };
        let bob = rules(1, &[&split]);
        assert!(bob.contains("ip saddr { 198.51.100.1, 198.51.100.3, 198.51.100.4 } drop"), "{bob}");
        let eva = rules(4, &[&split]);
        assert!(eva.contains("ip saddr { 198.51.100.1, 198.51.100.3, 198.51.100.4 } drop"), "{eva}");
        // Whoever is hidden is seen as its router.
        let ada = rules(0, &[&split]);
        assert!(ada.contains("ip saddr { 198.51.100.2, 198.51.100.9 } drop"), "{ada}");
    }

    #[test]
    fn deafness_and_loss_are_of_one_host() {
        let faults = [Fault::Deaf { host: 0, to: vec![2] }, Fault::Loss { host: 2, percent: 30 }];
        let faults: Vec<&Fault> = faults.iter().collect();
        assert!(rules(0, &faults).contains("ip saddr { 198.51.100.3 } drop"));
        assert_eq!(rules(2, &faults).matches("numgen random mod 100 < 30 drop").count(), 2);
        assert!(!rules(1, &faults).contains("drop"));
    }
}
