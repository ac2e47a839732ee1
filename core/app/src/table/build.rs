//! The keys of `build` and `develop`: how a container is made, which is refused or has no effect.

use super::mounts::BUILD_SECRET;
use super::service::{HOOK, ULIMIT};
use super::{Level, shared};

/// `build`.
pub(super) static BUILD: Level = Level {
    path: "services.*.build",
    keys: &[
        shared("context"),
        shared("dockerfile"),
        shared("dockerfile_inline"),
        shared("entitlements"),
        shared("args"),
        shared("ssh"),
        shared("labels"),
        shared("cache_from"),
        shared("cache_to"),
        shared("no_cache"),
        shared("no_cache_filter"),
        shared("additional_contexts"),
        shared("network"),
        shared("provenance"),
        shared("sbom"),
        shared("pull"),
        shared("target"),
        shared("shm_size"),
        shared("extra_hosts"),
        shared("isolation"),
        shared("privileged"),
        shared("secrets").keys(&BUILD_SECRET),
        shared("tags"),
        shared("ulimits").named(&ULIMIT),
        shared("platforms"),
    ],
};

/// `develop`.
pub(super) static DEVELOP: Level = Level { path: "services.*.develop", keys: &[shared("watch").keys(&WATCH)] };

static WATCH: Level = Level {
    path: "services.*.develop.watch",
    keys: &[
        shared("path"),
        shared("action"),
        shared("target"),
        shared("ignore"),
        shared("include"),
        shared("initial_sync"),
        shared("exec").keys(&HOOK),
    ],
};
