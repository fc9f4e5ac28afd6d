//! `capabilities: auto`: what an agent can do is asked of the agent, and stays true while its tools change.

use mesh_tests::agent::TestAgent;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{ScriptedAgent, Speech};
use mesh_tests::sidecar::TestSidecar;
use mesh_tests::wait::until;
use serde_json::{Value, json};

/// So seldom that a test ends before.
const NEVER: &str = "1h";
const OFTEN: &str = "50ms";

/// A manifest that says nothing of single tools.
fn auto(endpoint: &str, interval: &str) -> String {
    with(endpoint, interval, "auto")
}

fn with(endpoint: &str, interval: &str, capabilities: &str) -> String {
    format!(
        "id: a\nendpoint: {endpoint}\nhealth_interval: 1s\nhealth: {{interval: 200ms}}\n\
         capabilities: {capabilities}\ntools: {{interval: {interval}}}\n"
    )
}

fn tool(name: &str) -> Value {
    json!({"name": name, "description": format!("does {name}"), "inputSchema": {"type": "object"}})
}

async fn capabilities(registry: &TestRegistry) -> Vec<Value> {
    let agent = registry.get("/agents/a").await.json();
    agent["capabilities"].as_array().cloned().unwrap_or_default()
}

async fn names(registry: &TestRegistry) -> Vec<String> {
    let capabilities = capabilities(registry).await;
    capabilities.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Waits until the registry knows the agent with exactly these tools.
async fn registered(registry: &TestRegistry, expected: &[&str]) {
    until(&format!("{expected:?} are registered"), async || {
        (names(registry).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_tools_of_an_agent_are_registered_with_schemas_and_hints_and_can_be_called() {
    for flags in [&[][..], &["--older", "--session"], &["--older", "--sse"]] {
        let registry = TestRegistry::in_memory().await;
        let agent = TestAgent::start("replica-1", flags).await;
        let _beside = TestSidecar::beside(&registry, &auto(&agent.endpoint(), NEVER)).await;
        // The first registration has all of them.
        let capabilities = capabilities(&registry).await;
        assert_eq!(names(&registry).await, ["archive_note", "summarize", "word_count"], "{flags:?}");
        let summarize = &capabilities[1];
        assert_eq!(summarize["version"], "1.0.0");
        assert_eq!(summarize["description"], "Shortens a text to its most telling sentences.");
        assert_eq!(
            summarize["annotations"],
            json!({"readOnlyHint": true, "idempotentHint": true, "openWorldHint": false})
        );
        assert_eq!(summarize["input_schema"]["properties"]["text"]["type"], "string");
        assert_eq!(summarize["output_schema"]["properties"]["served_by"]["type"], "string");
        let caller = TestSidecar::caller(&registry, &[]).await;
        let answer = caller.call("word_count", &json!({"text": "One two."})).await;
        assert_eq!((answer.status, &answer.json()["structuredContent"]["words"]), (200, &json!(2)));
    }
}

#[tokio::test]
async fn a_change_that_the_agent_announces_is_in_the_registry_at_once() {
    for flags in [&[][..], &["--older", "--session"]] {
        let registry = TestRegistry::in_memory().await;
        let agent = TestAgent::start("a", flags).await;
        let _beside = TestSidecar::beside(&registry, &auto(&agent.endpoint(), NEVER)).await;
        for _ in 0..3 {
            agent.offers("archive_note", false).await;
            registered(&registry, &["summarize", "word_count"]).await;
            agent.offers("archive_note", true).await;
            registered(&registry, &["archive_note", "summarize", "word_count"]).await;
        }
        assert_eq!(registry.status_of("a").await, "healthy", "{flags:?}");
    }
}

#[tokio::test]
async fn an_agent_that_comes_back_with_other_tools_is_asked_again() {
    for (before, after) in [
        (&[][..], &["--without", "summarize"][..]),
        (&["--older", "--session"], &["--older", "--session", "--without", "summarize"]),
        (&[], &["--older", "--session", "--without", "summarize"]),
        (&["--older", "--session"], &["--without", "summarize"]),
    ] {
        let registry = TestRegistry::in_memory().await;
        let mut agent = TestAgent::start("a", before).await;
        let _beside = TestSidecar::beside(&registry, &auto(&agent.endpoint(), NEVER)).await;
        agent.program.kill().await;
        let _agent = TestAgent::start_at(&agent.address.to_string(), "a", after).await;
        registered(&registry, &["archive_note", "word_count"]).await;
    }
}

#[tokio::test]
async fn an_agent_that_announces_nothing_is_asked_every_so_often_page_by_page() {
    for speech in [Speech::Current, Speech::Session, Speech::Handshake, Speech::Bare] {
        let registry = TestRegistry::in_memory().await;
        let agent = ScriptedAgent::start("a", speech).await;
        agent.tools().set(&["e", "c", "a", "d", "b"].map(tool), 2);
        let _beside = TestSidecar::beside(&registry, &auto(&agent.endpoint(), OFTEN)).await;
        assert_eq!(names(&registry).await, ["a", "b", "c", "d", "e"], "{speech:?}");
        agent.tools().set(&["f", "b"].map(tool), 1);
        registered(&registry, &["b", "f"]).await;
        agent.tools().set(&[], 0);
        registered(&registry, &[]).await;
        assert!(agent.handshakes() <= 1, "{speech:?}: one session is enough, not {}", agent.handshakes());
        agent.reborn(speech);
        agent.tools().set(&["g"].map(tool), 0);
        registered(&registry, &["g"]).await;
    }
}

#[tokio::test]
async fn the_same_tools_in_another_order_change_nothing() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    agent.tools().set(&["a", "b", "c"].map(tool), 0);
    let sidecar = TestSidecar::beside(&registry, &auto(&agent.endpoint(), OFTEN)).await;
    for order in [["c", "a", "b"], ["b", "c", "a"], ["b", "a", "c"]] {
        agent.tools().set(&order.map(tool), 2);
        let seen = agent.tools().listings();
        until("the list is read a few times", async || (agent.tools().listings() > seen + 6).then_some(()))
            .await;
    }
    let printed = sidecar.program.printed();
    assert_eq!(names(&registry).await, ["a", "b", "c"]);
    for once in ["our agent's tools are known", "our agent is registered"] {
        assert_eq!(printed.matches(once).count(), 1, "{once}: {printed}");
    }
}

#[tokio::test]
async fn what_the_manifest_says_about_a_tool_has_the_last_word() {
    let registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("a", &[]).await;
    let list = "[auto, {name: summarize, version: 2.1.0, stability: beta, annotations: {idempotentHint: false}}, \
                {name: levitate}]";
    let sidecar = TestSidecar::beside(&registry, &with(&agent.endpoint(), NEVER, list)).await;
    let capabilities = capabilities(&registry).await;
    assert_eq!(names(&registry).await, ["archive_note", "levitate", "summarize", "word_count"]);
    let summarize = &capabilities[2];
    assert_eq!((&summarize["version"], &summarize["stability"]), (&json!("2.1.0"), &json!("beta")));
    assert_eq!(
        summarize["annotations"],
        json!({"readOnlyHint": true, "idempotentHint": false, "openWorldHint": false})
    );
    assert_eq!(summarize["input_schema"]["properties"]["text"]["type"], "string");
    assert!(
        sidecar.program.printed().contains("levitate stands in the manifest and is no tool of our agent")
    );
}

#[tokio::test]
async fn an_agent_that_cannot_list_its_tools_is_not_registered_until_it_can_and_keeps_those_it_had() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    agent.tools().fail(true);
    let sidecar = TestSidecar::start(&registry.url(), Some(&auto(&agent.endpoint(), OFTEN)), &[]).await;
    let says = async |words: &str| {
        until(&format!("/readyz says {words:?}"), async || {
            let answer = sidecar.get("/readyz").await;
            (answer.status == 503 && answer.text().contains(words)).then_some(())
        })
        .await;
    };
    says("the provider answered 500").await;
    agent.tools().fail(false);
    for (hostile, reason) in [
        (json!({"tools": [], "nextCursor": "again"}), "has no end: page 2 names a page that was read before"),
        (json!({"tools": "many"}), "is no list of tools"),
        (json!(7), "is no list of tools"),
    ] {
        agent.tools().say(hostile);
        says(reason).await;
    }
    assert_eq!(registry.get("/agents/a").await.status, 404);
    agent.tools().set(&["work"].map(tool), 0);
    sidecar.ready().await;
    assert_eq!(names(&registry).await, ["work"]);
    agent.tools().fail(true);
    let seen = agent.tools().listings();
    until("it failed a few times", async || (agent.tools().listings() > seen + 3).then_some(())).await;
    assert_eq!((names(&registry).await, sidecar.get("/readyz").await.status), (vec!["work".to_owned()], 200));
    agent.tools().set(&["work", "rest"].map(tool), 0);
    registered(&registry, &["rest", "work"]).await;
    assert!(!sidecar.program.printed().contains("panicked"), "{}", sidecar.program.printed());
}

#[tokio::test]
async fn a_registry_that_starts_anew_is_told_the_tools_of_today() {
    let mut registry = TestRegistry::in_memory().await;
    let agent = TestAgent::start("a", &[]).await;
    let _beside = TestSidecar::beside(&registry, &auto(&agent.endpoint(), NEVER)).await;
    registry.program.kill().await;
    agent.offers("summarize", false).await;
    let registry = TestRegistry::start(&registry.address.to_string(), "memory:", &[]).await;
    registered(&registry, &["archive_note", "word_count"]).await;
}

#[tokio::test]
async fn tools_that_the_registry_refuses_leave_the_agent_alive_with_those_it_had() {
    let registry = TestRegistry::start("127.0.0.1:0", "memory:", &["--max-document-bytes", "4096"]).await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    agent.tools().set(&["work"].map(tool), 0);
    let manifest = auto(&agent.endpoint(), OFTEN).replace("health_interval: 1s", "health_interval: 100ms");
    let sidecar = TestSidecar::beside(&registry, &manifest).await;
    let tools: Vec<_> = (0..100).map(|n| tool(&format!("work_{n}"))).collect();
    agent.tools().set(&tools, 0);
    until("the refusal is in the log", async || {
        sidecar.program.printed().contains("the registry refuses our agent").then_some(())
    })
    .await;
    let beats = async || registry.get("/metrics").await.json()["heartbeats_processed"].as_u64().unwrap_or(0);
    let before = beats().await;
    until("heartbeats go on", async || (beats().await > before + 5).then_some(())).await;
    assert_eq!(
        (registry.status_of("a").await.as_str(), names(&registry).await),
        ("healthy", vec!["work".to_owned()])
    );
}

#[tokio::test]
async fn an_agent_that_is_listened_to_ends_when_it_is_told() {
    for flags in [&[][..], &["--older", "--session"]] {
        let registry = TestRegistry::in_memory().await;
        let mut agent = TestAgent::start("a", flags).await;
        let mut sidecar = TestSidecar::beside(&registry, &auto(&agent.endpoint(), NEVER)).await;
        agent.offers("summarize", false).await;
        registered(&registry, &["archive_note", "word_count"]).await;
        sidecar.program.terminate().await;
        assert_eq!(sidecar.program.ended().await.code(), Some(0));
        agent.program.terminate().await;
        agent.program.ended().await;
        assert_eq!(registry.get("/agents/a").await.status, 404);
    }
}
