//! The printed document: committed, whole, and about every operation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use grange_api::{Answering, Operation, Sending, openapi, openapi_json};
use serde_json::Value;

fn document() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

#[test]
fn the_committed_document_is_the_printed_one() {
    let committed = include_str!("../../../openapi/grange.json");
    assert!(committed == openapi_json(), "openapi/grange.json is out of date; print it with `cargo xtask openapi`");
}

#[test]
fn every_operation_is_documented_once_and_nothing_else() {
    let document = document();
    let mut documented = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            documented.push((id, method.to_uppercase(), path.clone()));
        }
    }
    let mut expected: Vec<_> = Operation::ALL
        .iter()
        .map(|operation| (operation.id(), operation.endpoint()))
        .map(|(id, endpoint)| (id.to_owned(), endpoint.method.as_str().to_owned(), endpoint.path.to_owned()))
        .collect();
    for path in ["healthz", "readyz", "metrics"] {
        expected.push((path.to_owned(), "GET".to_owned(), format!("/{path}")));
    }
    documented.sort();
    expected.sort();
    assert_eq!(documented, expected);
}

#[test]
fn every_operation_says_its_parameters_its_body_its_answer_and_its_failure() {
    let document = document();
    for operation in Operation::ALL {
        let endpoint = operation.endpoint();
        let described = &document["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()];
        let parameters: BTreeSet<_> =
            described["parameters"].as_array().into_iter().flatten().map(|it| it["name"].as_str().unwrap()).collect();
        let expected = endpoint.path_parameters().chain(endpoint.query.iter().map(|(name, _)| *name)).collect();
        assert_eq!(parameters, expected, "{operation:?}");
        assert_eq!(described["requestBody"].is_null(), endpoint.sending == Sending::Nothing, "{operation:?}");
        let content = &described["responses"]["200"]["content"];
        assert_eq!(content.is_null(), endpoint.answering == Answering::Headers, "{operation:?}");
        let problem = &described["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem", "{operation:?}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    let schemas: BTreeSet<_> = document["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
    let named: BTreeSet<_> =
        references.iter().map(|it| it.strip_prefix("#/components/schemas/").unwrap().to_owned()).collect();
    assert_eq!(named, schemas);
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                references.insert(reference.to_owned());
            }
            object.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[test]
fn requests_refuse_additional_properties_and_all_but_the_open_paths_need_the_token() {
    let document = document();
    for name in ["ManifestRequest", "ManifestBody", "ServiceBody", "TransferRequest", "InviteRequest", "PriceSettings"]
    {
        assert_eq!(document["components"]["schemas"][name]["additionalProperties"], false, "{name}");
    }
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(document["security"], serde_json::json!([{"token": []}]));
    assert_eq!(document["paths"]["/healthz"]["get"]["security"], serde_json::json!([{}]));
    assert!(document["paths"]["/v1/status"]["get"]["security"].is_null());
}
