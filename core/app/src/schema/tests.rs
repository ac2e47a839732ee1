//! The schema against the reader: whatever the reader takes, the schema takes, and keys that it refuses the schema
//! refuses, by a validator that is not ours.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::finding::Findings;
use crate::yaml::{self, Node, Room};
use crate::{Severity, Source, read};

struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    fn new() -> Self {
        let schema: Value = serde_json::from_str(&super::schema()).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("compose.schema.json", schema).unwrap();
        let index = compiler.compile("compose.schema.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn fault(&self, file: &Value) -> Option<String> {
        self.schemas.validate(file, self.index).err().map(|error| format!("{error:#}"))
    }
}

/// What an editor makes of a value of YAML: aliases and merges written out, plain words as what they look like.
fn value(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Nothing | yaml::Value::Broken => Value::Null,
        yaml::Value::List(list) => list.iter().map(value).collect(),
        yaml::Value::Map(map) => map.entries.iter().map(|entry| (entry.key.clone(), value(&entry.node))).collect(),
        yaml::Value::Text(text) => match text.text.as_str() {
            "true" => json!(true),
            "false" => json!(false),
            text => {
                let number =
                    text.parse::<f64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
                number.and_then(|_| serde_json::from_str(text).ok()).unwrap_or_else(|| json!(text))
            }
        },
    }
}

fn tree(text: &str) -> Option<Value> {
    let map = yaml::parse(text, 0, &mut Room::default(), &mut Findings::default())?;
    Some(map.entries.iter().map(|entry| (entry.key.clone(), value(&entry.node))).collect())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Every file of YAML below a folder.
fn files(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            found.push((path.clone(), fs::read_to_string(path).unwrap()));
        }
    }
}

/// Whether a finding is about a key that is not known or not allowed where it stands.
fn about_a_key(message: &str) -> bool {
    message.starts_with("unknown key") || message.starts_with("containers are not in this version")
}

#[test]
fn what_the_reader_takes_the_schema_takes_and_wrong_keys_neither() {
    let validator = Validator::new();
    let variables: BTreeMap<String, String> =
        [("BUDGET", "2.5"), ("REPLICAS", "4"), ("SET", "set")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    let mut all = Vec::new();
    files(&folder("tests/corpus"), &mut all);
    files(&folder("tests/official"), &mut all);
    let (mut taken, mut refused) = (0, 0);
    for (path, text) in &all {
        let Some(tree) = tree(text) else { continue };
        let fault = validator.fault(&tree);
        match read(&Source { file: "compose.yaml", text }, &variables) {
            Ok(_) => {
                taken += 1;
                assert!(fault.is_none(), "{}: {}", path.display(), fault.unwrap_or_default());
            }
            Err(findings) => {
                let mut errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
                if errors.any(|finding| about_a_key(&finding.message)) {
                    refused += 1;
                    assert!(fault.is_some(), "{} is taken", path.display());
                }
            }
        }
    }
    assert!(taken >= 15 && refused >= 30, "{taken} files were taken and {refused} refused");
}

#[test]
fn examples_templates_and_the_book_are_taken() {
    let validator = Validator::new();
    let mut all = Vec::new();
    files(&folder("../../examples"), &mut all);
    files(&folder("../../cli/template"), &mut all);
    let mut pages = vec![folder("../../docs/src"), folder("../../README.md")];
    let mut examples = 0;
    while let Some(page) = pages.pop() {
        if page.is_dir() {
            pages.extend(fs::read_dir(page).unwrap().map(|entry| entry.unwrap().path()));
        } else if page.extension().is_some_and(|ending| ending == "md") {
            let text = fs::read_to_string(&page).unwrap();
            for example in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
                examples += 1;
                all.push((page.clone(), example.to_owned()));
            }
        }
    }
    assert!(examples >= 2 && all.len() >= 5, "{examples} examples, {} files", all.len());
    for (path, text) in all {
        // A template has no name yet.
        let tree = tree(&text.replace("@NAME@", "app")).unwrap_or_else(|| panic!("{} is no YAML", path.display()));
        assert_eq!(validator.fault(&tree), None, "{}", path.display());
    }
}

#[test]
fn editors_are_told_what_is_wrong_with_a_value() {
    let validator = Validator::new();
    let service = |service: Value| json!({ "services": { "web": service } });
    for wrong in [
        json!({ "servces": {} }),
        json!({ "x-grange": { "budget": "much" } }),
        json!({ "x-grange": { "budgets": 1 } }),
        json!({ "services": [] }),
        json!({ "services": { "a b": {} } }),
        json!({ "networks": { "net": { "x-grange": {} } } }),
        service(json!({ "image": "nginx" })),
        service(json!({ "x-grange": { "wasm": "a", "site": "b" } })),
        service(json!({ "x-grange": { "on": "moon" } })),
        service(json!({ "x-grange": { "route": "api" } })),
        service(json!({ "privileged": true })),
        service(json!({ "scale": 0 })),
        service(json!({ "scale": 33 })),
        service(json!({ "mem_limit": "much" })),
        service(json!({ "healthcheck": { "interval": "soon" } })),
        service(json!({ "healthcheck": { "disable": "maybe" } })),
        service(json!({ "ports": "80" })),
        service(json!({ "ports": [{ "targt": 80 }] })),
        service(json!({ "depends_on": { "b": { "required": "perhaps" } } })),
        service(json!({ "environment": { "A": {} } })),
        service(json!({ "env_file": [{ "pth": "a" }] })),
        service(json!({ "extends": { "services": "a" } })),
        service(json!({ "profiles": "a" })),
        service(json!({ "networks": { "net": { "aliass": [] } } })),
    ] {
        assert!(validator.fault(&wrong).is_some(), "{wrong} is taken");
    }
    for right in [
        json!({}),
        json!({ "include": ["a.yaml", { "path": ["b.yaml"], "env_file": ".env" }] }),
        service(Value::Null),
        service(json!({ "privileged": false, "isolation": "DEFAULT", "image": null })),
        service(json!({ "scale": "$REPLICAS", "mem_limit": 1_048_576, "cpus": 0.5 })),
        service(json!({ "x-mine": [1], "x-grange": { "x-note": 1, "wasm": "a", "on": "${ON}" } })),
        service(json!({ "extends": "base", "env_file": ["a", { "path": "b", "format": "raw" }] })),
    ] {
        assert_eq!(validator.fault(&right), None, "{right}");
    }
}
