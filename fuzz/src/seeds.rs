//! Where inputs begin: golden bytes, what was kept, the compose files of the tests and examples.

use std::path::Path;

use crate::target::Target;

/// Where the inputs of a target begin, in the order of their files' names. `root` is the folder of the workspace.
#[must_use]
pub fn of(root: &Path, target: &Target) -> Vec<(String, Vec<u8>)> {
    let home = root.join(target.home);
    let mut seeds = vec![("nothing".to_owned(), Vec::new())];
    for folder in [home.join("golden"), home.join("tests/corpus"), root.join("fuzz/corpus").join(target.name)] {
        seeds.extend(files(&folder));
    }
    if target.home == "core/peer" {
        // A peer hears the words of all machines in it.
        for part in ["core/consensus/golden", "core/ledger/golden", "core/types/golden"] {
            seeds.extend(files(&root.join(part)));
        }
    }
    if target.name == "compose-files" {
        seeds.retain(|(name, _)| name == "nothing");
        seeds.extend(projects(&home.join("tests/projects")));
    }
    if target.name == "peer" {
        // The first byte says how they come: in every way there is.
        let ways = seeds.iter().flat_map(|(name, bytes)| (0..20u8).map(move |way| (name.clone(), way, bytes)));
        return ways.map(|(name, way, bytes)| (name, [&[way][..], bytes].concat())).collect();
    }
    seeds
}

/// The folders of a folder, the files of each as one input: path, zero byte, text, zero byte, and so on.
fn projects(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut folders: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    let together = |project: std::path::PathBuf| {
        let mut open = vec![project.clone()];
        let mut pieces = Vec::new();
        while let Some(folder) = open.pop() {
            open.extend(
                std::fs::read_dir(&folder)
                    .ok()?
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .filter(|path| path.is_dir()),
            );
            for (path, bytes) in files(&folder) {
                let path = Path::new(&path).strip_prefix(&project).ok()?.display().to_string();
                pieces.extend([path.into_bytes(), bytes]);
            }
        }
        Some((project.display().to_string(), pieces.join(&0)))
    };
    folders.into_iter().filter_map(together).collect()
}

/// The files of a folder, golden bytes decoded from their hexadecimal; none if there is no such folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    paths.sort();
    let read = |path: std::path::PathBuf| {
        let bytes = std::fs::read(&path).ok()?;
        let bytes = if path.extension().is_some_and(|end| end == "hex") { hex(&bytes)? } else { bytes };
        Some((path.display().to_string(), bytes))
    };
    paths.into_iter().filter_map(read).collect()
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.iter().copied().filter(u8::is_ascii_hexdigit).collect();
    data_encoding::HEXLOWER_PERMISSIVE.decode(&digits).ok()
}
