//! Answers stream: progress passes as it happens, silence is kept alive and limited, and whoever goes away is heard.

use std::time::{Duration, Instant};

use mesh_tests::http;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::TestSidecar;
use mesh_tests::wait::until;
use reqwest::Response;
use serde_json::{Value, json};

const PAUSE: Duration = Duration::from_millis(120);

struct Mesh {
    registry: TestRegistry,
    agents: Vec<ScriptedAgent>,
    caller: TestSidecar,
}

/// Agents of these eras that offer `work`, which is safe to repeat, and a caller.
async fn mesh(speech: &[Speech], settings: &[&str]) -> Mesh {
    let registry = TestRegistry::in_memory().await;
    let mut agents = Vec::new();
    for (i, speech) in speech.iter().enumerate() {
        let agent = ScriptedAgent::start(&format!("a{i}"), *speech).await;
        let work = json!({"name": "work", "annotations": {"readOnlyHint": true}});
        registry.offer(&format!("a{i}"), &agent.endpoint(), &work, &json!({})).await;
        agents.push(agent);
    }
    let caller = TestSidecar::caller(&registry, settings).await;
    Mesh { registry, agents, caller }
}

impl Mesh {
    async fn listen(&self) -> Response {
        let url = format!("http://{}/call/work", self.caller.address);
        let request = http::client().post(url).header("accept", "text/event-stream").body("{}");
        request.send().await.unwrap()
    }
}

/// The events of a stream, each with the time at which its end came.
async fn read(mut response: Response) -> Vec<(String, Value, Instant)> {
    let (mut text, mut events) = (String::new(), Vec::new());
    while let Ok(Some(piece)) = response.chunk().await {
        text.push_str(&String::from_utf8_lossy(&piece));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let line =
                |field: &str| event.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
            let data = serde_json::from_str(line("data: ")).unwrap_or_default();
            events.push((line("event: ").to_owned(), data, Instant::now()));
            text = rest.to_owned();
        }
    }
    events
}

#[tokio::test]
async fn progress_passes_as_it_happens_in_every_era() {
    for speech in [Speech::Current, Speech::Session, Speech::Handshake] {
        let mesh = mesh(&[speech], &[]).await;
        mesh.agents[0].always(Act::Progress(6, PAUSE));
        let response = mesh.listen().await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let events = read(response).await;
        let names: Vec<_> = events.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, [["message"; 6].as_slice(), &["result"]].concat(), "{speech:?}");
        assert_eq!(
            (&events[2].1["method"], &events[2].1["params"]["progress"]),
            (&json!("notifications/progress"), &json!(3))
        );
        assert!(events[0].1["params"]["progressToken"].is_number(), "progress was asked for");
        assert_eq!(events[6].1["structuredContent"]["served_by"], "a0");
        // Had anything on the way waited for the end, all of them would have come at once.
        let gaps: Vec<_> = events.windows(2).map(|pair| pair[1].2 - pair[0].2).collect();
        let apart = gaps.iter().filter(|gap| **gap > PAUSE / 3).count();
        assert!(apart >= 4, "{speech:?}: {gaps:?}");
    }
}

#[tokio::test]
async fn progress_that_comes_together_with_the_result_is_not_lost() {
    for speech in [Speech::Current, Speech::Session, Speech::Handshake] {
        let mesh = mesh(&[speech], &[]).await;
        mesh.agents[0].always(Act::Progress(6, Duration::ZERO));
        for _ in 0..5 {
            let events = read(mesh.listen().await).await;
            let names: Vec<_> = events.iter().map(|(name, ..)| name.as_str()).collect();
            assert_eq!(names, [["message"; 6].as_slice(), &["result"]].concat(), "{speech:?}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_the_call() {
    let mesh = mesh(&[Speech::Current], &[]).await;
    mesh.agents[0].always(Act::Progress(1_000, PAUSE));
    let mut response = mesh.listen().await;
    response.chunk().await.unwrap();
    drop(response);
    until("the agent sees that nobody listens", async || (mesh.agents[0].abandoned() == 1).then_some(()))
        .await;
    assert_eq!(mesh.agents[0].cancelled(), 0, "closing the stream is how a current server is told");
}

#[tokio::test]
async fn an_older_server_is_told_that_a_call_is_cancelled() {
    for listens in [true, false] {
        let mesh = mesh(&[Speech::Session], &[]).await;
        mesh.agents[0].always(Act::Progress(1_000, PAUSE));
        let url = format!("http://{}/call/work", mesh.caller.address);
        let accept = if listens { "text/event-stream" } else { "application/json" };
        let request = http::client().post(url).header("accept", accept).body("{}");
        let calling = tokio::spawn(request.send());
        until("the call is executed", async || (mesh.agents[0].executed() == 1).then_some(())).await;
        if listens {
            drop(calling.await.unwrap().unwrap());
        } else {
            calling.abort();
        }
        until("the agent is told", async || (mesh.agents[0].cancelled() == 1).then_some(())).await;
    }
}

#[tokio::test]
async fn a_stream_that_has_begun_is_not_repeated_and_ends_with_an_error() {
    let mesh = mesh(&[Speech::Current, Speech::Current], &["--stream-idle-timeout", "0.3"]).await;
    mesh.agents.iter().for_each(|agent| agent.always(Act::Progress(3, Duration::from_millis(10))));
    assert_eq!(read(mesh.listen().await).await.len(), 4);
    // The second piece comes far too late.
    mesh.agents.iter().for_each(|agent| agent.always(Act::Progress(3, Duration::from_secs(3))));
    let events = read(mesh.listen().await).await;
    let (name, data, _) = events.last().unwrap();
    assert_eq!((name.as_str(), data["code"].as_str()), ("error", Some("upstream_failed")), "{events:?}");
    assert!(data["error"].as_str().unwrap().contains("silent"), "{data}");
    assert_eq!(mesh.agents.iter().map(ScriptedAgent::executed).sum::<usize>(), 2, "{data}");
}

#[tokio::test]
async fn a_stream_that_never_ends_is_ended() {
    let mesh = mesh(&[Speech::Current], &["--stream-max", "1"]).await;
    mesh.agents[0].always(Act::Progress(1_000_000, Duration::from_millis(20)));
    let events = read(mesh.listen().await).await;
    let (name, data, _) = events.last().unwrap();
    assert_eq!((name.as_str(), data["code"].as_str()), ("error", Some("deadline_exceeded")));
    assert!(events.len() > 5);
}

#[tokio::test]
async fn silence_is_kept_alive_with_comments_and_attempts_go_on_meanwhile() {
    let mesh = mesh(&[Speech::Current, Speech::Current], &["--keep-alive", "0.1"]).await;
    for agent in &mesh.agents {
        agent.always(Act::AnswerAfter(Duration::from_millis(600)));
    }
    let mut response = mesh.listen().await;
    let mut text = String::new();
    while let Some(piece) = response.chunk().await.unwrap() {
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    assert!(text.matches(": keep-alive\n\n").count() >= 3, "{text}");
    assert!(text.contains("event: result\ndata: {"), "{text}");
}

#[tokio::test]
async fn a_call_that_fails_before_anything_happened_is_an_http_error_even_for_listeners() {
    let mesh = mesh(&[Speech::Current], &[]).await;
    mesh.agents[0].always(Act::Refuse(503));
    let response = mesh.listen().await;
    assert_eq!(response.status(), 502);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], "upstream_failed");
    assert!(mesh.registry.is_well().await);
}
