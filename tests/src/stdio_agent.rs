//! An agent over standard input and output, a process of its own: of either era, and it crashes, hangs, prints rubbish and
//! counts what it executes, as its arguments and its tools say.
//!
//! Arguments: `current`, `older` or `bare` is its era; `crash`, `mute` or `rubbish` is what it does instead of beginning, and
//! `stubborn` makes it stay when its input has ended.
//! The variable `EXECUTIONS` names a file that gets a line for each start and each call that is executed, in whatever
//! process.

use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};
use std::process::{Command, Stdio, exit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

/// Exit code of a crash.
pub const CRASH: i32 = 3;
/// The key of the id by which a client that listens knows what it is told.
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// What an agent knows.
#[derive(Debug, Default)]
struct Agent {
    era: String,
    running: Mutex<HashMap<String, AbortHandle>>,
    cancelled: Mutex<Vec<String>>,
    listening: Mutex<Vec<Value>>,
    /// Answers to requests of its own.
    heard: Mutex<Vec<Value>>,
    /// Says when there is one more.
    hears: Notify,
    /// Whether it has one tool more than at first.
    has_changed: AtomicBool,
}

/// Runs the agent until its input ends.
///
/// # Panics
/// When there is no runtime to be had.
pub fn main() {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let does = |what: &str| arguments.iter().any(|argument| argument == what);
    note_execution(&json!("start"));
    if does("crash") {
        exit(CRASH);
    }
    while does("rubbish") {
        print("this is no message");
    }
    let era = ["current", "bare"].into_iter().find(|era| does(era)).unwrap_or("older").to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(Arc::new(Agent { era, ..Agent::default() }), does("mute")));
    if does("stubborn") {
        runtime.block_on(std::future::pending::<()>());
    }
}

async fn run(agent: Arc<Agent>, is_mute: bool) {
    let (tell, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    while let Some(line) = lines.recv().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        if !is_mute {
            agent.take(message);
        }
    }
}

// === impl Agent ===

impl Agent {
    fn take(self: &Arc<Self>, message: Value) {
        let (id, method) = (message["id"].clone(), message["method"].as_str().unwrap_or_default().to_owned());
        let params = message["params"].clone();
        let answer = match (method.as_str(), self.era.as_str()) {
            ("server/discover", "current") => {
                json!({"result": introduction("supportedVersions", json!(["2026-07-28"]))})
            }
            ("initialize", "older") => {
                json!({"result": introduction("protocolVersion", json!("2025-06-18"))})
            }
            ("notifications/cancelled", _) => return self.cancel(&params["requestId"]),
            ("subscriptions/listen", "current") => {
                lock(&self.listening).push(id.clone());
                let acknowledged =
                    json!({"_meta": {SUBSCRIPTION: id}, "notifications": {"toolsListChanged": true}});
                return say(&notification("notifications/subscriptions/acknowledged", &acknowledged));
            }
            ("tools/list", _) => {
                let region = json!({"type": "string", "x-mcp-header": "Region"});
                let schema = json!({"type": "object", "properties": {"region": region}});
                let mut tools = vec![json!({"name": "echo", "inputSchema": schema})];
                if self.has_changed.load(Ordering::SeqCst) {
                    tools.push(json!({"name": "new", "inputSchema": {"type": "object"}}));
                }
                json!({"result": {"tools": tools}})
            }
            (_, "current") if params["_meta"][VERSION] != "2026-07-28" => {
                json!({"error": {"code": -32602, "message": "no introduction"}})
            }
            ("tools/call", _) => return self.start(id, params),
            ("", _) => {
                lock(&self.heard).push(message);
                // Kept for whoever looks later.
                return self.hears.notify_one();
            }
            (other, _) if !other.starts_with("notifications/") => {
                json!({"error": {"code": -32601, "message": "Method not found"}})
            }
            _ => return,
        };
        reply(&id, answer);
    }

