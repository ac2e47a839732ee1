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
