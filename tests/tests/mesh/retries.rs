//! Retries are honest: what may have been executed is repeated only if that is safe, and nothing is executed twice
//! that is not marked so.

use std::time::Duration;

use futures_util::StreamExt as _;
use mesh_tests::exchange::{self, Answer};
use mesh_tests::http;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::{TestSidecar, manifest};
use serde_json::json;

struct Mesh {
    _registry: TestRegistry,
    _beside: Vec<TestSidecar>,
    caller: TestSidecar,
    agents: [ScriptedAgent; 2],
}

/// Two agents that offer `work`, safe to repeat or not, and a caller.
async fn mesh(is_safe: bool) -> Mesh {
    let registry = TestRegistry::in_memory().await;
    let agents =
        [ScriptedAgent::start("a", Speech::Current).await, ScriptedAgent::start("b", Speech::Session).await];
    let mut beside = Vec::new();
    for (id, agent) in ["a", "b"].iter().zip(&agents) {
        beside.push(TestSidecar::beside(&registry, &manifest(id, &agent.endpoint(), "work", is_safe)).await);
    }
    let caller = TestSidecar::caller(&registry, &[]).await;
    Mesh { _registry: registry, _beside: beside, caller, agents }
}

impl Mesh {
    fn both(&self, act: Act) {
        self.agents.iter().for_each(|agent| agent.always(act));
    }

    fn executed(&self) -> usize {
        self.agents.iter().map(ScriptedAgent::executed).sum()
    }

    async fn call(&self) -> Answer {
        self.caller.call("work", &json!({})).await
    }
}

