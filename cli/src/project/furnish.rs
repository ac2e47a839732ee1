//! What a service finds as files: the contents of its configs, and of its secrets, which stay apart from the manifest.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use grange_app::{AppFile, Origin};
use grange_types::{ByteCount, Content, File, Secrets, Workload, limits};

use super::below;
use super::error::PackError;

/// The workload with the files that its service finds.
pub(crate) fn furnish(workload: Workload, files: Vec<File>) -> Workload {
    match workload {
        Workload::Wasm { component, size } if !files.is_empty() => Workload::Furnished { component, size, files },
        other => other,
    }
}

/// The files that a service finds; the secrets among them go to `secrets`.
pub(crate) fn contents(
    files: &[AppFile],
    root: &Path,
    variables: &BTreeMap<String, String>,
    secrets: &mut Secrets,
) -> Result<Vec<File>, Vec<(grange_app::Position, PackError)>> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        match content(file, root, variables) {
            Ok(bytes) => found.push(File { target: file.target.clone(), content: kept(file, bytes, secrets) }),
            Err(error) => wrong.push((file.at, error)),
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

fn kept(file: &AppFile, bytes: Vec<u8>, secrets: &mut Secrets) -> Content {
    if !file.is_secret {
        return Content::Config(bytes);
    }
    secrets.insert(file.name.clone(), bytes);
    Content::Secret { name: file.name.clone(), sealed: Vec::new() }
}

fn content(file: &AppFile, root: &Path, variables: &BTreeMap<String, String>) -> Result<Vec<u8>, PackError> {
    let limit = if file.is_secret { limits::SECRET_BYTES } else { limits::CONFIG_BYTES };
    let (name, bytes) = match &file.origin {
        Origin::File(path) => (path.clone(), read(root, path, limit)?),
        Origin::Environment(name) => {
            let value = variables.get(name).cloned().unwrap_or_default();
            (format!("the variable {name}"), value.into_bytes())
        }
        Origin::Content(text) => (format!("the content for {}", file.target), text.clone().into_bytes()),
    };
    if bytes.len() > limit {
        let (size, limit) = (ByteCount(bytes.len() as u64), ByteCount(limit as u64));
        return Err(PackError::TooLarge { path: name, size, limit });
    }
    Ok(bytes)
}

/// A file below the project's folder, as far as the limit and one byte more, so that a large one is not read.
fn read(root: &Path, name: &str, limit: usize) -> Result<Vec<u8>, PackError> {
    let path = root.join(name);
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => PackError::MissingFile { path: name.to_owned() },
        _ => PackError::Read { path: name.to_owned(), source },
    };
    let metadata = fs::metadata(&path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(PackError::NoContent { path: name.to_owned() });
    }
    if !below::lies_below(root, &path) {
        return Err(PackError::Outside { path: name.to_owned() });
    }
    if metadata.len() > limit as u64 {
        let (size, limit) = (ByteCount(metadata.len()), ByteCount(limit as u64));
        return Err(PackError::TooLarge { path: name.to_owned(), size, limit });
    }
    let mut bytes = Vec::new();
    fs::File::open(&path).map_err(failed)?.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Wanted, open};

    const TEXT: &str = "name: shop\nservices:\n  api:\n    x-grange: {wasm: a.wasm}\n    secrets: [token]\n    configs: [app]\n\
                        secrets:\n  token: {file: token.txt}\nconfigs:\n  app: {file: app.toml}\n";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("compose.yaml"), TEXT).unwrap();
        fs::write(folder.path().join("a.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
        fs::write(folder.path().join("token.txt"), b"horse\xff").unwrap();
        fs::write(folder.path().join("app.toml"), "colour").unwrap();
        folder
    }

    #[test]
    fn a_secret_stands_beside_the_manifest_and_a_config_in_it() {
        let folder = folder();
        let project = open(&Wanted::at(folder.path()), "deploy").unwrap();
        assert_eq!(project.secrets.get("token"), Some(&b"horse\xff"[..]), "bytes, not only text");
        let files = project.manifest.services["api"].workload.files();
        let token = Content::Secret { name: "token".into(), sealed: Vec::new() };
        let expected = [("/app", Content::Config(b"colour".to_vec())), ("/run/secrets/token", token)];
        assert_eq!(files, expected.map(|(target, content)| File { target: target.into(), content }));
        assert!(!format!("{project:?}").contains("horse"), "and is not printed");
    }

    #[test]
    fn what_cannot_be_read_is_told_where_it_is_named() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        let told = || {
            let problem = open(&Wanted::at(folder.path()), "deploy").unwrap_err();
            let finding = problem.findings.first().cloned().unwrap();
            (finding.line, finding.column, finding.message)
        };
        fs::remove_file(at("token.txt")).unwrap();
        assert_eq!(told(), (8, 17, "the file token.txt does not exist".into()));
        fs::create_dir(at("token.txt")).unwrap();
        assert_eq!(told(), (8, 17, "token.txt is no file, and so holds no config or secret".into()));
        fs::remove_dir(at("token.txt")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", at("token.txt")).unwrap();
        assert!(told().2.contains("lies outside the project's folder"), "{:?}", told());
        fs::remove_file(at("token.txt")).unwrap();
        fs::File::create(at("token.txt")).unwrap().set_len(limits::SECRET_BYTES as u64 + 1).unwrap();
        assert!(told().2.contains("above the limit"), "{:?}", told());
    }
}
