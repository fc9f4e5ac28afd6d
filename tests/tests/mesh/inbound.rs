//! The port for peers: it is what the mesh is told, and what comes through it is what was sent.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use mesh_tests::agent::TestAgent;
use mesh_tests::program::run;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use mesh_tests::web::{EVENT, WebAgent};
use mesh_tests::{exchange, http};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const PAUSE: Duration = Duration::from_millis(120);

#[tokio::test]
async fn a_call_goes_through_two_sidecars_and_the_agent_is_told_what_it_would_be_told_without_them() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    // Peers must not be called here; our own agent is another matter.
    let closed = ["--deny-endpoints", "127.0.0.0/8"];
    let described = manifest("a", &agent.endpoint(), "work", false);
    let (beside, inbound) = TestSidecar::with_port(&registry, &described, &closed).await;
    assert_eq!(registry.get("/agents/a").await.json()["endpoint"], format!("http://{inbound}/mcp"));
    let other = WebAgent::start("me").await;
    let caller = TestSidecar::beside(&registry, &manifest("me", &other.endpoint(), "other", false)).await;
    let answer = caller.call("work", &json!({"n": 1})).await;
    assert_eq!(
        (answer.status, &answer.json()["structuredContent"]["served_by"]),
        (200, &json!("a")),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("x-mesh-agent"), "a");
    assert_eq!(agent.header("host"), agent.address.to_string());
    for (name, expected) in [("x-mesh-caller", "me"), ("x-mesh-attempt", "1"), ("x-mesh-hops", "1")] {
        assert_eq!(agent.header(name), expected, "{name}");
    }
    let left: u64 = agent.header("x-mesh-timeout-ms").parse().unwrap();
    assert!((1..=60_000).contains(&left), "{left}");
    let metrics = beside.get("/metrics").await.text();
    assert!(metrics.contains(r#"mesh_inbound_requests_total{outcome="answered"} 2"#), "{metrics}");
    assert!(metrics.contains("mesh_inbound_in_flight 0"), "{metrics}");
}

#[tokio::test]
async fn a_manifest_that_says_what_peers_call_is_believed_and_the_agent_itself_is_probed() {
    let registry = TestRegistry::in_memory().await;
    let agent = WebAgent::start("a").await;
    let advertise = "advertise: http://10.0.0.7:15002/mcp\n";
    let described = manifest("a", &agent.endpoint(), "work", false) + advertise;
    let (_beside, inbound) = TestSidecar::with_port(&registry, &described, &[]).await;
    assert_eq!(registry.get("/agents/a").await.json()["endpoint"], "http://10.0.0.7:15002/mcp");
    assert_eq!(exchange::get(inbound, "/x").await.unwrap().status, 200);
    drop(agent);
    until("the agent is seen to be down", async || {
        (registry.status_of("a").await == "degraded").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_bound() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, "id: a\nendpoint: http://localhost:8001/mcp\n").unwrap();
    let path = file.to_str().unwrap();
    for (arguments, expected) in [
        (&["--manifest", path, "--inbound", "0.0.0.0:15002"][..], "advertise: http://${POD_IP}:15002/mcp"),
        (&["--manifest", path, "--inbound", "127.0.0.1:8001"], "is where our agent listens"),
        (&["--inbound", "127.0.0.1:0"], "set --manifest"),
        (&["--manifest", path, "--inbound", "here"], "--inbound"),
        (&["--manifest", path, "--inbound", "127.0.0.1:0", "--max-inbound", "0"], "--max-inbound"),
    ] {
        let (code, text) = run("sidecar-under-test", arguments).await;
        assert!(code == Some(64) && text.contains(expected), "{arguments:?}: {text}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let arguments = ["--manifest", path, "--listen", "127.0.0.1:0", "--inbound", &taken];
    let (code, text) = run("sidecar-under-test", &arguments).await;
    assert!(code == Some(1) && text.contains("Set --inbound to another address"), "{text}");
}

#[tokio::test]
async fn requests_and_answers_pass_as_they_are() {
    let registry = TestRegistry::in_memory().await;
    let agent = WebAgent::start("a").await;
    let (_beside, inbound) =
        TestSidecar::with_port(&registry, &manifest("a", &agent.endpoint(), "web", false), &[]).await;
    let url = |path: &str| format!("http://{inbound}{path}");
    let request = http::client().put(url("/v1/a%2Fb?x=1&y=%20z")).header("authorization", "Bearer t");
    let request = request.header("mcp-name", "n").header("x-unknown", "u").header("host", "any.example.org");
    let request = request.header("connection", "x-private").header("x-private", "p");
    let request = request.header("x-mesh-caller", "c").header("x-mesh-affinity", "k").body("hello");
    let response = request.send().await.unwrap();
    assert!(!response.headers().contains_key("x-mesh-agent"), "nobody speaks for the mesh but sidecars");
    let seen: Value = response.json().await.unwrap();
    assert_eq!((&seen["method"], &seen["target"]), (&json!("PUT"), &json!("/v1/a%2Fb?x=1&y=%20z")));
    let header = |name: &str| -> Vec<&str> {
        let headers = seen["headers"].as_array().unwrap().iter().filter(|header| header[0] == name);
        headers.map(|header| header[1].as_str().unwrap()).collect()
    };
    assert_eq!(header("host"), [agent.address.to_string()]);
    for (name, expected) in
        [("authorization", "Bearer t"), ("mcp-name", "n"), ("x-unknown", "u"), ("x-mesh-caller", "c")]
    {
        assert_eq!(header(name), [expected], "{name}");
    }
    for name in ["x-private", "connection", "x-mesh-affinity", "x-mesh-hops", "x-mesh-attempt"] {
        assert!(header(name).is_empty(), "{name}: {seen}");
    }
    for status in [204, 404, 429, 500, 503] {
        let answer = exchange::get(inbound, &format!("/status/{status}")).await.unwrap();
        let body = if status == 204 { "" } else { "a" };
        assert_eq!((answer.status, answer.text().as_str()), (status, body));
        assert_eq!(answer.header("x-mesh-refused"), "", "the agent said that, and has seen the request");
    }
    let head = exchange::send(inbound, "HEAD", "/status/200", &[], b"").await;
    assert!(head.is_err_and(|fault| fault.kind() == std::io::ErrorKind::UnexpectedEof), "a length, no body");
    assert_eq!(http::get(url("/session")).await.headers()["mcp-session-id"], "session-of-a");
    assert_eq!(exchange::get(inbound, "/101").await.unwrap().status, 502);
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let registry = TestRegistry::in_memory().await;
    let agent = WebAgent::start("a").await;
    let (_beside, inbound) =
        TestSidecar::with_port(&registry, &manifest("a", &agent.endpoint(), "web", false), &[]).await;
    let (send, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async move {
        pieces.recv().await.map(|piece| (piece, pieces))
    });
    let body = reqwest::Body::wrap_stream(pieces);
    let echoing = tokio::spawn(http::client().post(format!("http://{inbound}/echo")).body(body).send());
    send.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
    let mut answer = echoing.await.unwrap().unwrap().bytes_stream();
    assert_eq!(answer.next().await.unwrap().unwrap(), "first");
    send.send(Ok(Bytes::from_static(b"second"))).await.unwrap();
    assert_eq!(answer.next().await.unwrap().unwrap(), "second");
    drop(send);
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn events_pass_one_by_one_and_nothing_is_put_between_them() {
    let registry = TestRegistry::in_memory().await;
    let agent = WebAgent::start("a").await;
    let described = manifest("a", &agent.endpoint(), "web", false);
    let (_beside, inbound) = TestSidecar::with_port(&registry, &described, &["--keep-alive", "0.05"]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    for url in [format!("http://{inbound}"), format!("http://{}/proxy/web", caller.address)] {
        let mut response = http::get(format!("{url}/events/6/{}", PAUSE.as_millis())).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut times = vec![Instant::now()];
        while let Some(piece) = response.chunk().await.unwrap() {
            assert_eq!(piece, EVENT, "{url}");
            times.push(Instant::now());
        }
        assert_eq!(times.len(), 7, "{url}");
        // Had anything on the way waited for the end, all of them would have come at once.
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().filter(|gap| **gap > PAUSE / 3).count() >= 4, "{url}: {gaps:?}");
    }
}

#[tokio::test]
async fn a_peer_that_goes_away_cancels_what_it_asked_for() {
    let registry = TestRegistry::in_memory().await;
    let (slow, streams) = (ScriptedAgent::start("a", Speech::Current).await, WebAgent::start("b").await);
    slow.always(Act::AnswerAfter(Duration::from_secs(600)));
    let described = manifest("a", &slow.endpoint(), "work", false);
    let (_beside, inbound) = TestSidecar::with_port(&registry, &described, &[]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let url = format!("http://{}/call/work", caller.address);
    let calling = tokio::spawn(http::client().post(url).body("{}").send());
    until("the call is executed", async || (slow.executed() == 1).then_some(())).await;
    calling.abort();
    until("the agent sees that nobody waits", async || (slow.abandoned() == 1).then_some(())).await;
    let message = json!({"method": "tools/call", "params": {"name": "work",
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}});
    let request = http::client().post(format!("http://{inbound}/mcp")).header("mcp-method", "tools/call");
    let request = request.header("mcp-name", "work").header("mcp-protocol-version", "2026-07-28");
    let calling = tokio::spawn(request.body(message.to_string()).send());
    until("the call is executed", async || (slow.executed() == 2).then_some(())).await;
    calling.abort();
    until("the agent sees that nobody waits", async || (slow.abandoned() == 2).then_some(())).await;

    let described = manifest("b", &streams.endpoint(), "web", false);
    let (beside, inbound) = TestSidecar::with_port(&registry, &described, &[]).await;
    let mut response = http::get(format!("http://{inbound}/events/1000000/20")).await;
    response.chunk().await.unwrap();
    assert!(beside.get("/metrics").await.text().contains("mesh_inbound_in_flight 1"));
    drop(response);
    until("the stream is closed", async || (streams.streaming() == 0).then_some(())).await;
    until("its place is free", async || {
        beside.get("/metrics").await.text().contains("mesh_inbound_in_flight 0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn half_an_answer_of_an_agent_that_was_killed_is_not_taken_for_a_whole() {
    let registry = TestRegistry::in_memory().await;
    let mut agent = TestAgent::start("a", &["--sse", "--latency", "60000"]).await;
    let described = manifest("a", &agent.endpoint(), "summarize", true);
    let (beside, inbound) = TestSidecar::with_port(&registry, &described, &[]).await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "summarize", "arguments": {"text": "One. Two."}}});
    let request = http::client().post(format!("http://{inbound}/mcp")).body(message.to_string());
    let request =
        request.header("mcp-protocol-version", "2025-06-18").header("content-type", "application/json");
    let response = request.header("accept", "application/json, text/event-stream").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    agent.program.kill().await;
    assert!(response.bytes().await.is_err(), "an answer that broke off has no end");
    let answer = exchange::get(inbound, "/mcp").await.unwrap();
    assert_eq!((answer.status, answer.header("x-mesh-refused")), (503, "away"), "{}", answer.text());
    assert!(!beside.program.printed().contains("panicked"));
}

/// Serves one connection to its end; the requests on it.
async fn serve_all(mut stream: TcpStream) -> usize {
    let (mut came, mut requests) = (Vec::new(), 0);
    while stream.read_buf(&mut came).await.is_ok_and(|bytes| bytes > 0) {
        if came.ends_with(b"\r\n\r\n") {
            requests += 1;
            came.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    }
    requests
}

#[tokio::test]
async fn connections_to_the_agent_are_kept_and_closed_when_nobody_needs_them() {
    let registry = TestRegistry::in_memory().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/mcp", listener.local_addr().unwrap());
    let (tell, mut closed) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move { tell.send(serve_all(stream).await) });
        }
    });
    let described = manifest("a", &endpoint, "web", false);
    let (_beside, inbound) = TestSidecar::with_port(&registry, &described, &[]).await;
    for _ in 0..5 {
        assert_eq!(exchange::get(inbound, "/").await.unwrap().text(), "ok");
    }
    // Probes open connections as well, and ask nothing on them.
    let mut asked = 0;
    until("all of it is closed", async || {
        asked += closed.recv().await?;
        (asked == 5).then_some(())
    })
    .await;
}
