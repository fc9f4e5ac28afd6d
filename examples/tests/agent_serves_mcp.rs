//! The example agent as the official SDK's client sees it, over loopback.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mesh_examples::agent::{Agent, Options};
use rmcp::model::{CallToolRequestParams, CallToolResult, ClientConfig, ProtocolVersion};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt as _, ServiceExt as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything on loopback; a laptop under full load needs a fraction of it.
const PATIENCE: Duration = Duration::from_secs(20);

type Client = RunningService<RoleClient, ClientConfig>;

struct TestAgent {
    url: String,
    stop: CancellationToken,
}

impl TestAgent {
    async fn start(session: bool, sse: bool) -> Self {
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            name: "replica-7".to_owned(),
            session,
            sse,
            latency: Duration::ZERO,
            older: false,
            without: Vec::new(),
        };
        let agent = Agent::bind(options).await.unwrap();
        let (url, stop) = (agent.url(), CancellationToken::new());
        tokio::spawn(agent.serve(stop.clone()));
        Self { url, stop }
    }

    async fn client(&self, lifecycle: ClientLifecycleMode) -> Client {
        let config = StreamableHttpClientTransportConfig::with_uri(self.url.clone());
        let transport = StreamableHttpClientTransport::with_client(http(), config);
        tokio::time::timeout(PATIENCE, ClientConfig::default().serve_with_lifecycle(transport, lifecycle))
            .await
            .expect("the handshake ends")
            .expect("the handshake succeeds")
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An HTTP client with the TLS provider that the workspace's reqwest wants to find, also for plain HTTP.
fn http() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::new()
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> CallToolResult {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let call = client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments));
    tokio::time::timeout(PATIENCE, call).await.expect("the call ends").expect("the call succeeds")
}

fn current() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

async fn a_call_is_answered_in_words_and_as_data(agent: TestAgent, lifecycle: ClientLifecycleMode) {
    let client = agent.client(lifecycle).await;
    let text = "The mesh finds agents. It rained. Agents of the mesh call other agents.";
    let result = call(&client, "summarize", json!({"text": text, "sentences": 1})).await;
    let expected = json!({
        "summary": "The mesh finds agents.", "sentences": 1, "words": 13, "served_by": "replica-7"
    });
    assert_eq!(result.structured_content, Some(expected.clone()));
    let words = result.content[0].as_text().expect("the first content is text").text.clone();
    assert_eq!(serde_json::from_str::<Value>(&words).unwrap(), expected);
}

#[tokio::test]
async fn the_current_protocol_is_served_without_a_session() {
    a_call_is_answered_in_words_and_as_data(TestAgent::start(false, false).await, current()).await;
}

#[tokio::test]
async fn the_current_protocol_is_served_as_an_event_stream() {
    a_call_is_answered_in_words_and_as_data(TestAgent::start(false, true).await, current()).await;
}

#[tokio::test]
async fn older_clients_are_served_with_a_session() {
    let agent = TestAgent::start(true, true).await;
    a_call_is_answered_in_words_and_as_data(agent, ClientLifecycleMode::Initialize).await;
}

#[tokio::test]
async fn older_clients_are_served_without_a_session() {
    let agent = TestAgent::start(false, false).await;
    a_call_is_answered_in_words_and_as_data(agent, ClientLifecycleMode::Initialize).await;
}

#[tokio::test]
async fn a_note_archived_twice_has_two_numbers_across_sessions() {
    let agent = TestAgent::start(true, true).await;
    for number in 1..=2 {
        let client = agent.client(ClientLifecycleMode::Initialize).await;
        let result = call(&client, "archive_note", json!({"note": "tea"})).await;
        assert_eq!(result.structured_content.unwrap()["number"], number);
    }
}

#[tokio::test]
async fn only_what_is_safe_to_repeat_says_so() {
    let agent = TestAgent::start(false, false).await;
    let tools = agent.client(current()).await.list_all_tools().await.unwrap();
    let hints = |name: &str| {
        let tool = tools.iter().find(|tool| tool.name == name).expect("the tool is listed");
        assert!(tool.output_schema.is_some(), "{name} describes its result");
        serde_json::to_value(tool.annotations.as_ref().expect("the tool has hints")).unwrap()
    };
    assert_eq!(hints("summarize")["readOnlyHint"], true);
    assert_eq!(hints("summarize")["idempotentHint"], true);
    assert_eq!(hints("word_count")["readOnlyHint"], true);
    assert_eq!(hints("archive_note"), json!({"destructiveHint": false, "openWorldHint": false}));
}

#[tokio::test]
async fn what_cannot_be_summarized_is_an_error_that_a_model_can_read() {
    let agent = TestAgent::start(false, false).await;
    let client = agent.client(current()).await;
    for arguments in [json!({"text": " ... "}), json!({"text": "Fine.", "sentences": 0})] {
        let result = call(&client, "summarize", arguments).await;
        assert_eq!(result.is_error, Some(true));
    }
}

#[tokio::test]
async fn words_and_sentences_are_counted() {
    let agent = TestAgent::start(false, false).await;
    let client = agent.client(current()).await;
    let result = call(&client, "word_count", json!({"text": "One fish. Two fish!"})).await;
    let expected = json!({"words": 4, "distinct": 3, "sentences": 2, "served_by": "replica-7"});
    assert_eq!(result.structured_content, Some(expected));
}

#[tokio::test]
async fn the_health_route_answers() {
    let agent = TestAgent::start(false, false).await;
    let url = agent.url.replace("/mcp", "/health");
    assert_eq!(http().get(url).send().await.unwrap().status(), 200);
}

/// The binary, killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_binary_prints_one_line_when_it_is_ready() {
    let program = Command::new(env!("CARGO_BIN_EXE_example-agent"))
        .args(["--listen", "127.0.0.1:0", "--name", "from-the-binary"])
        .stdout(Stdio::piped())
        .spawn();
    let mut agent = Running(program.unwrap());
    let mut line = String::new();
    BufReader::new(agent.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.strip_prefix("listening on ").expect("the line says where").trim_end().to_owned();
    let transport = StreamableHttpClientTransport::with_client(
        http(),
        StreamableHttpClientTransportConfig::with_uri(url),
    );
    let client = tokio::time::timeout(PATIENCE, ClientConfig::default().serve(transport)).await;
    let client = client.expect("the handshake ends").expect("the handshake succeeds");
    let result = call(&client, "word_count", json!({"text": "one two"})).await;
    assert_eq!(result.structured_content.unwrap()["served_by"], "from-the-binary");
}
