//! Namespaces for a storm alone: of mounts, processes and networks.
//!
//! The program starts itself again inside of them. What it makes there (hosts, networks, disks, processes) is seen by nobody
//! else and is gone with the first process inside, whatever ended that. It ends itself when the program outside does: a pipe
//! that nothing is written to is its leash. So Ctrl-C, a failure and `kill -9` leave the machine as it was.

use std::io::Read;
use std::process::{Command, ExitCode, Stdio};

use crate::Trouble;

/// Tells the program that it stands inside.
const INSIDE: &str = "GRANGE_STORM_INSIDE";
/// What ended by the leash ends with.
const INTERRUPTED: i32 = 130;
/// Switches of the kernel that keep users from making namespaces: where, what they stand at then, and what opens them.
const SWITCHES: [(&str, &str, &str); 3] = [
    ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
];

/// Whether this process is the one inside.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this program again, inside, and gives how that ended.
pub(crate) fn enter() -> Result<ExitCode, Trouble> {
    let program = std::env::current_exe()?;
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]).arg(program);
    command.args(std::env::args_os().skip(1)).env(INSIDE, "1").stdin(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot run unshare: {error}"))?;
    // Held until it has ended.
    let leash = child.stdin.take();
    let status = child.wait()?;
    drop(leash);
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Ends this process, and with it all in its namespaces, as soon as the one outside has ended.
pub(crate) fn follow_outside() {
    std::thread::spawn(|| {
        let mut nothing = [0];
        while std::io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
        std::process::exit(INTERRUPTED);
    });
}

/// Whether namespaces can be made here, or why not.
pub(crate) fn possible() -> Result<(), String> {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new("unshare");
    command.args(if root { &[][..] } else { &["--user", "--map-root-user"] });
    let output = command.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "true"]).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// What lets a storm make its namespaces where it may not; `read` gives a switch's file.
pub(crate) fn remedy(read: impl Fn(&str) -> Option<String>) -> String {
    let shut = |(switch, shut, _): &&(&str, &str, &str)| read(switch).is_some_and(|now| now.trim() == *shut);
    let open: Vec<&str> = SWITCHES.iter().filter(shut).map(|(.., open)| *open).collect();
    if open.is_empty() {
        return "run it as root, in a container as one that may make namespaces (such as `docker run --privileged`)"
            .into();
    }
    format!("as root, type `sysctl -w {}`, then the same again; or run it as root", open.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_names_the_switch_that_is_shut() {
        let check = |switches: &[(&str, &str)], expected: &str| {
            let find = |name: &str| switches.iter().find(|(switch, _)| *switch == name);
            let said = remedy(|name| find(name).map(|(_, value)| (*value).to_owned()));
            assert!(said.contains(expected), "{switches:?}: {said}");
        };
        let [(most, ..), (clone, ..), (restrict, ..)] = SWITCHES;
        check(&[(most, "0\n")], "sysctl -w user.max_user_namespaces=15000`");
        check(&[(most, "96364\n"), (restrict, "1\n")], "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`");
        check(&[(clone, "0"), (restrict, "1")], "unprivileged_userns_clone=1 kernel.apparmor_restrict");
        check(&[(most, "96364"), (clone, "1"), (restrict, "0")], "--privileged");
        check(&[], "as root");
    }
}
