//! The API guide as a story: each of its requests, byte for byte over a socket, and the meaning of each answer.

use std::collections::HashMap;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_tests::exchange::{self, Answer};
use mesh_tests::registry::TestRegistry;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// The requests of the guide. What programs in it send is written as they would send it.
const GUIDE: &str = include_str!("../../fixtures/guide.http");

/// The agent of the guide.
const DOCUMENTED: &str = "my-agent-001";
/// Another agent, of which nothing but one label is what the guide asks for.
const OTHER: &str = "translator";

/// A registry, and the guide with which to speak to it.
struct Reader {
    registry: TestRegistry,
    requests: HashMap<&'static str, &'static str>,
}

impl Reader {
    /// Starts beside an agent that the guide's queries must not confuse with its own.
    async fn start() -> Self {
        let requests = GUIDE.split("### ").skip(1).filter_map(|entry| entry.split_once('\n')).collect();
        let this = Self { registry: TestRegistry::in_memory().await, requests };
        let capability = json!({"name": "translate", "category": "language", "version": "0.9.0", "stability": "beta",
            "tags": ["text"], "description": "Turns one language into another"});
        let document = json!({"id": OTHER, "endpoint": "http://localhost:8002/mcp", "capabilities": [capability],
            "labels": {"env": "staging", "team": "words", "criticality": "high"}});
        assert_eq!(this.registry.post("/agents", &document).await.status, 200);
        assert_eq!(this.registry.post("/heartbeat", &json!({"agent_id": OTHER})).await.status, 200);
        this
    }

    /// Sends the request of this title, and expects this status.
    async fn send(&self, title: &str, status: u16) -> Value {
        let request = self.requests.get(title).unwrap_or_else(|| panic!("no request '{title}'"));
        let (head, body) = request.trim_end().split_once("\n\n").unwrap_or((request.trim_end(), ""));
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        let line = line.split(" #").next().unwrap_or_default().trim_end();
        let headers = headers.lines().map(|header| format!("{header}\r\n")).collect::<String>();
        let bytes = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.registry.address,
            body.len()
        );
        let answer: Answer = exchange::raw(self.registry.address, bytes.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{title}: {}", answer.text());
        answer.json()
    }

    /// Sends a query for agents and checks which it finds.
    async fn finds_agents(&self, title: &str, ids: &[&str]) {
        let page = self.send(title, 200).await;
        assert_eq!(column(&page["agents"], "id"), ids, "{title}: {page}");
    }

    /// Sends a query for capabilities and checks of which agents it finds some.
    async fn finds_capabilities(&self, title: &str, ids: &[&str]) -> Value {
        let page = self.send(title, 200).await;
        assert_eq!(column(&page["capabilities"], "agent_id"), ids, "{title}: {page}");
        page["capabilities"][0].clone()
    }
}

