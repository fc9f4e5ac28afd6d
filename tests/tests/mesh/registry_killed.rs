//! Calls go on while the registry is away, and it comes back to a mesh that is whole.

use std::time::{Duration, Instant};

use mesh_tests::agent::TestAgent;
use mesh_tests::cutter::Cutter;
use mesh_tests::registry::TestRegistry;
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use serde_json::json;
use tempfile::TempDir;

/// Discovery answers age quickly here, so that the calls really rest on what was known before.
const IMPATIENT: [&str; 4] = ["--discovery-fresh", "0.05", "--discovery-aging", "0.1"];

#[tokio::test]
async fn no_call_fails_while_the_registry_is_down_and_after_it_is_back() {
    let folder = TempDir::new().unwrap();
    let store = format!("file:{}", folder.path().display());
    let mut registry = TestRegistry::start("127.0.0.1:0", &store, &[]).await;
    let agent = TestAgent::start("a", &[]).await;
    let _beside = TestSidecar::beside(&registry, &manifest("a", &agent.endpoint(), "summarize", true)).await;
    let caller = TestSidecar::caller(&registry, &IMPATIENT).await;
    let arguments = json!({"text": "One. Two."});
    assert_eq!(caller.call("summarize", &arguments).await.status, 200);
    registry.program.kill().await;
    let (mut stale, mut made) = (0, 0);
    while stale < 300 {
        let answer = caller.call("summarize", &arguments).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        made += 1;
        stale += usize::from(answer.header("x-mesh-stale") == "1" && !answer.header("age").is_empty());
        assert!(made < 3_000, "calls do not become stale");
    }
    println!("0 of {made} calls failed while the registry was down");
    let _registry = TestRegistry::start(&registry.address.to_string(), &store, &[]).await;
    until("answers are fresh again", async || {
        let answer = caller.call("summarize", &arguments).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        (answer.header("x-mesh-stale") != "1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn agents_register_again_with_a_registry_that_lost_everything() {
    let mut registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("a", &[]).await;
    let _beside = TestSidecar::beside(&registry, &manifest("a", &agent.endpoint(), "summarize", true)).await;
    let caller = TestSidecar::caller(&registry, &IMPATIENT).await;
    let arguments = json!({"text": "One. Two."});
    assert_eq!(caller.call("summarize", &arguments).await.status, 200);
    registry.program.kill().await;
    let registry = TestRegistry::start(&registry.address.to_string(), "memory:", &[]).await;
    // Its first answers are empty, and it says that it has only just started: nobody is forgotten because of them.
    until("the agent is registered again", async || {
        let answer = caller.call("summarize", &arguments).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        (registry.status_of("a").await == "healthy").then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_registry_a_first_call_fails_fast_and_says_why() {
    let mut registry = TestRegistry::in_memory().await;
    registry.program.kill().await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let began = Instant::now();
    let answer = caller.call("summarize", &json!({})).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (503, Some("unavailable")),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("registry") && answer.json()["retryable"] == true, "{}", answer.text());
    assert!(!answer.header("retry-after").is_empty());
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_sidecar_waits_for_a_registry_that_starts_later() {
    let mut registry = TestRegistry::in_memory().await;
    registry.program.kill().await;
    let agent = TestAgent::start("a", &[]).await;
    let manifest = manifest("a", &agent.endpoint(), "summarize", true);
    let sidecar = TestSidecar::start(&registry.url(), Some(&manifest), &[]).await;
    until("it says why it is not ready", async || {
        let answer = sidecar.get("/readyz").await;
        (answer.status == 503 && answer.text().contains("cannot be reached")).then_some(())
    })
    .await;
    let registry = TestRegistry::start(&registry.address.to_string(), "memory:", &[]).await;
    sidecar.ready().await;
    assert_eq!(registry.status_of("a").await, "healthy");
}

#[tokio::test]
async fn another_registry_is_asked_while_one_is_down() {
    let folder = TempDir::new().unwrap();
    let registry =
        TestRegistry::start("127.0.0.1:0", &format!("file:{}", folder.path().display()), &[]).await;
    let mut gone = TestRegistry::in_memory().await;
    gone.program.kill().await;
    let agent = TestAgent::start("a", &[]).await;
    let both = format!("{},{}", gone.url(), registry.url());
    let manifest = manifest("a", &agent.endpoint(), "summarize", true);
    let sidecar = TestSidecar::start(&both, Some(&manifest), &[]).await;
    sidecar.ready().await;
    let caller = TestSidecar::start(&both, None, &[]).await;
    assert_eq!(caller.call("summarize", &json!({"text": "x"})).await.status, 200);
}

#[tokio::test]
async fn no_call_fails_while_one_registry_after_the_other_is_away_or_silent() {
    let registry = TestRegistry::in_memory().await;
    let ways = [Cutter::to(registry.address).await, Cutter::to(registry.address).await];
    let both = ways.iter().map(|way| format!("http://{}", way.address)).collect::<Vec<_>>().join(",");
    let agent = TestAgent::start("a", &[]).await;
    let manifest = manifest("a", &agent.endpoint(), "summarize", true);
    let beside = TestSidecar::start(&both, Some(&manifest), &[]).await;
    beside.ready().await;
    // Nothing that was known before can be used: every call rests on an answer of a registry.
    let caller = TestSidecar::start(&both, None, &["--discovery-fresh", "0", "--discovery-aging", "0"]).await;
    let mut slowest = Duration::ZERO;
    for turn in 0..8 {
        // One of two turns hits the registry that is asked at the time.
        let way = &ways[turn % 2];
        if turn % 4 < 2 {
            way.silence()
        } else {
            way.cut()
        }
        for _ in 0..5 {
            let began = Instant::now();
            let answer = caller.call("summarize", &json!({"text": "One. Two."})).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_ne!(answer.header("x-mesh-stale"), "1", "another registry could have been asked");
            slowest = slowest.max(began.elapsed());
        }
        way.mend();
    }
    assert_eq!(registry.status_of("a").await, "healthy");
    println!("0 of 40 calls failed, the slowest took {} ms", slowest.as_millis());
}
