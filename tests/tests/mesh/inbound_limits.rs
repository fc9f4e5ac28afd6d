//! What the port for peers refuses: whoever is too many, too late, too large, in a circle or a web page; and what a peer's
//! sidecar makes of it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use mesh_tests::exchange::{self, Answer};
use mesh_tests::http;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use mesh_tests::web::WebAgent;
use serde_json::json;

struct Served {
    registry: TestRegistry,
    agent: WebAgent,
    beside: TestSidecar,
    inbound: SocketAddr,
}

/// An agent that offers `web` behind its port for peers.
async fn served(settings: &[&str]) -> Served {
    let registry = TestRegistry::in_memory().await;
    let agent = WebAgent::start("a").await;
    let described = manifest("a", &agent.endpoint(), "web", false);
    let (beside, inbound) = TestSidecar::with_port(&registry, &described, settings).await;
    Served { registry, agent, beside, inbound }
}

impl Served {
    async fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        exchange::send(self.inbound, "GET", target, headers, b"").await.expect("an answer")
    }
}

fn is_refusal(answer: &Answer, status: u16, code: &str, reason: &str) -> bool {
    let body = answer.json();
    answer.status == status
        && body["status"] == "error"
        && (&body["code"], &body["retryable"]) == (&json!(code), &json!(!reason.is_empty()))
        && answer.header("retry-after").is_empty() == reason.is_empty()
        && answer.header("x-mesh-refused") == reason
}

#[tokio::test]
async fn more_than_the_agent_is_given_are_refused_and_go_to_another_provider() {
    let served = served(&["--max-inbound", "1"]).await;
    let mut stream = http::get(format!("http://{}/events/1000000/20", served.inbound)).await;
    stream.chunk().await.unwrap();
    let refused = served.get("/", &[]).await;
    assert!(is_refusal(&refused, 429, "overloaded", "full"), "{refused:?} {}", refused.text());
    assert!(refused.text().contains("max_inbound"), "{}", refused.text());
    assert_eq!(served.agent.requests(), 1, "the agent has not seen it");

    let other = WebAgent::start("b").await;
    served.registry.offer("b", &other.endpoint(), &json!({"name": "web"}), &json!({})).await;
    let caller = TestSidecar::caller(&served.registry, &[]).await;
    let url = format!("http://{}/proxy/web/x", caller.address);
    until("the first is asked as well", async || {
        // Writing, which is never repeated unless it certainly was not executed. Several at once, so that both are drawn.
        let calls = (0..4).map(|_| http::client().post(&url).body("once").send());
        let answers = join_all(calls).await.into_iter().map(Result::unwrap);
        let attempts = answers.map(|answer| {
            let served_by = answer.headers()["x-mesh-agent"].to_str().unwrap();
            assert_eq!((answer.status().as_u16(), served_by), (200, "b"));
            answer.headers()["x-mesh-attempts"].to_str().unwrap().to_owned()
        });
        attempts.collect::<Vec<_>>().contains(&"2".to_owned()).then_some(())
    })
    .await;
    let metrics = served.beside.get("/metrics").await.text();
    let only_ours = r#"mesh_inbound_requests_total{outcome="full"} 1"#;
    assert!(metrics.lines().all(|line| line != only_ours), "{metrics}");
    let explained = caller.get("/explain/web").await.json();
    let candidates = explained["candidates"].as_array().unwrap();
    assert!(candidates.iter().all(|one| one["breaker"] == "closed"), "being busy is no fault: {explained}");

    drop(stream);
    until("the place is free again", async || (served.get("/", &[]).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn an_agent_that_is_gone_is_answered_for_and_its_peers_go_elsewhere() {
    let registry = TestRegistry::in_memory().await;
    let (gone, other) =
        (ScriptedAgent::start("a", Speech::Bare).await, ScriptedAgent::start("b", Speech::Bare).await);
    // Nobody notices meanwhile that the first one is down.
    let describe = |id: &str, agent: &ScriptedAgent| {
        manifest(id, &agent.endpoint(), "work", false).replace("200ms", "600s")
    };
    let (_first, inbound) = TestSidecar::with_port(&registry, &describe("a", &gone), &[]).await;
    let (_second, _) = TestSidecar::with_port(&registry, &describe("b", &other), &[]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let address = gone.address;
    drop(gone);
    until("its port is closed", async || tokio::net::TcpStream::connect(address).await.err()).await;
    let refused = exchange::get(inbound, "/mcp").await.unwrap();
    assert!(is_refusal(&refused, 503, "unavailable", "away"), "{refused:?} {}", refused.text());
    let expected = format!("our agent at http://{address}/mcp cannot be reached: see whether it runs");
    assert!(refused.text().contains(&expected), "{}", refused.text());
    let (mut calls, nothing) = (0, json!({}));
    until("the first is asked as well", async || {
        let answers = join_all((0..4).map(|_| caller.call("work", &nothing))).await;
        calls += answers.len();
        for answer in &answers {
            assert_eq!((answer.status, answer.header("x-mesh-agent")), (200, "b"), "{}", answer.text());
        }
        answers.iter().any(|answer| answer.header("x-mesh-attempts") == "2").then_some(())
    })
    .await;
    assert_eq!(other.executed(), calls);
    drop(other);
    let refused = caller.call("work", &json!({})).await;
    assert!(refused.status >= 500 && refused.json()["retryable"] == true, "{}", refused.text());
    assert!(refused.text().contains("takes no calls for it (away)"), "{}", refused.text());
}

#[tokio::test]
async fn the_time_that_a_peer_gives_is_kept_and_passed_on() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Bare).await;
    let described = manifest("a", &agent.endpoint(), "work", false);
    let (_beside, inbound) = TestSidecar::with_port(&registry, &described, &["--call-timeout", "0.5"]).await;
    let call = json!({"method": "tools/call", "params": {"name": "work"}}).to_string();
    agent.always(Act::AnswerAfter(Duration::from_secs(600)));
    for (headers, most) in [(&[("X-Mesh-Timeout-Ms", "300")][..], 300), (&[], 500)] {
        let late = exchange::send(inbound, "POST", "/mcp", headers, call.as_bytes()).await.unwrap();
        assert!(is_refusal(&late, 504, "deadline_exceeded", ""), "{late:?} {}", late.text());
        let told: u64 = agent.header("x-mesh-timeout-ms").parse().unwrap();
        assert!((1..=most).contains(&told), "{told}");
    }
    until("both are cancelled", async || (agent.abandoned() == 2).then_some(())).await;
    // It is the time until the answer begins.
    agent.always(Act::Progress(8, Duration::from_millis(100)));
    let headers = [("X-Mesh-Timeout-Ms", "300")];
    let whole = exchange::send(inbound, "POST", "/mcp", &headers, call.as_bytes()).await.unwrap();
    assert!(whole.status == 200 && whole.text().contains("served_by"), "{}", whole.text());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_and_on_the_way() {
    let served = served(&["--max-body", "1000000"]).await;
    let url = format!("http://{}/size", served.inbound);
    let post = |size: usize| http::client().post(&url).body(vec![b'x'; size]).send();
    assert_eq!(post(1_000_000).await.unwrap().status(), 200);
    let announced = post(1_000_001).await.unwrap();
    assert_eq!(announced.status(), 413);
    assert!(announced.text().await.unwrap().contains("payload_too_large"));
    assert_eq!(served.agent.requests(), 1);
    let pieces = futures_util::stream::iter(
        (0..20).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 100_000]))),
    );
    let body = reqwest::Body::wrap_stream(pieces);
    assert_eq!(http::client().post(&url).body(body).send().await.unwrap().status(), 413);
    let large = "x".repeat(40_000);
    assert_eq!(served.get("/", &[("X-Large", &large)]).await.status, 431);
    // Half a body is nobody's fault but the peer's.
    let head = "POST /size HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nX-Mesh-Timeout-Ms: 200\r\nConnection: close\r\n\r\nhalf";
    assert_eq!(exchange::raw(served.inbound, head.as_bytes()).await.unwrap().status, 400);
}

