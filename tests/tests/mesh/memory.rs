//! What a sidecar remembers of the registry, across restarts and outages.

use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{ScriptedAgent, Speech};
use mesh_tests::sidecar::TestSidecar;
use mesh_tests::wait::until;
use serde_json::json;
use tempfile::TempDir;

use super::mesh_as_tools::ask;

async fn offering(registry: &TestRegistry, id: &str) -> ScriptedAgent {
    let agent = ScriptedAgent::start(id, Speech::Current).await;
    registry.offer(id, &agent.endpoint(), &json!({"name": "work"}), &json!({})).await;
    agent
}

#[tokio::test]
async fn a_sidecar_that_starts_while_the_registry_is_away_knows_what_the_one_before_knew() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("discovery.json");
    let copy = ["--discovery-file", file.to_str().unwrap()];
    let mut registry = TestRegistry::in_memory().await;
    let _agent = offering(&registry, "a").await;
    let mut before = TestSidecar::caller(&registry, &copy).await;
    assert_eq!(before.call("work", &json!({})).await.status, 200);
    let call = json!({"name": "work", "arguments": {}});
    let listed = ask(&before, true, "tools/list", json!({})).await;
    let called = ask(&before, true, "tools/call", call.clone()).await;
    assert_eq!(called["result"]["structuredContent"]["served_by"], "a", "{called}");
    until("the copy is on the disk", async || {
        let copy = std::fs::read_to_string(&file).ok()?;
        ["inputSchema", "version_constraint"].iter().all(|part| copy.contains(part)).then_some(())
    })
    .await;
    before.program.kill().await;
    registry.program.kill().await;
    let after = TestSidecar::caller(&registry, &copy).await;
    let answer = after.call("work", &json!({})).await;
    assert_eq!((answer.status, answer.header("x-mesh-agent")), (200, "a"), "{}", answer.text());
    assert_eq!(
        ask(&after, true, "tools/list", json!({})).await["result"]["tools"],
        listed["result"]["tools"]
    );
    let called = ask(&after, true, "tools/call", call).await;
    assert_eq!(called["result"]["structuredContent"]["served_by"], "a", "{called}");
    let without = TestSidecar::caller(&registry, &[]).await;
    assert_eq!(without.call("work", &json!({})).await.status, 503);
    // Rubbish in the file, or no place for it, is no reason not to start.
    std::fs::write(&file, "{rubbish").unwrap();
    let mut rubbish = TestSidecar::caller(&registry, &copy).await;
    assert_eq!(rubbish.call("work", &json!({})).await.status, 503);
    assert!(rubbish.program.printed().contains("cannot be read"));
    rubbish.program.kill().await;
    TestSidecar::caller(&registry, &["--discovery-file", "/proc/nowhere/discovery.json"]).await;
}

#[tokio::test]
async fn a_change_is_learned_at_once_by_a_sidecar_that_watches() {
    let registry = TestRegistry::in_memory().await;
    let _first = offering(&registry, "a").await;
    let old = ["--discovery-fresh", "3600", "--discovery-aging", "3600"];
    let watching = TestSidecar::caller(&registry, &[&old[..], &["--discovery", "watch"]].concat()).await;
    let polling = TestSidecar::caller(&registry, &old).await;
    for sidecar in [&watching, &polling] {
        assert_eq!(sidecar.call("work", &json!({})).await.header("x-mesh-agent"), "a");
    }
    let knows = async |sidecar: &TestSidecar| {
        sidecar.get("/explain/work").await.json()["candidates"].as_array().map_or(0, Vec::len)
    };
    // The watch begins a moment after the first use; what comes later is told.
    until("the registry is watched", async || {
        let metrics = registry.get("/metrics/prometheus").await.text();
        metrics.lines().any(|line| line.starts_with("mcp_registry_watchers 1")).then_some(())
    })
    .await;
    let _second = offering(&registry, "b").await;
    until("the second provider is known", async || (knows(&watching).await == 2).then_some(())).await;
    assert_eq!(knows(&polling).await, 1, "whoever does not watch uses what is fresh");
    let answer = mesh_tests::exchange::send(registry.address, "DELETE", "/agents/a", &[], b"").await.unwrap();
    assert_eq!(answer.status, 200);
    until("the first provider is gone", async || (knows(&watching).await == 1).then_some(())).await;
}

#[tokio::test]
async fn the_dependencies_of_an_agent_are_known_before_its_first_call() {
    let mut registry = TestRegistry::in_memory().await;
    let _agent = offering(&registry, "a").await;
    let own = ScriptedAgent::start("caller", Speech::Current).await;
    let manifest = format!("id: caller\nendpoint: {}\ndependencies: [work]\n", own.endpoint());
    let caller = TestSidecar::beside(&registry, &manifest).await;
    until("the answer is there", async || {
        caller.get("/metrics").await.text().contains("mesh_discovery_entries 1").then_some(())
    })
    .await;
    until("it was asked for", async || {
        caller
            .get("/metrics")
            .await
            .text()
            .contains(r#"mesh_discovery_refresh_total{result="success"} 1"#)
            .then_some(())
    })
    .await;
    registry.program.kill().await;
    let answer = caller.call("work", &json!({})).await;
    assert_eq!((answer.status, answer.header("x-mesh-agent")), (200, "a"), "{}", answer.text());
}
