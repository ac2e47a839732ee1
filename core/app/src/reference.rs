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

`core/app/schema/x-grange.json` is a JSON Schema of the two `x-grange` blocks for editors.

## Variables

`$NAME` and `${NAME}` in a value are replaced with the variable of the shell that runs `grange`; a variable that is
not set becomes nothing, with a warning. `$$` is one dollar. Keys are left alone.

| form | becomes |
|---|---|
| `${A:-word}`, `${A-word}` | the word when `A` is unset or empty; when it is unset |
| `${A:?word}`, `${A?word}` | a refusal that says the word when `A` is unset or empty; when it is unset |
| `${A:+word}`, `${A+word}` | the word when `A` is set and not empty; when it is set; else nothing |

Words may hold variables again. `COMPOSE_PROJECT_NAME` is the app's name.

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
