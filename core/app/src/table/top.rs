//! The keys of the file itself, and of what it declares beside services.

use super::{Key, Level, SERVICE, Takes, accepted, honoured, refused, shared};
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
    honoured("configs", "contents by name, for services that use them").takes(Takes::Named).named(&CONFIG),
    honoured(
        "secrets",
        "secrets by name, for services that use them; each is sealed before it leaves this machine's node, and opened where the service runs",
    )
    .takes(Takes::Named)
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
        honoured("file", "the file with its content, at most 128 KiB").takes(Takes::Text),
        honoured("environment", "the variable with its content").takes(Takes::Text),
        honoured("content", "its content").takes(Takes::Text),
        accepted("name", LOOKED_UP),
        refused("external", OUTSIDE).agrees(&["false"]).keys(&EXTERNAL),
        accepted("labels", "labels are not kept in this version"),
        refused("template_driver", "contents are taken as they are; put variables into `content`"),
    ],
};

static SECRET: Level = Level {
    path: "secrets.*",
    keys: &[
        honoured("file", "the file with its value, at most 64 KiB").takes(Takes::Text),
        honoured("environment", "the variable with its value").takes(Takes::Text),
        accepted("name", LOOKED_UP),
        refused("external", OUTSIDE).agrees(&["false"]).keys(&EXTERNAL),
        accepted("labels", "labels are not kept in this version"),
        refused("driver", OUTSIDE),
        accepted("driver_opts", "no driver makes a secret"),
        refused("template_driver", "values are taken as they are; remove the key"),
    ],
};

const LOOKED_UP: &str = "nothing is looked up by a name outside";
const OUTSIDE: &str = "there is no store outside to take it from; give it a `file` or `environment`";

static MODEL: Level = Level {
    path: "models.*",
    keys: &[shared("name"), shared("model"), shared("context_size"), shared("runtime_flags")],
};
