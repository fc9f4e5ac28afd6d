//! `/proxy`: plain HTTP to whoever offers the capability, streamed both ways.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::StreamExt as _;
use mesh_tests::registry::TestRegistry;
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use mesh_tests::web::{EVENT, WebAgent};
use mesh_tests::{exchange, http};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

struct Mesh {
    registry: TestRegistry,
    agents: Vec<WebAgent>,
    caller: TestSidecar,
}

async fn mesh(agents: usize, settings: &[&str]) -> Mesh {
    let registry = TestRegistry::in_memory().await;
    let mut started = Vec::new();
    for i in 0..agents {
        let agent = WebAgent::start(&format!("w{i}")).await;
        registry.offer(&format!("w{i}"), &agent.endpoint(), &json!({"name": "web"}), &json!({})).await;
        started.push(agent);
    }
    let caller = TestSidecar::caller(&registry, settings).await;
    Mesh { registry, agents: started, caller }
}

impl Mesh {
    fn url(&self, path: &str) -> String {
        format!("http://{}/proxy/web{path}", self.caller.address)
    }
}

#[tokio::test]
async fn method_path_query_and_headers_arrive_as_they_are() {
    let mesh = mesh(1, &[]).await;
    let request = http::client().put(mesh.url("/v1/a%2Fb?x=1&y=%20z")).header("authorization", "Bearer t");
    let response = request.header("x-mesh-caller", "forged").body("hello").send().await.unwrap();
    assert_eq!(response.headers()["x-mesh-agent"], "w0", "what the provider says of itself is not passed on");
    assert_eq!(response.headers()["x-mesh-attempts"], "1");
    let seen: Value = response.json().await.unwrap();
    assert_eq!((&seen["method"], &seen["target"]), (&json!("PUT"), &json!("/v1/a%2Fb?x=1&y=%20z")));
    let header = |name: &str| {
        let headers = seen["headers"].as_array().unwrap().iter();
        headers
            .filter(|header| header[0] == name)
            .map(|header| header[1].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(header("authorization"), ["Bearer t"]);
    assert_eq!(header("host"), [mesh.agents[0].address.to_string()]);
    assert_eq!((header("x-mesh-hops"), header("x-mesh-caller")), (vec!["1"], vec![]));
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let mesh = mesh(1, &[]).await;
    let (send, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async move {
        pieces.recv().await.map(|piece| (piece, pieces))
    });
    let body = reqwest::Body::wrap_stream(pieces);
    let echoing = tokio::spawn(http::client().post(mesh.url("/echo")).body(body).send());
    send.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
    let mut answer = echoing.await.unwrap().unwrap().bytes_stream();
    // The answer to the first piece is there before the second is sent.
    assert_eq!(answer.next().await.unwrap().unwrap(), "first");
    send.send(Ok(Bytes::from_static(b"second"))).await.unwrap();
    assert_eq!(answer.next().await.unwrap().unwrap(), "second");
    drop(send);
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn a_large_body_passes_and_a_larger_one_is_refused_before_and_on_the_way() {
    let mesh = mesh(1, &["--max-body", "1000000"]).await;
    let post = |size: usize| http::client().post(mesh.url("/size")).body(vec![b'x'; size]).send();
    let seen: Value = post(1_000_000).await.unwrap().json().await.unwrap();
    assert_eq!(seen["bytes"], 1_000_000);
    assert_eq!(post(1_000_001).await.unwrap().status(), 413);
    // Without a Content-Length nobody knows before.
    let pieces = futures_util::stream::iter(
        (0..20).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 100_000]))),
    );
    let body = reqwest::Body::wrap_stream(pieces);
    let response = http::client().post(mesh.url("/size")).body(body).send().await.unwrap();
    assert_eq!(response.status(), 413);
    let explanation = mesh.caller.get("/explain/web").await.json();
    assert_eq!(explanation["candidates"][0]["failure"], 0.0, "the caller's fault is not the provider's");
}

