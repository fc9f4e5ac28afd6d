//! Calls go on while providers die: not one fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mesh_tests::agent::TestAgent;
use mesh_tests::registry::TestRegistry;
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use serde_json::json;

/// Callers at work at the same time.
const CALLERS: usize = 8;

#[tokio::test]
async fn no_call_fails_while_one_of_three_providers_is_killed() {
    let registry = TestRegistry::in_memory().await;
    let (mut agents, mut beside) = (Vec::new(), Vec::new());
    for id in ["a", "b", "c"] {
        let agent = TestAgent::start(id, &["--latency", "2"]).await;
        beside
            .push(TestSidecar::beside(&registry, &manifest(id, &agent.endpoint(), "summarize", true)).await);
        agents.push(agent);
    }
    let caller = Arc::new(TestSidecar::caller(&registry, &[]).await);
    let (calls, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (caller, calls, over) = (Arc::clone(&caller), Arc::clone(&calls), Arc::clone(&over));
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    let answer = caller.call("summarize", &json!({"text": "One. Two."})).await;
                    calls.fetch_add(1, Ordering::SeqCst);
                    failed.extend((answer.status != 200).then(|| answer.text()));
                }
                failed
            })
        })
        .collect();
    let made =
        async |n| until("calls are made", async || (calls.load(Ordering::SeqCst) >= n).then_some(())).await;
    made(200).await;
    agents[1].program.kill().await;
    made(800).await;
    over.store(true, Ordering::SeqCst);
    let failed: Vec<_> =
        futures_util::future::join_all(callers).await.into_iter().flat_map(Result::unwrap).collect();
    let made = calls.load(Ordering::SeqCst);
    assert!(failed.is_empty(), "{} of {made} calls failed: {}", failed.len(), failed[0]);
    println!("0 of {made} calls failed while one of three providers was killed");
    let metrics = caller.get("/metrics").await.text();
    assert!(metrics.contains(r#"result="connect""#) || metrics.contains(r#"result="broken""#), "{metrics}");
}

#[tokio::test]
async fn the_registry_hears_from_its_sidecar_that_an_agent_died() {
    let registry = TestRegistry::in_memory().await;
    let mut agent = TestAgent::start("a", &[]).await;
    let _beside = TestSidecar::beside(&registry, &manifest("a", &agent.endpoint(), "summarize", true)).await;
    let status = async |wanted: &str| {
        until(wanted, async || (registry.status_of("a").await == wanted).then_some(())).await;
    };
    status("healthy").await;
    let address = agent.address.to_string();
    agent.program.kill().await;
    status("degraded").await;
    let _again = TestAgent::start_at(&address, "a", &[]).await;
    status("healthy").await;
}

#[tokio::test]
async fn when_all_providers_are_gone_the_error_says_so_and_when_to_try_again() {
    let registry = TestRegistry::in_memory().await;
    let mut agent = TestAgent::start("a", &[]).await;
    let _beside = TestSidecar::beside(&registry, &manifest("a", &agent.endpoint(), "summarize", true)).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    assert_eq!(caller.call("summarize", &json!({"text": "x"})).await.status, 200);
    agent.program.kill().await;
    let failed = caller.call("summarize", &json!({"text": "x"})).await;
    assert_eq!(
        (failed.status, failed.json()["code"].as_str()),
        (502, Some("upstream_failed")),
        "{}",
        failed.text()
    );
    assert_eq!(failed.json()["retryable"], true);
    let attempts = failed.json()["attempts"].as_array().unwrap().len();
    assert_eq!(attempts, 3, "the only provider is tried again: {}", failed.text());
    let out = caller.call("summarize", &json!({"text": "x"})).await;
    assert_eq!(
        (out.status, out.json()["code"].as_str()),
        (503, Some("providers_unavailable")),
        "{}",
        out.text()
    );
    assert!(
        !out.header("retry-after").is_empty() && out.text().contains("circuit breaker"),
        "{}",
        out.text()
    );
}
