//! Our own keys: `x-grange` at the top and at a service.

use super::{Key, Level, Takes, honoured};

/// `x-grange` at the top of the file.
pub(crate) static GRANGE_TOP: Level = Level {
    path: "x-grange",
    keys: &[
        honoured("name", "the name the app is served under, a DNS label; wins over the file's `name`")
            .takes(Takes::Form("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")),
        honoured(
            "budget",
            "the most the deployment may ever cost, in credits, such as `12.5`; 10 where it is missing; a lower \
             one gives nothing back before `grange down`; 0 only where \
             every service is `on: own`",
        )
        .takes(Takes::Amount),
    ],
};

/// `x-grange` at a service.
pub(crate) static GRANGE_SERVICE: Level = Level { path: "services.*.x-grange", keys: SERVICE_KEYS };

const SERVICE_KEYS: &[Key] = &[
    honoured("wasm", "the wasm component to run, a file beside or below the compose file").takes(Takes::Text),
    honoured("site", "the folder of files to serve, below the compose file").takes(Takes::Text),
    honoured(
        "route",
        "the path prefix that the gateway sends to this service, such as `/api`. A component sees the whole path; of a \
         site with the route `/docs`, `index.html` is at `/docs/`. Where no service says `/`, it goes \
         to the one service with `ports`, else to the only service, else to the first site",
    )
    .takes(Takes::Form("/.*")),
    honoured(
        "allow_http",
        "hosts that the component may call over HTTP, each with an optional `:port`; none where it is missing",
    )
    .takes(Takes::Texts),
    honoured("price_max", "the most that one replica may cost per hour, in credits").takes(Takes::Amount),
    honoured("region", "where it may run; `eu` takes `eu-be-ghent` in").takes(Takes::Form("[a-z0-9-]{1,63}")),
    honoured("isolation", "the weakest isolation accepted: `wasm`, `container` or `vm`; `wasm` where it is missing")
        .takes(Takes::Word(&["wasm", "container", "vm"])),
    honoured(
        "trust_min",
        "the least measured trust in a provider, from 0 to 100, as `grange offers` shows it; one's own capacity needs none",
    )
    .takes(Takes::Whole { least: 0, most: 100 }),
    honoured(
        "on",
        "whose capacity to use: `market` (others', one's own only when there is no other; the default), `own`, or \
         `own-first`",
    )
    .takes(Takes::Word(&["market", "own", "own-first"])),
];
