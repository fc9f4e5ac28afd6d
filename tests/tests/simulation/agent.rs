//! An agent that says which calls it executed, and has good and bad times.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use mesh_client::dice::Dice;
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::host::{Answered, Host};
use crate::ledger::Ledger;
use crate::network::Network;

/// Where agents listen.
pub(crate) const PORT: u16 = 8_001;
/// Where they say that they are well.
pub(crate) const HEALTH: &str = "/health";
/// Shortest and longest time for a call, in milliseconds.
const WORK: (u64, u64) = (1, 30);
/// The session header of older servers.
const SESSION: &str = "mcp-session-id";

/// How it wants to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// Stateless, with the current revision.
    Current,
    /// `initialize` first, and its session from then on, which a restart forgets.
    Session,
    /// `tools/call` and nothing else.
    Bare,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mood {
    /// It executes and answers.
    Well,
    /// The same, and takes so much longer.
    Slow(Duration),
    /// It says that it cannot serve.
    Refuses(u16),
    /// It executes and answers with an error of its own.
    Fails,
    /// It executes and never answers; it does not answer for its health either.
    Freezes,
}

/// An agent.
#[derive(Clone)]
pub(crate) struct Agent {
    /// Its id.
    pub(crate) id: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    speech: Speech,
    network: Network,
    ledger: Ledger,
    life: Arc<Mutex<Life>>,
}

struct Life {
    host: Option<Host>,
    mood: Mood,
    /// How often it has started.
    starts: u32,
}

impl Agent {
    /// An agent that is not running yet.
    pub(crate) fn new(id: &str, speech: Speech, at: SocketAddr, network: &Network, ledger: &Ledger) -> Self {
        let life = Arc::new(Mutex::new(Life { host: None, mood: Mood::Well, starts: 0 }));
        let (network, ledger) = (network.clone(), ledger.clone());
        Self { id: id.to_owned(), address: at, speech, network, ledger, life }
    }

    /// Starts it, well, without the sessions of before.
    pub(crate) fn start(&self) {
        let host = Host::start(&self.network, self.address.ip());
        self.with(|life| {
            life.starts += 1;
            life.mood = Mood::Well;
            life.host = Some(host.clone());
        });
        let agent = self.clone();
        host.serve(PORT, service_fn(move |request| agent.clone().answer(request)));
    }

    /// Its process ends.
    pub(crate) fn crash(&self) {
        self.with(|life| life.host.take()).iter().for_each(Host::crash);
    }

    /// Its host loses its power.
    pub(crate) fn darken(&self) {
        self.with(|life| life.host.take()).iter().for_each(Host::darken);
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        self.with(|life| life.host.is_some())
    }

    /// How it is from now on.
    pub(crate) fn feels(&self, mood: Mood) {
        self.with(|life| life.mood = mood);
    }

    async fn answer(self, request: Request<Incoming>) -> Answered<Full<Bytes>> {
        let (head, body) = request.into_parts();
        if head.uri.path() == HEALTH {
            if self.mood() == Mood::Freezes {
                std::future::pending::<()>().await;
            }
            return Ok(reply(StatusCode::OK, json!({})));
        }
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(match (message["method"].as_str().unwrap_or_default(), self.speech) {
            ("server/discover", Speech::Current) => {
                result(&message, json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}))
            }
            ("initialize", Speech::Session) => {
                let about = json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                    "serverInfo": {"name": self.id, "version": "1"}});
                let mut reply = result(&message, about);
                let session = self.session().parse().expect("a session id is a header value");
                reply.headers_mut().insert(SESSION, session);
                reply
            }
            ("notifications/initialized", _) => reply(StatusCode::ACCEPTED, Value::Null),
            ("notifications/cancelled", _) => reply(StatusCode::ACCEPTED, Value::Null),
            ("tools/call", _) => self.call(&head.headers, &message).await,
            (_, Speech::Current) => error(StatusCode::NOT_FOUND, &message, -32601, "Method not found"),
            (_, Speech::Session) => error(StatusCode::BAD_REQUEST, &nobody(), -32600, "Missing session ID"),
            (_, Speech::Bare) => reply(StatusCode::NOT_FOUND, Value::Null),
        })
    }

    async fn call(&self, headers: &HeaderMap, message: &Value) -> Response<Full<Bytes>> {
        let session = headers.get(SESSION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if self.speech == Speech::Session && session != self.session() {
            return error(StatusCode::NOT_FOUND, &nobody(), -32600, "Session not found");
        }
        let mood = self.mood();
        if let Mood::Refuses(status) = mood {
            return reply(StatusCode::from_u16(status).unwrap_or_default(), Value::Null);
        }
        let (tool, arguments) = (&message["params"]["name"], &message["params"]["arguments"]);
        let call = arguments["call"].as_u64().unwrap_or_default();
        self.ledger.executed(call, tool.as_str().unwrap_or_default(), &self.id);
        match mood {
            Mood::Freezes => std::future::pending().await,
            Mood::Slow(longer) => sleep(longer).await,
            Mood::Fails => return reply(StatusCode::INTERNAL_SERVER_ERROR, Value::Null),
            Mood::Well | Mood::Refuses(_) => {}
        }
        sleep(Duration::from_millis(Dice.random_range(WORK.0..=WORK.1))).await;
        let served = json!({"call": call, "tool": tool, "by": self.id});
        result(message, json!({"content": [], "structuredContent": served}))
    }

    fn session(&self) -> String {
        self.with(|life| format!("{}-{}", self.id, life.starts))
    }

    fn mood(&self) -> Mood {
        self.with(|life| life.mood)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Life) -> T) -> T {
        act(&mut self.life.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// In place of a message that an error would belong to.
fn nobody() -> Value {
    json!({"id": "server-error"})
}

fn result(message: &Value, result: Value) -> Response<Full<Bytes>> {
    reply(StatusCode::OK, json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
}

fn error(status: StatusCode, message: &Value, code: i64, text: &str) -> Response<Full<Bytes>> {
    let error = json!({"code": code, "message": text});
    reply(status, json!({"jsonrpc": "2.0", "id": message["id"], "error": error}))
}

fn reply(status: StatusCode, body: Value) -> Response<Full<Bytes>> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
