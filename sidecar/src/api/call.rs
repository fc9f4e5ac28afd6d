//! `POST /call/{capability}`: JSON arguments in, the tool's result out; as a stream of events if the caller accepts one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use mesh_mcp::headers::EVENT_STREAM;
use mesh_mcp::raw::{Pieces, RawJson};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::body::ReplyBody;
use super::events::{Ending, Events};
use super::linger::linger;
use super::reply;
use super::state::State;
use crate::course::{Call, Reply};
use crate::error::CallError;
use crate::outbound::Failure;
use crate::passport::Passport;
use crate::tool::{Answer, ToolCall};

/// Path below which calls are made.
pub const PATH: &str = "/call/";
/// Time that a caller may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages of a provider that wait for the caller to take them. Then the provider waits as well.
const NOTES: usize = 16;

/// What a call brought back, or why it brought back nothing.
type Outcome = Result<Reply<Answer>, Failure>;

/// Serves one call.
pub async fn serve(state: &Arc<State>, request: Request<Incoming>) -> Response<ReplyBody> {
    if request.method() != Method::POST {
        let mut response = reply::no_method(request.method(), request.uri());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let wants_events = accepts_events(request.headers());
    let (call, arguments) = match read(state, request).await {
        Ok(call) => call,
        Err(error) => {
            state.metrics.refused(error.label());
            return reply::failure(Failure { error, attempts: Vec::new() });
        }
    };
    if wants_events {
        return Box::pin(stream(state, call, arguments)).await;
    }
    answer(state.outbound.carry(&call, &ToolCall::new(arguments)).await)
}

fn answer(outcome: Outcome) -> Response<ReplyBody> {
    match outcome.map(refused) {
        Ok(Ok((result, reply))) => reply::result(result, &reply),
        Ok(Err(failure)) | Err(failure) => reply::failure(failure),
    }
}

/// Answers with events as soon as there is one, or when the silence lasts; until then as any call.
async fn stream(state: &Arc<State>, call: Call, arguments: RawJson) -> Response<ReplyBody> {
    let (tell, mut notes) = mpsc::channel(NOTES);
    let carrying = Arc::clone(state);
    let mut calling = Box::pin(async move {
        let errand = ToolCall::listening(arguments, tell, carrying.pace.limits);
        carrying.outbound.carry(&call, &errand).await
    });
    let first = tokio::select! {
        biased;
        Some(note) = notes.recv() => Some(note),
        outcome = &mut calling => {
            return match outcome.map(refused) {
                Ok(Ok((result, reply))) => reply::only_event(&result, &reply),
                Ok(Err(failure)) | Err(failure) => reply::failure(failure),
            };
        }
        () = tokio::time::sleep(state.pace.keep_alive) => None,
    };
    let calling = Box::pin(async move { ending(calling.await) });
    reply::events(Events::new(calling, notes, first, state.pace.keep_alive))
}

fn ending(outcome: Outcome) -> Ending {
    match outcome.map(refused) {
        Ok(Ok((result, _))) => Ending { event: "result", data: result.into_bytes() },
        Ok(Err(failure)) | Err(failure) => {
            Ending { event: "error", data: reply::failure_body(failure).1.into() }
        }
    }
}

/// A provider that understood the call and refused it has failed it.
fn refused(reply: Reply<Answer>) -> Result<(RawJson, Reply<()>), Failure> {
    let Reply { answer, endpoint, attempts, age, is_stale, held } = reply;
    match answer {
        Answer::Result(result) => Ok((result, Reply { answer: (), endpoint, attempts, age, is_stale, held })),
        Answer::Error(error) => {
            let error = CallError::Refused { agent: endpoint.agent_id.clone(), error };
            Err(Failure { error, attempts: Vec::new() })
        }
    }
}

async fn read(state: &State, request: Request<Incoming>) -> Result<(Call, RawJson), CallError> {
    let (head, body) = request.into_parts();
    let capability = head.uri.path().strip_prefix(PATH).unwrap_or_default();
    let target = state.targets.get(capability, head.uri.query().unwrap_or_default())?;
    let passport = Passport::read(&head.headers, state.caller.as_ref())?;
    let arguments = read_arguments(read_body(state, state.admit(body)?).await?)?;
    let is_safe_to_repeat = passport.vouches();
    Ok((Call { target, passport, pinned: None, is_safe_to_repeat }, arguments))
}

/// Whether the caller would rather have events than one answer: the media types that it accepts, in its order.
fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types =
        accepted.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or(one));
    types.any(|one| one.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

async fn read_body(state: &State, mut body: Incoming) -> Result<Bytes, CallError> {
    let reading = pin!(async move {
        let (mut size, mut pieces) = (0, Pieces::default());
        while !body.is_end_stream()
            && let Some(frame) = body.frame().await
        {
            let piece = frame.map_err(|_| CallError::BodyIncomplete)?.into_data().unwrap_or_default();
            size += piece.len();
            if size > state.max_body {
                linger(body);
                return Err(CallError::BodyTooLarge(state.max_body));
            }
            pieces.push(piece);
        }
        Ok(pieces.whole())
    });
    let limited = state.alarms.limit(Instant::now() + BODY_TIMEOUT, reading).await;
    limited.unwrap_or(Err(CallError::BodyIncomplete))
}

/// The body as the arguments of a tool: a JSON object, kept byte for byte; nothing at all counts as `{}`.
fn read_arguments(body: Bytes) -> Result<RawJson, CallError> {
    let body = if body.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { body };
    let arguments = RawJson::read(&body).map_err(|fault| CallError::Arguments(fault.to_string()))?;
    match arguments.as_bytes().first() {
        Some(b'{') => Ok(arguments),
        _ => Err(CallError::Arguments("it is JSON, but not an object".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object_kept_byte_for_byte() {
        let read = |body: &'static [u8]| read_arguments(Bytes::from_static(body));
        assert_eq!(read(br#" {"b": 1e2,  "a":[ ]} "#).unwrap().as_bytes(), br#"{"b": 1e2,  "a":[ ]}"#);
        assert_eq!(read(b"").unwrap().as_bytes(), b"{}");
        for bad in [&b"[1]"[..], b"{", b"null", b"\xff\xfe", b"{} {}", b"\"x\""] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_deeply_nested_body_is_refused_and_does_not_overflow() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let _ = read_arguments(deep.into());
    }

    #[test]
    fn events_are_for_those_who_name_them() {
        let accepts = |value: &'static str| {
            accepts_events(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]))
        };
        assert!(accepts("text/event-stream") && accepts("application/json, Text/Event-Stream;q=0.5"));
        assert!(!accepts("*/*") && !accepts("application/json") && !accepts_events(&HeaderMap::new()));
    }
}
