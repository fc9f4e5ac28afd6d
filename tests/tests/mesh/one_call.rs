//! A real agent, registered by its sidecar, is called by another one through its own localhost.

use mesh_tests::agent::TestAgent;
use mesh_tests::exchange;
use mesh_tests::registry::TestRegistry;
use mesh_tests::sidecar::{TestSidecar, manifest};
use serde_json::json;

const TEXT: &str = "The mesh finds a provider. The mesh calls the provider. Lunch was good.";

#[tokio::test]
async fn an_agent_on_the_official_sdk_is_called_through_localhost() {
    let registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("replica-1", &[]).await;
    let _beside =
        TestSidecar::beside(&registry, &manifest("summarizer", &agent.endpoint(), "summarize", true)).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let answer = caller.call("summarize", &json!({"text": TEXT, "sentences": 1})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let result = answer.json();
    assert_eq!(result["structuredContent"]["served_by"], "replica-1");
    assert_eq!(result["structuredContent"]["sentences"], 1);
    assert_eq!((answer.header("x-mesh-agent"), answer.header("x-mesh-attempts")), ("summarizer", "1"));
    assert_eq!(answer.header("x-mesh-stale"), "");
}

#[tokio::test]
async fn agents_with_sessions_and_event_streams_are_called_the_same_way() {
    let registry = TestRegistry::in_memory().await;
    for (id, flags) in [("s", &["--session"][..]), ("e", &["--sse"]), ("se", &["--session", "--sse"])] {
        let agent = TestAgent::start(id, flags).await;
        let capability = format!("summarize?label_selector=id={id}");
        let manifest =
            manifest(id, &agent.endpoint(), "summarize", true) + &format!("labels: {{id: {id}}}\n");
        let _beside = TestSidecar::beside(&registry, &manifest).await;
        let caller = TestSidecar::caller(&registry, &[]).await;
        for _ in 0..3 {
            let answer = caller.call(&capability, &json!({"text": TEXT})).await;
            assert_eq!(answer.status, 200, "{id}: {}", answer.text());
            assert_eq!(answer.json()["structuredContent"]["served_by"], id);
        }
    }
}

#[tokio::test]
async fn a_tool_that_fails_is_a_result_and_not_an_error_of_the_mesh() {
    let registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("replica-1", &[]).await;
    let _beside =
        TestSidecar::beside(&registry, &manifest("summarizer", &agent.endpoint(), "summarize", true)).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let answer = caller.call("summarize", &json!({"sentences": "many"})).await;
    let refused = answer.status == 400 && answer.json()["code"] == "upstream_refused";
    let reported = answer.status == 200 && answer.json()["isError"] == true;
    assert!(refused || reported, "{} {}", answer.status, answer.text());
}

#[tokio::test]
async fn versions_labels_and_namespaces_choose_the_provider() {
    let registry = TestRegistry::in_memory().await;
    let mut beside = Vec::new();
    let mut agents = Vec::new();
    for (id, version, namespace) in
        [("old", "1.4.0", "default"), ("new", "2.1.0", "default"), ("far", "3.0.0", "other")]
    {
        let agent = TestAgent::start(id, &[]).await;
        let manifest = format!(
            "id: {id}\nnamespace: {namespace}\nlabels: {{release: {id}}}\nendpoint: {}\n\
             capabilities: [{{name: word_count, version: {version}}}]\n",
            agent.endpoint()
        );
        beside.push(TestSidecar::beside(&registry, &manifest).await);
        agents.push(agent);
    }
    let caller = TestSidecar::caller(&registry, &[]).await;
    for (query, served_by) in [
        ("version_constraint=^1.0.0", "old"),
        ("version_constraint=>1.9.0", "new"),
        ("label_selector=release+in+(new,far)", "new"),
        ("namespace=other", "far"),
        ("namespace=*&version_constraint=>=3", "far"),
    ] {
        let answer = caller.call(&format!("word_count?{query}"), &json!({"text": TEXT})).await;
        assert_eq!(answer.header("x-mesh-agent"), served_by, "{query}: {}", answer.text());
    }
    let answer = caller.call("word_count?version_constraint=^9", &json!({"text": TEXT})).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("no_provider")));
    assert!(answer.json()["error"].as_str().unwrap().contains("in version ^9"), "{}", answer.text());
}

