//! What operators look at: probes, metrics, the card and the dashboard.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::{Answer, TestRegistry};

async fn get_accepting(registry: &TestRegistry, target: &str, accept: &str) -> Answer {
    registry.send(Request::get(target).header("accept", accept).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn probes_are_answered() {
    let registry = TestRegistry::start().await;
    for target in ["/livez", "/readyz", "/health"] {
        registry.get(target).await.ok();
    }
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let registry = TestRegistry::start().await;
    registry
        .register(
            "a",
            json!({"namespace": "x", "capabilities": [{"name": "c"}, {"name": "d", "category": "k"}]}),
        )
        .await;
    registry.register("b", json!({"capabilities": [{"name": "c"}]})).await;
    registry.beat("a").await;
    let metrics = registry.get("/metrics").await.ok();
    for (key, expected) in [
        ("total_agents", json!(2)),
        ("healthy_agents", json!(1)),
        ("pending_agents", json!(1)),
        ("total_capabilities", json!(3)),
        ("unique_capability_types", json!(2)),
        ("heartbeats_processed", json!(1)),
        ("registrations_processed", json!(2)),
        ("active_connections", json!(1)),
        ("agents_by_namespace", json!({"default": 1, "x": 1})),
        ("capabilities_by_category", json!({"k": 1, "uncategorized": 2})),
    ] {
        assert_eq!(metrics[key], expected, "{key}");
    }
    assert!(metrics["memory_usage_mb"].as_f64().unwrap() > 1.0);
}

/// Whether caches are told that the answer depends on what is accepted.
fn varies(answer: &Answer) -> bool {
    answer.headers.get_all("vary").iter().any(|vary| vary == "accept")
}

#[tokio::test]
async fn prometheus_gets_text_and_everybody_else_json() {
    let registry = TestRegistry::start().await;
    registry.get("/agents/ghost").await;
    registry.get("/nothing/at/all").await;
    let scrape = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    let texts = [
        (get_accepting(&registry, "/metrics", scrape).await, "application/openmetrics-text; version=1.0.0"),
        (get_accepting(&registry, "/metrics", "text/plain").await, "text/plain; version=0.0.4"),
        (registry.get("/metrics/prometheus").await, "text/plain; version=0.0.4"),
    ];
    for (answer, kind) in texts {
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with(kind));
        assert!(varies(&answer), "{kind}");
        assert!(answer.text.contains("mcp_registry_agents_total 0") && answer.text.ends_with("# EOF\n"));
        let by_route = "mcp_registry_request_duration_seconds_count{route=\"/agents/{id}\",method=\"GET\",status=\"4xx\"} 1";
        assert!(answer.text.contains(by_route), "{}", answer.text);
        assert!(!answer.text.contains("ghost") && !answer.text.contains("/nothing"));
    }
    for accept in [
        "*/*",
        "application/json",
        "application/json, text/plain, */*",
        "text/plain;q=0.9, application/json;q=0.1",
        "text/plain;q=0",
        "text/html",
    ] {
        let answer = get_accepting(&registry, "/metrics", accept).await;
        assert!(answer.ok()["total_agents"].is_u64(), "{accept}");
        assert!(varies(&answer), "{accept}");
    }
    let answer = get_accepting(&registry, "/metrics", "application/json;q=0, text/plain").await;
    assert!(answer.text.ends_with("# EOF\n"), "{}", answer.text);
}

#[tokio::test]
async fn the_root_is_a_card_for_programs_and_a_page_for_browsers() {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({"name": "<script>alert(1)</script>"})).await;
    let card = registry.get("/").await.ok();
    assert_eq!((&card["service"], &card["tools"][0]), (&json!("mesh-registry"), &json!("register_agent")));
    let page = get_accepting(&registry, "/", "text/html,application/xhtml+xml;q=0.9").await;
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.text.contains("&lt;script&gt;") && !page.text.contains("<script>"), "{}", page.text);
}
