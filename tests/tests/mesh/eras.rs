//! Agents of every era of the protocol are called: current and older, with and without handshake and session, with
//! JSON and with event streams; and they are found again when they come back as something else.

use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::{TestSidecar, manifest};
use serde_json::json;

const ERAS: [Speech; 4] = [Speech::Current, Speech::Session, Speech::Handshake, Speech::Bare];

struct Mesh {
    _registry: TestRegistry,
    _beside: TestSidecar,
    caller: TestSidecar,
}

async fn mesh(agent: &ScriptedAgent) -> Mesh {
    let registry = TestRegistry::in_memory().await;
    let beside = TestSidecar::beside(&registry, &manifest("agent", &agent.endpoint(), "work", false)).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    Mesh { _registry: registry, _beside: beside, caller }
}

#[tokio::test]
async fn every_era_is_spoken_in_both_forms_of_answer() {
    for speech in ERAS {
        for agent in [ScriptedAgent::start("a", speech).await, ScriptedAgent::streaming("a", speech).await] {
            let mesh = mesh(&agent).await;
            for n in 0..5 {
                let answer = mesh.caller.call("work", &json!({"n": n})).await;
                assert_eq!(answer.status, 200, "{speech:?}: {}", answer.text());
                assert_eq!(answer.json()["structuredContent"]["arguments"], json!({"n": n}), "{speech:?}");
            }
            assert_eq!(agent.executed(), 5, "{speech:?}: every call was executed once");
        }
    }
}

#[tokio::test]
async fn a_handshake_is_paid_once_and_not_for_every_call() {
    for speech in [Speech::Session, Speech::Handshake] {
        let agent = ScriptedAgent::start("a", speech).await;
        let mesh = mesh(&agent).await;
        let calls = (0..20).map(|n| {
            let caller = &mesh.caller;
            async move { caller.call("work", &json!({"n": n})).await.status }
        });
        let statuses = futures_util::future::join_all(calls).await;
        assert!(statuses.iter().all(|&status| status == 200), "{statuses:?}");
        assert_eq!((agent.executed(), agent.handshakes()), (20, 1), "{speech:?}");
    }
}

#[tokio::test]
async fn an_agent_that_forgot_its_session_is_greeted_again_without_a_failed_call() {
    let agent = ScriptedAgent::start("a", Speech::Session).await;
    let mesh = mesh(&agent).await;
    assert_eq!(mesh.caller.call("work", &json!({})).await.status, 200);
    agent.reborn(Speech::Session);
    let answer = mesh.caller.call("work", &json!({})).await;
    assert_eq!((answer.status, answer.header("x-mesh-attempts")), (200, "1"), "{}", answer.text());
    assert_eq!((agent.executed(), agent.handshakes()), (2, 2));
}

#[tokio::test]
async fn a_session_is_opened_anew_when_it_is_refused_without_a_message() {
    // As the Python SDK does up to 1.12, in plain text.
    let agent = ScriptedAgent::start("a", Speech::Session).await;
    let mesh = mesh(&agent).await;
    assert_eq!(mesh.caller.call("work", &json!({})).await.status, 200);
    agent.next(&[Act::Refuse(400)]);
    let answer = mesh.caller.call("work", &json!({})).await;
    assert_eq!((answer.status, answer.header("x-mesh-attempts")), (200, "1"), "{}", answer.text());
    assert_eq!((agent.executed(), agent.handshakes()), (2, 2));
    // One that refuses again is believed.
    agent.next(&[Act::Refuse(400), Act::Refuse(400)]);
    assert_eq!(mesh.caller.call("work", &json!({})).await.status, 502);
    assert_eq!(agent.executed(), 2);
}

#[tokio::test]
async fn an_agent_that_comes_back_as_another_era_is_understood() {
    for (before, after) in [(Speech::Current, Speech::Session), (Speech::Session, Speech::Current)] {
        let agent = ScriptedAgent::start("a", before).await;
        let mesh = mesh(&agent).await;
        assert_eq!(mesh.caller.call("work", &json!({})).await.status, 200);
        agent.reborn(after);
        let answer = mesh.caller.call("work", &json!({})).await;
        assert_eq!(answer.status, 200, "{before:?} to {after:?}: {}", answer.text());
        assert_eq!(agent.executed(), 2);
    }
}

#[tokio::test]
async fn an_older_agent_that_asks_its_client_on_the_way_is_answered() {
    let agent = ScriptedAgent::start("a", Speech::Session).await;
    let mesh = mesh(&agent).await;
    agent.always(Act::AskMeanwhile);
    let answer = mesh.caller.call("work", &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn arguments_and_results_pass_byte_for_byte() {
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    let mesh = mesh(&agent).await;
    let arguments = br#"{"z": 1.50, "a": [1e2,  {"unknown": null}], "text": "\u00e4"}"#;
    let answer =
        mesh_tests::exchange::send(mesh.caller.address, "POST", "/call/work", &[], arguments).await.unwrap();
    assert_eq!(answer.json()["structuredContent"]["arguments"]["a"], json!([100.0, {"unknown": null}]));
    assert!(answer.text().contains(r#""z""#) && answer.status == 200, "{}", answer.text());
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_says_what_to_do() {
    let agent = ScriptedAgent::start("a", Speech::Bare).await;
    let mesh = mesh(&agent).await;
    agent.always(Act::Refuse(307));
    let answer = mesh.caller.call("work", &json!({})).await;
    assert_eq!((answer.status, answer.json()["retryable"].as_bool()), (502, Some(true)), "{}", answer.text());
    assert!(
        answer.text().contains("redirects to /mcp/: give that address as its endpoint"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn many_calls_share_one_session_and_its_one_handshake() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("old", Speech::Session).await;
    registry.offer("old", &agent.endpoint(), &json!({"name": "work"}), &json!({})).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    agent.always(Act::AnswerAfter(std::time::Duration::from_millis(50)));
    // The agent refuses two calls of one id at a time, as an older server would mix up their answers.
    let arguments: Vec<_> = (0..40).map(|call| json!({"call": call})).collect();
    let calls = arguments.iter().map(|arguments| caller.call("work", arguments));
    for (call, answer) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["structuredContent"]["arguments"]["call"], call);
    }
    assert_eq!((agent.handshakes(), agent.executed()), (1, 40));
}
