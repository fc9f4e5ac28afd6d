//! Silence that is not believed: fleets whose network is cut, agents that register anew.

use serde_json::{Value, json};

use crate::harness::TestRegistry;

/// An agent that counts as degraded after 10 s and as expired after 20 s.
fn quick() -> Value {
    json!({"health_interval": 5})
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_falls_silent_at_once_stays_degraded_until_it_is_back() {
    let mut registry = TestRegistry::start().await;
    let ids = (0..20).map(|i| format!("agent-{i}")).collect::<Vec<_>>();
    for id in &ids {
        registry.register(id, quick()).await;
        registry.beat(id).await;
    }
    registry.pass(60).await;
    assert_eq!(registry.status_of("agent-0").await, "degraded");
    let health = registry.get("/health").await.ok();
    assert_eq!((&health["status"], &health["expiry_frozen"]), (&json!("degraded"), &json!(true)), "{health}");
    assert!(registry.get("/metrics/prometheus").await.text.contains("mcp_registry_expiry_frozen 1"));
    for id in &ids[..10] {
        registry.beat(id).await;
    }
    registry.pass(1).await;
    assert_eq!(registry.status_of("agent-0").await, "healthy");
    assert_eq!(registry.status_of("agent-19").await, "expired");
    assert_eq!(registry.get("/health").await.ok()["status"], "healthy");
}

#[tokio::test(start_paused = true)]
async fn a_fleet_whose_heartbeats_are_spread_is_not_expired_one_by_one_when_its_network_is_cut() {
    let mut registry = TestRegistry::start().await;
    let ids = (0..40).map(|i| format!("agent-{i}")).collect::<Vec<_>>();
    for id in &ids {
        registry.register(id, json!({"health_interval": 40})).await;
    }
    // Each heartbeat in a second of its own, as in a fleet that started at leisure.
    for _ in 0..3 {
        for id in &ids {
            registry.beat(id).await;
            registry.pass(1).await;
        }
    }
    registry.pass(400).await;
    let health = registry.get("/health").await.ok();
    assert_eq!((&health["expiry_frozen"], &health["status"]), (&json!(true), &json!("degraded")));
    assert_eq!(registry.get("/agents?status=degraded").await.ok()["total"], 40);
    for id in &ids[..20] {
        registry.beat(id).await;
    }
    registry.pass(2).await;
    assert_eq!(registry.get("/agents?status=expired").await.ok()["total"], 20, "half of it is back");
}

#[tokio::test(start_paused = true)]
async fn who_registers_anew_is_alive_however_long_it_was_silent() {
    let mut registry = TestRegistry::start().await;
    registry.register("a", json!({"health_interval": 5})).await;
    registry.beat("a").await;
    registry.pass(4).await;
    registry.register("a", json!({"timeout_threshold": 1, "eviction_threshold": 2})).await;
    assert_eq!(registry.status_of("a").await, "healthy");
    registry.pass(3).await;
    assert_eq!(registry.status_of("a").await, "expired");
}
