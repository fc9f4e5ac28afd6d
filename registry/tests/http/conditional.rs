//! Reads that cost little: what has not changed is not sent again, what is large is compressed for those who ask, and
//! who needs a change to be seen waits for it.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use mesh_registry::config::Config;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::harness::{Answer, TestRegistry};

async fn with(registry: &TestRegistry, target: &str, header: &str, value: &str) -> Answer {
    registry.send(Request::get(target).header(header, value).body(Body::empty()).unwrap()).await
}

async fn etag(registry: &TestRegistry, target: &str) -> String {
    registry.get(target).await.headers["etag"].to_str().unwrap().to_owned()
}

const TARGETS: [&str; 2] = ["/agents?namespace=mine", "/capabilities?agent_namespace=mine&agent_status=any"];

async fn populated() -> TestRegistry {
    let registry = TestRegistry::start().await;
    registry.register("a", json!({"namespace": "mine", "capabilities": [{"name": "x"}]})).await;
    registry.register("elsewhere", json!({"capabilities": [{"name": "x"}]})).await;
    for id in ["a", "elsewhere"] {
        registry.beat(id).await;
    }
    registry
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let registry = populated().await;
    for target in TARGETS {
        let etag = etag(&registry, target).await;
        let answer = with(&registry, target, "if-none-match", &etag).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""), "{target}");
        assert_eq!(answer.headers["etag"], etag.as_str());
        assert_eq!(answer.headers["cache-control"], "max-age=30");
        assert_eq!(with(&registry, target, "if-none-match", "\"other\"").await.status, 200);
    }
}

#[tokio::test]
async fn what_happens_elsewhere_does_not_change_a_tag_and_what_happens_here_does() {
    let registry = populated().await;
    for target in TARGETS {
        let before = etag(&registry, target).await;
        for id in ["elsewhere", "a"] {
            registry.beat(id).await;
        }
        registry.register("elsewhere", json!({"labels": {"changed": target.len().to_string()}})).await;
        assert_eq!(etag(&registry, target).await, before, "{target}");
        registry.register("a", json!({"namespace": "mine", "labels": {"changed": target.len().to_string()}, "capabilities": [{"name": "x"}]})).await;
        assert_ne!(etag(&registry, target).await, before, "{target}");
    }
    let before = etag(&registry, TARGETS[0]).await;
    registry.post("/heartbeat", &json!({"agent_id": "a", "metadata": {"load": "0.9"}})).await.ok();
    assert_ne!(etag(&registry, TARGETS[0]).await, before, "metadata are part of an agent");
    let before = etag(&registry, TARGETS[1]).await;
    registry.post("/heartbeat", &json!({"agent_id": "a", "status": "draining"})).await.ok();
    assert_ne!(etag(&registry, TARGETS[1]).await, before, "so is its status of its capabilities");
}

#[tokio::test]
async fn a_tag_of_capabilities_is_of_what_their_rows_show() {
    let registry = populated().await;
    let target = TARGETS[1];
    let before = etag(&registry, target).await;
    let config = json!({"namespace": "mine", "capabilities": [{"name": "x"}], "config": {"new": 1}});
    registry.register("a", config).await;
    assert_eq!(etag(&registry, target).await, before, "no row shows the config");
    let weight = json!({"namespace": "mine", "capabilities": [{"name": "x"}], "weight": 3});
    registry.register("a", weight).await;
    assert_ne!(etag(&registry, target).await, before);
}

#[tokio::test]
async fn an_answer_that_is_given_again_is_as_true_as_a_new_one() {
    let registry = populated().await;
    let target = "/capabilities?name=x";
    for status in ["healthy", "draining", "healthy"] {
        registry.post("/heartbeat", &json!({"agent_id": "elsewhere", "status": status})).await.ok();
        for _ in 0..2 {
            let count = if status == "healthy" { 2 } else { 1 };
            assert_eq!(registry.get(target).await.ok()["count"], count, "{status}");
        }
    }
    registry.register("third", json!({})).await;
    let answer = registry.get(target).await.ok();
    assert_eq!((&answer["count"], &answer["resource_version"]), (&json!(2), &json!(3)));
}

#[tokio::test]
async fn large_answers_come_whole_and_compressed_for_those_who_ask() {
    let registry = TestRegistry::start().await;
    // More than is rendered at once: each row has the labels of its agent.
    let capabilities = (0..900).map(|i| json!({"name": format!("x{i}")})).collect::<Vec<_>>();
    let labels = (0..40).map(|i| (format!("label-{i}"), json!("x".repeat(50)))).collect::<Map<_, _>>();
    for i in 0..6 {
        registry
            .register(&format!("agent-{i}"), json!({"capabilities": capabilities, "labels": labels}))
            .await;
    }
    let request = Request::get("/capabilities?agent_status=any").body(Body::empty());
    let mut stream = registry.stream(request.unwrap()).await.into_body().into_data_stream();
    let mut pieces = Vec::new();
    while let Some(piece) = stream.next().await {
        pieces.push(piece.unwrap());
    }
    assert!(
        pieces.len() > 10 && pieces.iter().all(|piece| piece.len() < 1_000_000),
        "{} pieces",
        pieces.len()
    );
    let page: Value = serde_json::from_slice(&pieces.concat()).unwrap();
    let rows = page["capabilities"].as_array().unwrap();
    assert_eq!((rows.len(), &page["count"], &page["total"]), (5_400, &json!(5_400), &json!(5_400)));
    let names = rows.iter().map(|row| (row["agent_id"].as_str().unwrap(), row["name"].as_str().unwrap()));
    assert!(names.is_sorted_by(|a, b| a < b), "each once, and in order");
    assert_eq!(registry.get("/agents").await.column("id").len(), 6);
    let plain = registry.get("/agents").await.text.len();
    for (encoding, magic) in [("gzip", &[0x1f, 0x8b][..]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd][..])] {
        let request = Request::get("/agents").header("accept-encoding", encoding).body(Body::empty());
        let response = registry.stream(request.unwrap()).await;
        assert_eq!(response.headers()["content-encoding"], encoding);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(magic) && body.len() * 5 < plain, "{encoding}: {} of {plain}", body.len());
    }
}

#[tokio::test]
async fn who_needs_a_change_to_be_seen_waits_for_it_and_not_for_ever() {
    let registry =
        TestRegistry::with(Config { query_timeout: Duration::from_millis(300), ..Config::default() }).await;
    registry.register("a", json!({})).await;
    assert_eq!(registry.get("/agents?min_resource_version=1").await.ok()["count"], 1);
    let (answer, _) =
        tokio::join!(registry.get("/agents?min_resource_version=2"), registry.register("b", json!({})));
    assert_eq!(answer.ok()["count"], 2);
    let started = Instant::now();
    let late = registry.get("/capabilities?min_resource_version=99").await;
    assert!(late.error(503, "unavailable").contains("99") && late.headers.contains_key("retry-after"));
    assert!(started.elapsed() >= Duration::from_millis(300));
}