fn column(rows: &Value, key: &str) -> Vec<String> {
    let rows = rows.as_array().unwrap_or_else(|| panic!("rows, got {rows}"));
    rows.iter().map(|row| row[key].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn the_agent_of_the_guide_registers_and_is_found_once_it_has_been_heard() {
    let guide = Reader::start().await;
    let registered = guide.send("agent registration", 200).await;
    assert_eq!((&registered["status"], &registered["agent_id"]), (&json!("success"), &json!(DOCUMENTED)));
    assert_eq!(registered["warnings"], json!([]), "every key of the guide is known");

    guide.finds_agents("service discovery", &[]).await;
    guide.finds_capabilities("load balancing", &[]).await;
    assert_eq!(guide.send("heartbeat", 200).await["status"], "success");
    guide.finds_agents("service discovery", &[DOCUMENTED]).await;
    assert_eq!(guide.send("heartbeat with numbers", 200).await["status"], "success");

    let row = guide.finds_capabilities("load balancing", &[DOCUMENTED]).await;
    for (key, value) in [
        ("name", "process_data"),
        ("version", "1.2.0"),
        ("agent_name", "My Service Agent"),
        ("agent_status", "healthy"),
        ("agent_endpoint", "http://localhost:8001/mcp"),
    ] {
        assert_eq!(row[key], value, "{row}");
    }
}

#[tokio::test]
async fn every_query_of_the_guide_finds_whom_it_asks_for_and_nobody_else() {
    let guide = Reader::start().await;
    guide.send("agent registration", 200).await;
    guide.send("heartbeat", 200).await;
    for title in [
        "service discovery",
        "two labels",
        "greater than 1.0.0",
        "compatible with 1.2.x",
        "compatible with 1.x.x",
        "agents by fuzzy capability",
        "data processors",
        "good query",
    ] {
        guide.finds_agents(title, &[DOCUMENTED]).await;
    }
    for title in
        ["capability search", "fuzzy capability", "complex query", "load balancing", "service client"]
    {
        guide.finds_capabilities(title, &[DOCUMENTED]).await;
    }
    guide.finds_agents("another label", &[OTHER]).await;
    guide.finds_capabilities("specific capability", &[]).await;
    guide.finds_agents("poor query", &[DOCUMENTED, OTHER]).await;
}

#[tokio::test]
async fn the_stdio_agent_of_the_guide_takes_over_its_id_and_answers_to_its_own_version() {
    let guide = Reader::start().await;
    guide.send("agent registration", 200).await;
    assert_eq!(guide.send("stdio agent", 200).await["agent_id"], DOCUMENTED);
    assert_eq!(guide.send("smallest heartbeat", 200).await["status"], "success");
    let row = guide.finds_capabilities("service client", &[DOCUMENTED]).await;
    assert_eq!((&row["agent_endpoint"], &row["version"]), (&json!("stdio://my-agent"), &json!("1.0.0")));
    guide.finds_agents("greater than 1.0.0", &[]).await;
    guide.finds_agents("compatible with 1.2.x", &[]).await;
    guide.finds_agents("compatible with 1.x.x", &[DOCUMENTED]).await;
}

#[tokio::test]
async fn the_errors_of_the_guide_are_word_for_word() {
    let guide = Reader::start().await;
    assert_eq!(guide.send("an agent that is not there", 404).await["detail"], "Agent my-agent-001 not found");
    let refused = guide.send("a registration without an id", 400).await;
    assert_eq!(refused["status"], "error");
    assert_eq!(refused["error"], "Validation failed: 'id' field is required");
}

#[tokio::test]
async fn health_and_metrics_have_what_the_guides_monitoring_reads() {
    let guide = Reader::start().await;
    guide.send("agent registration", 200).await;
    guide.send("heartbeat", 200).await;
    assert_eq!(guide.send("health", 200).await["status"], "healthy");
    let metrics = guide.send("metrics", 200).await;
    assert_eq!((&metrics["total_agents"], &metrics["healthy_agents"]), (&json!(2), &json!(2)), "{metrics}");
    assert_eq!(metrics["heartbeats_processed"], 2, "{metrics}");
    assert!(metrics["memory_usage_mb"].as_f64().is_some_and(|used| used > 1.0), "{metrics}");
}

#[tokio::test]
async fn the_queries_of_a_batch_are_answered_at_the_same_time() {
    let guide = Reader::start().await;
    guide.send("agent registration", 200).await;
    guide.send("heartbeat", 200).await;
    let titles = ["service discovery", "two labels", "data processors"].iter().cycle().take(30);
    futures_util::future::join_all(titles.map(|title| guide.finds_agents(title, &[DOCUMENTED]))).await;
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_on_the_same_port() {
    let registry = TestRegistry::in_memory().await;
    let stream = TokioIo::new(TcpStream::connect(registry.address).await.unwrap());
    let (mut sender, connection) =
        http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..2 {
        let target = format!("{}/agents?version_constraint=%3E1.0.0", registry.url());
        let request = http::Request::get(target).body(Empty::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!((answer.status(), answer.version()), (http::StatusCode::OK, http::Version::HTTP_2));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["count"], 0);
    }
    assert_eq!(registry.get("/livez").await.status, 200, "HTTP/1.1 goes on beside it");
    connection.abort();
}
