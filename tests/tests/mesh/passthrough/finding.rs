//! Where the agent is, and what is said when it cannot be called.

use mesh_tests::exchange;
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use mesh_tests::web::WebAgent;
use serde_json::json;

use super::mesh;

#[tokio::test]
async fn an_agent_is_found_by_its_id_in_the_callers_namespace() {
    let mesh = mesh(&[]).await;
    let (status, code, text) = mesh.code("/agents/nobody/mcp").await;
    assert_eq!((status, code.as_str()), (404, "agent_not_found"), "{text}");
    assert!(text.contains("there is no agent 'nobody' in namespace 'default'"), "{text}");
    mesh.register("far", &mesh.agent.endpoint(), &json!({"namespace": "elsewhere"})).await;
    assert_eq!(mesh.code("/agents/far/mcp").await.0, 404);
    for there in ["?namespace=*", "?namespace=elsewhere"] {
        assert_eq!(mesh.code(&format!("/agents/far/mcp{there}")).await.0, 200, "{there}");
    }
    for faulty in
        ["/agents/far/mcp?namspace=x", "/agents/far/mcp?id=near", "/agents/a%20b/mcp", "/agents//mcp"]
    {
        assert_eq!(mesh.code(faulty).await.1, "validation_failed", "{faulty}");
    }
    // A capability cannot be taken for the endpoint, and the registry's own route is there as before.
    assert_eq!(mesh.code("/proxy//agents/far/mcp?namespace=*/").await.0, 400);
    assert_eq!(mesh.caller.get("/agents/far").await.json()["namespace"], "elsewhere");
    let page = exchange::send(
        mesh.caller.address,
        "GET",
        "/agents/far/mcp",
        &[("Origin", "http://evil.example")],
        b"",
    );
    assert_eq!(page.await.unwrap().status, 403);
    assert!(
        mesh.caller
            .get("/metrics")
            .await
            .text()
            .contains(r#"mesh_requests_total{capability="/agents/{id}/mcp",outcome="success"} 2"#)
    );
}

#[tokio::test]
async fn an_agent_that_cannot_be_called_is_answered_for() {
    let mesh = mesh(&["--deny-endpoints", "127.9.0.0/16"]).await;
    let gone = json!({"timeout_threshold": 0.2, "eviction_threshold": 0.4, "health_interval": 0.1});
    mesh.register("gone", &mesh.agent.endpoint(), &gone).await;
    mesh.register("denied", "http://127.9.0.1:1/mcp", &json!({})).await;
    mesh.register("piped", "stdio://tool", &json!({})).await;
    mesh.register("resting", &mesh.agent.endpoint(), &json!({"weight": 0})).await;
    until("it is expired", async || (mesh.registry.status_of("gone").await == "expired").then_some(())).await;
    for (id, reason) in
        [("gone", "takes no calls"), ("denied", "must not be called"), ("piped", "cannot be called")]
    {
        let answer = mesh.caller.get(&format!("/agents/{id}/mcp")).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text());
        assert!(answer.text().contains(reason), "{}", answer.text());
    }
    assert_eq!(mesh.agent.requests(), 0);
    assert_eq!(
        mesh.code("/agents/resting/mcp").await.0,
        200,
        "whoever is asked for by name needs no share of the load"
    );
    // Sessions that an agent holds go on although it takes nobody new.
    let session = [("Mcp-Session-Id", "s")];
    let answer =
        exchange::send(mesh.caller.address, "POST", "/agents/gone/mcp", &session, b"{}").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    mesh.at("moved", "/moved").await;
    let before = mesh.agent.requests();
    let (status, _, text) = mesh.code("/agents/moved/mcp").await;
    assert!(status == 502 && text.contains("/moved/: give that address as its endpoint"), "{status} {text}");
    assert_eq!(mesh.agent.requests() - before, 1);
    let beside = manifest("me", &mesh.agent.endpoint(), "work", true);
    let sidecar = TestSidecar::beside(&mesh.registry, &beside).await;
    assert!(sidecar.get("/agents/me/mcp").await.text().contains("is the caller itself"));
}

#[tokio::test]
async fn a_breaker_opens_and_an_agent_that_has_moved_is_found_again() {
    let mesh = mesh(&[]).await;
    let other = WebAgent::start("other").await;
    let endpoint = other.endpoint();
    mesh.register("a", &endpoint, &json!({})).await;
    assert_eq!(mesh.code("/agents/a/mcp").await.0, 200);
    drop(other);
    until("the breaker is open", async || {
        let answer = mesh.caller.get("/agents/a/mcp").await;
        let is_out = answer.status == 503 && answer.text().contains("has an open circuit breaker");
        assert!(is_out || answer.status == 502, "{}", answer.text());
        is_out.then(|| assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0))
    })
    .await;
    mesh.at("a", "/v2").await;
    until("the new address is used", async || (mesh.code("/agents/a/mcp").await.0 == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn an_agent_that_is_known_is_reached_while_the_registry_is_away_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("discovery.json");
    let settings = ["--discovery-file", file.to_str().unwrap(), "--discovery", "watch"];
    let mut mesh = mesh(&settings).await;
    mesh.at("a", "/mcp").await;
    assert_eq!(mesh.code("/agents/a/mcp").await.0, 200);
    until("it is written", async || {
        std::fs::read_to_string(&file).ok()?.contains("/agents?id=a").then_some(())
    })
    .await;
    mesh.registry.program.kill().await;
    assert_eq!(mesh.code("/agents/a/mcp").await.0, 200);
    let successor = TestSidecar::start(&mesh.registry.url(), None, &settings).await;
    let answer = successor.get("/agents/a/mcp").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let unknown = successor.get("/agents/b/mcp").await;
    assert_eq!(
        (unknown.status, unknown.json()["code"].as_str()),
        (503, Some("unavailable")),
        "{}",
        unknown.text()
    );
}

#[tokio::test]
async fn a_change_of_the_agent_is_heard_of_when_the_registry_is_watched() {
    let mesh =
        mesh(&["--discovery", "watch", "--discovery-fresh", "3600", "--discovery-aging", "3600"]).await;
    mesh.at("a", "/first").await;
    let target = async || mesh.caller.get("/agents/a/mcp").await.json()["target"].clone();
    assert_eq!(target().await, "/first");
    until("the agent is watched", async || {
        mesh.registry
            .get("/metrics/prometheus")
            .await
            .text()
            .contains("mcp_registry_watchers 1\n")
            .then_some(())
    })
    .await;
    mesh.at("a", "/second").await;
    until("the change is heard of", async || (target().await == "/second").then_some(())).await;
}
