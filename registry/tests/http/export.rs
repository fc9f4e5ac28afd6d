//! An agent as a document of others.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::{Answer, TestRegistry};

async fn registry() -> TestRegistry {
    let registry = TestRegistry::start().await;
    let notes =
        json!({"description": "Shortens texts.", "version": "3.1.0", "a2a-endpoint": "https://h/a2a"});
    registry.register("both", json!({"annotations": notes, "capabilities": [{"name": "shorten"}]})).await;
    registry.register("only-mcp", json!({})).await;
    registry
}

async fn with_tag(registry: &TestRegistry, target: &str, tag: &str) -> Answer {
    let request = Request::get(target).header("if-none-match", tag);
    registry.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn an_agent_is_shown_as_an_entry_of_the_official_registry() {
    let entry = registry().await.get("/agents/both?format=server.json").await;
    assert_eq!(entry.headers["content-type"], "application/json");
    assert_eq!(entry.headers["cache-control"], "max-age=30");
    let entry = entry.ok();
    assert_eq!(entry["name"], "local.mesh.default/both");
    assert_eq!((&entry["description"], &entry["version"]), (&json!("Shortens texts."), &json!("3.1.0")));
    assert_eq!(entry["remotes"], json!([{"type": "streamable-http", "url": "http://h:1/mcp"}]));
    assert_eq!(entry["_meta"]["local.mesh/agent"]["capabilities"][0]["name"], "shorten");
}

#[tokio::test]
async fn an_agent_has_an_agent_card_if_it_speaks_a2a() {
    let registry = registry().await;
    let card = registry.get("/agents/both?format=agent-card").await.ok();
    assert_eq!(card["supportedInterfaces"][0]["url"], "https://h/a2a");
    assert_eq!(card["skills"][0]["id"], "shorten");
    let fault = registry.get("/agents/only-mcp?format=agent-card").await.error(404, "card_not_found");
    assert!(fault.contains("only-mcp") && fault.contains("'a2a-endpoint'"), "{fault}");
}

#[tokio::test]
async fn a_document_that_a_client_has_is_sent_again_only_when_it_has_changed() {
    let registry = registry().await;
    for target in ["/agents/both?format=server.json", "/agents/both?format=agent-card"] {
        let tag = registry.get(target).await.headers["etag"].to_str().unwrap().to_owned();
        registry.beat("both").await;
        let answer = with_tag(&registry, target, &tag).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""), "{target}");
        registry
            .register("both", json!({"labels": {"for": target.len().to_string()}, "annotations": {"a2a-endpoint": "https://h/a2a"}}))
            .await;
        assert_eq!(with_tag(&registry, target, &tag).await.status, 200, "{target}");
    }
}

#[tokio::test]
async fn an_unknown_format_is_refused_with_the_known_ones_and_none_is_the_agent_itself() {
    let registry = registry().await;
    let fault = registry.get("/agents/both?format=yaml").await.error(400, "validation_failed");
    assert!(
        fault.contains("server.json") && fault.contains("agent-card") && fault.contains("yaml"),
        "{fault}"
    );
    registry.get("/agents/nobody?format=server.json").await.error(404, "agent_not_found");
    let plain = registry.get("/agents/both").await;
    assert!(plain.headers.get("etag").is_none() && plain.ok()["status"] == "pending");
    for target in ["/agents/both?format=", "/agents/both?other=1"] {
        assert_eq!(registry.get(target).await.text, plain.text, "{target}");
    }
}
