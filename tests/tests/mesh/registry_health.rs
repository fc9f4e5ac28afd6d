//! The health of agents in real time: silence turns into a status, a removal, a new life; heartbeats turn it back.

use std::time::Duration;

use mesh_tests::registry::TestRegistry;
use mesh_tests::wait::until;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest that a status may be away from what the thresholds say, with a look every tenth of a second: generous, because
/// machines that run tests are busy.
const LATE: Duration = Duration::from_secs(10);

/// A registry that looks every tenth of a second, and keeps expired agents for so long.
async fn watchful(store: &str, retention: &str) -> TestRegistry {
    let settings = ["--health-check-interval", "0.1", "--retention", retention];
    TestRegistry::start("127.0.0.1:0", store, &settings).await
}

/// An agent that counts as degraded after so many seconds of silence and as expired after so many.
fn agent(id: &str, timeout: f64, eviction: f64) -> Value {
    let thresholds = json!({"timeout_threshold": timeout, "eviction_threshold": eviction});
    let mut document = json!({"id": id, "endpoint": "http://h:1/", "health_interval": 0.2});
    document.as_object_mut().unwrap().extend(thresholds.as_object().unwrap().clone());
    document
}

async fn register(registry: &TestRegistry, document: &Value) -> Value {
    let answer = registry.post("/agents", document).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn beat(registry: &TestRegistry, id: &str, status: &str) {
    let answer = registry.post("/heartbeat", &json!({"agent_id": id, "status": status})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Waits until an agent has this status; empty for one that is gone.
async fn becomes(registry: &TestRegistry, id: &str, status: &str) {
    let what = format!("{id} becomes '{status}'");
    until(&what, async || (registry.status_of(id).await == status).then_some(())).await;
}

/// The statuses that an agent goes through until it has the last of `expected`.
async fn goes_through(registry: &TestRegistry, id: &str, expected: &[&str]) {
    let mut seen = Vec::<String>::new();
    until("the agent has its last status", async || {
        let status = registry.status_of(id).await;
        if seen.last() != Some(&status) {
            seen.push(status);
        }
        (seen.last().map(String::as_str) == expected.last().copied()).then_some(())
    })
    .await;
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn an_agent_that_is_never_heard_degrades_expires_and_is_removed() {
    let registry = watchful("memory:", "1").await;
    register(&registry, &agent("a", 1.0, 2.0)).await;
    goes_through(&registry, "a", &["pending", "degraded", "expired", ""]).await;
    assert_eq!(registry.get("/agents/a").await.status, 404);
    assert_eq!(registry.get("/agents").await.json()["total"], 0);
}

#[tokio::test]
async fn an_agent_that_falls_silent_degrades_expires_and_is_removed() {
    let registry = watchful("memory:", "1").await;
    register(&registry, &agent("a", 1.0, 2.0)).await;
    beat(&registry, "a", "healthy").await;
    goes_through(&registry, "a", &["healthy", "degraded", "expired", ""]).await;
}

#[tokio::test]
async fn statuses_change_on_time() {
    let registry = watchful("memory:", "60").await;
    register(&registry, &agent("a", 0.5, 1.0)).await;
    beat(&registry, "a", "healthy").await;
    becomes(&registry, "a", "expired").await;
    let health = registry.get("/health/a").await.json();
    let silence = health["time_since_heartbeat"].as_f64().unwrap();
    assert!((1.0..LATE.as_secs_f64()).contains(&silence), "expired after {silence} s: {health}");
    assert_eq!(health["is_expired"], true, "{health}");
    let metrics = registry.get("/metrics").await.json();
    assert_eq!((&metrics["expired_agents"], &metrics["healthy_agents"]), (&json!(1), &json!(0)));
    assert_eq!(registry.get("/agents?status=healthy").await.json()["count"], 0);
    assert_eq!(registry.get("/agents?status=expired").await.json()["count"], 1);
}

#[tokio::test]
async fn a_heartbeat_revives_an_agent_that_was_degraded_or_expired() {
    let registry = watchful("memory:", "60").await;
    let life = register(&registry, &agent("a", 1.0, 2.0)).await["resource_version"].clone();
    for silence in ["degraded", "expired"] {
        beat(&registry, "a", "healthy").await;
        assert_eq!(registry.status_of("a").await, "healthy");
        becomes(&registry, "a", silence).await;
    }
    beat(&registry, "a", "healthy").await;
    let agent = registry.get("/agents/a").await.json();
    assert_eq!((&agent["status"], &agent["incarnation"]), (&json!("healthy"), &life), "{agent}");
}

#[tokio::test]
async fn heartbeats_keep_an_agent_healthy_beyond_its_thresholds() {
    let registry = watchful("memory:", "60").await;
    register(&registry, &agent("heard", 2.0, 3.0)).await;
    register(&registry, &agent("silent", 1.0, 3.5)).await;
    beat(&registry, "silent", "healthy").await;
    until("the silent one expires", async || {
        beat(&registry, "heard", "healthy").await;
        assert_eq!(registry.status_of("heard").await, "healthy");
        (registry.status_of("silent").await == "expired").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_an_agent_reports_of_itself_is_its_status() {
    let registry = watchful("memory:", "60").await;
    register(&registry, &agent("a", 60.0, 120.0)).await;
    for status in ["degraded", "draining", "offline", "healthy"] {
        beat(&registry, "a", status).await;
        assert_eq!(registry.status_of("a").await, status);
        let listed = registry.get(&format!("/agents?status={status}")).await.json();
        assert_eq!(listed["count"], 1, "{listed}");
    }
}

#[tokio::test]
async fn an_agent_that_drains_is_not_called_degraded_when_it_falls_silent() {
    let registry = watchful("memory:", "60").await;
    register(&registry, &agent("a", 0.5, 1.5)).await;
    beat(&registry, "a", "draining").await;
    goes_through(&registry, "a", &["draining", "expired"]).await;
}

#[tokio::test]
async fn an_agent_that_comes_back_after_it_expired_begins_a_new_life() {
    let registry = watchful("memory:", "60").await;
    register(&registry, &agent("a", 0.5, 1.0)).await;
    beat(&registry, "a", "healthy").await;
    let first = registry.get("/agents/a").await.json();
    becomes(&registry, "a", "expired").await;
    register(&registry, &agent("a", 60.0, 120.0)).await;
    let second = registry.get("/agents/a").await.json();
    assert!(second["incarnation"].as_u64() > first["incarnation"].as_u64(), "{first} {second}");
    assert_eq!((&second["status"], &second["created_at"]), (&json!("pending"), &first["created_at"]));
}

#[tokio::test]
async fn the_same_document_again_keeps_the_version_and_the_status() {
    let registry = watchful("memory:", "60").await;
    let document = agent("a", 60.0, 120.0);
    let first = register(&registry, &document).await;
    for status in ["pending", "healthy", "draining"] {
        if status != "pending" {
            beat(&registry, "a", status).await;
        }
        let again = register(&registry, &document).await;
        assert_eq!(again["resource_version"], first["resource_version"]);
        assert_eq!(registry.status_of("a").await, status);
    }
}

#[tokio::test]
async fn after_a_restart_silence_counts_from_the_restart() {
    let folder = TempDir::new().unwrap();
    let store = format!("file:{}", folder.path().display());
    let mut registry = watchful(&store, "60").await;
    register(&registry, &agent("heard", 2.0, 4.0)).await;
    register(&registry, &agent("unheard", 2.0, 4.0)).await;
    beat(&registry, "heard", "healthy").await;
    becomes(&registry, "heard", "degraded").await;
    registry.program.kill().await;

    let registry = watchful(&store, "60").await;
    let health = registry.get("/health/heard").await.json();
    assert_eq!(health["status"], "healthy", "the registry was away, not the agent: {health}");
    assert_eq!(registry.status_of("unheard").await, "pending");
    goes_through(&registry, "heard", &["healthy", "degraded", "expired"]).await;
    becomes(&registry, "unheard", "expired").await;
}
