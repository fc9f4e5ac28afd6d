//! The circuit breaker keeps calls away from a broken agent, and lets it back when it is well again.

use mesh_tests::cutter::Cutter;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use serde_json::{Value, json};

async fn breaker_of(caller: &TestSidecar, id: &str) -> String {
    let explanation = caller.get("/explain/work").await.json();
    let candidates = explanation["candidates"].as_array().cloned().unwrap_or_default();
    let one = candidates.iter().find(|one| one["agent_id"] == id);
    one.and_then(|one| one["breaker"].as_str()).unwrap_or_default().to_owned()
}

async fn beside(registry: &TestRegistry, id: &str, agent: &ScriptedAgent, is_safe: bool) -> TestSidecar {
    TestSidecar::beside(registry, &manifest(id, &agent.endpoint(), "work", is_safe)).await
}

#[tokio::test]
async fn an_agent_that_answers_with_errors_is_left_alone_and_comes_back() {
    let registry = TestRegistry::in_memory().await;
    let (bad, good) = (
        ScriptedAgent::start("bad", Speech::Current).await,
        ScriptedAgent::start("good", Speech::Current).await,
    );
    let _beside = [beside(&registry, "bad", &bad, true).await, beside(&registry, "good", &good, true).await];
    let caller = TestSidecar::caller(&registry, &[]).await;
    bad.always(Act::Refuse(503));
    // Every trial fails, so the pauses between trials grow; the breaker opens at the fifth failure in a row.
    until("the breaker opens", async || {
        let answer = caller.call("work", &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        (breaker_of(&caller, "bad").await == "open").then_some(())
    })
    .await;
    bad.always(Act::Answer);
    until("the breaker closes again", async || {
        assert_eq!(caller.call("work", &json!({})).await.status, 200);
        (breaker_of(&caller, "bad").await == "closed").then_some(())
    })
    .await;
    let before = bad.executed();
    until("it serves again", async || {
        assert_eq!(caller.call("work", &json!({})).await.status, 200);
        (bad.executed() > before + 5).then_some(())
    })
    .await;
    let metrics = caller.get("/metrics").await.text();
    for state in ["open", "closed"] {
        assert!(metrics.contains(&format!(r#"mesh_breaker_transitions_total{{to="{state}"}}"#)), "{metrics}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_opens_the_breaker_and_a_probe_finds_it_mended() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    let network = Cutter::to(agent.address).await;
    let advertised = format!("http://{}/mcp", network.address);
    let manifest = manifest("a", &agent.endpoint(), "work", false) + &format!("advertise: {advertised}\n");
    let _beside = TestSidecar::beside(&registry, &manifest).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    assert_eq!(caller.call("work", &json!({})).await.status, 200);
    network.cut();
    until("the breaker opens", async || {
        caller.call("work", &json!({})).await;
        (breaker_of(&caller, "a").await == "open").then_some(())
    })
    .await;
    let executed = agent.executed();
    let out = caller.call("work", &json!({})).await;
    assert_eq!((out.status, agent.executed()), (503, executed), "{}", out.text());
    network.mend();
    until("calls succeed again", async || {
        (caller.call("work", &json!({})).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(breaker_of(&caller, "a").await, "closed");
}

#[tokio::test]
async fn a_single_provider_that_answers_with_errors_is_not_taken_out() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    let _beside = beside(&registry, "a", &agent, false).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    agent.always(Act::Refuse(500));
    for _ in 0..10 {
        let answer = caller.call("work", &json!({})).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (502, Some("upstream_failed")),
            "{}",
            answer.text()
        );
    }
    agent.always(Act::Answer);
    let answer = caller.call("work", &json!({})).await;
    assert_eq!((answer.status, answer.json()["isError"].clone()), (200, Value::Bool(false)));
}

#[tokio::test]
async fn a_slow_agent_gets_less_to_do_than_a_fast_one() {
    let registry = TestRegistry::in_memory().await;
    let (slow, fast) = (
        ScriptedAgent::start("slow", Speech::Current).await,
        ScriptedAgent::start("fast", Speech::Current).await,
    );
    let _beside =
        [beside(&registry, "slow", &slow, true).await, beside(&registry, "fast", &fast, true).await];
    let caller = TestSidecar::caller(&registry, &[]).await;
    slow.always(Act::AnswerAfter(std::time::Duration::from_millis(150)));
    for _ in 0..100 {
        assert_eq!(caller.call("work", &json!({})).await.status, 200);
    }
    assert!(slow.executed() < 20, "the slow one served {} of 100", slow.executed());
}
