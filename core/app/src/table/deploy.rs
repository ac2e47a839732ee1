//! The keys of `deploy`.

use super::{Key, Level, Takes, accepted, honoured, refused, shared};

/// `deploy`.
pub(super) static DEPLOY: Level = Level { path: "services.*.deploy", keys: DEPLOY_KEYS };

const DEPLOY_KEYS: &[Key] = &[
    honoured("replicas", "how many of the service, 1 to 32; 1 where it is missing")
        .takes(Takes::Whole { least: 1, most: grange_types::limits::REPLICAS }),
    honoured("resources", "what each replica may use").takes(Takes::Mapping).keys(&RESOURCES),
    refused("mode", "a service has a number of replicas, not one on each node or one that completes; use `replicated`")
        .agrees(&["replicated"]),
    refused("placement", "there is no swarm of nodes to choose from; use x-grange.region and x-grange.on")
        .keys(&PLACEMENT),
    accepted("endpoint_mode", "the gateway spreads requests over the replicas"),
    accepted("labels", "labels are not kept in this version"),
    accepted("restart_policy", "a service that stops is always started again").keys(&RESTART),
    accepted("update_config", "a new revision replaces all replicas of its service at once").keys(&UPDATE),
    accepted("rollback_config", "a deployment goes back by deploying the earlier file").keys(&UPDATE),
];

static RESOURCES: Level = Level {
    path: "services.*.deploy.resources",
    keys: &[
        honoured("limits", "what one replica may use, and what is paid for").takes(Takes::Mapping).keys(&LIMITS),
        honoured("reservations", "what one replica may use, where there is no limit")
            .takes(Takes::Mapping)
            .keys(&RESERVATIONS),
    ],
};

static LIMITS: Level = Level {
    path: "services.*.deploy.resources.limits",
    keys: &[
        honoured("cpus", "processors, such as `0.25`; 0.25 where it is missing").takes(Takes::Processors),
        honoured("memory", "memory, such as `64M` or `1.5g`; 64M where it is missing").takes(Takes::Size),
        accepted("pids", "a component has no processes to count"),
    ],
};

static RESERVATIONS: Level = Level {
    path: "services.*.deploy.resources.reservations",
    keys: &[
        honoured("cpus", "processors, where `limits` says nothing").takes(Takes::Processors),
        honoured("memory", "memory, where `limits` says nothing").takes(Takes::Size),
        refused("devices", "a component reaches no device of its host; remove the key").keys(&DEVICES),
        refused("generic_resources", "only processors and memory are sold in this version; remove the key")
            .keys(&GENERIC),
    ],
};

/// Devices asked for; also `gpus`.
pub(super) static DEVICES: Level = Level {
    path: "services.*.gpus, deploy.resources.reservations.devices",
    keys: &[shared("capabilities"), shared("count"), shared("device_ids"), shared("driver"), shared("options")],
};

static GENERIC: Level = Level {
    path: "services.*.deploy.resources.reservations.generic_resources",
    keys: &[shared("discrete_resource_spec").keys(&DISCRETE)],
};

static DISCRETE: Level = Level {
    path: "services.*.deploy.resources.reservations.generic_resources.discrete_resource_spec",
    keys: &[shared("kind"), shared("value")],
};

static PLACEMENT: Level = Level {
    path: "services.*.deploy.placement",
    keys: &[shared("constraints"), shared("preferences").keys(&PREFERENCE), shared("max_replicas_per_node")],
};

static PREFERENCE: Level = Level { path: "services.*.deploy.placement.preferences", keys: &[shared("spread")] };

static RESTART: Level = Level {
    path: "services.*.deploy.restart_policy",
    keys: &[shared("condition"), shared("delay"), shared("max_attempts"), shared("window")],
};

static UPDATE: Level = Level {
    path: "services.*.deploy.update_config, rollback_config",
    keys: &[
        shared("parallelism"),
        shared("delay"),
        shared("failure_action"),
        shared("monitor"),
        shared("max_failure_ratio"),
        shared("order"),
    ],
};
