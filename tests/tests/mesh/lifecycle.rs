//! The life of an agent in the mesh: it joins when it is up, stays while it is, and leaves in order.

use std::time::Duration;

use mesh_tests::agent::TestAgent;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use serde_json::json;

#[tokio::test]
async fn an_agent_is_registered_when_it_is_up_and_not_before() {
    let registry = TestRegistry::in_memory().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let manifest = manifest("late", &format!("http://{free}/mcp"), "summarize", true);
    let sidecar = TestSidecar::start(&registry.url(), Some(&manifest), &[]).await;
    let waiting = sidecar.get("/readyz").await;
    assert_eq!((waiting.status, registry.get("/agents/late").await.status), (503, 404), "{}", waiting.text());
    assert_eq!(sidecar.get("/livez").await.status, 200);
    let _agent = TestAgent::start_at(&free, "late", &[]).await;
    sidecar.ready().await;
    until("its first heartbeat is heard", async || {
        (registry.status_of("late").await == "healthy").then_some(())
    })
    .await;
}

#[tokio::test]
async fn heartbeats_keep_an_agent_healthy_past_its_threshold() {
    let registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("a", &[]).await;
    let manifest = format!(
        "id: a\nendpoint: {}\nhealth_interval: 100ms\ntimeout_threshold: 1s\neviction_threshold: 2s\n",
        agent.endpoint()
    );
    let mut sidecar = TestSidecar::beside(&registry, &manifest).await;
    let beats = async || registry.get("/metrics").await.json()["heartbeats_processed"].as_u64().unwrap_or(0);
    until("thirty heartbeats", async || (beats().await >= 30).then_some(())).await;
    assert_eq!(registry.status_of("a").await, "healthy");
    sidecar.program.kill().await;
    until("silence is noticed", async || (registry.status_of("a").await == "expired").then_some(())).await;
}

#[tokio::test]
async fn sigterm_deregisters_finishes_calls_in_flight_and_ends_with_zero() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("slow", Speech::Current).await;
    agent.always(Act::AnswerAfter(Duration::from_millis(1_500)));
    let _beside = TestSidecar::beside(&registry, &manifest("slow", &agent.endpoint(), "work", false)).await;
    let other = TestAgent::start("caller", &[]).await;
    let mut caller =
        TestSidecar::beside(&registry, &manifest("caller", &other.endpoint(), "summarize", true)).await;
    let address = caller.address;
    let call =
        tokio::spawn(async move { mesh_tests::exchange::post(address, "/call/work", &json!({})).await });
    until("the call is in flight", async || (agent.executed() == 1).then_some(())).await;
    caller.program.terminate().await;
    until("the agent is taken out", async || {
        (registry.get("/agents/caller").await.status == 404).then_some(())
    })
    .await;
    let answer = call.await.unwrap().expect("the call in flight is answered");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let status = caller.program.ended().await;
    assert_eq!(status.code(), Some(0), "{}", caller.program.printed());
    assert!(!caller.program.printed().contains("panicked"));
}

#[tokio::test]
async fn a_registration_that_was_removed_by_hand_comes_back() {
    let registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("a", &[]).await;
    let _beside = TestSidecar::beside(&registry, &manifest("a", &agent.endpoint(), "summarize", true)).await;
    let removed =
        mesh_tests::exchange::send(registry.address, "DELETE", "/agents/a", &[], b"").await.unwrap();
    assert_eq!(removed.status, 200, "{}", removed.text());
    until("it is registered again", async || (registry.status_of("a").await == "healthy").then_some(()))
        .await;
}

#[tokio::test]
async fn a_registration_that_somebody_replaced_is_put_right() {
    let registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("a", &[]).await;
    let _beside = TestSidecar::beside(&registry, &manifest("a", &agent.endpoint(), "summarize", true)).await;
    let other = json!({"id": "a", "endpoint": "http://127.0.0.1:9/mcp", "health_interval": 1});
    assert_eq!(registry.post("/agents", &other).await.status, 200);
    until("the endpoint is right again", async || {
        (registry.get("/agents/a").await.json()["endpoint"] == agent.endpoint()).then_some(())
    })
    .await;
}
