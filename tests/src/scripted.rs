//! An MCP agent that does as it is told: it speaks any era, fails on command, and counts what it executes.

mod act;
pub mod tools;

mod answer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use mesh_daemon::listen::Listener;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::act::{Act, Speech};
use self::act::{refusal, unknown_method};
use self::answer::{Reply, Waiting, asking, error, humming, progress, reply, result, stream};
use self::tools::Tools;

/// The session that an agent with sessions mints.
const SESSION: &str = "session-";

/// A running agent.
#[derive(Debug)]
pub struct ScriptedAgent {
    /// Where it is.
    pub address: SocketAddr,
    script: Arc<Script>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Script {
    name: String,
    tools: Tools,
    speech: Mutex<Speech>,
    streams: bool,
    acts: Mutex<VecDeque<Act>>,
    otherwise: Mutex<Act>,
    executed: AtomicUsize,
    /// How often each call was executed, by the argument `call`.
    executions: Mutex<BTreeMap<u64, usize>>,
    handshakes: AtomicUsize,
    /// Calls whose caller went away before the answer.
    abandoned: Arc<AtomicUsize>,
    /// Notifications that a call is cancelled.
    cancelled: AtomicUsize,
    /// The ids of the requests that are being answered.
    answering: Mutex<BTreeSet<String>>,
    /// The headers of the last call.
    headers: Mutex<HeaderMap>,
    session: AtomicUsize,
    /// Its clients have answered what it asked.
    answered: Arc<Notify>,
}

// === impl ScriptedAgent ===

impl ScriptedAgent {
    /// Starts an agent that answers every call, as JSON.
    pub async fn start(name: &str, speech: Speech) -> Self {
        Self::with(name, speech, false).await
    }

    /// Starts an agent that answers as server-sent events, with progress before the result.
    pub async fn streaming(name: &str, speech: Speech) -> Self {
        Self::with(name, speech, true).await
    }

    async fn with(name: &str, speech: Speech, streams: bool) -> Self {
        let (name, speech) = (name.to_owned(), Mutex::new(speech));
        let script = Arc::new(Script { name, speech, streams, ..Script::default() });
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let (address, stop) = (listener.local_addr(), CancellationToken::new());
        let serving = Arc::clone(&script);
        let service = hyper::service::service_fn(move |request| serve(Arc::clone(&serving), request));
        tokio::spawn(listener.serve(service, stop.clone(), Duration::ZERO));
        Self { address, script, _stop: stop.drop_guard() }
    }

    /// The URL of its MCP endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// What it says about its tools.
    pub fn tools(&self) -> &Tools {
        &self.script.tools
    }

    /// What it does with the next calls, before it goes on as usual.
    pub fn next(&self, acts: &[Act]) {
        lock(&self.script.acts).extend(acts);
    }

    /// What it does as usual from now on.
    pub fn always(&self, act: Act) {
        *lock(&self.script.otherwise) = act;
    }

    /// Calls executed so far.
    pub fn executed(&self) -> usize {
        self.script.executed.load(Ordering::SeqCst)
    }

    /// How often each call was executed, by its argument `call`.
    pub fn executions(&self) -> BTreeMap<u64, usize> {
        lock(&self.script.executions).clone()
    }

    /// Calls whose caller went away before the answer, by closing the connection.
    pub fn abandoned(&self) -> usize {
        self.script.abandoned.load(Ordering::SeqCst)
    }

    /// Notifications so far that a call is cancelled.
    pub fn cancelled(&self) -> usize {
        self.script.cancelled.load(Ordering::SeqCst)
    }

    /// A header of the last call, empty when absent.
    pub fn header(&self, name: &str) -> String {
        let headers = lock(&self.script.headers);
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default()
    }

    /// Handshakes so far.
    pub fn handshakes(&self) -> usize {
        self.script.handshakes.load(Ordering::SeqCst)
    }

    /// Forgets its sessions, as a restart does, and speaks like this from now on.
    pub fn reborn(&self, speech: Speech) {
        *lock(&self.script.speech) = speech;
        self.script.session.fetch_add(1, Ordering::SeqCst);
    }
}

/// An error closes the connection without an answer.
async fn serve(script: Arc<Script>, request: Request<Incoming>) -> Result<Reply, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let speech = *lock(&script.speech);
    match message["method"].as_str().unwrap_or_default() {
        "server/discover" if speech == Speech::Current => {
            Ok(result(&message, json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})))
        }
        "initialize" if matches!(speech, Speech::Session | Speech::Handshake) => {
            Ok(script.initialize(&message, speech))
        }
        "notifications/initialized" => Ok(reply(StatusCode::ACCEPTED, String::new())),
        "notifications/cancelled" => {
            script.cancelled.fetch_add(1, Ordering::SeqCst);
            Ok(reply(StatusCode::ACCEPTED, String::new()))
        }
        "tools/list" => {
            let refusal = script.refusal(&head.headers, &message, speech);
            Ok(refusal.unwrap_or_else(|| script.tools.list(&message)))
        }
        "tools/call" => match script.refusal(&head.headers, &message, speech) {
            Some(refusal) => Ok(refusal),
            None => {
                *lock(&script.headers) = head.headers;
                script.call_once(&message, speech).await
            }
        },
        "" if message["result"].is_object() => {
            script.answered.notify_one();
            Ok(reply(StatusCode::ACCEPTED, String::new()))
        }
        "tasks/get" | "tasks/cancel" => Ok(script.task(&head.headers, &message)),
        _ => Ok(unknown_method(&message, speech)),
    }
}

