//! Watches: changes as server-sent events, to those whose business they are, without a gap and without a repetition.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt as _;
use mesh_registry::config::Config;
use serde_json::json;

use crate::harness::TestRegistry;
use crate::stream::Watch;

async fn revision(registry: &TestRegistry) -> u64 {
    registry.get("/agents").await.ok()["resource_version"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_change_is_told_with_the_agent_as_it_is_then() {
    let mut registry = TestRegistry::start().await;
    let mut watch = Watch::open(&registry, "/agents?watch=true&resource_version=0").await;
    registry.register("a", json!({"namespace": "x"})).await;
    assert_eq!(watch.next().await, "ADDED a pending");
    registry.beat("a").await;
    registry.sweep().await;
    assert_eq!(watch.next().await, "MODIFIED a healthy");
    registry.register("a", json!({"namespace": "x", "labels": {"new": "yes"}})).await;
    let event = watch.event().await.unwrap();
    assert_eq!((event.verb.as_str(), &event.data["object"]["labels"]["new"]), ("MODIFIED", &json!("yes")));
    assert_eq!(event.id, Some(revision(&registry).await));
    registry.delete("/agents/a").await.ok();
    assert_eq!(watch.next().await, "DELETED a healthy");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_stops_matching_is_deleted_and_one_that_begins_to_is_added() {
    let mut registry = TestRegistry::start().await;
    let mut healthy = Watch::open(&registry, "/agents?status=healthy&watch=true&resource_version=0").await;
    let mut green =
        Watch::open(&registry, "/agents?label_selector=team=green&watch=true&resource_version=0").await;
    let target = "/capabilities?name=sum&agent_status=any&watch=true&resource_version=0";
    let mut summing = Watch::open(&registry, target).await;
    registry.register("a", json!({"labels": {"team": "green"}, "health_interval": 1})).await;
    registry
        .register(
            "a",
            json!({"labels": {"team": "red"}, "health_interval": 1, "capabilities": [{"name": "sum"}]}),
        )
        .await;
    assert_eq!([green.next().await, green.next().await], ["ADDED a pending", "DELETED a pending"]);
    assert_eq!(summing.next().await, "ADDED a pending");
    registry.beat("a").await;
    registry.pass(3).await;
    assert_eq!([healthy.next().await, healthy.next().await], ["ADDED a healthy", "DELETED a degraded"]);
    assert_eq!([summing.next().await, summing.next().await], ["MODIFIED a healthy", "MODIFIED a degraded"]);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_silence_changes_is_told_on_time() {
    let mut registry = TestRegistry::start().await;
    registry
        .register("a", json!({"health_interval": 0.1, "timeout_threshold": 2.5, "eviction_threshold": 5}))
        .await;
    registry.beat("a").await;
    registry.sweep().await;
    let mut watch = Watch::open(&registry, "/agents?watch=true&resource_version=0").await;
    assert_eq!([watch.next().await, watch.next().await], ["ADDED a pending", "MODIFIED a healthy"]);
    registry.pass(3).await;
    assert_eq!(watch.next().await, "MODIFIED a degraded");
    registry.pass(1).await;
    assert_eq!(registry.status_of("a").await, "degraded");
    registry.pass(1).await;
    assert_eq!(watch.next().await, "MODIFIED a expired");
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_misses_nothing_and_is_told_nothing_twice() {
    let mut registry = TestRegistry::start().await;
    let mut ids = Vec::new();
    let mut watch = Watch::open(&registry, "/agents?watch=true&resource_version=0").await;
    for id in ["a", "b", "c"] {
        registry.register(id, json!({})).await;
        registry.beat(id).await;
    }
    registry.sweep().await;
    for _ in 0..6 {
        ids.push(watch.event().await.unwrap().id.unwrap());
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    for (seen, id) in ids.iter().enumerate() {
        let mut again =
            Watch::resume(&registry, "/agents?watch=true&resource_version=0", Some(&id.to_string())).await;
        for missed in &ids[seen + 1..] {
            assert_eq!(again.event().await.unwrap().id, Some(*missed));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_lists_before_watchers_are_told_is_not_left_with_what_it_saw() {
    let mut registry = TestRegistry::start().await;
    for id in ["gone", "there-and-back"] {
        registry.register(id, json!({"capabilities": [{"name": "x"}]})).await;
        registry.beat(id).await;
    }
    let listed = registry.get("/capabilities?name=x").await;
    assert_eq!(listed.column("agent_status"), ["healthy", "healthy"]);
    let from = listed.ok()["resource_version"].as_u64().unwrap();
    let mut watch =
        Watch::open(&registry, &format!("/capabilities?name=x&watch=true&resource_version={from}")).await;
    registry.delete("/agents/gone").await.ok();
    assert_eq!(watch.next().await, "DELETED gone healthy");
    registry.sweep().await;
    assert_eq!(watch.next().await, "ADDED there-and-back healthy");
    registry.post("/heartbeat", &json!({"agent_id": "there-and-back", "status": "draining"})).await.ok();
    let from = revision(&registry).await;
    let target = format!("/agents?status=draining&watch=true&resource_version={from}");
    let mut draining = Watch::open(&registry, &target).await;
    registry.beat("there-and-back").await;
    registry.sweep().await;
    assert_eq!(draining.next().await, "DELETED there-and-back healthy");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_flips_many_times_before_it_is_told_uses_one_revision() {
    let mut registry = TestRegistry::start().await;
    registry.register("a", json!({})).await;
    for status in ["healthy", "draining", "degraded", "healthy", "draining"].repeat(20) {
        registry.post("/heartbeat", &json!({"agent_id": "a", "status": status})).await.ok();
    }
    registry.sweep().await;
    assert_eq!(revision(&registry).await, 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_version_a_watch_begins_with_all_there_is_and_a_bookmark() {
    let registry = TestRegistry::start().await;
    for id in ["b", "a"] {
        registry.register(id, json!({"labels": {"in": "sight"}})).await;
    }
    registry.register("c", json!({})).await;
    let mut watch = Watch::open(&registry, "/agents?label_selector=in&watch=true").await;
    assert_eq!([watch.next().await, watch.next().await], ["ADDED a pending", "ADDED b pending"]);
    let bookmark = watch.event().await.unwrap();
    assert_eq!((bookmark.verb.as_str(), bookmark.id), ("BOOKMARK", Some(3)));
    registry.delete("/agents/b").await.ok();
    assert_eq!(watch.next().await, "DELETED b pending");
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_stream_anywhere_in_the_list_and_resumes_misses_nobody() {
    let registry = TestRegistry::start().await;
    for id in ["c", "b", "a"] {
        registry.register(id, json!({})).await;
    }
    for events in 1..=4 {
        let mut watch = Watch::open(&registry, "/agents?watch=true").await;
        let (mut seen, mut last) = (Vec::new(), String::new());
        for _ in 0..events {
            let event = watch.event().await.unwrap();
            seen.extend(event.data["object"]["id"].as_str().map(str::to_owned));
            // As a browser does: what has no id leaves the last one.
            last = event.id.map_or(last, |id| id.to_string());
        }
        registry.register("late", json!({"labels": {"round": events.to_string()}})).await;
        let mut watch = Watch::resume(&registry, "/agents?watch=true", Some(&last)).await;
        while !seen.contains(&"late".to_owned()) {
            seen.extend(watch.event().await.unwrap().data["object"]["id"].as_str().map(str::to_owned));
        }
        assert!(
            ["a", "b", "c"].iter().all(|id| seen.iter().any(|one| one == id)),
            "after {events}: {seen:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_is_kept_alive_and_told_how_far_it_has_come() {
    let registry = TestRegistry::start().await;
    let mut watch = Watch::open(&registry, "/agents?namespace=mine&watch=true&resource_version=0").await;
    registry.register("other", json!({})).await;
    let bookmark = watch.event().await.unwrap();
    assert_eq!((bookmark.verb.as_str(), bookmark.id), ("BOOKMARK", Some(1)));
    let piece = watch.body.next().await.unwrap().unwrap();
    assert_eq!(&piece[..], b":\n\n", "a comment while nothing happens");
}

#[tokio::test]
async fn a_version_that_is_too_old_or_from_elsewhere_is_410() {
    let config = Config { watch_history: 2, query_timeout: Duration::from_millis(50), ..Config::default() };
    let registry = TestRegistry::with(config).await;
    for id in ["a", "b", "c", "d"] {
        registry.register(id, json!({})).await;
    }
    for target in ["/agents?watch=true&resource_version=1", "/capabilities?watch=true&resource_version=1"] {
        let message = registry.get(target).await.error(410, "gone");
        assert!(message.contains("list again"), "{message}");
    }
    registry.get("/agents?watch=true&resource_version=99").await.error(410, "gone");
    Watch::open(&registry, "/agents?watch=true&resource_version=2").await;
    let fault = registry.get("/agents?resource_version=2").await.error(400, "validation_failed");
    assert!(fault.contains("watch=true"), "{fault}");
    let request = Request::get("/agents?watch=true").header("last-event-id", "yesterday").body(Body::empty());
    registry.send(request.unwrap()).await.error(400, "validation_failed");
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_told_so_and_cut() {
    let registry = TestRegistry::with(Config { watch_history: 2, ..Config::default() }).await;
    let mut watch = Watch::open(&registry, "/agents?watch=true&resource_version=0").await;
    for id in ["a", "b", "c", "d"] {
        registry.register(id, json!({})).await;
    }
    let event = watch.event().await.unwrap();
    assert_eq!((event.verb.as_str(), &event.data["object"]["code"]), ("ERROR", &json!("gone")));
    assert_eq!(watch.event().await, None);
}

#[tokio::test]
async fn one_watch_more_than_is_allowed_is_429_until_another_ends() {
    let registry = TestRegistry::with(Config { max_watchers: 1, ..Config::default() }).await;
    let first = Watch::open(&registry, "/agents?watch=true").await;
    let refusal = registry.get("/agents?watch=true").await;
    assert!(refusal.error(429, "overloaded").contains('1') && refusal.headers.contains_key("retry-after"));
    drop(first);
    Watch::open(&registry, "/agents?watch=true").await;
}

#[tokio::test]
async fn watches_end_when_the_registry_does() {
    let registry = TestRegistry::start().await;
    let mut watch = Watch::open(&registry, "/agents?watch=true&resource_version=0").await;
    registry.end_watches();
    assert_eq!(watch.event().await, None);
}
