//! The keys of what a container is given: volumes, configs, secrets, files of variables, networks.

use super::{Level, Takes, accepted, honoured, shared};

/// One entry of `volumes`.
pub(super) static MOUNT: Level = Level {
    path: "services.*.volumes",
    keys: &[
        shared("type"),
        shared("source"),
        shared("target"),
        shared("read_only"),
        shared("consistency"),
        shared("bind").keys(&BIND),
        shared("volume").keys(&MOUNT_VOLUME),
        shared("tmpfs").keys(&MOUNT_TMPFS),
        shared("image").keys(&MOUNT_IMAGE),
    ],
};

static BIND: Level = Level {
    path: "services.*.volumes.bind",
    keys: &[shared("propagation"), shared("create_host_path"), shared("recursive"), shared("selinux")],
};

static MOUNT_VOLUME: Level =
    Level { path: "services.*.volumes.volume", keys: &[shared("labels"), shared("nocopy"), shared("subpath")] };

static MOUNT_TMPFS: Level = Level { path: "services.*.volumes.tmpfs", keys: &[shared("size"), shared("mode")] };

static MOUNT_IMAGE: Level = Level { path: "services.*.volumes.image", keys: &[shared("subpath")] };

/// One entry of `configs` or `secrets`.
pub(super) static CONFIG_OR_SECRET: Level = Level {
    path: "services.*.configs, secrets",
    keys: &[
        honoured("source", "its name at the top").takes(Takes::Text),
        honoured(
            "target",
            "where the component finds it; a secret below `/run/secrets`, a config below `/`, unless it begins with `/`; its name where nothing is written",
        )
        .takes(Takes::Text),
        accepted("uid", ONE_READER),
        accepted("gid", ONE_READER),
        accepted("mode", "the component is the only one that can read it, and nothing can write it"),
    ],
};

const ONE_READER: &str = "a component has no users";

/// One entry of `secrets` in `build`.
pub(super) static BUILD_SECRET: Level = Level {
    path: "services.*.build.secrets",
    keys: &[shared("source"), shared("target"), shared("uid"), shared("gid"), shared("mode")],
};

/// One entry of `env_file`.
pub(super) static ENV_FILE: Level = Level {
    path: "services.*.env_file",
    keys: &[
        honoured("path", "the file, which has a variable a line").takes(Takes::Text),
        honoured("required", "`false` forgives that there is no such file").takes(Takes::Switch),
        honoured("format", "`raw`: values are taken letter for letter, with their quotes and dollars")
            .takes(Takes::Word(&["raw"])),
    ],
};

/// One entry of a service's `networks`.
pub(super) static SERVICE_NETWORK: Level = Level {
    path: "services.*.networks.*",
    keys: &[
        shared("aliases"),
        shared("interface_name"),
        shared("ipv4_address"),
        shared("ipv6_address"),
        shared("link_local_ips"),
        shared("mac_address"),
        shared("driver_opts"),
        shared("priority"),
        shared("gw_priority"),
    ],
};
