//! What an owner's node does with the secrets of a deployment before anything of it leaves: it seals them into the manifest.
//!
//! They are sealed under the deployment's key, which whoever opens a deployment draws of its own key and the deployment's id, and
//! which another node of the owner takes over from those who hold shares. The id of a new deployment is known only once it is
//! opened, and a manifest is part of what opens one. So a new deployment with secrets is opened without a manifest and, in the
//! same block, updated to the one that is sealed.

use grange_api::{Problem, ProblemCode};
use grange_ledger::Deployment;
use grange_objects::secret;
use grange_objects::share::deployment_key;
use grange_types::manifest::{Content, File};
use grange_types::{BlobId, DeploymentId, Manifest, SealKey, Secrets, Wire as _, Workload, limits};

use crate::action::Action;
use crate::context::Context;

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

/// Draws the key of a deployment that this node opens, and has it kept before the ledger knows of the deployment.
pub(crate) fn draw(ctx: &mut Context, deployment: DeploymentId) {
    let key = deployment_key(&ctx.key, deployment);
    ctx.keys.insert(deployment, key.clone());
    ctx.push(Action::KeepKey { deployment, key });
}

/// Puts every secret into the manifest of a deployment that is there already, sealed under its key and no other: whoever runs it
/// could not open what is sealed under a guess.
pub(crate) fn seal_again(
    ctx: &Context,
    found: &Deployment,
    manifest: &mut Manifest,
    secrets: &Secrets,
) -> Result<(), Box<Problem>> {
    if !has_secrets(manifest) {
        return Ok(());
    }
    let Some(key) = ctx.keys.get(&found.id) else {
        let text = "another node drew the key that its secrets are sealed under, and two shares of it could not be had";
        return Err(Box::new(Problem::new(ProblemCode::NotReady, "deploy", manifest.name.clone(), text).with_remedy(
            "deploy again once both its stewards can be reached, or one of them and its provider; if they are lost, end it with \
             `grange down` and deploy it anew",
        )));
    };
    seal(key, found.id, manifest, secrets);
    Ok(())
}

/// Puts every secret into the manifest, sealed; it was checked before.
pub(crate) fn seal(key: &SealKey, deployment: DeploymentId, manifest: &mut Manifest, secrets: &Secrets) {
    for service in manifest.services.values_mut() {
        let Workload::Furnished { files, .. } = &mut service.workload else { continue };
        for file in files {
            if let Content::Secret { name, sealed } = &mut file.content {
                *sealed = secret::seal(key, deployment, name, secrets.get(name).unwrap_or_default());
            }
        }
    }
}