#[tokio::test]
async fn a_call_that_may_have_been_executed_is_not_repeated_when_that_is_not_safe() {
    let mesh = mesh(false).await;
    for act in [Act::Vanish, Act::Babble] {
        let before = mesh.executed();
        mesh.both(act);
        let answer = mesh.call().await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (502, Some("upstream_failed")),
            "{}",
            answer.text()
        );
        assert_eq!((answer.json()["retryable"].as_bool(), mesh.executed() - before), (Some(false), 1));
        assert_eq!(answer.json()["attempts"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn what_a_provider_answered_is_not_said_to_be_retryable() {
    let mesh = mesh(false).await;
    mesh.agents.iter().for_each(|agent| agent.always(Act::Refuse(500)));
    let answer = mesh.call().await;
    assert_eq!(
        (answer.status, answer.json()["retryable"].as_bool()),
        (502, Some(false)),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_safe_call_is_repeated_at_another_agent() {
    let mesh = mesh(true).await;
    for act in [Act::Vanish, Act::Refuse(503), Act::Babble] {
        mesh.agents[0].always(act);
        for _ in 0..4 {
            let answer = mesh.call().await;
            assert_eq!(answer.status, 200, "{act:?}: {}", answer.text());
        }
        mesh.agents[0].always(Act::Answer);
    }
}

#[tokio::test]
async fn an_idempotency_key_makes_a_call_safe() {
    let mesh = mesh(false).await;
    mesh.agents.iter().for_each(|agent| agent.next(&[Act::Vanish]));
    let key = [("Idempotency-Key", "1"), ("Content-Type", "application/json")];
    let answer = exchange::send(mesh.caller.address, "POST", "/call/work", &key, b"{}").await.unwrap();
    assert_eq!((answer.status, answer.header("x-mesh-attempts")), (200, "3"), "{}", answer.text());
}

#[tokio::test]
async fn a_call_that_was_never_sent_is_repeated_whatever_it_does() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("b", Speech::Current).await;
    let _beside = TestSidecar::beside(&registry, &manifest("b", &agent.endpoint(), "work", false)).await;
    // A port that nobody listens on, registered as healthy.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone =
        json!({"id": "a", "endpoint": format!("http://{free}/mcp"), "capabilities": [{"name": "work"}]});
    assert_eq!(registry.post("/agents", &gone).await.status, 200);
    assert_eq!(registry.post("/heartbeat", &json!({"agent_id": "a"})).await.status, 200);
    let caller = TestSidecar::caller(&registry, &[]).await;
    for _ in 0..20 {
        let answer = caller.call("work", &json!({})).await;
        assert_eq!((answer.status, answer.header("x-mesh-agent")), (200, "b"), "{}", answer.text());
    }
    assert_eq!(agent.executed(), 20);
}

#[tokio::test]
async fn a_busy_agent_is_passed_over_and_its_breaker_stays_closed() {
    let mesh = mesh(false).await;
    mesh.agents[0].always(Act::Refuse(429));
    for _ in 0..20 {
        assert_eq!(mesh.call().await.status, 200);
    }
    assert_eq!(mesh.agents[1].executed(), 20);
    let explanation = mesh.caller.get("/explain/work").await.json();
    assert!(explanation["candidates"].as_array().unwrap().iter().all(|one| one["breaker"] == "closed"));
    mesh.both(Act::Refuse(429));
    let answer = mesh.call().await;
    assert_eq!((answer.status, answer.json()["retryable"].as_bool()), (429, Some(true)), "{}", answer.text());
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn the_budget_ends_a_storm_of_retries() {
    let mesh = mesh(true).await;
    mesh.both(Act::Babble);
    const CALLS: usize = 40;
    for _ in 0..CALLS {
        mesh.call().await;
    }
    let repeats = mesh.executed().saturating_sub(CALLS);
    assert!(repeats <= CALLS / 5 + 10, "{repeats} repeats of {CALLS} calls");
}

#[tokio::test]
async fn the_deadline_of_the_caller_ends_the_call() {
    let mesh = mesh(true).await;
    mesh.both(Act::AnswerAfter(Duration::from_secs(20)));
    let deadline = [("X-Mesh-Timeout-Ms", "300"), ("Content-Type", "application/json")];
    let began = std::time::Instant::now();
    let answer = exchange::send(mesh.caller.address, "POST", "/call/work", &deadline, b"{}").await.unwrap();
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (504, Some("deadline_exceeded")),
        "{}",
        answer.text()
    );
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "the answer came with the deadline, not with the agent"
    );
}

#[tokio::test]
async fn errors_of_the_tool_and_of_its_arguments_are_passed_on_and_not_repeated() {
    let mesh = mesh(true).await;
    mesh.both(Act::ToolError);
    let answer = mesh.call().await;
    assert_eq!((answer.status, answer.json()["isError"].as_bool()), (200, Some(true)));
    mesh.both(Act::RpcError(-32602));
    let answer = mesh.call().await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (400, Some("upstream_refused")),
        "{}",
        answer.text()
    );
    mesh.both(Act::RpcError(-32603));
    assert_eq!(mesh.call().await.status, 502);
    assert_eq!(mesh.executed(), 1);
}

#[tokio::test]
async fn ten_thousand_calls_with_faults_execute_no_unsafe_tool_twice() {
    const CALLS: u64 = 10_000;
    const AT_ONCE: usize = 16;
    let mesh = mesh(false).await;
    // Every kind of fault, at both agents, in an order that never repeats itself within a call's attempts.
    let acts = [
        Act::Answer,
        Act::Answer,
        Act::Vanish,
        Act::Answer,
        Act::Refuse(503),
        Act::Answer,
        Act::Babble,
        Act::Refuse(429),
        Act::Answer,
        Act::RpcError(-32603),
        Act::Answer,
    ];
    for (i, agent) in mesh.agents.iter().enumerate() {
        let mut acts: Vec<_> = acts.iter().cycle().skip(i * 4).take(12_000).copied().collect();
        // Now and then the whole agent is gone for the connections that are open.
        acts.iter_mut().step_by(97).for_each(|act| *act = Act::Vanish);
        agent.next(&acts);
    }
    let client = http::client();
    let url = format!("http://{}/call/work", mesh.caller.address);
    let call = |call: u64| {
        let request = client.post(&url).json(&json!({"call": call})).send();
        async move { (call, request.await.expect("the sidecar answers").status().as_u16()) }
    };
    let outcomes: Vec<_> =
        futures_util::stream::iter(0..CALLS).map(call).buffer_unordered(AT_ONCE).collect().await;
    let mut executions = mesh.agents[0].executions();
    for (call, times) in mesh.agents[1].executions() {
        *executions.entry(call).or_default() += times;
    }
    let twice = executions.values().filter(|times| **times > 1).count();
    assert_eq!(twice, 0, "no call was executed twice");
    let answered: Vec<_> = outcomes.iter().filter(|(_, status)| *status == 200).collect();
    assert!(
        answered.iter().all(|(call, _)| executions.contains_key(call)),
        "whatever was answered was executed"
    );
    assert!(answered.len() > 5_000, "{} of {CALLS} were answered", answered.len());
}
