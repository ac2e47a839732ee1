//! What an owner's node does with the secrets of a deployment before anything of it leaves: it seals them into the manifest.
//!
//! They are sealed under the deployment's key, which comes of the node's own key and the deployment's id. The id of a new
//! deployment is known only once it is opened, and a manifest is part of what opens one. So a new deployment with secrets is
//! opened without a manifest and, in the same block, updated to the one that is sealed.

use grange_api::{Problem, ProblemCode};
use grange_objects::secret;
use grange_objects::share::deployment_key;
use grange_types::manifest::{Content, File};
use grange_types::{BlobId, DeploymentId, Manifest, SecretKey, Secrets, Wire as _, Workload, limits};

/// What a deployment names until its secrets are sealed: the hash of nothing, which nobody runs.
pub(crate) fn no_manifest() -> BlobId {
    BlobId::of(b"")
}

/// Whether something in it has to be sealed.
pub(crate) fn has_secrets(manifest: &Manifest) -> bool {
    manifest.services.values().any(|service| service.workload.has_secrets())
}

/// Refuses files that no sandbox would take, and secrets that are wanted and not there.
pub(crate) fn check(manifest: &Manifest, secrets: &Secrets) -> Result<(), Box<Problem>> {
    let wrong =
        |text: String| Err(Box::new(Problem::new(ProblemCode::ManifestInvalid, "deploy", manifest.name.clone(), text)));
    let mut whole = manifest.encode().len();
    for (service, files) in manifest.services.iter().map(|(name, service)| (name, service.workload.files())) {
        if files.len() > limits::SERVICE_FILES {
            let (count, limit) = (files.len(), limits::SERVICE_FILES);
            return wrong(format!("{service} has {count} configs and secrets, more than the limit of {limit}"));
        }
        if files.windows(2).any(|pair| pair[0].target >= pair[1].target) {
            return wrong(format!("the configs and secrets of {service} are not sorted by their places, each once"));
        }
        for file in files {
            let File { target, content } = file;
            if !file.is_placed() {
                return wrong(format!(
                    "{target:?} is no place for a config or secret of {service}; name one like /etc/a"
                ));
            }
            let (what, size, limit) = match content {
                Content::Config(bytes) => ("config", bytes.len(), limits::CONFIG_BYTES),
                Content::Secret { name, .. } => match secrets.get(name) {
                    Some(value) => ("secret", value.len(), limits::SECRET_BYTES),
                    None => return wrong(format!("the secret {name} of {service} was not handed over")),
                },
            };
            if what == "secret" {
                // With what stands around it, and a longer length in front of it.
                whole = whole.saturating_add(size).saturating_add(secret::OVERHEAD + 4);
            }
            if size > limit {
                return wrong(format!("the {what} at {target} of {service} has {size} of {limit} bytes"));
            }
        }
    }
    if whole > Manifest::LIMIT {
        let limit = Manifest::LIMIT;
        return wrong(format!("the manifest with its secrets takes {whole} bytes, more than the limit of {limit}"));
    }
    Ok(())
}

/// Puts every secret into the manifest, sealed; it was checked before.
pub(crate) fn seal(key: &SecretKey, deployment: DeploymentId, manifest: &mut Manifest, secrets: &Secrets) {
    let key = deployment_key(key, deployment);
    for service in manifest.services.values_mut() {
        let Workload::Furnished { files, .. } = &mut service.workload else { continue };
        for file in files {
            if let Content::Secret { name, sealed } = &mut file.content {
                *sealed = secret::seal(&key, deployment, name, secrets.get(name).unwrap_or_default());
            }
        }
    }
}
