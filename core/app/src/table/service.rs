//! The keys of a service.

use super::build::{BUILD, DEVELOP};
use super::deploy::{DEPLOY, DEVICES};
use super::grange::GRANGE_SERVICE;
use super::mounts::{CONFIG_OR_SECRET, ENV_FILE, MOUNT, SERVICE_NETWORK};
use super::{Key, Level, Takes, accepted, honoured, refused, shared};

/// A service.
pub(crate) static SERVICE: Level = Level { path: "services.*", keys: SERVICE_KEYS };

const CONTAINERS: &str = "containers are not in this version; use x-grange.wasm or x-grange.site";
const NO_HOST: &str = "a component shares no namespace with its host";
const NO_DEVICES: &str = "a component reaches no device of its host; remove the key";
const NO_NAMES: &str = "a service is found by the app's name and its route";
const NO_RESOLVER: &str = "a component resolves no names itself; the hosts it may call are in x-grange.allow_http";
const NO_USERS: &str = "a component runs as no user of its host";
const NO_KERNEL: &str = "a component makes no system calls that this could tune";
const CPU_LIMIT: &str = "processors are limited by deploy.resources alone";
const MEMORY_LIMIT: &str = "memory is limited by deploy.resources alone, and never swapped";
const NO_TERMINAL: &str = "a component has no terminal";
const NO_COMMAND: &str = "a component that serves HTTP has no command line; pass what it needs in environment";
const NO_HOOKS: &str = "commands around a service's life are not in this version; remove the key";
const NO_CONTAINERS: &str = "there is no container that could have it";
const BY_HASH: &str = "a component is fetched by its hash, never pulled anew";

