//! Programs of others that a storm needs, and what is not covered without them.

use std::path::{Path, PathBuf};

use crate::enclosure;
use crate::plan::Fault;

/// Where distributions put the library that shows another time.
const FAKETIME: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// What there is on this machine.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) strace: bool,
    pub(crate) faketime: Option<PathBuf>,
}

impl Tools {
    /// Looks for them; a line for each that is missing.
    pub(crate) fn find() -> (Self, Vec<String>) {
        let strace = is_there("strace");
        let faketime = FAKETIME.iter().map(PathBuf::from).find(|path| path.exists());
        let mut missing = Vec::new();
        if !strace {
            missing.push("no `strace`: failing and slow disks (EIO), and deaths at a sync, are not covered; apt-get install strace".to_owned());
        }
        if faketime.is_none() {
            missing.push("no `libfaketime`: wrong clocks are not covered; apt-get install faketime".to_owned());
        }
        (Self { strace, faketime }, missing)
    }

    /// Whether a fault can be done with them.
    pub(crate) fn can(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Broken { .. } | Fault::Slow { .. } | Fault::Crash { .. } => self.strace,
            Fault::Clock { .. } => self.faketime.is_some(),
            _ => true,
        }
    }
}

/// Why there can be no storm at all on this machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Impossible {
    /// A program is missing, which `make setup` installs: the line says which.
    Missing(String),
    /// The machine allows no namespaces.
    Forbidden {
        /// What it said.
        reason: String,
        /// What allows them, as far as it can be told from here.
        remedy: String,
    },
}

/// Whether there can be a storm on this machine.
pub(crate) fn possible() -> Result<(), Impossible> {
    for (tool, package) in [("ip", "iproute2"), ("nft", "nftables"), ("mount", "mount"), ("unshare", "util-linux")] {
        if !is_there(tool) {
            return Err(Impossible::Missing(format!("there is no `{tool}`; apt-get install {package}")));
        }
    }
    enclosure::possible().map_err(|reason| {
        let remedy = enclosure::remedy(|switch| std::fs::read_to_string(switch).ok());
        Impossible::Forbidden { reason, remedy }
    })
}

fn is_there(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|folder| is_file(&folder.join(tool)))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file())
}