/// Sends a body of 8 MB to the end, whatever is answered meanwhile, and then looks at the answer.
async fn send_to_the_end(address: SocketAddr, target: &str, framing: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"f4240\r\n", &[b'x'; 1_000_000][..], b"\r\n"].concat();
    for _ in 0..8 {
        stream.write_all(&chunk).await.expect("what is sent is taken, though nobody wants it");
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn who_sends_a_body_that_is_refused_to_its_end_gets_the_answer() {
    let mesh = mesh(1, &["--max-body", "100000"]).await;
    let length = format!("Content-Length: {}", 8 * 1_000_009);
    for target in ["/proxy/web/size", "/call/web"] {
        for framing in [&length, "Transfer-Encoding: chunked"] {
            let answer = send_to_the_end(mesh.caller.address, target, framing).await;
            assert_eq!(answer, "HTTP/1.1 413", "{target} {framing}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_does_not_send_its_body_is_not_held_against_the_provider() {
    let mesh = mesh(1, &[]).await;
    let head =
        "POST /proxy/web/size HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 100\r\n";
    for _ in 0..3 {
        let half = format!("{head}X-Mesh-Timeout-Ms: 200\r\n\r\nhalf of it");
        let answer = exchange::raw(mesh.caller.address, half.as_bytes()).await.unwrap();
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (400, Some("malformed_body")),
            "{}",
            answer.text()
        );
    }
    let explanation = mesh.caller.get("/explain/web").await.json();
    let candidate = &explanation["candidates"][0];
    assert_eq!(
        (&candidate["failure"], &candidate["breaker"]),
        (&json!(0.0), &json!("closed")),
        "{candidate}"
    );
}

#[tokio::test]
async fn a_provider_that_asks_for_absurd_things_is_answered_for_and_does_no_harm() {
    let mut mesh = mesh(1, &["--call-timeout", "2"]).await;
    let busy = http::get(mesh.url("/busy/18446744073709551615")).await;
    assert_eq!((busy.status().as_u16(), busy.text().await.unwrap()), (429, "w0".to_owned()));
    let switched = exchange::get(mesh.caller.address, "/proxy/web/101").await.unwrap();
    assert_eq!(switched.status, 502, "{}", switched.text());
    assert_eq!(http::get(mesh.url("/")).await.status(), 200);
    assert!(!mesh.caller.program.printed().contains("panicked") && !mesh.caller.program.has_ended());
}

#[tokio::test]
async fn events_pass_one_by_one_and_closing_the_stream_closes_the_provider() {
    let mesh = mesh(1, &[]).await;
    let mut response = http::get(mesh.url("/events/1000000/30")).await;
    for _ in 0..3 {
        assert_eq!(response.chunk().await.unwrap().unwrap(), EVENT);
    }
    assert_eq!(mesh.agents[0].streaming(), 1);
    assert!(mesh.caller.get("/metrics").await.text().contains("mesh_streams_open 1"));
    drop(response);
    until("the provider's stream is closed", async || (mesh.agents[0].streaming() == 0).then_some(())).await;
    until("it is counted", async || {
        mesh.caller.get("/metrics").await.text().contains("mesh_streams_open 0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn silence_between_events_is_kept_alive_and_ends_in_time() {
    let mesh = mesh(1, &["--keep-alive", "0.1", "--stream-idle-timeout", "0.8"]).await;
    let mut response = http::get(mesh.url("/events/5/100000")).await;
    let (mut text, mut ended_well) = (String::new(), true);
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => text.push_str(&String::from_utf8_lossy(&piece)),
            Ok(None) => break,
            Err(_) => {
                ended_well = false;
                break;
            }
        }
    }
    assert!(text.matches(": keep-alive\n\n").count() >= 3 && !ended_well, "{text}");
}

#[tokio::test]
async fn reading_is_repeated_elsewhere_and_writing_is_not() {
    let mesh = mesh(2, &[]).await;
    let client = http::client();
    let answer = client.get(mesh.url("/status/503")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["x-mesh-attempts"].to_str().unwrap()), (503, "3"));
    let before: usize = mesh.agents.iter().map(WebAgent::requests).sum();
    let answer = client.post(mesh.url("/status/503")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["x-mesh-attempts"].to_str().unwrap()), (503, "1"));
    assert_eq!(answer.text().await.unwrap().len(), 2, "the provider's own answer, for want of a better one");
    assert_eq!(mesh.agents.iter().map(WebAgent::requests).sum::<usize>() - before, 1);
}

#[tokio::test]
async fn a_body_that_was_kept_goes_to_the_next_provider_when_the_first_cannot_be_reached() {
    let mut mesh = mesh(2, &[]).await;
    assert_eq!(http::get(mesh.url("/")).await.status(), 200);
    let gone = mesh.agents.remove(0);
    drop(gone);
    for _ in 0..10 {
        let request = http::client().post(mesh.url("/size")).body("0123456789");
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!((&answer["served_by"], &answer["bytes"]), (&json!("w1"), &json!(10)));
    }
}

#[tokio::test]
async fn a_provider_that_answers_before_it_has_read_everything_is_answered_for() {
    let mesh = mesh(1, &[]).await;
    for _ in 0..20 {
        let request = http::client().post(mesh.url("/early")).body(vec![b'x'; 900_000]);
        // An agent that closes with a body unread takes its own answer back now and then (a reset); that is its affair.
        let status = request.send().await.unwrap().status();
        assert!(status == 403 || status == 502, "{status}");
        assert_eq!(http::get(mesh.url("/")).await.status(), 200);
    }
}

#[tokio::test]
async fn conditions_on_the_provider_stand_in_a_header() {
    let mesh = mesh(1, &[]).await;
    let ask = |query: &'static str| {
        let headers = [("X-Mesh-Query", query)];
        let address = mesh.caller.address;
        async move { exchange::send(address, "GET", "/proxy/web/", &headers, b"").await.unwrap() }
    };
    assert_eq!(ask("version_constraint=^9").await.json()["code"], "no_provider");
    assert_eq!(ask("versoin=1").await.status, 400);
    assert_eq!(ask("namespace=*").await.status, 200);
    let raw = b"CONNECT web:80 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_ne!(exchange::raw(mesh.caller.address, raw).await.map_or(400, |answer| answer.status), 200);
}

#[tokio::test]
async fn a_session_stays_with_whoever_minted_it() {
    let mut mesh = mesh(3, &[]).await;
    let answer = http::get(mesh.url("/session")).await;
    let (session, home) = (answer.headers()["mcp-session-id"].clone(), answer.text().await.unwrap());
    let follow_up = async |session: &reqwest::header::HeaderValue| {
        let request = http::client().post(mesh.url("/x")).header("mcp-session-id", session.clone());
        request.send().await.unwrap()
    };
    for _ in 0..20 {
        let answer: Value = follow_up(&session).await.json().await.unwrap();
        assert_eq!(answer["served_by"], home.as_str());
    }
    assert_eq!(follow_up(&reqwest::header::HeaderValue::from_static("unknown")).await.status(), 404);
    let index = home.trim_start_matches('w').parse().unwrap();
    drop(mesh.agents.remove(index));
    let request = http::client().post(mesh.url("/x")).header("mcp-session-id", session);
    let status = request.send().await.unwrap().status();
    assert!(status.is_server_error(), "another provider does not know the session: {status}");
}

#[tokio::test]
async fn an_agent_beside_its_sidecar_is_named_to_its_peers() {
    let mesh = mesh(1, &[]).await;
    let beside = WebAgent::start("me").await;
    let manifest = manifest("me", &beside.endpoint(), "other", false);
    let sidecar = TestSidecar::beside(&mesh.registry, &manifest).await;
    let answer = sidecar.get("/proxy/web/").await;
    assert!(answer.text().contains(r#"["x-mesh-caller","me"]"#), "{}", answer.text());
}
