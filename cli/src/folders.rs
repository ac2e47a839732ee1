//! Where things are kept: the XDG base directories.

use std::env;
use std::path::{Path, PathBuf};

use grange_api::{Problem, ProblemCode};

/// The folder of a dev cloud where none is given.
pub(crate) fn dev() -> Result<PathBuf, Problem> {
    Ok(data()?.join("grange/dev"))
}

/// What a command that works on the dev cloud in a folder needs after it: nothing where it is the usual one.
pub(crate) fn dev_option(folder: &Path) -> String {
    let usual = dev().is_ok_and(|usual| usual == folder);
    if usual { String::new() } else { format!(" --data {}", folder.display()) }
}

/// What a command that works on the node in a folder needs after it: nothing where it is the usual one.
pub(crate) fn up_option(folder: &Path) -> String {
    let usual = node().is_ok_and(|usual| usual == folder);
    if usual { String::new() } else { format!(" --data {}", folder.display()) }
}

/// The folder of a node where none is given.
pub(crate) fn node() -> Result<PathBuf, Problem> {
    Ok(data()?.join("grange/node"))
}

/// The file that names this user's nodes.
pub(crate) fn registry() -> Result<PathBuf, Problem> {
    Ok(base("XDG_STATE_HOME", ".local/state")?.join("grange/nodes.json"))
}

/// The path made absolute, so that another process in another folder understands it.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    std::path::absolute(path)
        .map_err(|error| Problem::new(ProblemCode::Usage, "find", path.display().to_string(), error.to_string()))
}

fn data() -> Result<PathBuf, Problem> {
    base("XDG_DATA_HOME", ".local/share")
}

/// The variable's folder; the specification says to leave relative ones unheeded.
fn base(variable: &str, below_home: &str) -> Result<PathBuf, Problem> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(path) = absolute(variable) {
        return Ok(path);
    }
    match absolute("HOME") {
        Some(home) => Ok(home.join(below_home)),
        None => {
            let message = format!("neither {variable} nor HOME names a folder");
            Err(Problem::new(ProblemCode::Usage, "find", variable, message)
                .with_remedy(format!("set {variable} or HOME")))
        }
    }
}
