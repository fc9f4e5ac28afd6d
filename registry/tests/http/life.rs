//! The life of an agent: registration, heartbeats, silence, expiry, removal, restart.

use std::sync::atomic::{AtomicBool, Ordering};

use mesh_registry::config::Config;
use mesh_registry::store::url::StoreUrl;
use serde_json::{Value, json};

use crate::harness::TestRegistry;

/// An agent that counts as degraded after 10 s and as expired after 20 s.
fn quick() -> Value {
    json!({"health_interval": 5})
}

#[tokio::test(start_paused = true)]
async fn an_agent_becomes_healthy_by_its_heartbeat_and_loses_it_by_silence() {
    let mut registry = TestRegistry::start().await;
    registry.register("a", quick()).await;
    assert_eq!(registry.status_of("a").await, "pending");
    registry.beat("a").await;
    assert_eq!(registry.status_of("a").await, "healthy");
    registry.pass(11).await;
    assert_eq!(registry.status_of("a").await, "degraded");
    registry.pass(10).await;
    assert_eq!(registry.status_of("a").await, "expired");
    let health = registry.get("/health/a").await.ok();
    assert_eq!((&health["is_expired"], &health["eviction_threshold"]), (&json!(true), &json!(20.0)));
    assert!(health["message"].as_str().unwrap().contains("21.0 s"), "{health}");
    registry.beat("a").await;
    assert_eq!(registry.status_of("a").await, "healthy");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_heartbeats_degrades_and_expires_from_its_registration() {
    let mut registry = TestRegistry::start().await;
    registry.register("a", quick()).await;
    registry.pass(11).await;
    assert_eq!(registry.status_of("a").await, "degraded");
    registry.pass(10).await;
    assert_eq!(registry.status_of("a").await, "expired");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_gone_for_long_is_removed() {
    let mut registry =
        TestRegistry::with(Config { retention: std::time::Duration::from_secs(30), ..Config::default() })
            .await;
    registry.register("a", quick()).await;
    registry.pass(49).await;
    assert_eq!(registry.status_of("a").await, "expired");
    registry.pass(3).await;
    registry.get("/agents/a").await.error(404, "agent_not_found");
}

#[tokio::test]
async fn what_heartbeats_say_is_bounded() {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({})).await;
    let say = async |key: &str| {
        let heartbeat = json!({"agent_id": "a", "metadata": {(key): "x".repeat(40_000)}});
        registry.post("/heartbeat", &heartbeat).await
    };
    say("a").await.ok();
    let fault = say("b").await.error(400, "validation_failed");
    assert!(fault.contains("'metadata'") && fault.contains("65536"), "{fault}");
    say("a").await.ok();
}

#[tokio::test]
async fn what_an_agent_says_about_itself_is_its_status() {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({})).await;
    for status in ["degraded", "draining", "offline", "healthy"] {
        registry.post("/heartbeat", &json!({"agent_id": "a", "status": status})).await.ok();
        assert_eq!(registry.status_of("a").await, status);
    }
}

#[tokio::test]
async fn the_same_document_again_changes_nothing() {
    let registry = TestRegistry::start().await;
    let first = registry.register("a", json!({"labels": {"env": "x"}})).await;
    registry.beat("a").await;
    let again = registry.register("a", json!({"labels": {"env": "x"}})).await;
    assert_eq!(again["resource_version"], first["resource_version"]);
    assert!(again["message"].as_str().unwrap().contains("unchanged"), "{again}");
    assert_eq!(registry.status_of("a").await, "healthy");
}

#[tokio::test]
async fn a_changed_document_changes_the_version_and_keeps_the_life() {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({})).await;
    registry.beat("a").await;
    let before = registry.get("/agents/a").await.ok();
    registry.register("a", json!({"labels": {"env": "x"}})).await;
    let after = registry.get("/agents/a").await.ok();
    assert!(after["resource_version"].as_u64() > before["resource_version"].as_u64());
    for kept in ["status", "created_at", "incarnation", "last_heartbeat"] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
}

#[tokio::test]
async fn an_agent_that_comes_back_begins_a_new_life() {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({})).await;
    let first = registry.get("/agents/a").await.ok();
    registry.post("/heartbeat", &json!({"agent_id": "a", "status": "offline"})).await.ok();
    registry.register("a", json!({})).await;
    let second = registry.get("/agents/a").await.ok();
    assert!(second["incarnation"].as_u64() > first["incarnation"].as_u64());
    assert_eq!((&second["status"], &second["created_at"]), (&json!("pending"), &first["created_at"]));
    registry.delete("/agents/a").await.ok();
    registry.register("a", json!({})).await;
    assert!(registry.get("/agents/a").await.ok()["incarnation"].as_u64() > second["incarnation"].as_u64());
}

#[tokio::test]
async fn metadata_of_heartbeats_lies_over_that_of_the_registration() {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({"metadata": {"load": "0", "zone": "x"}})).await;
    registry.post("/heartbeat", &json!({"agent_id": "a", "metadata": {"load": "0.7"}})).await.ok();
    assert_eq!(registry.get("/agents/a").await.ok()["metadata"], json!({"load": "0.7", "zone": "x"}));
}