const SERVICE_KEYS: &[Key] = &[
    honoured("x-grange", "what runs, where, and for how much").takes(Takes::Mapping).keys(&GRANGE_SERVICE),
    honoured(
        "environment",
        "the variables of the component, as a mapping or a list; a name alone takes its value from where the file is read; no secret, which belongs into `secrets`: whoever pays for the deployment, runs it, or opens one that names its manifest can read it",
    ).takes(Takes::Variables),
    honoured(
        "env_file",
        "files of variables, as a path or a list of paths and mappings; later files win over earlier ones, `environment` over all",
    ).takes(Takes::TextOrItems)
    .keys(&ENV_FILE),
    honoured(
        "extends",
        "a service to begin with, by name or as a mapping; the keys written here are laid over a copy of it",
    ).takes(Takes::TextOrMapping)
    .keys(&EXTENDS),
    honoured(
        "profiles",
        "the service is part of the app only if one of these is active: `--profile NAME`, or `COMPOSE_PROFILES`",
    ).takes(Takes::Texts),
    honoured("ports", "that there are any makes the service the app's front, at `/`; HTTP only").takes(Takes::Items).keys(&PORT),
    honoured("deploy", "replicas and resources").takes(Takes::Mapping).keys(&DEPLOY),
    honoured("healthcheck", "an HTTP check of `localhost` by `curl` or `wget` becomes the check of each replica").takes(Takes::Mapping)
        .keys(&HEALTHCHECK),
    honoured("depends_on", "services that must serve before this one starts, as a list or a mapping").takes(Takes::NamesOrMappings)
        .named(&DEPENDENCY),
    honoured("scale", "the same as `deploy.replicas`").takes(Takes::Whole { least: 1, most: grange_types::limits::REPLICAS }),
    honoured("cpus", "the same as `deploy.resources.limits.cpus`").takes(Takes::Processors),
    honoured("mem_limit", "the same as `deploy.resources.limits.memory`").takes(Takes::Size),
    honoured("mem_reservation", "the same as `deploy.resources.reservations.memory`").takes(Takes::Size),
    refused("image", CONTAINERS),
    refused("build", CONTAINERS).keys(&BUILD),
    refused("command", NO_COMMAND),
    refused("entrypoint", NO_COMMAND),
    refused("volumes", "volumes are not in this version; a component keeps its data in wasi:keyvalue").keys(&MOUNT),
    refused("volumes_from", "volumes are not in this version; a component keeps its data in wasi:keyvalue"),
    honoured("configs", "contents that the component finds as files, as names or mappings; no secrets").takes(Takes::Items)
    .keys(&CONFIG_OR_SECRET),
    honoured(
        "secrets",
        "secrets that the component finds as files in `/run/secrets`, as names or mappings; they travel sealed and are opened only by whoever holds the service's lease",
    )
    .takes(Takes::Items)
    .keys(&CONFIG_OR_SECRET),
    refused("models", "models are not in this version; remove the key").named(&SERVICE_MODEL),
    refused("provider", "services that something else provides are not in this version; remove the service")
        .keys(&PROVIDER),
    refused("pre_start", NO_HOOKS).keys(&PRE_START),
    refused("post_start", NO_HOOKS).keys(&HOOK),
    refused("pre_stop", NO_HOOKS).keys(&HOOK),
    refused("privileged", "a component cannot be privileged; remove the key").agrees(&["false"]),
    refused("devices", NO_DEVICES).keys(&DEVICE),
    refused("gpus", NO_DEVICES).keys(&DEVICES),
    refused("device_cgroup_rules", NO_DEVICES),
    refused("use_api_socket", "a component never reaches the socket of a container engine; remove the key")
        .agrees(&["false"]),
    refused("credential_spec", "credentials of a host are not given to a component; remove the key").keys(&CREDENTIAL),
    refused("isolation", "isolation is chosen with x-grange.isolation").agrees(&["default"]),
    accepted("restart", "a service that stops is always started again").agrees(&["always", "unless-stopped"]),
    accepted("networks", "services have no networks of their own in this version").named(&SERVICE_NETWORK),
    accepted("network_mode", "a component has no network but the requests it gets and x-grange.allow_http")
        .agrees(&["none"]),
    accepted("expose", "a component listens on no port; what it exports is called directly"),
    accepted("links", NO_NAMES),
    accepted("external_links", NO_NAMES),
    accepted("hostname", NO_NAMES),
    accepted("domainname", NO_NAMES),
    accepted("container_name", NO_NAMES),
    accepted("mac_address", "a component has no network card"),
    accepted("dns", NO_RESOLVER),
    accepted("dns_opt", NO_RESOLVER),
    accepted("dns_search", NO_RESOLVER),
    accepted("extra_hosts", NO_RESOLVER),
    accepted("labels", "labels are not kept in this version"),
    accepted("label_file", "labels are not kept in this version"),
    accepted("annotations", "annotations are not kept in this version"),
    accepted("logging", "the provider keeps a service's log up to a size; `grange logs` reads it").keys(&LOGGING),
    accepted("attach", "logs are read with `grange logs`"),
    accepted("develop", "it describes how to work on the service, not how to run it").keys(&DEVELOP),
    accepted("platform", "a component runs on any processor"),
    accepted("pull_policy", BY_HASH),
    accepted("pull_refresh_after", BY_HASH),
    accepted("read_only", "a component has no file system to write to").agrees(&["true"]),
    accepted("tmpfs", "a component has no file system"),
    accepted("shm_size", "a component has no file system"),
    accepted("storage_opt", "a component has no file system"),
    accepted("working_dir", "a component has no file system"),
    accepted("user", NO_USERS),
    accepted("group_add", NO_USERS),
    accepted("userns_mode", NO_USERS),
    accepted("cap_add", "a component has no privileges of the kernel, and needs none"),
    accepted("cap_drop", "a component has no privileges of the kernel to begin with"),
    accepted("security_opt", "a component is confined by its sandbox already"),
    accepted("cgroup", NO_HOST),
    accepted("cgroup_parent", NO_HOST),
    accepted("ipc", NO_HOST),
    accepted("pid", NO_HOST),
    accepted("uts", NO_HOST),
    accepted("runtime", "the runtime is the provider's; what it must keep apart is chosen with x-grange.isolation"),
    accepted("init", "a component has no processes to reap"),
    accepted("stop_signal", "a component gets no signals"),
    accepted("stop_grace_period", "requests that run are ended in the provider's own time"),
    accepted("stdin_open", NO_TERMINAL).agrees(&["false"]),
    accepted("tty", NO_TERMINAL).agrees(&["false"]),
    accepted("sysctls", NO_KERNEL),
    accepted("ulimits", NO_KERNEL).named(&ULIMIT),
    accepted("oom_kill_disable", MEMORY_LIMIT).agrees(&["false"]),
    accepted("oom_score_adj", MEMORY_LIMIT),
    accepted("mem_swappiness", MEMORY_LIMIT),
    accepted("memswap_limit", MEMORY_LIMIT),
    accepted("pids_limit", "a component has no processes to count"),
    accepted("cpu_count", CPU_LIMIT),
    accepted("cpu_percent", CPU_LIMIT),
    accepted("cpu_period", CPU_LIMIT),
    accepted("cpu_quota", CPU_LIMIT),
    accepted("cpu_rt_period", CPU_LIMIT),
    accepted("cpu_rt_runtime", CPU_LIMIT),
    accepted("cpu_shares", CPU_LIMIT),
    accepted("cpuset", CPU_LIMIT),
    accepted("blkio_config", NO_CONTAINERS).keys(&BLKIO),
];

