//! Agents of older revisions behind the port for peers: handshake and session stay between an agent and the sidecar beside
//! it, and peers' sidecars speak the current revision.

use std::net::SocketAddr;
use std::time::Duration;

use mesh_tests::exchange::{self, Answer};
use mesh_tests::http;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use mesh_tests::web::WebAgent;
use reqwest::Response;
use serde_json::{Value, json};

const OLDER: [Speech; 2] = [Speech::Session, Speech::Handshake];

/// Settings of a sidecar that waits shortly for the next piece of a stream.
const IMPATIENT: [&str; 2] = ["--stream-idle-timeout", "0.4"];

struct Mesh {
    _registry: TestRegistry,
    _beside: TestSidecar,
    inbound: SocketAddr,
    callers: Vec<TestSidecar>,
}

/// An agent behind a port for peers, and so many callers.
async fn mesh(agent: &ScriptedAgent, callers: usize) -> Mesh {
    mesh_with(agent, callers, [&[], &[]]).await
}

/// The same with these settings of the sidecar beside the agent and of the others.
async fn mesh_with(agent: &ScriptedAgent, callers: usize, [beside, others]: [&[&str]; 2]) -> Mesh {
    let registry = TestRegistry::in_memory().await;
    let described = manifest("agent", &agent.endpoint(), "work", false);
    let (beside, inbound) = TestSidecar::with_port(&registry, &described, beside).await;
    let mut mesh = Mesh { _registry: registry, _beside: beside, inbound, callers: Vec::new() };
    for _ in 0..callers {
        mesh.callers.push(TestSidecar::caller(&mesh._registry, others).await);
    }
    mesh
}

impl Mesh {
    async fn call(&self, arguments: &Value) -> Answer {
        self.callers[0].call("work", arguments).await
    }

    /// A call whose caller wants to hear what happens on the way.
    async fn listen(&self) -> Response {
        let url = format!("http://{}/call/work", self.callers[0].address);
        http::client().post(&url).header("accept", "text/event-stream").body("{}").send().await.unwrap()
    }
}

/// A request of the current revision.
fn body(method: &str, name: &str) -> String {
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}});
    let mut params = json!({"name": name, "arguments": {"x": 1}, "notifications": {}, "_meta": meta});
    params["_meta"]["progressToken"] = json!("t");
    json!({"jsonrpc": "2.0", "id": "mine", "method": method, "params": params}).to_string()
}

/// The same at the port, as a peer's sidecar sends it, or as any client does.
async fn ask(inbound: SocketAddr, is_sidecar: bool, method: &str, name: &str) -> Answer {
    let body = body(method, name);
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
        ("mcp-name", name),
    ];
    headers.extend(is_sidecar.then_some(("x-mesh-translate", "2026-07-28")));
    exchange::send(inbound, "POST", "/mcp", &headers, body.as_bytes()).await.unwrap()
}

#[tokio::test]
async fn one_handshake_with_an_older_agent_serves_all_peers() {
    for speech in OLDER {
        for agent in [ScriptedAgent::start("a", speech).await, ScriptedAgent::streaming("a", speech).await] {
            let mesh = mesh(&agent, 3).await;
            let calls = (0..9).map(|n| {
                let caller = &mesh.callers[n % 3];
                async move { (n, caller.call("work", &json!({"call": n})).await) }
            });
            for (n, answer) in futures_util::future::join_all(calls).await {
                assert_eq!(answer.status, 200, "{speech:?}: {}", answer.text());
                assert_eq!(answer.json()["structuredContent"]["arguments"]["call"], n, "{speech:?}");
            }
            assert_eq!((agent.executed(), agent.handshakes()), (9, 1), "{speech:?}");
            for absent in ["mcp-method", "mcp-name", "x-mesh-translate"] {
                assert_eq!(agent.header(absent), "", "{speech:?}: {absent}");
            }
            assert_eq!(agent.header("x-mesh-hops"), "1");
        }
    }
}

