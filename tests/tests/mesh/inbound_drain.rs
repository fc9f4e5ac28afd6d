//! The port for peers at the end: nobody loses a call because an agent goes.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{ScriptedAgent, Speech};
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use mesh_tests::web::WebAgent;
use mesh_tests::{exchange, http};
use serde_json::json;
use tokio::sync::mpsc;

#[tokio::test]
async fn what_is_in_flight_is_finished_what_is_new_is_refused_and_the_agent_can_call_meanwhile() {
    let registry = TestRegistry::in_memory().await;
    let (agent, other) = (WebAgent::start("a").await, ScriptedAgent::start("b", Speech::Current).await);
    registry.offer("b", &other.endpoint(), &json!({"name": "work"}), &json!({})).await;
    let described = manifest("a", &agent.endpoint(), "web", false);
    let (mut beside, inbound) = TestSidecar::with_port(&registry, &described, &[]).await;
    let (send, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async move {
        pieces.recv().await.map(|piece| (piece, pieces))
    });
    let body = reqwest::Body::wrap_stream(pieces);
    let echoing = tokio::spawn(http::client().post(format!("http://{inbound}/echo")).body(body).send());
    send.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
    let mut answer = echoing.await.unwrap().unwrap().bytes_stream();
    assert_eq!(answer.next().await.unwrap().unwrap(), "first");

    beside.program.terminate().await;
    until("the agent is taken out", async || (registry.get("/agents/a").await.status == 404).then_some(()))
        .await;
    // Whoever has not heard of it yet is served, and told not to come again on the same connection.
    let served = http::get(format!("http://{inbound}/")).await;
    assert_eq!((served.status().as_u16(), served.headers()["connection"].to_str().unwrap()), (200, "close"));
    let refused = until("new ones are refused", async || {
        let answer = exchange::get(inbound, "/").await.expect("refused in words, not cut");
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!((refused.status, refused.header("x-mesh-refused")), (503, "leaving"), "{}", refused.text());
    assert!(refused.json()["retryable"] == true && !refused.header("retry-after").is_empty());
    // The agent needs others to finish its work.
    assert_eq!(beside.call("work", &json!({})).await.status, 200);
    assert!(!beside.program.has_ended());

    send.send(Ok(Bytes::from_static(b"second"))).await.unwrap();
    assert_eq!(answer.next().await.unwrap().unwrap(), "second");
    drop(send);
    assert!(answer.next().await.is_none(), "the answer has come to its end");
    assert_eq!(beside.program.ended().await.code(), Some(0), "{}", beside.program.printed());
    assert!(!beside.program.printed().contains("were cut"), "{}", beside.program.printed());
}

#[tokio::test]
async fn an_agent_that_leaves_costs_its_peers_no_call() {
    let registry = TestRegistry::in_memory().await;
    let agents =
        [ScriptedAgent::start("a", Speech::Current).await, ScriptedAgent::start("b", Speech::Current).await];
    let mut sidecars = Vec::new();
    for (id, agent) in ["a", "b"].into_iter().zip(&agents) {
        let described = manifest(id, &agent.endpoint(), "work", false);
        sidecars.push(TestSidecar::with_port(&registry, &described, &[]).await.0);
    }
    // It believes what it knows for long, so that it goes on calling whoever has left.
    let caller = TestSidecar::caller(&registry, &["--discovery-fresh", "60"]).await;
    let (mut calls, nothing) = (0, json!({}));
    let mut leaving = sidecars.remove(0);
    let mut call_all = async |leaving: &TestSidecar| {
        // Several at once, so that both are busy and neither is only the slower one.
        for answer in join_all((0..8).map(|_| caller.call("work", &nothing))).await {
            calls += 1;
            assert_eq!(answer.status, 200, "call {calls}: {}\n{}", answer.text(), leaving.program.printed());
        }
    };
    for _ in 0..5 {
        call_all(&leaving).await;
    }
    let before = agents[0].executed();
    leaving.program.terminate().await;
    while !leaving.program.has_ended() {
        call_all(&leaving).await;
    }
    for _ in 0..5 {
        call_all(&leaving).await;
    }
    assert_eq!(leaving.program.ended().await.code(), Some(0));
    assert!(agents[0].executed() > before, "it was called after it knew that it would go");
    let executed: usize = agents.iter().map(ScriptedAgent::executed).sum();
    assert_eq!(executed, calls, "none was executed twice, which none of them may be");
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_cut_in_time() {
    let registry = TestRegistry::in_memory().await;
    let agent = WebAgent::start("a").await;
    let described = manifest("a", &agent.endpoint(), "web", false);
    let (mut beside, inbound) =
        TestSidecar::with_port(&registry, &described, &["--drain-timeout", "0.3"]).await;
    let mut stream = http::get(format!("http://{inbound}/events/1000000/20")).await;
    stream.chunk().await.unwrap();
    beside.program.terminate().await;
    assert_eq!(beside.program.ended().await.code(), Some(0), "{}", beside.program.printed());
    while let Ok(piece) = stream.chunk().await {
        assert!(piece.is_some(), "a stream that was cut has no end");
    }
    assert!(registry.get("/agents/a").await.status == 404 && beside.program.printed().contains("were cut"));
}
