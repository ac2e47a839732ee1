//! The keys of what a container is given: volumes, configs, secrets, files of variables, networks.

use super::{Level, Takes, honoured, shared};

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

/// One entry of `configs` or `secrets`; also in `build`.
pub(super) static CONFIG_OR_SECRET: Level = Level {
    path: "services.*.configs, secrets",
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
