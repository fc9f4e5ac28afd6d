//! The answers of a scripted agent, as HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Notes a caller that went away, unless the call came to its end.
pub(super) struct Waiting {
    /// Counts those.
    pub(super) abandoned: Arc<AtomicUsize>,
    /// Whether it came to its end.
    pub(super) is_over: bool,
}

/// A body of any kind.
type Body = BoxBody<Bytes, Infallible>;
/// An answer.
pub(super) type Reply = Response<Body>;

pub(super) fn result(message: &Value, result: Value) -> Reply {
    reply(StatusCode::OK, json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string())
}

pub(super) fn error(status: StatusCode, message: &Value, code: i64, text: &str) -> Reply {
    let error = json!({"code": code, "message": text});
    reply(status, json!({"jsonrpc": "2.0", "id": message["id"], "error": error}).to_string())
}

pub(super) fn stream(message: &Value, outcome: &Value) -> Reply {
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}});
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": outcome});
    let events = format!(": hello\n\nevent: message\ndata: {progress}\n\nevent: message\ndata: {answer}\n\n");
    typed(StatusCode::OK, "text/event-stream", events)
}

/// Reports progress so many times, each after a pause, and then answers.
pub(super) fn progress(
    message: &Value,
    outcome: &Value,
    times: usize,
    pause: Duration,
    waiting: Waiting,
) -> Reply {
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": outcome});
    let token = message["params"]["_meta"]["progressToken"].clone();
    let steps = (1..=times + 1).map(move |step| {
        let note = json!({"progressToken": token, "progress": step, "total": times});
        let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": note});
        let event = if step > times { &answer } else { &note };
        (Bytes::from(format!("event: message\ndata: {event}\n\n")), step > times)
    });
    let events = futures_util::stream::unfold((steps, waiting), move |(mut steps, mut waiting)| async move {
        // Without a pause everything is there at once, and leaves in one piece.
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let (event, is_last) = steps.next()?;
        waiting.is_over |= is_last;
        Some((Ok(Frame::data(event)), (steps, waiting)))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(BodyExt::boxed(StreamBody::new(events))).expect("a response of known parts")
}

/// Reports progress, then only gives signs of life, and answers under an id of its own.
pub(super) fn humming(message: &Value, outcome: &Value, times: usize, pause: Duration) -> Reply {
    let params = json!({"progressToken": message["params"]["_meta"]["progressToken"], "progress": 1});
    let first = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
    let last = json!({"jsonrpc": "2.0", "id": "its own", "result": outcome});
    let hums = std::iter::repeat_n(": ping\n\n".to_owned(), times);
    let pieces =
        std::iter::once(format!("data: {first}\n\n")).chain(hums).chain([format!("data: {last}\n\n")]);
    let pieces = futures_util::stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        Ok(Frame::data(Bytes::from(piece)))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(BodyExt::boxed(StreamBody::new(pieces))).expect("a response of known parts")
}

/// Asks the client something, and answers when it was answered.
pub(super) fn asking(message: &Value, outcome: &Value, answered: Arc<Notify>) -> Reply {
    let question = json!({"jsonrpc": "2.0", "id": "of the server", "method": "ping"});
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": outcome});
    let events = futures_util::stream::iter([question, answer]).enumerate().then(move |(i, event)| {
        let answered = Arc::clone(&answered);
        async move {
            if i > 0 {
                answered.notified().await;
            }
            Ok(Frame::data(Bytes::from(format!("data: {event}\n\n"))))
        }
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(BodyExt::boxed(StreamBody::new(events))).expect("a response of known parts")
}

pub(super) fn reply(status: StatusCode, body: String) -> Reply {
    let media_type = if body.starts_with('{') { "application/json" } else { "text/plain" };
    typed(status, media_type, body)
}

pub(super) fn typed(status: StatusCode, media_type: &str, body: String) -> Reply {
    let mut response = Response::builder().status(status).header("content-type", media_type);
    if status.is_redirection() {
        response = response.header("location", "/mcp/");
    }
    response.body(Full::new(Bytes::from(body)).boxed()).expect("a response of known parts")
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            self.abandoned.fetch_add(1, Ordering::SeqCst);
        }
    }
}
