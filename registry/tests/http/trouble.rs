//! A store in trouble: registrations fail with a reason, everything else goes on.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Answer, Fragile, Mood, TestRegistry};

fn document(id: &str) -> Value {
    json!({"id": id, "endpoint": "http://h:1/", "health_interval": 5})
}

/// A registry with one healthy agent, whose engine then turns to `mood`; and how it answers a registration.
async fn troubled(mood: Mood) -> (Arc<Fragile>, TestRegistry, Answer) {
    let engine = Arc::new(Fragile::default());
    let registry = TestRegistry::over(engine.clone()).await;
    registry.post("/agents", &document("a")).await.ok();
    registry.beat("a").await;
    engine.set(mood);
    let answer = registry.post("/agents", &document("b")).await;
    (engine, registry, answer)
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_said_to_be_full() {
    let (_, _, answer) = troubled(Mood::Full).await;
    assert!(answer.error(507, "storage_full").contains("disk is full"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_hangs_asks_for_patience() {
    for mood in [Mood::Failing, Mood::Hanging] {
        let (_, _, answer) = troubled(mood).await;
        answer.error(503, "unavailable");
        assert_eq!(answer.headers["retry-after"], "2");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_and_heartbeats_go_on_and_health_says_why_registrations_do_not() {
    let (engine, mut registry, _) = troubled(Mood::Failing).await;
    registry.beat("a").await;
    assert_eq!(registry.get("/agents").await.column("id"), ["a"]);
    let health = registry.get("/health").await;
    assert_eq!(health.status, 503);
    assert_eq!(
        (&health.json()["status"], &health.json()["store_writable"]),
        (&json!("degraded"), &json!(false))
    );
    registry.get("/readyz").await.ok();
    engine.set(Mood::Well);
    registry.sweep().await;
    assert_eq!(registry.get("/health").await.ok()["status"], "healthy");
}

#[tokio::test(start_paused = true)]
async fn nobody_expires_while_the_store_is_away() {
    let (engine, mut registry, _) = troubled(Mood::Failing).await;
    registry.pass(60).await;
    assert_eq!(registry.status_of("a").await, "degraded");
    engine.set(Mood::Well);
    registry.pass(1).await;
    assert_eq!(registry.status_of("a").await, "expired");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_heard_while_its_removal_waits_for_the_store_is_not_removed() {
    let engine = Arc::new(Fragile::default());
    let mut registry = TestRegistry::over(engine.clone()).await;
    registry.register("a", json!({"health_interval": 1})).await;
    registry.beat("a").await;
    registry.pass(3_500).await;
    assert_eq!(registry.status_of("a").await, "expired");
    engine.set(Mood::Hanging);
    registry.pass(200).await;
    registry.beat("a").await;
    engine.set(Mood::Well);
    registry.pass(2).await;
    assert_eq!(registry.status_of("a").await, "healthy");
}
