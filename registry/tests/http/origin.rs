//! Pages of other sites must not change anything; programs, and pages of this machine, may.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::{Answer, TestRegistry};

const FOREIGN: &str = "http://evil.example.com";

/// Sends what a page of `origin` can send without the browser asking first: plain text, or no type at all.
async fn send(registry: &TestRegistry, method: &str, path: &str, origin: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("origin", origin);
    registry.send(request.body(Body::from(body.to_string())).unwrap()).await
}

/// A registry that knows one agent, and a request for each way to change something.
async fn with_writes() -> (TestRegistry, Vec<(&'static str, &'static str, Value)>) {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({})).await;
    let document = json!({"id": "b", "endpoint": "http://h:1/mcp"});
    let writes = vec![
        ("POST", "/agents", document.clone()),
        ("POST", "/heartbeat", json!({"agent_id": "a"})),
        ("POST", "/heartbeat", json!([{"agent_id": "a"}])),
        ("POST", "/mcp/tools/register_agent", json!({"registration_data": document})),
        ("POST", "/mcp/tools/heartbeat", json!({"agent_id": "a"})),
        ("POST", "/mcp/tools/discover_services", json!({})),
        ("POST", "/mcp/tools/list_capabilities", json!({})),
        ("POST", "/mcp/tools/get_agent_status", json!({"agent_id": "a"})),
        ("POST", "/mcp/tools/unregister_agent", json!({"agent_id": "b"})),
        ("DELETE", "/agents/a", json!(null)),
    ];
    (registry, writes)
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let (registry, writes) = with_writes().await;
    for (method, path, body) in &writes {
        for origin in [FOREIGN, "null", "http://localhost.evil.example.com"] {
            let answer = send(&registry, method, path, origin, body).await;
            let message = answer.error(403, "forbidden");
            assert!(message.contains(origin), "{method} {path}: {message}");
        }
    }
    assert_eq!(registry.get("/agents").await.column("id"), ["a"]);
    assert_eq!(registry.status_of("a").await, "pending");
}

#[tokio::test]
async fn pages_of_this_machine_change_what_programs_change() {
    let (registry, writes) = with_writes().await;
    for (method, path, body) in &writes {
        send(&registry, method, path, "http://localhost:3000", body).await.ok();
    }
    assert_eq!(registry.get("/agents").await.ok()["total"], 0);
}

#[tokio::test]
async fn what_is_only_read_is_answered_whoever_asks() {
    let registry = TestRegistry::start().await;
    for path in ["/agents", "/capabilities", "/health", "/metrics", "/"] {
        let answer = send(&registry, "GET", path, FOREIGN, &json!(null)).await;
        assert_eq!((answer.status.as_u16(), answer.headers.get("access-control-allow-origin")), (200, None));
        assert_eq!(send(&registry, "HEAD", path, FOREIGN, &json!(null)).await.status.as_u16(), 200);
    }
}

#[tokio::test]
async fn every_operation_that_is_more_than_reading_refuses_such_pages_and_says_so() {
    let registry = TestRegistry::start().await;
    let document = registry.get("/openapi.json").await.ok();
    let mut refusing = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in
            operations.as_object().unwrap().iter().filter(|(method, _)| *method != "get")
        {
            let target = path.replace("{id}", "a");
            let answer = send(&registry, &method.to_uppercase(), &target, FOREIGN, &json!({})).await;
            assert_eq!(answer.status.as_u16(), 403, "{method} {path}");
            assert!(operation["responses"]["403"]["description"].is_string(), "{method} {path}");
            refusing += 1;
        }
    }
    assert!(refusing >= 11, "{refusing}");
}
