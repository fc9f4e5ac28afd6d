//! A bridge in this process, to a stdio agent that is a process of its own, and clients of both eras.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use mesh_mcp::param_header::ToolParams;
use mesh_mcp::sse::Events;
use mesh_sidecar::bridge::Bridge;
use mesh_sidecar::bridge::child::Program;
use mesh_sidecar::bridge::restarts::Policy;
use mesh_sidecar::bridge::supervisor::Charge;
use mesh_sidecar::patience::{Limits, Pace};
use mesh_sidecar::told::Body;
use mesh_tests::program::binary;
use mesh_tests::wait::PATIENCE;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Silence after which a stream gets a comment, short enough for a test to see one.
pub(super) const KEEP_ALIVE: Duration = Duration::from_millis(200);

/// A bridge and the agent behind it.
pub(super) struct World {
    pub(super) bridge: Arc<Bridge>,
    pub(super) is_up: watch::Receiver<bool>,
    pub(super) supervising: JoinHandle<()>,
    pub(super) stop: CancellationToken,
    pub(super) leaving: CancellationToken,
    folder: TempDir,
    _stop: DropGuard,
}

/// What a client got.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Every message, in its order.
    pub(super) messages: Vec<Value>,
}

/// Restarts that take no time.
pub(super) fn quick() -> Policy {
    let none = Duration::from_millis(1);
    Policy { first: none, longest: none, settled: none, budget: 1_000_000, refill: none, rare: none }
}

impl World {
    /// An agent of this era, or one that does this.
    pub(super) async fn of(arguments: &[&str]) -> Self {
        let mut world = Self::start(arguments, quick());
        world.up().await;
        world
    }

    /// The same, perhaps never up.
    pub(super) fn start(arguments: &[&str], policy: Policy) -> Self {
        let folder = TempDir::new().unwrap();
        let executions = folder.path().join("executions").display().to_string();
        let program = Program {
            command: binary("stdio-agent-under-test").display().to_string(),
            args: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            env: BTreeMap::from([("EXECUTIONS".to_owned(), executions)]),
            cwd: Some(folder.path().display().to_string()),
        };
        Self::run(program, policy, folder, binary("sidecar-under-test"))
    }

    fn run(program: Program, policy: Policy, folder: TempDir, warden: PathBuf) -> Self {
        let leaving = CancellationToken::new();
        let limits = Limits { idle: PATIENCE, longest: PATIENCE };
        let pace = Pace { limits, keep_alive: KEEP_ALIVE };
        let charge = Charge { agent_id: "s".to_owned(), program, policy, warden };
        let (bridge, supervisor, is_up) = Bridge::new(charge, pace, leaving.clone());
        let stop = CancellationToken::new();
        let supervising = tokio::spawn(supervisor.run(stop.clone()));
        let guard = stop.clone().drop_guard();
        Self { bridge: Arc::new(bridge), is_up, supervising, stop, leaving, folder, _stop: guard }
    }

    /// Waits until the agent can be asked.
    pub(super) async fn up(&mut self) {
        timeout(PATIENCE, self.is_up.wait_for(|is_up| *is_up))
            .await
            .expect("the agent is up in time")
            .unwrap();
    }

    /// How often a tool was executed.
    pub(super) fn executions(&self, tool: &str) -> usize {
        let text = std::fs::read_to_string(self.folder.path().join("executions")).unwrap_or_default();
        text.lines().filter(|line| line.trim_matches('"') == tool).count()
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The answer to a body with these headers, not read yet.
    pub(super) async fn send(
        &self,
        method: Method,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri("/mcp");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let params = ToolParams::default();
        let answering = self.bridge.answer(&head, Bytes::copy_from_slice(body.as_bytes()), &params);
        timeout(PATIENCE, answering).await.expect("an answer in time")
    }

    /// What a client of the current revision gets for a request.
    pub(super) async fn current(&self, message: &Value) -> Got {
        read(self.begin(message).await).await
    }

    /// The same, not read yet.
    pub(super) async fn begin(&self, message: &Value) -> Response<Body> {
        let mut message = message.clone();
        message["jsonrpc"] = json!("2.0");
        let meta = &mut message["params"]["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let method = message["method"].as_str().unwrap().to_owned();
        let mut headers = vec![
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method.as_str()),
        ];
        let name = message["params"]["name"].as_str().map(str::to_owned);
        headers.extend(name.as_deref().map(|name| ("mcp-name", name)));
        self.send(Method::POST, &headers, &message.to_string()).await
    }

    /// What a client of an older revision gets for a request.
    pub(super) async fn older(&self, message: &Value) -> Got {
        let mut message = message.clone();
        message["jsonrpc"] = json!("2.0");
        let headers =
            [("accept", "application/json, text/event-stream"), ("mcp-protocol-version", "2025-06-18")];
        read(self.send(Method::POST, &headers, &message.to_string()).await).await
    }
}

impl Got {
    /// The last message, which is the answer.
    pub(super) fn answer(&self) -> &Value {
        self.messages.last().unwrap_or(&Value::Null)
    }

    /// What the tool gave back.
    pub(super) fn output(&self) -> &Value {
        &self.answer()["result"]["structuredContent"]
    }
}

/// A call of a tool.
pub(super) fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    json!({"id": id.into(), "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

/// Reads an answer to its end.
pub(super) async fn read(response: Response<Body>) -> Got {
    let (head, body) = response.into_parts();
    let body = timeout(PATIENCE, body.collect()).await.expect("an end in time").unwrap().to_bytes();
    let is_stream = head.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
    let texts = if is_stream { Events::default().take(&body).unwrap() } else { vec![body.to_vec()] };
    let messages = texts.iter().filter(|text| !text.is_empty());
    let messages = messages.map(|text| serde_json::from_slice(text).unwrap()).collect();
    Got { status: head.status, headers: head.headers, messages }
}

/// Reads messages of a stream until there are so many.
pub(super) async fn some(body: &mut Body, count: usize) -> Vec<Value> {
    let (mut events, mut messages) = (Events::default(), Vec::new());
    while messages.len() < count {
        let frame = timeout(PATIENCE, body.frame()).await.expect("more in time").expect("more").unwrap();
        let texts = events.take(&frame.into_data().unwrap()).unwrap();
        messages.extend(texts.iter().map(|text| serde_json::from_slice::<Value>(text).unwrap()));
    }
    messages
}
