//! Every request of the API guide gets the answer that the guide shows.

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use crate::harness::TestRegistry;

/// The requests of the guide, in an order in which they can be sent.
const GUIDE: &str = include_str!("../fixtures/guide.json");

/// Whether everything that `expected` says is also in `actual`.
fn says(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| actual.get(key).is_some_and(|actual| says(actual, value)))
        }
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len() && actual.iter().zip(expected).all(|(a, b)| says(a, b))
        }
        _ => actual == expected,
    }
}

#[tokio::test]
async fn every_request_of_the_guide_gets_the_answer_it_shows() {
    let registry = TestRegistry::start().await;
    let Value::Array(steps) = serde_json::from_str(GUIDE).unwrap() else { panic!("a list") };
    for step in steps {
        let (method, target) = step["send"].as_str().unwrap().split_once(' ').unwrap();
        let body = step.get("body").map_or(Body::empty(), |body| Body::from(body.to_string()));
        let request =
            Request::builder().method(method).uri(target).header("content-type", "application/json");
        let answer = registry.send(request.body(body).unwrap()).await;
        assert_eq!(answer.status.as_u16(), step["status"], "{}: {}", step["name"], answer.text);
        assert!(says(&answer.json(), &step["answer"]), "{}: {}", step["name"], answer.text);
    }
}

#[tokio::test]
async fn the_metrics_have_the_keys_that_the_guide_reads() {
    let metrics = TestRegistry::start().await.get("/metrics").await.ok();
    let keys = metrics.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(
        keys,
        [
            "total_agents",
            "healthy_agents",
            "degraded_agents",
            "expired_agents",
            "offline_agents",
            "pending_agents",
            "total_capabilities",
            "unique_capability_types",
            "uptime_seconds",
            "heartbeats_processed",
            "registrations_processed",
            "memory_usage_mb",
            "active_connections",
            "agents_by_namespace",
            "agents_by_status",
            "capabilities_by_category",
            "last_updated",
        ]
    );
}
