//! `/agents/{id}/mcp`: the whole protocol to one agent, whatever it says.

mod finding;

use std::time::Duration;

use mesh_tests::http;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::TestSidecar;
use mesh_tests::wait::until;
use mesh_tests::web::{ANSWER, EVENT, QUESTION, WebAgent};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// Many times what the longest answer takes.
const LIMIT: Duration = Duration::from_secs(30);

struct Mesh {
    registry: TestRegistry,
    agent: WebAgent,
    caller: TestSidecar,
}

/// An agent that answers differently at different paths.
async fn mesh(settings: &[&str]) -> Mesh {
    let registry = TestRegistry::in_memory().await;
    let agent = WebAgent::start("w").await;
    let caller = TestSidecar::caller(&registry, settings).await;
    Mesh { registry, agent, caller }
}

impl Mesh {
    /// Registers an agent without a capability whose endpoint is `endpoint`, and lets it be heard.
    async fn register(&self, id: &str, endpoint: &str, more: &Value) {
        let mut agent = json!({"id": id, "endpoint": endpoint, "health_interval": 600.0});
        more.as_object().into_iter().flatten().for_each(|(key, value)| agent[key] = value.clone());
        assert_eq!(self.registry.post("/agents", &agent).await.status, 200);
        assert_eq!(self.registry.post("/heartbeat", &json!({"agent_id": id})).await.status, 200);
    }

    /// Registers the agent `id` at a path of the one that runs.
    async fn at(&self, id: &str, path: &str) -> String {
        self.register(id, &format!("http://{}{path}", self.agent.address), &json!({})).await;
        self.url(id)
    }

    fn url(&self, id: &str) -> String {
        format!("http://{}/agents/{id}/mcp", self.caller.address)
    }

    async fn code(&self, target: &str) -> (u16, String, String) {
        let answer = self.caller.get(target).await;
        let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        (answer.status, code, answer.text())
    }
}

/// A request that comes to an end, with its answer, whatever happens.
fn request(method: Method, url: &str) -> RequestBuilder {
    http::client().request(method, url).timeout(LIMIT)
}

async fn post(url: &str, body: &'static str) -> Response {
    request(Method::POST, url).body(body).send().await.unwrap()
}

#[tokio::test]
async fn every_method_and_header_of_the_protocol_arrives_at_the_agents_own_endpoint() {
    let mesh = mesh(&[]).await;
    let url = mesh.at("a", "/v1/mcp?key=1").await;
    let passed = [
        ("accept", "application/json, text/event-stream"),
        ("authorization", "Bearer t"),
        ("mcp-session-id", "s"),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "=?base64?w6Q=?="),
        ("mcp-param-region", "eu"),
        ("last-event-id", "42"),
        ("x-nobody-knows", "it"),
    ];
    let kept = [
        ("origin", "http://localhost:3000"),
        ("x-mesh-caller", "forged"),
        ("connection", "x-private"),
        ("x-private", "1"),
    ];
    for method in [Method::POST, Method::GET, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        let mut request = request(method.clone(), &url).body("{}");
        for (name, value) in passed.iter().chain(&kept) {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-mesh-agent"], "a");
        let seen: Value = response.json().await.unwrap();
        assert_eq!((&seen["method"], &seen["target"]), (&json!(method.as_str()), &json!("/v1/mcp?key=1")));
        let header = |name: &str| {
            let headers = seen["headers"].as_array().unwrap().iter();
            headers
                .filter(|header| header[0] == name)
                .map(|header| header[1].as_str().unwrap())
                .collect::<Vec<_>>()
        };
        for (name, value) in passed {
            assert_eq!(header(name), [value], "{method} {name}");
        }
        for (name, value) in kept {
            assert!(!header(name).contains(&value), "{method} {name}");
        }
        assert_eq!(header("host"), [mesh.agent.address.to_string()]);
    }
}

#[tokio::test]
async fn bodies_pass_byte_for_byte_whatever_they_are() {
    let mesh = mesh(&[]).await;
    let url = mesh.at("a", "/echo").await;
    for body in [
        r#"[ {"jsonrpc":"2.0","id":1,"method":"ping"} , {"jsonrpc":"2.0","method":"notifications/x"}]"#,
        r#"{"b":1,"a":{"future":[1e400,18446744073709551616,-0.0]},"id":null, "jsonrpc" : "2.0"}"#,
        "not \u{0} JSON \u{fffd}\r\n\r\n",
    ] {
        assert_eq!(post(&url, body).await.text().await.unwrap(), body);
    }
}

