//! Requests that cannot be carried out are told so in words, in one shape, and never by a crash.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::Request;
use mesh_registry::config::Config;
use serde_json::{Map, Value, json};

use crate::harness::{Answer, TestRegistry};

const DOCUMENT_ROUTES: [&str; 2] = ["/agents", "/heartbeat"];

async fn post_raw(
    registry: &TestRegistry,
    target: &str,
    content_type: &str,
    body: impl Into<Body>,
) -> Answer {
    let request = Request::post(target).header("content-type", content_type).body(body.into()).unwrap();
    registry.send(request).await
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused_in_words() {
    let registry = TestRegistry::start().await;
    let deep = "[".repeat(100_000);
    for target in DOCUMENT_ROUTES {
        for (body, said) in [
            (Vec::new(), "empty"),
            (b"  ".to_vec(), "empty"),
            (b"{\"id\": ".to_vec(), "not valid JSON"),
            (b"{} {}".to_vec(), "not valid JSON"),
            (vec![b'"', 0xff, b'"'], "not UTF-8"),
            (deep.clone().into_bytes(), "recursion limit"),
        ] {
            let answer = post_raw(&registry, target, "application/json", body).await;
            let message = answer.error(400, "malformed_body");
            assert!(message.contains(said), "{said} in {message}");
        }
    }
}

#[tokio::test]
async fn json_of_the_wrong_kind_is_refused_in_words() {
    let registry = TestRegistry::start().await;
    for body in ["[]", "null", "7", "\"text\"", "true"] {
        let answer = post_raw(&registry, "/agents", "application/json", body).await;
        assert!(answer.error(400, "validation_failed").contains("must be an object"), "{body}");
    }
    let nested = json!({"registration_data": [1]});
    let message = registry.post("/mcp/tools/register_agent", &nested).await.error(400, "validation_failed");
    assert!(message.contains("must be an object"), "{message}");
    let message =
        registry.post("/mcp/tools/register_agent", &json!({})).await.error(400, "validation_failed");
    assert_eq!(message, "Validation failed: 'registration_data' field is required");
    let message = registry.post("/mcp/tools/heartbeat", &json!([])).await.error(400, "validation_failed");
    assert!(message.contains("must be an object"), "{message}");
}

#[tokio::test]
async fn every_fault_of_a_document_is_listed_with_its_path() {
    let registry = TestRegistry::start().await;
    let document = json!({"id": "a b", "endpoint": "nowhere", "capabilities": [{"version": "1"}]});
    let answer = registry.post("/agents", &document).await;
    let message = answer.error(400, "validation_failed");
    assert!(message.starts_with("Validation failed: "), "{message}");
    let faults = answer.json()["faults"].clone();
    let paths =
        faults.as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(paths, ["id", "endpoint", "capabilities[0].name", "capabilities[0].version"]);
}

#[tokio::test]
async fn an_answer_about_very_many_faults_stays_short() {
    let registry = TestRegistry::start().await;
    let many = |key: &str| -> Value {
        (0..40_000).map(|i| (format!("{key}{i}"), json!(""))).collect::<Map<_, _>>().into()
    };
    let registered =
        registry.post("/agents", &json!({"id": "a", "endpoint": "http://h:1/", "labels": many("-")})).await;
    registered.error(400, "validation_failed");
    let found = registry.post("/mcp/tools/discover_services", &many("q")).await;
    found.error(400, "validation_failed");
    assert!(registered.text.len() < 100_000 && found.text.len() < 100_000);
    let mut document = many("key");
    (document["id"], document["endpoint"]) = (json!("a"), json!("http://h:1/"));
    let warned = registry.post("/agents", &document).await.ok();
    assert_eq!(warned["warnings"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn an_answer_about_very_long_names_stays_short() {
    let registry = TestRegistry::start().await;
    let long = "x".repeat(30_000);
    let document = |key: &str, value: Value| {
        let mut document = json!({"id": "a", "endpoint": "http://h:1/"});
        document[key] = value;
        document
    };
    let warned = registry.post("/agents", &document(&long, json!(1))).await;
    assert!(warned.ok()["warnings"][0].as_str().unwrap().starts_with("'xxx"), "{}", warned.text);
    let filters = Value::Object(Map::from_iter([(long.clone(), json!({}))]));
    for (answer, status, code) in [
        (warned, 200, ""),
        (registry.post("/agents", &document("labels", json!({&long: ""}))).await, 400, "validation_failed"),
        (registry.post("/mcp/tools/discover_services", &filters).await, 400, "validation_failed"),
        (registry.get(&format!("/agents?{long}=1")).await, 400, "validation_failed"),
        (registry.get(&format!("/agents/{long}")).await, 404, "agent_not_found"),
        (registry.delete(&format!("/agents/{long}")).await, 404, "agent_not_found"),
        (registry.get(&format!("/health/{long}")).await, 404, "agent_not_found"),
        (registry.post(&format!("/mcp/tools/{long}"), &json!({})).await, 404, "unknown_tool"),
        (registry.get(&format!("/{long}")).await, 404, "route_not_found"),
    ] {
        if !code.is_empty() {
            answer.error(status, code);
        }
        assert!(answer.text.len() < 3_000, "{code}: {} bytes", answer.text.len());
    }
    let longest = "x".repeat(253);
    let message = registry.get(&format!("/agents/{longest}")).await.error(404, "agent_not_found");
    assert_eq!(message, format!("Agent {longest} not found"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let registry = TestRegistry::with(Config { max_document_bytes: 1_000, ..Config::default() }).await;
    let document = json!({"id": "a", "endpoint": "http://h:1/", "config": {"x": "y".repeat(1_000)}});
    let message = registry.post("/agents", &document).await.error(413, "payload_too_large");
    assert!(message.contains("1000 bytes"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_waited_for_only_so_long() {
    let registry = TestRegistry::start().await;
    let silence = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
    let answer = post_raw(&registry, "/agents", "application/json", silence).await;
    assert!(answer.error(408, "malformed_body").contains("within 10 s"));
    assert_eq!(registry.get("/agents").await.ok()["total"], 0);
}

#[tokio::test]
async fn a_body_of_another_type_is_refused_and_one_of_no_type_is_read() {
    let registry = TestRegistry::start().await;
    for other in ["text/plain", "application/x-www-form-urlencoded", "application/xml"] {
        post_raw(&registry, "/agents", other, "{}").await.error(415, "unsupported_media_type");
    }
    let document = json!({"id": "a", "endpoint": "http://h:1/"}).to_string();
    for json in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.mesh+json"] {
        post_raw(&registry, "/agents", json, document.clone()).await.ok();
    }
    registry.send(Request::post("/agents").body(Body::from(document)).unwrap()).await.ok();
}

#[tokio::test]
async fn a_compressed_body_is_refused_by_its_encoding_and_not_taken_for_garbage() {
    let registry = TestRegistry::start().await;
    let send = async |target: &str, encoding: &str, body: Vec<u8>| {
        let request = Request::post(target).header("content-type", "application/json");
        registry.send(request.header("content-encoding", encoding).body(Body::from(body)).unwrap()).await
    };
    for target in ["/agents", "/heartbeat", "/mcp/tools/discover_services", "/mcp"] {
        for encoding in ["gzip", "zstd", "identity, gzip"] {
            let answer = send(target, encoding, vec![0x1f, 0x8b, 0x08, 0xff]).await;
            let message = answer.error(415, "unsupported_media_type");
            assert!(message.contains("Content-Encoding") && message.contains(encoding), "{message}");
        }
    }
    let document = json!({"id": "a", "endpoint": "http://h:1/"}).to_string().into_bytes();
    send("/agents", "Identity", document).await.ok();
}

#[tokio::test]
async fn unknown_routes_methods_tools_and_agents_are_named() {
    let registry = TestRegistry::start().await;
    for target in ["/nothing", "/agents/", "/agents/a/b", "/mcp/tools"] {
        assert!(registry.get(target).await.error(404, "route_not_found").contains(target));
    }
    let wrong = registry.delete("/agents").await;
    assert!(wrong.error(405, "method_not_allowed").contains("DELETE"));
    assert_eq!(wrong.headers["allow"], "GET,HEAD,POST");
    let message = registry.post("/mcp/tools/regster_agent", &json!({})).await.error(404, "unknown_tool");
    assert!(message.contains("register_agent, unregister_agent"), "{message}");
    for target in ["/agents/ghost", "/health/ghost"] {
        assert_eq!(registry.get(target).await.error(404, "agent_not_found"), "Agent ghost not found");
    }
    registry.get("/agents/%ff").await.error(400, "malformed_body");
}
