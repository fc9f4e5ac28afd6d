//! What comes after the first request of a call at the sidecar's `POST /mcp`: what the agent asks back, the task that it makes of
//! the call, its progress, and that nobody waits any more.

use std::time::Duration;

use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::TestSidecar;
use mesh_tests::wait::{PATIENCE, until};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::mesh_as_tools::{ask, open, request, send, trouble};

#[tokio::test]
async fn the_state_of_a_call_that_asks_back_finds_the_agent_that_made_it() {
    let registry = TestRegistry::in_memory().await;
    let mut agents = Vec::new();
    for id in ["a", "b"] {
        let agent = ScriptedAgent::start(id, Speech::Current).await;
        agent.always(Act::AskBack);
        registry.offer(id, &agent.endpoint(), &json!({"name": "work"}), &json!({})).await;
        agents.push(agent);
    }
    let sidecar = TestSidecar::caller(&registry, &[]).await;
    let sidecar = &sidecar;
    let call = |n: usize| async move {
        let mut params = json!({"name": "work", "arguments": {"n": n}});
        let asked = ask(sidecar, true, "tools/call", params.clone()).await["result"].take();
        assert_eq!(asked["resultType"], "input_required");
        params["requestState"] = asked["requestState"].clone();
        params["inputResponses"] = json!({});
        let done = ask(sidecar, true, "tools/call", params).await;
        assert_eq!(done["result"]["structuredContent"]["arguments"], json!({"n": n}), "{done}");
    };
    // At once, so that there is work for both.
    futures_util::future::join_all((0..20).map(call)).await;
    assert_eq!(agents.iter().map(ScriptedAgent::executed).sum::<usize>(), 20);
    assert!(agents.iter().all(|agent| agent.executed() > 0), "both were asked");
    let foreign = json!({"name": "work", "arguments": {}, "requestState": "state of a"});
    assert_eq!(ask(sidecar, true, "tools/call", foreign).await["error"]["code"], -32602);
    // A client of an older revision cannot answer, and is told so.
    let older = ask(sidecar, false, "tools/call", json!({"name": "work"})).await;
    assert!(trouble(&older)["error"].is_string());
}

#[tokio::test]
async fn a_task_is_asked_for_where_it_was_made() {
    let registry = TestRegistry::in_memory().await;
    let mut agents = Vec::new();
    for id in ["a", "b"] {
        let agent = ScriptedAgent::start(id, Speech::Current).await;
        agent.always(Act::MakeTask);
        registry.offer(id, &agent.endpoint(), &json!({"name": "work"}), &json!({})).await;
        agents.push(agent);
    }
    let sidecar = &TestSidecar::caller(&registry, &[]).await;
    let call = |_| async move {
        let made = ask(sidecar, true, "tools/call", json!({"name": "work"})).await["result"].take();
        assert_eq!((&made["resultType"], &made["status"]), (&json!("task"), &json!("working")));
        for method in ["tasks/get", "tasks/cancel"] {
            let asked = ask(sidecar, true, method, json!({"taskId": made["taskId"]})).await["result"].take();
            assert_eq!(
                (&asked["status"], &asked["taskId"]),
                (&json!("completed"), &made["taskId"]),
                "{asked}"
            );
        }
    };
    futures_util::future::join_all((0..20).map(call)).await;
    for (params, code) in [(json!({"taskId": "task-of-a"}), -32602), (json!({}), -32602)] {
        assert_eq!(ask(sidecar, true, "tasks/get", params).await["error"]["code"], code);
    }
    assert_eq!(ask(sidecar, true, "tasks/list", json!({})).await["error"]["code"], -32601);
}

#[tokio::test]
async fn progress_and_cancellation_reach_the_other_side_in_every_era() {
    const PAUSE: Duration = Duration::from_millis(60);
    for speech in [Speech::Current, Speech::Session] {
        let registry = TestRegistry::in_memory().await;
        let agent = ScriptedAgent::start("a", speech).await;
        registry.offer("a", &agent.endpoint(), &json!({"name": "work"}), &json!({})).await;
        let sidecar = TestSidecar::caller(&registry, &[]).await;
        for is_current in [true, false] {
            agent.next(&[
                Act::Progress(3, PAUSE),
                Act::Progress(10_000, PAUSE),
                Act::Progress(10_000, PAUSE),
            ]);
            let params = json!({"name": "work", "arguments": {}, "_meta": {"progressToken": "mine"}});
            let message = request(is_current, "tools/call", params);
            let events = open(&sidecar, is_current, &message).await.text().await.expect("it ends");
            let events: Vec<Value> = events
                .lines()
                .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
                .collect();
            let steps: Vec<_> = events.iter().map(|event| event["params"]["progress"].clone()).collect();
            assert_eq!(steps, [json!(1), json!(2), json!(3), json!(null)], "{speech:?} {is_current}");
            assert!(events[..3].iter().all(|event| event["params"]["progressToken"] == "mine"));
            assert_eq!(events[3]["id"], "q-1");

            // Going away cancels, and so does saying so.
            let gone = agent.abandoned();
            let mut response = open(&sidecar, is_current, &message).await;
            response.chunk().await.expect("it goes on").expect("progress");
            drop(response);
            until("the agent is alone", async || (agent.abandoned() == gone + 1).then_some(())).await;
            let response = open(&sidecar, is_current, &message).await;
            if is_current {
                continue;
            }
            let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "q-1"}});
            assert_eq!(send(&sidecar, false, &cancelled).await.status, 202);
            let last = timeout(PATIENCE, response.text()).await.expect("it ends").expect("a text");
            assert!(last.contains("-32800"), "{last}");
            until("the agent is alone", async || (agent.abandoned() == gone + 2).then_some(())).await;
        }
    }
}