    fn start(self: &Arc<Self>, id: Value, params: Value) {
        note_execution(&params["name"]);
        let agent = Arc::clone(self);
        let key = id.to_string();
        let calling = tokio::spawn(async move {
            let result = agent.call(&id, &params).await;
            lock(&agent.running).remove(&id.to_string());
            reply(&id, json!({"result": {"content": [], "structuredContent": result}}));
        });
        lock(&self.running).insert(key, calling.abort_handle());
    }

    fn cancel(&self, id: &Value) {
        if let Some(running) = lock(&self.running).remove(&id.to_string()) {
            running.abort();
            lock(&self.cancelled).push(id.to_string());
        }
    }

    async fn call(&self, id: &Value, params: &Value) -> Value {
        let arguments = &params["arguments"];
        let number = |key: &str| arguments[key].as_u64().unwrap_or_default();
        match params["name"].as_str().unwrap_or_default() {
            "crash" => exit(CRASH),
            "sleep" => tokio::time::sleep(Duration::from_millis(number("ms"))).await,
            "progress" => {
                let token = &params["_meta"]["progressToken"];
                for step in 1..=number("steps") {
                    tokio::time::sleep(Duration::from_millis(number("ms"))).await;
                    let padding = "x".repeat(number("bytes") as usize);
                    let progress = json!({"progressToken": token, "progress": step, "message": padding});
                    say(&notification("notifications/progress", &progress));
                }
            }
            "rubbish" => (0..number("lines")).for_each(|_| print("this is no message")),
            "noise" => (0..number("lines")).for_each(|line| eprintln!("noise {line}")),
            "change" => self.tell_of_change(),
            "ask" => {
                say(&json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}));
                say(&json!({"jsonrpc": "2.0", "id": "s", "method": "sampling/createMessage", "params": {}}));
                while lock(&self.heard).len() < 2 {
                    self.hears.notified().await;
                }
                return json!(*lock(&self.heard));
            }
            "child" => {
                let sleeping =
                    Command::new("sleep").arg("600").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
                return json!({"own": std::process::id(), "child": sleeping.map(|child| child.id()).ok()});
            }
            "big" => return json!({"text": "x".repeat(number("bytes") as usize)}),
            "cancelled" => return json!({"cancelled": lock(&self.cancelled).len()}),
            "environment" => {
                let folder = std::env::current_dir().map(|folder| folder.display().to_string()).ok();
                return json!({"variables": std::env::vars().collect::<HashMap<_, _>>(), "folder": folder});
            }
            _ => {}
        }
        json!({"arguments": arguments, "id": id, "meta": params["_meta"], "pid": std::process::id()})
    }

    fn tell_of_change(&self) {
        self.has_changed.store(true, Ordering::SeqCst);
        let method = "notifications/tools/list_changed";
        let listening = lock(&self.listening);
        let told = listening.iter().map(|id| notification(method, &json!({"_meta": {SUBSCRIPTION: id}})));
        told.for_each(|message| say(&message));
        if self.era != "current" {
            say(&json!({"jsonrpc": "2.0", "method": method}));
        }
    }
}

fn introduction(key: &str, version: Value) -> Value {
    let info = json!({"name": "stdio-agent", "version": "1"});
    json!({
        key: version, "capabilities": {"tools": {"listChanged": true}}, "serverInfo": info, "ttlMs": 7,
        "cacheScope": "public", "resultType": "complete", "_meta": {"io.modelcontextprotocol/serverInfo": info},
    })
}

fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

fn reply(id: &Value, mut answer: Value) {
    answer["jsonrpc"] = json!("2.0");
    answer["id"] = id.clone();
    say(&answer);
}

fn say(message: &Value) {
    print(&message.to_string());
}

/// One line at once. A reader that is gone is no reason to go on.
fn print(line: &str) {
    let mut output = std::io::stdout().lock();
    if writeln!(output, "{line}").and_then(|()| output.flush()).is_err() {
        exit(0);
    }
}

fn note_execution(tool: &Value) {
    let Ok(file) = std::env::var("EXECUTIONS") else { return };
    let file = std::fs::File::options().create(true).append(true).open(file);
    // One write, so that lines of several processes stay whole.
    file.and_then(|mut file| file.write_all(format!("{tool}\n").as_bytes())).ok();
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
