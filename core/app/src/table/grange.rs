//! Our own keys: `x-grange` at the top and at a service.

use super::{Key, Level, honoured};

/// `x-grange` at the top of the file.
pub(crate) static GRANGE_TOP: Level = Level {
    path: "x-grange",
    keys: &[
        honoured("name", "the name the app is served under, a DNS label; wins over the file's `name`"),
        honoured("budget", "the most the deployment may ever cost, in credits, such as `12.5`; 10 where it is missing"),
    ],
};

/// `x-grange` at a service.
pub(crate) static GRANGE_SERVICE: Level = Level { path: "services.*.x-grange", keys: SERVICE_KEYS };

const SERVICE_KEYS: &[Key] = &[
    honoured("wasm", "the wasm component to run, a file beside or below the compose file"),
    honoured("site", "the folder of files to serve, below the compose file"),
    honoured(
        "route",
        "the path prefix that the gateway sends to this service, such as `/api`. Where no service says `/`, it goes \
         to the one service with `ports`, else to the only service, else to the first site",
    ),
    honoured(
        "allow_http",
        "hosts that the component may call over HTTP, each with an optional `:port`; none where it is missing",
    ),
    honoured("price_max", "the most that one replica may cost per hour, in credits"),
    honoured("region", "where it may run; `eu` takes `eu-be-ghent` in"),
    honoured("isolation", "the weakest isolation accepted: `wasm`, `container` or `vm`; `wasm` where it is missing"),
    honoured(
        "on",
        "whose capacity to use: `market` (others', one's own only when there is no other; the default), `own`, or \
         `own-first`",
    ),
];