#[tokio::test]
async fn what_the_agent_answers_goes_back_and_nothing_is_sent_twice() {
    let mesh = mesh(&[]).await;
    for status in [200, 202, 204, 400, 401, 403, 404, 405, 406, 409, 415, 429, 500, 501, 503] {
        let url = mesh.at(&format!("s{status}"), &format!("/status/{status}")).await;
        for method in [Method::POST, Method::GET] {
            let before = mesh.agent.requests();
            let response = request(method, &url).header("mcp-method", "tools/list").send().await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(mesh.agent.requests() - before, 1, "{status}");
        }
    }
    let url = mesh.at("locked", "/unauthorized").await;
    let response = post(&url, "{}").await;
    assert_eq!(response.status(), 401);
    assert!(
        response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer resource_metadata=")
    );
    let session = post(&mesh.at("session", "/session").await, "{}").await;
    assert_eq!(session.headers()["mcp-session-id"], "session-of-w");
    let vanishing = ScriptedAgent::start("v", Speech::Bare).await;
    vanishing.always(Act::Vanish);
    mesh.register("v", &vanishing.endpoint(), &json!({})).await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"work","arguments":{}}}"#;
    let response =
        request(Method::POST, &mesh.url("v")).header("idempotency-key", "k").body(call).send().await.unwrap();
    let error: Value = response.json().await.unwrap();
    assert_eq!(
        (&error["code"], error["attempts"].as_array().unwrap().len()),
        (&json!("upstream_failed"), 1),
        "{error}"
    );
    assert_eq!(vanishing.executed(), 1);
}

#[tokio::test]
async fn an_agent_may_think_before_its_answer_as_long_as_within_it_unless_the_caller_says_otherwise() {
    let mesh = mesh(&["--call-timeout", "0.2"]).await;
    let thinking = ScriptedAgent::start("t", Speech::Bare).await;
    thinking.always(Act::AnswerAfter(Duration::from_millis(700)));
    mesh.register("t", &thinking.endpoint(), &json!({})).await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"work","arguments":{}}}"#;
    assert_eq!(post(&mesh.url("t"), call).await.status(), 200);
    let hurried = request(Method::POST, &mesh.url("t")).header("x-mesh-timeout-ms", "200").body(call);
    assert_eq!(hurried.send().await.unwrap().status(), 504);
}

#[tokio::test]
async fn an_agent_asks_its_client_within_a_stream_and_is_answered() {
    let mesh = mesh(&[]).await;
    let url = mesh.at("a", "/ask").await;
    let mut asking = post(&url, r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#).await;
    assert_eq!(asking.chunk().await.unwrap().unwrap(), QUESTION);
    let answer = format!(r#"{ANSWER}"result":{{"action":"accept"}}}}"#);
    let taken = request(Method::POST, &url).body(answer.clone()).send().await.unwrap();
    assert_eq!((taken.status().as_u16(), taken.text().await.unwrap().as_str()), (202, ""));
    assert_eq!(asking.text().await.unwrap(), format!("data: {answer}\n\n"));
}

#[tokio::test]
async fn a_stream_that_listens_may_be_silent_and_closing_it_is_seen() {
    let mesh = mesh(&["--keep-alive", "0.1", "--stream-idle-timeout", "0.4"]).await;
    let url = mesh.at("a", "/events/2/1000").await;
    let text = request(Method::GET, &url).send().await.unwrap().text().await.unwrap();
    assert!(text.matches(EVENT).count() == 2 && text.matches(": keep-alive\n\n").count() >= 4, "{text}");
    let listening = request(Method::POST, &url).header("mcp-method", "subscriptions/listen").body("{}");
    let text = listening.send().await.unwrap().text().await.unwrap();
    assert_eq!(text.matches(EVENT).count(), 2, "{text}");
    assert!(
        post(&url, "{}").await.text().await.is_err(),
        "the answer to a call may not be silent for as long"
    );
    let url = mesh.at("b", "/events/1000000/30").await;
    let mut response = request(Method::GET, &url).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), EVENT);
    assert_eq!(mesh.agent.streaming(), 1);
    drop(response);
    until("the agent's stream is closed", async || (mesh.agent.streaming() == 0).then_some(())).await;
}
