//! The API's own description is true: it cannot drift from the router, nor from the parsers.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::{Answer, TestRegistry};

/// The constants of all paths, as they are written.
const CONSTANTS: &str = include_str!("../../api/src/route.rs");
/// The router, as it is written.
const ROUTER: &str = include_str!("../../src/http.rs");
/// The path of all tools; the document has each tool by its name.
const TOOL: &str = "/mcp/tools/{tool}";
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

async fn document(registry: &TestRegistry) -> Value {
    registry.get("/openapi.json").await.ok()
}

/// Every operation of the document: method, path, and what is said about it.
fn operations(document: &Value) -> Vec<(String, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, operations)| {
        let operations = operations.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
    });
    operations.collect()
}

/// Sends a request with the examples of its operation.
async fn try_out(registry: &TestRegistry, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let target = path.replace("{id}", "my-agent-001");
    let request = Request::builder().method(method).uri(target).header("content-type", "application/json");
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    registry.send(request.body(body).unwrap()).await
}

fn strings(values: &Value) -> BTreeSet<String> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_example_does_what_it_says() {
    let document = document(&TestRegistry::start().await).await;
    let mut tried = 0;
    for (method, path, operation) in operations(&document) {
        let content = &operation["requestBody"]["content"]["application/json"];
        let examples = content["examples"].as_object().map(|examples| examples.values().collect::<Vec<_>>());
        let bodies =
            examples.map_or(vec![None], |all| all.iter().map(|example| Some(&example["value"])).collect());
        for body in bodies {
            let registry = TestRegistry::start().await;
            registry.register("my-agent-001", json!({})).await;
            registry.register("my-agent-002", json!({})).await;
            let answer = try_out(&registry, &method, path, body).await;
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
            let kind = answer.headers["content-type"].to_str().unwrap().split(';').next().unwrap().to_owned();
            let described = &operation["responses"]["200"]["content"];
            assert!(described.get(&kind).is_some(), "{method} {path} answers {kind}");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[tokio::test]
async fn methods_that_are_not_described_are_refused() {
    let registry = TestRegistry::start().await;
    let document = document(&registry).await;
    for (path, described) in document["paths"].as_object().unwrap() {
        let described = |method: &str| described.get(method.to_lowercase()).is_some();
        // Whoever answers GET answers HEAD.
        let takes = |method: &str| described(method) || (method == "HEAD" && described("GET"));
        let allowed = METHODS.into_iter().filter(|method| takes(method)).collect::<BTreeSet<_>>();
        for method in METHODS.into_iter().filter(|method| !takes(method)) {
            let answer = try_out(&registry, method, path, None).await;
            assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text);
            let told = answer.headers["allow"].to_str().unwrap().split(',').collect::<BTreeSet<_>>();
            assert_eq!(told, allowed, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_path_is_described_and_no_other() {
    let registry = TestRegistry::start().await;
    let document = document(&registry).await;
    let card = registry.get("/").await.ok();
    let constants = CONSTANTS.lines().filter(|line| line.starts_with("pub const "));
    let constants = constants.map(|line| line.split('"').nth(1).unwrap()).collect::<BTreeSet<_>>();
    assert!(constants.contains("/agents") && constants.contains(TOOL), "{constants:?}");
    let tools = strings(&card["tools"]).into_iter().map(|tool| TOOL.replace("{tool}", &tool));
    let expected = constants.into_iter().filter(|path| *path != TOOL).map(str::to_owned).chain(tools);
    let expected = expected.collect::<BTreeSet<_>>();
    let described = document["paths"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(described, expected);
    assert_eq!(strings(&card["routes"]), described);
    let routed = ROUTER.split(".route(").skip(1).collect::<Vec<_>>();
    assert!(routed.iter().all(|route| route.starts_with("route::")), "paths are constants: {routed:?}");
    assert!(routed.len() > 10, "{routed:?}");
}

#[tokio::test]
async fn every_query_parameter_is_described_and_no_other() {
    let registry = TestRegistry::start().await;
    let document = document(&registry).await;
    for path in ["/agents", "/capabilities"] {
        let fault = registry.get(&format!("{path}?qqqqqqqqqqqq=1")).await.error(400, "validation_failed");
        let known = fault.split("known are ").nth(1).unwrap().split(", ").collect::<Vec<_>>();
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        let described = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let described =
            described.map(|parameter| parameter["name"].as_str().unwrap()).collect::<BTreeSet<_>>();
        assert_eq!(described, known.into_iter().collect(), "{path}");
    }
}

/// Every value below `key`, wherever it stands.
fn all_below<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get(key));
            object.values().for_each(|value| all_below(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|value| all_below(value, key, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_refers_only_to_what_it_has() {
    let document = document(&TestRegistry::start().await).await;
    let mut references = Vec::new();
    all_below(&document, "$ref", &mut references);
    let missing = references.iter().filter_map(|path| path.as_str());
    let missing = missing.filter(|path| document.pointer(path.trim_start_matches('#')).is_none());
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
    let mut ids = Vec::new();
    all_below(&document["paths"], "operationId", &mut ids);
    let own = operations(&document)
        .iter()
        .map(|(.., operation)| operation["operationId"].clone())
        .collect::<Vec<_>>();
    let distinct = own.iter().map(Value::to_string).collect::<BTreeSet<_>>();
    assert_eq!(distinct.len(), own.len());
    assert!(ids.into_iter().all(|id| own.contains(id)), "links lead to operations");
    assert!(references.len() > 50 && document["openapi"] == "3.1.0");
}

#[tokio::test]
async fn the_page_shows_every_operation_and_needs_nothing_from_elsewhere() {
    let registry = TestRegistry::start().await;
    let document = document(&registry).await;
    let request = Request::get("/docs").header("host", "mesh.example:81").body(Body::empty()).unwrap();
    let page = registry.send(request).await;
    assert_eq!(page.headers["content-security-policy"], "default-src 'none'; style-src 'unsafe-inline'");
    for (method, path, operation) in operations(&document) {
        assert!(page.text.contains(&format!("<code>{method} {path}</code>")), "{method} {path}");
        assert!(page.text.contains(&format!("id={}", operation["operationId"])), "{operation}");
    }
    assert!(page.text.contains("curl &#39;http://mesh.example:81/agents?"), "{}", page.text);
    let links = page.text.split(" href=").skip(1).map(|rest| &rest[..2]);
    assert!(links.clone().all(|link| matches!(link, "\"#" | "\"/")) && links.count() > 50);
    assert!(!page.text.contains("<script") && !page.text.contains(" src="));
    let hostile = Request::get("/docs").header("host", "<b>").body(Body::empty()).unwrap();
    assert!(!registry.send(hostile).await.text.contains("<b>"));
}