// === impl Script ===

impl Script {
    fn initialize(&self, message: &Value, speech: Speech) -> Reply {
        self.handshakes.fetch_add(1, Ordering::SeqCst);
        let capabilities = json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": self.name, "version": "1"}});
        let mut reply = result(message, capabilities);
        if speech == Speech::Session {
            let session = self.session_id().parse().expect("a session id is a header value");
            reply.headers_mut().insert("mcp-session-id", session);
        }
        reply
    }

    /// Why a call is not taken as it came.
    fn refusal(&self, headers: &HeaderMap, message: &Value, speech: Speech) -> Option<Reply> {
        let is_greeted = self.handshakes.load(Ordering::SeqCst) > 0;
        refusal(speech, headers, message, is_greeted, &self.session_id())
    }

    /// An older server keeps the calls of a session apart by their ids, and mixes up those that are alike.
    async fn call_once(&self, message: &Value, speech: Speech) -> Result<Reply, std::io::Error> {
        let id = message["id"].to_string();
        let is_new = lock(&self.answering).insert(id.clone());
        if speech == Speech::Session && !is_new {
            return Ok(error(StatusCode::OK, message, -32600, "another call has this id"));
        }
        let outcome = self.call(message).await;
        lock(&self.answering).remove(&id);
        outcome
    }

    async fn call(&self, message: &Value) -> Result<Reply, std::io::Error> {
        let act = lock(&self.acts).pop_front().unwrap_or(*lock(&self.otherwise));
        if act == Act::AskBack && message["params"]["requestState"] != self.state() {
            return Ok(match &message["params"]["requestState"] {
                Value::Null => result(
                    message,
                    json!({"resultType": "input_required", "requestState": self.state(), "inputRequests": {}}),
                ),
                _ => error(StatusCode::OK, message, -32602, "this state is none of mine"),
            });
        }
        if act == Act::MakeTask {
            let task = json!({"resultType": "task", "taskId": self.task_id(), "status": "working"});
            return Ok(result(message, task));
        }
        if !matches!(act, Act::Refuse(_) | Act::RpcError(_)) {
            self.executed.fetch_add(1, Ordering::SeqCst);
            let call = message["params"]["arguments"]["call"].as_u64();
            call.into_iter().for_each(|call| *lock(&self.executions).entry(call).or_default() += 1);
        }
        let mut waiting = Waiting { abandoned: Arc::clone(&self.abandoned), is_over: false };
        match act {
            Act::Vanish => return Err(std::io::Error::other("vanished")),
            Act::Refuse(status) => {
                let status = StatusCode::from_u16(status).expect("a status");
                let mut refusal = reply(status, "overwhelmed".to_owned());
                // As servers of sessions do.
                let session = self.session_id().parse().expect("a session id is a header value");
                refusal.headers_mut().insert("mcp-session-id", session);
                return Ok(refusal);
            }
            Act::Babble => return Ok(reply(StatusCode::OK, "blah".to_owned())),
            Act::RpcError(code) => return Ok(error(StatusCode::OK, message, code, "no")),
            Act::AnswerAfter(pause) => tokio::time::sleep(pause).await,
            _ => {}
        }
        let text = format!("{} did {}", self.name, message["params"]["arguments"]);
        let outcome = json!({"content": [{"type": "text", "text": text}], "isError": act == Act::ToolError,
            "structuredContent": {"served_by": self.name, "arguments": message["params"]["arguments"]}});
        if let Act::Progress(times, pause) = act {
            return Ok(progress(message, &outcome, times, pause, waiting));
        }
        waiting.is_over = true;
        if let Act::Hum(times, pause) = act {
            return Ok(humming(message, &outcome, times, pause));
        }
        if act == Act::AskMeanwhile {
            return Ok(asking(message, &outcome, Arc::clone(&self.answered)));
        }
        Ok(if self.streams { stream(message, &outcome) } else { result(message, outcome) })
    }

    /// Tells of its task, and knows no other.
    fn task(&self, headers: &HeaderMap, message: &Value) -> Reply {
        let (task, named) = (self.task_id(), headers.get("mcp-name"));
        if message["params"]["taskId"] != task || named.is_none_or(|named| *named != task) {
            return error(StatusCode::OK, message, -32602, "this task is none of mine");
        }
        let done =
            json!({"resultType": "complete", "taskId": task, "status": "completed", "served_by": self.name});
        result(message, done)
    }

    fn task_id(&self) -> String {
        format!("task-of-{}", self.name)
    }

    /// What it hands out to be given back.
    fn state(&self) -> String {
        format!("state of {}", self.name)
    }

    fn session_id(&self) -> String {
        format!("{SESSION}{}", self.session.load(Ordering::SeqCst))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