static PORT: Level = Level {
    path: "services.*.ports",
    keys: &[
        honoured("target", "the port inside; it is only remembered").takes(Takes::Form("[0-9]+(-[0-9]+)?")),
        honoured("published", "remembered, with a warning: a gateway serves every app on its own port")
            .takes(Takes::Form("[0-9]+(-[0-9]+)?")),
        honoured("protocol", "`tcp`; any other is left out with a warning").takes(Takes::Text),
        honoured("app_protocol", "`http`, `https`, `http2` or `ws`; any other is left out with a warning")
            .takes(Takes::Text),
        honoured("host_ip", "an address of the host itself is refused, since the gateway would make it public")
            .takes(Takes::Text),
        accepted("mode", "the gateway always spreads requests over the replicas").agrees(&["ingress"]),
        accepted("name", "ports have no names here"),
    ],
};

static HEALTHCHECK: Level = Level {
    path: "services.*.healthcheck",
    keys: &[
        honoured(
            "test",
            "`[CMD, curl, …, URL]`, `[CMD-SHELL, …]` or a line with `curl` or `wget`; `[NONE]` for no check",
        )
        .takes(Takes::TextOrTexts),
        honoured("interval", "how often; 30s where it is missing").takes(Takes::Time),
        honoured("timeout", "how long an answer may take; 30s where it is missing").takes(Takes::Time),
        honoured("retries", "failures in a row before the replica counts as not serving; 3 where it is missing")
            .takes(Takes::Whole { least: 1, most: crate::limits::RETRIES }),
        honoured("disable", "no check").takes(Takes::Switch),
        accepted("start_period", "a component is ready when it is loaded"),
        accepted("start_interval", "a component is ready when it is loaded"),
    ],
};

static DEPENDENCY: Level = Level {
    path: "services.*.depends_on.*",
    keys: &[
        refused("condition", "a service never completes; wait for `service_started` or `service_healthy`")
            .agrees(&["service_started", "service_healthy"]),
        honoured("required", "`false` forgives that there is no such service").takes(Takes::Switch),
        accepted("restart", "a service is not started again because another was").agrees(&["false"]),
    ],
};

static EXTENDS: Level = Level {
    path: "services.*.extends",
    keys: &[
        honoured("service", "the name of the other service").takes(Takes::Text),
        honoured("file", "the file it is in, below the app's; without it the same file").takes(Takes::Text),
    ],
};

static SERVICE_MODEL: Level =
    Level { path: "services.*.models.*", keys: &[shared("endpoint_var"), shared("model_var")] };

static PROVIDER: Level = Level { path: "services.*.provider", keys: &[shared("type"), shared("options")] };

static PRE_START: Level = Level {
    path: "services.*.pre_start",
    keys: &[
        shared("command"),
        shared("image"),
        shared("user"),
        shared("privileged"),
        shared("working_dir"),
        shared("environment"),
        shared("per_replica"),
    ],
};

/// A command around a service's life; also in `develop`.
pub(super) static HOOK: Level = Level {
    path: "services.*.post_start, pre_stop",
    keys: &[shared("command"), shared("user"), shared("privileged"), shared("working_dir"), shared("environment")],
};

static DEVICE: Level =
    Level { path: "services.*.devices", keys: &[shared("source"), shared("target"), shared("permissions")] };

static CREDENTIAL: Level =
    Level { path: "services.*.credential_spec", keys: &[shared("config"), shared("file"), shared("registry")] };

static LOGGING: Level = Level { path: "services.*.logging", keys: &[shared("driver"), shared("options")] };

/// A limit of a process; also in `build`.
pub(super) static ULIMIT: Level = Level { path: "services.*.ulimits.*", keys: &[shared("hard"), shared("soft")] };

static BLKIO: Level = Level {
    path: "services.*.blkio_config",
    keys: &[
        shared("device_read_bps").keys(&BLKIO_RATE),
        shared("device_read_iops").keys(&BLKIO_RATE),
        shared("device_write_bps").keys(&BLKIO_RATE),
        shared("device_write_iops").keys(&BLKIO_RATE),
        shared("weight"),
        shared("weight_device").keys(&BLKIO_WEIGHT),
    ],
};

static BLKIO_RATE: Level = Level { path: "services.*.blkio_config.device_*", keys: &[shared("path"), shared("rate")] };

static BLKIO_WEIGHT: Level =
    Level { path: "services.*.blkio_config.weight_device", keys: &[shared("path"), shared("weight")] };
