//! Requests whose HTTP is in order and whose content is not.

use mesh_tests::exchange;
use serde_json::{Value, json};

use super::victim::{Victim, expect_error};

/// Routes that take a document.
const ROUTES: [&str; 4] =
    ["/agents", "/heartbeat", "/mcp/tools/register_agent", "/mcp/tools/discover_services"];

fn error_of(said: &Value) -> &str {
    said["error"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_body_that_is_no_json_is_told_why() {
    let victim = Victim::start().await;
    let deep = "[".repeat(100_000);
    let deep_objects = r#"{"a":"#.repeat(100_000);
    for target in ROUTES {
        for (body, reason) in [
            (b"{\"id\": ".as_slice(), "not valid JSON"),
            (b"{\"id\": \"a\"} trailing", "not valid JSON"),
            (b"{'id': 'a'}", "not valid JSON"),
            (b"{\"id\": \"a\0b\"}", "not valid JSON"),
            (b"\0\0\0\0", "not valid JSON"),
            (b"{\"id\": \"\xff\xfe\"}", "not UTF-8"),
            (deep.as_bytes(), "recursion limit"),
            (deep_objects.as_bytes(), "recursion limit"),
        ] {
            let said = victim.refused_json(target, body, "malformed_body").await;
            assert!(error_of(&said).contains(reason), "{target}: {reason} in {said}");
        }
    }
}

#[tokio::test]
async fn json_that_is_no_document_is_told_what_a_document_is() {
    let victim = Victim::start().await;
    for target in ["/agents", "/mcp/tools/register_agent"] {
        for body in ["[]", "[[1], {\"id\": \"a\"}]", "7", "-1e308", "null", "true", "\"text\""] {
            let said = victim.refused_json(target, body.as_bytes(), "validation_failed").await;
            assert!(error_of(&said).contains("must be an object"), "{target} {body}: {said}");
        }
    }
    for body in ["7", "null", "\"text\""] {
        let said = victim.refused_json("/heartbeat", body.as_bytes(), "validation_failed").await;
        assert!(error_of(&said).contains("must be an object"), "{body}: {said}");
    }
}

#[tokio::test]
async fn every_fault_of_a_document_is_listed_at_once() {
    let victim = Victim::start().await;
    let document = json!({
        "id": "two words", "endpoint": "ftp://h/", "namespace": "UPPER", "agent_type": "?", "health_interval": 0,
        "capabilities": [{"version": "one"}, {"name": "1st"}, 5], "labels": {"-": "x", "ok": "not ok"},
    });
    let said = victim.refused_json("/agents", document.to_string().as_bytes(), "validation_failed").await;
    let faults = said["faults"].as_array().expect("a list of faults");
    let paths = faults.iter().map(|fault| fault["path"].as_str().unwrap_or_default()).collect::<Vec<_>>();
    for path in [
        "id",
        "endpoint",
        "namespace",
        "agent_type",
        "health_interval",
        "capabilities[0].name",
        "capabilities[0].version",
        "capabilities[1].name",
        "capabilities[2]",
        "labels.-",
        "labels.ok",
    ] {
        assert!(paths.contains(&path), "{path} in {paths:?}");
        assert!(error_of(&said).contains(&format!("'{path}'")), "{path} in {said}");
    }
    assert_eq!(victim.registry.get("/agents").await.json()["total"], 0);
}

#[tokio::test]
async fn keys_that_nobody_knows_are_accepted_with_a_warning() {
    let victim = Victim::start().await;
    let document = json!({"id": "a", "endpoint": "http://h:1/", "labelz": {}, "capabilities": [{"name": "x", "tag": 1}]});
    let answer = victim.registry.post("/agents", &document).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let warnings = answer.json()["warnings"].to_string();
    for said in ["labelz", "did you mean 'labels'?", "capabilities[0].tag", "did you mean 'tags'?"] {
        assert!(warnings.contains(said), "{said} in {warnings}");
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let victim = Victim::start().await;
    for other in ["text/plain", "application/xml", "multipart/form-data; boundary=x", "\u{e9}", ","] {
        let headers = [("Content-Type", other)];
        let said =
            victim.refused(("POST", "/agents"), &headers, b"{}", (415, "unsupported_media_type")).await;
        assert!(error_of(&said).contains("application/json"), "{said}");
    }
}

#[tokio::test]
async fn a_query_with_faults_is_told_all_of_them() {
    let victim = Victim::start().await;
    let target = "/agents?namspace=x&status=well&limit=0&version_constraint=newest&colour=red";
    let said = victim.refused(("GET", target), &[], b"", (400, "validation_failed")).await;
    for part in
        ["namspace", "did you mean 'namespace'?", "'status'", "'limit'", "'version_constraint'", "'colour'"]
    {
        assert!(error_of(&said).contains(part), "{part} in {said}");
    }
    let target = "/capabilities?label_selector=env%20in%20(a";
    let said = victim.refused(("GET", target), &[], b"", (400, "validation_failed")).await;
    assert!(error_of(&said).starts_with("Invalid label selector"), "{said}");
    for target in ["/agents?%zz", "/agents?continue=%00%ff", "/agents?limit=99999999999999999999&limit"] {
        victim.refused(("GET", target), &[], b"", (400, "validation_failed")).await;
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_named() {
    let victim = Victim::start().await;
    for target in ["/nothing", "/agents/a/b", "/../etc/passwd", "//", "/agents%2fa"] {
        let said = victim.refused(("GET", target), &[], b"", (404, "route_not_found")).await;
        assert!(error_of(&said).contains(target), "{target} in {said}");
    }
    for (method, target) in
        [("PUT", "/agents"), ("DELETE", "/health"), ("GET", "/heartbeat"), ("BREW", "/agents/a")]
    {
        let answer = exchange::send(victim.registry.address, method, target, &[], b"").await.unwrap();
        let said = expect_error(&answer, 405, "method_not_allowed");
        assert!(error_of(&said).contains(method) && !answer.header("allow").is_empty(), "{said}");
    }
    victim.is_well().await;
}
