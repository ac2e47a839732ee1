//! The keys of the file itself, and of what it declares beside services.

use super::{Key, Level, SERVICE, Takes, accepted, honoured, shared};
use crate::table::grange::GRANGE_TOP;

/// The file.
pub(crate) static TOP: Level = Level { path: "the file", keys: TOP_KEYS };

const TOP_KEYS: &[Key] = &[
    honoured("name", "the name the app is served under, unless `x-grange` has one").takes(Takes::Text),
    honoured("services", "the services by name: letters, digits, `.`, `_` and `-`").takes(Takes::Services).named(&SERVICE),
    honoured("x-grange", "what compose has no words for").takes(Takes::Mapping).keys(&GRANGE_TOP),
    accepted("version", "the specification no longer has versions"),
    accepted("networks", "services have no networks of their own in this version; each is reached by its route")
        .named(&NETWORK),
    accepted("volumes", "no volume is made in this version; a service that mounts one is refused").named(&VOLUME),
    accepted("configs", "no config is made in this version; a service that uses one is refused").named(&CONFIG),
    accepted(
        "secrets",
        "no secret is read or sent in this version, since a manifest is no place to keep one; a service that uses one is refused",
    )
    .named(&SECRET),
    accepted("models", "no model is served in this version; a service that uses one is refused").named(&MODEL),
    honoured(
        "include",
        "apps in other files below this one, as paths or mappings; their services, networks, volumes, configs, secrets \
         and models become this one's, each under a name that only one of them has",
    ).takes(Takes::Items)
    .keys(&INCLUDE),
];

static INCLUDE: Level = Level {
    path: "include",
    keys: &[
        honoured("path", "the file, or a list of files laid over each other").takes(Takes::TextOrTexts),
        honoured(
            "env_file",
            "files of variables for it; without one `.env` in its folder. A variable that this file has wins",
        )
        .takes(Takes::TextOrTexts),
        honoured("project_directory", "where its relative paths start; without it at its own folder")
            .takes(Takes::Text),
    ],
};

static NETWORK: Level = Level {
    path: "networks.*",
    keys: &[
        shared("name"),
        shared("driver"),
        shared("driver_opts"),
        shared("ipam").keys(&IPAM),
        shared("external").keys(&EXTERNAL),
        shared("internal"),
        shared("enable_ipv4"),
        shared("enable_ipv6"),
        shared("attachable"),
        shared("labels"),
    ],
};

static IPAM: Level = Level {
    path: "networks.*.ipam",
    keys: &[shared("driver"), shared("config").keys(&IPAM_CONFIG), shared("options")],
};

static IPAM_CONFIG: Level = Level {
    path: "networks.*.ipam.config",
    keys: &[shared("subnet"), shared("ip_range"), shared("gateway"), shared("aux_addresses")],
};

static EXTERNAL: Level = Level { path: "*.external", keys: &[shared("name")] };

static VOLUME: Level = Level {
    path: "volumes.*",
    keys: &[
        shared("name"),
        shared("driver"),
        shared("driver_opts"),
        shared("external").keys(&EXTERNAL),
        shared("labels"),
    ],
};

static CONFIG: Level = Level {
    path: "configs.*",
    keys: &[
        shared("name"),
        shared("content"),
        shared("environment"),
        shared("file"),
        shared("external").keys(&EXTERNAL),
        shared("labels"),
        shared("template_driver"),
    ],
};

static SECRET: Level = Level {
    path: "secrets.*",
    keys: &[
        shared("name"),
        shared("environment"),
        shared("file"),
        shared("external").keys(&EXTERNAL),
        shared("labels"),
        shared("driver"),
        shared("driver_opts"),
        shared("template_driver"),
    ],
};

static MODEL: Level = Level {
    path: "models.*",
    keys: &[shared("name"), shared("model"), shared("context_size"), shared("runtime_flags")],
};