#[tokio::test]
async fn circles_and_nonsense_are_refused() {
    let served = served(&[]).await;
    assert_eq!(served.get("/", &[("X-Mesh-Hops", "7")]).await.status, 200);
    let circle = served.get("/", &[("X-Mesh-Hops", "8")]).await;
    assert!(is_refusal(&circle, 508, "loop_detected", ""), "{circle:?} {}", circle.text());
    let caller = TestSidecar::caller(&served.registry, &[]).await;
    for target in ["/call/web", "/proxy/web/"] {
        for _ in 0..6 {
            let headers = [("X-Mesh-Hops", "7")];
            let circle = exchange::send(caller.address, "POST", target, &headers, b"{}").await.unwrap();
            assert_eq!(
                (circle.status, &circle.json()["code"]),
                (508, &json!("loop_detected")),
                "{}",
                circle.text()
            );
        }
    }
    let explained = caller.get("/explain/web").await.json();
    let provider = &explained["candidates"][0];
    assert_eq!(
        (&provider["breaker"], &provider["failure"]),
        (&json!("closed"), &json!(0.0)),
        "no fault of the last in the circle: {explained}"
    );
    let nonsense = served.get("/", &[("X-Mesh-Timeout-Ms", "soon")]).await;
    assert!(is_refusal(&nonsense, 400, "validation_failed", ""), "{nonsense:?}");
    let tunnel = b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange::raw(served.inbound, tunnel).await.unwrap().status, 405);
    let metrics = served.beside.get("/metrics").await.text();
    for expected in ["outcome=\"loop\"} 13", "outcome=\"invalid\"} 2"] {
        assert!(metrics.contains(&format!("mesh_inbound_requests_total{{{expected}")), "{metrics}");
    }
}

#[tokio::test]
async fn peers_come_under_any_name_and_web_pages_under_none() {
    let served = served(&[]).await;
    let come = async |host: &str, origin: &str| {
        let origin = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{origin}Connection: close\r\n\r\n");
        exchange::raw(served.inbound, request.as_bytes()).await.unwrap()
    };
    for host in ["agent.production.svc:15002", "10.0.0.7:15002", "localhost"] {
        assert_eq!(come(host, "").await.status, 200, "{host}");
        let page = come(host, "https://page.example.org").await;
        assert!(is_refusal(&page, 403, "forbidden", ""), "{host}: {page:?}");
    }
    assert_eq!(come("rebound.example.org:15002", "http://rebound.example.org:15002").await.status, 403);
    assert_eq!(come("localhost", "null").await.status, 403);
    assert_eq!(come("localhost", "http://localhost:6274").await.status, 200);
    assert_eq!(served.agent.requests(), 4);
}

#[tokio::test]
async fn peers_requests_have_a_line_in_the_access_log() {
    let served = served(&["--access-log", "all"]).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    served.get("/", &[("X-Mesh-Caller", "c"), ("traceparent", trace)]).await;
    until("the line is printed", async || {
        let printed = served.beside.program.printed();
        let lines = printed.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut lines = lines.filter(|line| line["message"] == "inbound call");
        let line = lines.next()?;
        assert_eq!((&line["caller"], &line["outcome"]), (&json!("c"), &json!("answered")), "{line}");
        assert_eq!(line["trace.id"], "4bf92f3577b34da6a3ce929d0e0e4736", "{line}");
        Some(())
    })
    .await;
}
