//! Prints the table of keys for people: the book's page about compose files.

use crate::table::{Inner, Key, Level, TOP, Verdict};

const HEAD: &str = r##"# Compose files

<!-- Printed from the reader's own table by `cargo run -p grange-app --example compose_reference`; a test compares. -->

An app is an ordinary compose file with an `x-grange` block that says what compose has no words for. This page
lists every key of the compose specification, and what Grange does with it:

- **honoured**: it does what it says;
- **warning**: the file is deployed, the key has no effect, and `grange validate` says so;
- **refused**: the file is not deployed. A key is refused when leaving it out would lose data, open what you wanted
  closed, or run something other than what is written.

A key that is not listed is refused, and the nearest one that is gets named. Keys that start with `x-` are left
alone, except `x-grange`. Findings print as `FILE:LINE:COLUMN: message`, columns counted in characters.

A file for a static front page and a component that answers below `/entries`:

```yaml
name: guestbook
x-grange:
  budget: 10
services:
  web:
    x-grange: { site: ./public }
  api:
    x-grange: { wasm: ./guestbook.wasm, route: /entries }
    deploy:
      replicas: 2
      resources:
        limits: { cpus: "0.5", memory: 128M }
    depends_on: [web]
```

## Editors

`grange compose schema` prints a JSON Schema of all this; it is also the file `x-grange.schema.json` beside this page.
An editor with the YAML language server completes keys and marks wrong ones once a compose file begins with

```text
# yaml-language-server: $schema=./compose.schema.json
```

where `compose.schema.json` is what `grange compose schema > compose.schema.json` wrote. `grange init` does both.
The schema takes every file that Grange takes; what only Grange can judge, such as whether a path is there, it
leaves to `grange validate`.

## Several files

Files are laid over each other: `grange deploy -f compose.yaml -f production.yaml`. Without `-f`, a
`compose.override.yaml` beside a folder's `compose.yaml` is laid over it. `extends` lays a service over a copy of another,
by the same rules:

| what | becomes |
|---|---|
| two mappings | one with the keys of both |
| two lists | both, each text once |
| `command`, `entrypoint`, a health check's `test`, any single value | the upper one |
| `ports`, `volumes`, `configs`, `secrets` of a service | both; of two entries for one port or target the upper one |
| `environment`, `depends_on`, `networks` of a service | mappings, also where they are written as lists |

`!reset` before a value takes it away, `!override` puts it in the other's place as it is. `include` adds the services,
networks, volumes, configs, secrets and models of another file, which is read by itself first: with `.env` of its own
folder as defaults of its variables. Its names must not be those of this file; its `x-grange` at the top has no effect.

In each file `extends` is resolved first, then files are laid over each other, then `include` adds to the whole. A path
starts at the file that holds it. Only files below the folder of the first file are read, and never through a link that
leads out of it: at most 64 of them with 2 MiB together, `include` at most 8 deep and `extends` 16. Circles are refused.
A finding names the file that holds the mistake.

## Profiles

A service with `profiles` is left out unless one of them is active: `--profile NAME`, which can be given again; without it
those of the variable `COMPOSE_PROFILES`, separated by commas. `*` is all. What is left out is not looked at any further. A
service that waits for one that is left out is refused, unless it says `required: false`. A `--profile` that no service has
is warned of.

## Configs and secrets

A component finds them as files, which it can read and nothing can write: a config at `/NAME`, a secret at
`/run/secrets/NAME`, or where `target` says. A component without any finds no folder at all; a site has no use for them.
A service has at most 64, a config at most 128 KiB, a secret 64, and all of an app's fit the manifest's 512.

A config stands in the manifest in clear. A secret is handed to your own node, which seals it under the deployment's key;
what leaves the node is sealed. The key is in shares at the deployment's stewards, two of which make it, and is given only
to your own nodes and to whoever holds the service's lease, by their own ledger: it opens the secret in memory, and no disk holds it in clear. So
a service keeps its secrets when it is placed anew, also while your node is off. Whoever runs the service can read what it
reads, and has the key from then on; two stewards together could make it. A changed value is a new version of the service:
`deploy` again replaces it. What is sealed shows how long it is, and whether it is the same as before.

A file or variable that is not there, a name that is not declared, and what would come from outside are refused. A
config or secret that is empty is kept as it is, as Compose does, with a warning.

## Variables

`$NAME` and `${NAME}` in a value are replaced with the variable of the shell that runs `grange`, else with that of `.env`
beside the file; a variable that is not set becomes nothing, with a warning. `$$` is one dollar. Keys are left alone.

| form | becomes |
|---|---|
| `${A:-word}`, `${A-word}` | the word when `A` is unset or empty; when it is unset |
| `${A:?word}`, `${A?word}` | a refusal that says the word when `A` is unset or empty; when it is unset |
| `${A:+word}`, `${A+word}` | the word when `A` is set and not empty; when it is set; else nothing |

Words may hold variables again. `COMPOSE_PROJECT_NAME` is the app's name.

A file of variables (`.env`, `env_file`) has one `NAME=value` a line, and comments behind `#`. A value in single quotes is
taken as it is; in others `$NAME` is replaced, by the shell's variables and those of lines above.

## Fragments

Anchors (`&name`), aliases (`*name`) and merge keys (`<<: *name`, `<<: [*a, *b]`) work as in YAML: written keys win
over merged ones, earlier mappings over later ones. A key may appear once in a mapping.

## Where nothing is written

One replica, a quarter of a processor, 64 MiB of memory, no disk, a budget of 10 credits, capacity of the market, any
region. A health check asks every 30 s, waits 30 s, and gives up after 3 failures.

Whoever pays for a service also asks it by itself, about once a second: for the path of its health check, else for that of
its route. Only time in which it answers is paid for. These requests are not on the bill.
"##;

/// The reference of compose files, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(HEAD);
    let mut printed = Vec::new();
    level(&TOP, &mut printed, &mut page);
    page
}

fn level(current: &'static Level, printed: &mut Vec<&'static str>, page: &mut String) {
    if printed.contains(&current.path) {
        return;
    }
    printed.push(current.path);
    let heading = if current.path == TOP.path { "The file".to_owned() } else { format!("`{}`", current.path) };
    page.push_str(&format!("\n## {heading}\n\n"));
    if current.keys.iter().all(|key| matches!(key.verdict, Verdict::Shared)) {
        let names: Vec<String> = current.keys.iter().map(|key| format!("`{}`", key.name)).collect();
        page.push_str(&format!("{}: as the key above them.\n", names.join(", ")));
    } else {
        page.push_str("| key | | |\n|---|---|---|\n");
        current.keys.iter().for_each(|key| row(key, page));
    }
    for key in current.keys {
        if let Inner::Keys(inner) | Inner::Named(inner) = key.inner {
            level(inner, printed, page);
        }
    }
}

fn row(key: &Key, page: &mut String) {
    let (verdict, text) = match key.verdict {
        Verdict::Honoured(text) => ("honoured", text),
        Verdict::Accepted(text) => ("warning", text),
        Verdict::Refused(text) => ("refused", text),
        Verdict::Shared => ("", "as the key above it"),
    };
    let words: Vec<String> = key.agrees.iter().map(|word| format!("`{word}`")).collect();
    let agrees = match words.as_slice() {
        [] => String::new(),
        [word] => format!("; {word} passes"),
        words => format!("; {} pass", words.join(" and ")),
    };
    page.push_str(&format!("| `{}` | {verdict} | {text}{agrees} |\n", key.name));
}