#[tokio::test]
async fn a_peer_sends_one_request_without_a_session_and_a_client_speaks_with_the_agent_itself() {
    let agent = ScriptedAgent::start("a", Speech::Session).await;
    let mesh = mesh(&agent, 0).await;
    let called = ask(mesh.inbound, true, "tools/call", "work").await;
    let answer = called.json();
    assert_eq!((called.status, &answer["id"]), (200, &json!("mine")), "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["arguments"], json!({"x": 1}), "{answer}");
    assert_eq!((called.header("mcp-session-id"), &answer["result"]["resultType"]), ("", &json!("complete")));
    let discovered = ask(mesh.inbound, true, "server/discover", "").await.json();
    assert_eq!(discovered["result"]["supportedVersions"][0], "2026-07-28", "{discovered}");
    let listening = ask(mesh.inbound, true, "subscriptions/listen", "").await;
    assert!(listening.status >= 400 && listening.json()["error"].is_object(), "{}", listening.text());
    for method in ["server/discover", "tools/call"] {
        let own = ask(mesh.inbound, false, method, "work").await;
        assert!(own.status >= 400 && own.text().to_lowercase().contains("session"), "{}", own.text());
    }
    assert_eq!((agent.executed(), agent.handshakes()), (1, 1));
}

#[tokio::test]
async fn an_agent_that_comes_back_as_another_one_is_understood_without_a_failed_call() {
    use Speech::{Bare, Current, Handshake, Session};
    for (before, after, handshakes) in [
        (Session, Session, 2),
        (Session, Current, 1),
        (Current, Session, 1),
        (Bare, Session, 1),
        (Handshake, Bare, 1),
    ] {
        let agent = ScriptedAgent::start("a", before).await;
        let mesh = mesh(&agent, 2).await;
        for caller in &mesh.callers {
            let answer = caller.call("work", &json!({})).await;
            assert_eq!(answer.status, 200, "{before:?}: {}", answer.text());
        }
        agent.reborn(after);
        for caller in &mesh.callers {
            let answer = caller.call("work", &json!({})).await;
            let attempts = answer.header("x-mesh-attempts");
            assert_eq!((answer.status, attempts), (200, "1"), "{before:?} to {after:?}: {}", answer.text());
        }
        assert_eq!((agent.executed(), agent.handshakes()), (4, handshakes), "{before:?} to {after:?}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_as_without_the_port() {
    let agent = ScriptedAgent::start("a", Speech::Session).await;
    let mesh = mesh(&agent, 1).await;
    let registry = TestRegistry::in_memory().await;
    registry.offer("agent", &agent.endpoint(), &json!({"name": "work"}), &json!({})).await;
    let direct = TestSidecar::caller(&registry, &[]).await;
    let acts = [
        Act::RpcError(-32602),
        Act::RpcError(-32601),
        Act::ToolError,
        Act::Refuse(401),
        Act::Refuse(404),
        Act::Refuse(429),
        Act::Refuse(500),
        Act::Refuse(307),
        Act::Babble,
        Act::Vanish,
    ];
    for act in acts {
        let mut told = Vec::new();
        for caller in [&direct, &mesh.callers[0]] {
            agent.next(&[act]);
            let answer = caller.call("work", &json!({})).await;
            let body = answer.json();
            told.push((
                answer.status,
                body["code"].clone(),
                body["isError"].clone(),
                body["details"].clone(),
            ));
        }
        assert_eq!(told[0], told[1], "{act:?}");
        // Neither is left with a breaker that the next one pays for.
        for caller in [&direct, &mesh.callers[0]] {
            until("calls are answered", async || {
                (caller.call("work", &json!({})).await.status == 200).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn an_agent_that_takes_no_handshake_says_so_itself() {
    let agent = WebAgent::start("a").await;
    for status in [307, 401, 429, 500, 503] {
        let endpoint = format!("http://{}/status/{status}", agent.address);
        let (direct, behind) = (TestRegistry::in_memory().await, TestRegistry::in_memory().await);
        direct.offer("agent", &endpoint, &json!({"name": "work"}), &json!({})).await;
        let described = manifest("agent", &endpoint, "work", false);
        let (_beside, _) = TestSidecar::with_port(&behind, &described, &[]).await;
        let mut told = Vec::new();
        for registry in [&direct, &behind] {
            let caller = TestSidecar::caller(registry, &["--max-retries", "0"]).await;
            let answer = caller.call("work", &json!({})).await;
            let cause = answer.json()["attempts"][0]["cause"].clone();
            told.push((answer.status, answer.json()["code"].clone(), cause));
        }
        assert_eq!(told[0], told[1], "{status}");
    }
}

#[tokio::test]
async fn progress_passes_and_whoever_goes_away_is_heard() {
    for speech in OLDER {
        let agent = ScriptedAgent::start("a", speech).await;
        let mesh = mesh(&agent, 1).await;
        agent.next(&[Act::Progress(3, Duration::from_millis(20))]);
        let text = mesh.listen().await.text().await.unwrap();
        assert_eq!(text.matches("notifications/progress").count(), 3, "{text}");
        assert!(text.contains("event: result") && text.contains("served_by"), "{text}");
        // At the port itself there is one event for each, under the token of whoever asked, and nothing between them.
        agent.next(&[Act::Progress(3, Duration::from_millis(20))]);
        let told = ask(mesh.inbound, true, "tools/call", "work").await.text();
        assert_eq!(
            (told.matches(r#""progressToken":"t""#).count(), told.matches(": keep-alive").count()),
            (3, 0)
        );
        agent.next(&[Act::Progress(10_000, Duration::from_millis(20))]);
        let mut response = mesh.listen().await;
        assert!(response.chunk().await.unwrap().is_some());
        assert_eq!((agent.cancelled(), agent.abandoned()), (0, 0));
        drop(response);
        until("the agent is told", async || (agent.cancelled() == 1).then_some(())).await;
        until("its stream is closed", async || (agent.abandoned() == 1).then_some(())).await;
        // So it is when nothing of the answer was there yet.
        agent.next(&[Act::AnswerAfter(Duration::from_secs(60))]);
        let (before, nothing) = (agent.executed(), json!({}));
        let arrived = until("the call is at the agent", async || (agent.executed() > before).then_some(()));
        tokio::select! {
            _ = mesh.call(&nothing) => panic!("nobody answers"),
            () = arrived => {}
        }
        until("the agent is told again", async || (agent.cancelled() == 2).then_some(())).await;
    }
}

#[tokio::test]
async fn an_agent_that_says_something_is_waited_for_and_answered_and_its_answer_is_known_by_its_stream() {
    let agent = ScriptedAgent::start("a", Speech::Session).await;
    let mesh = mesh_with(&agent, 1, [&IMPATIENT; 2]).await;
    agent.always(Act::Hum(12, Duration::from_millis(100)));
    let text = mesh.listen().await.text().await.unwrap();
    assert!(text.contains("event: result") && text.contains("served_by"), "{text}");
    agent.always(Act::AskMeanwhile);
    assert_eq!(mesh.call(&json!({})).await.status, 200);
}

#[tokio::test]
async fn an_answer_that_the_agent_breaks_off_is_broken_off() {
    let agent = ScriptedAgent::start("a", Speech::Session).await;
    let mesh = mesh_with(&agent, 1, [&IMPATIENT, &[]]).await;
    agent.next(&[Act::Progress(3, Duration::from_millis(10))]);
    assert!(mesh.listen().await.text().await.unwrap().contains("event: result"));
    // The second piece comes too late for the sidecar beside it.
    agent.next(&[Act::Progress(3, Duration::from_millis(600))]);
    let text = mesh.listen().await.text().await.unwrap();
    assert!(text.contains("event: error") && text.contains("upstream_failed"), "{text}");
}

#[tokio::test]
async fn no_peer_gets_at_the_session() {
    let agent = ScriptedAgent::start("a", Speech::Session).await;
    let mesh = mesh(&agent, 1).await;
    assert_eq!(mesh.call(&json!({})).await.status, 200);
    let body = body("tools/call", "work");
    let call = async |more: (&str, &str)| {
        let url = format!("http://{}/mcp", mesh.inbound);
        let request =
            http::client().post(url).header("mcp-protocol-version", "2026-07-28").body(body.clone());
        let request = request.header("mcp-method", "tools/call").header("mcp-name", "work");
        let request = request.header("x-mesh-translate", "2026-07-28").header(more.0, more.1);
        request.send().await.unwrap()
    };
    for more in [("connection", "mcp-session-id, content-type"), ("mcp-session-id", "another")] {
        assert_eq!(call(more).await.status(), 200, "{more:?}");
    }
    assert_eq!((agent.executed(), agent.handshakes()), (3, 1));
    // In plain text, as the Python SDK says up to 1.12 that it does not know a session.
    agent.next(&[Act::Refuse(400)]);
    assert_eq!(call(("x-any", "1")).await.status(), 200);
    assert_eq!((agent.executed(), agent.handshakes()), (4, 2));
    agent.next(&[Act::Refuse(403), Act::Refuse(500)]);
    for status in [403, 500] {
        let refused = call(("x-any", "1")).await;
        assert_eq!((refused.status().as_u16(), refused.headers().get("mcp-session-id")), (status, None));
    }
}