#[tokio::test]
async fn a_heartbeat_is_told_which_version_is_registered_and_when_to_come_again() {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({"agent_type": "critical"})).await;
    let answer = registry.post("/heartbeat", &json!({"agent_id": "a", "resource_version": 9})).await.ok();
    assert_eq!((&answer["resource_version"], &answer["next_heartbeat_in"]), (&json!(1), &json!(15.0)));
    assert!(answer["message"].as_str().unwrap().contains("not 9"), "{answer}");
}

#[tokio::test]
async fn a_batch_of_heartbeats_is_answered_item_by_item() {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({})).await;
    let batch = json!([{"agent_id": "a"}, {"agent_id": "ghost"}, {"status": "healthy"}, 7]);
    let answer = registry.post("/heartbeat", &batch).await.ok();
    let statuses = answer.as_array().unwrap().iter().map(|item| item["status_code"].as_u64().unwrap());
    assert_eq!(statuses.collect::<Vec<_>>(), [200, 404, 400, 400]);
    assert_eq!(
        (&answer[0]["agent_id"], &answer[1]["detail"]),
        (&json!("a"), &json!("Agent ghost not found"))
    );
}

#[tokio::test]
async fn a_batch_of_heartbeats_has_an_end() {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({})).await;
    let mut batch = vec![json!({"agent_id": "a"}); 1_000];
    let answer = registry.post("/heartbeat", &json!(batch)).await.ok();
    assert!(answer.as_array().unwrap().iter().all(|item| item["status_code"] == 200));
    assert_eq!(answer.as_array().unwrap().len(), 1_000);
    batch.push(json!(0));
    let message = registry.post("/heartbeat", &json!(batch)).await.error(400, "validation_failed");
    assert_eq!(message, "Validation failed: a batch must have at most 1000 heartbeats, got 1001");
    let document = registry.get("/openapi.json").await.ok();
    let body = &document["paths"]["/heartbeat"]["post"]["requestBody"]["content"]["application/json"];
    assert_eq!(body["schema"]["anyOf"][1]["maxItems"], 1_000);
}

#[tokio::test]
async fn others_are_answered_while_a_batch_is_taken() {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({})).await;
    let batch = json!(vec![json!({"agent_id": "a"}); 1_000]);
    let (taken, asked) = (AtomicBool::new(false), AtomicBool::new(false));
    let beats = async {
        registry.post("/heartbeat", &batch).await.ok();
        taken.store(true, Ordering::SeqCst);
    };
    let question = async {
        registry.get("/livez").await.ok();
        asked.store(!taken.load(Ordering::SeqCst), Ordering::SeqCst);
    };
    tokio::join!(beats, question);
    assert!(asked.into_inner(), "the question is answered first");
}

#[tokio::test]
async fn an_agent_can_be_removed_by_route_and_by_tool() {
    let registry = TestRegistry::start().await;
    for id in ["a", "b"] {
        registry.register(id, json!({})).await;
    }
    assert_eq!(registry.delete("/agents/a").await.ok()["resource_version"], 3);
    assert_eq!(
        registry.post("/mcp/tools/unregister_agent", &json!({"agent_id": "b"})).await.ok()["agent_id"],
        "b"
    );
    assert_eq!(registry.get("/agents").await.ok()["total"], 0);
    assert_eq!(registry.delete("/agents/a").await.error(404, "agent_not_found"), "Agent a not found");
}

#[tokio::test]
async fn unknown_keys_are_accepted_with_a_warning() {
    let answer = TestRegistry::start().await.register("a", json!({"labelz": {}})).await;
    assert!(answer["warnings"][0].as_str().unwrap().contains("did you mean 'labels'?"), "{answer}");
}

#[tokio::test]
async fn many_who_register_one_id_at_once_all_succeed_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreUrl::File(directory.path().to_owned());
    let registry = TestRegistry::with(Config { store, ..Config::default() }).await;
    let versions = futures_util::future::join_all((0..30).map(|i| {
        let document = json!({"id": "a", "endpoint": "http://h:1/", "labels": {"i": i.to_string()}});
        let registry = &registry;
        async move { registry.post("/agents", &document).await.ok()["resource_version"].as_u64().unwrap() }
    }));
    let mut versions = versions.await;
    versions.sort_unstable();
    assert!(versions.into_iter().eq(1..=30));
}

#[tokio::test]
async fn after_a_restart_everything_is_known_and_silence_counts_anew() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { store: StoreUrl::File(directory.path().to_owned()), ..Config::default() };
    let mut registry = TestRegistry::with(config.clone()).await;
    for id in ["heard", "gone", "unheard"] {
        registry.register(id, json!({})).await;
    }
    registry.beat("heard").await;
    registry.post("/heartbeat", &json!({"agent_id": "gone", "status": "offline"})).await.ok();
    registry.sweep().await;
    let before = registry.get("/agents/heard").await.ok();
    drop(registry);

    let registry = TestRegistry::restarted(config).await;
    assert_eq!(registry.get("/agents/heard").await.ok(), before);
    assert_eq!(registry.status_of("gone").await, "offline");
    assert_eq!(registry.status_of("unheard").await, "pending");
    assert_eq!(registry.get("/agents").await.ok()["warm"], true);
    assert!(registry.get("/health/heard").await.ok()["time_since_heartbeat"].as_f64().unwrap() < 5.0);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_starts_empty_is_warm_after_one_default_interval() {
    let mut registry = TestRegistry::start().await;
    assert_eq!(registry.get("/health").await.ok()["warm"], false);
    registry.pass(31).await;
    assert_eq!(registry.get("/health").await.ok()["warm"], true);
}