#[tokio::test]
async fn the_registrys_own_discovery_works_at_the_sidecar() {
    let registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("replica-1", &[]).await;
    let beside =
        TestSidecar::beside(&registry, &manifest("summarizer", &agent.endpoint(), "summarize", true)).await;
    for target in [
        "/capabilities?name=summarize",
        "/agents?status=healthy&capability=summarize",
        "/agents/summarizer",
        "/agents/summarizer?format=server.json",
    ] {
        let (mine, theirs) = (beside.get(target).await, registry.get(target).await);
        assert_eq!((mine.status, theirs.status), (200, 200));
        let keys = |json: &serde_json::Value| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&mine.json()), keys(&theirs.json()), "{target}");
    }
    let unknown = beside.get("/agents/nobody").await;
    assert_eq!((unknown.status, unknown.json()["detail"].as_str()), (404, Some("Agent nobody not found")));
    let other = beside.get("/agents/summarizer?format=yaml").await;
    assert!(other.status == 400 && other.text().contains("server.json or agent-card"), "{}", other.text());
    let faulty = beside.get("/agents?namspace=x").await;
    assert!(faulty.status == 400 && faulty.text().contains("did you mean 'namespace'?"), "{}", faulty.text());
}

#[tokio::test]
async fn explain_says_who_would_serve_and_why_not_the_others() {
    let registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("replica-1", &[]).await;
    let own = TestSidecar::beside(&registry, &manifest("own", &agent.endpoint(), "summarize", true)).await;
    let weightless = manifest("weightless", &agent.endpoint(), "summarize", true) + "weight: 0\n";
    let _weightless = TestSidecar::beside(&registry, &weightless).await;
    let _other =
        TestSidecar::beside(&registry, &manifest("other", &agent.endpoint(), "summarize", true)).await;
    let explanation = own.get("/explain/summarize").await.json();
    assert_eq!(explanation["eligible"], json!(["other"]));
    let verdicts: Vec<_> = explanation["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}", one["agent_id"].as_str().unwrap(), one["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(verdicts, ["other eligible", "own own_agent", "weightless no_weight"]);
    assert_eq!(own.call("summarize", &json!({"text": TEXT})).await.header("x-mesh-agent"), "other");
}

#[tokio::test]
async fn what_happened_is_counted() {
    let registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("replica-1", &[]).await;
    let _beside =
        TestSidecar::beside(&registry, &manifest("summarizer", &agent.endpoint(), "summarize", true)).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    caller.call("summarize", &json!({"text": TEXT})).await;
    caller.call("made_up_by_the_caller", &json!({})).await;
    let metrics = caller.get("/metrics").await.text();
    for line in [
        r#"mesh_requests_total{capability="summarize",outcome="success"} 1"#,
        r#"mesh_requests_total{capability="other",outcome="no_provider"} 1"#,
        r#"mesh_attempts_total{result="answered"} 1"#,
        "mesh_registry_up 1",
        "mesh_in_flight 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_web_page_is_not_served() {
    let registry = TestRegistry::in_memory().await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    for headers in [[("Origin", "https://example.org")], [("X-Forwarded-Host", "x")]] {
        let answer = exchange::send(caller.address, "POST", "/call/x", &headers, b"{}").await.unwrap();
        let is_page = headers[0].0 == "Origin";
        assert_eq!(answer.status == 403, is_page, "{}", answer.text());
    }
    let rebound = b"GET /agents HTTP/1.1\r\nHost: rebound.example.org\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange::raw(caller.address, rebound).await.unwrap().status, 403);
}
