//! `POST /call/{capability}`: JSON arguments in, the tool's result out; as a stream of events if the caller accepts one.

use std::sync::Arc;

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use mesh_mcp::raw::RawJson;
use tokio::sync::mpsc;

use super::body::ReplyBody;
use super::events::{self, Begun, Ending, Events, begin};
use super::reply;
use super::state::State;
use crate::course::{Call, Reply};
use crate::error::CallError;
use crate::outbound::Failure;
use crate::passport::Passport;
use crate::told::takes_streams;
use crate::tool::{Answer, ToolCall};

/// Path below which calls are made.
pub const PATH: &str = "/call/";

/// What a call brought back, or why it brought back nothing.
type Outcome = Result<Reply<Answer>, Failure>;

/// Serves one call.
pub async fn serve(state: &Arc<State>, request: Request<Incoming>) -> Response<ReplyBody> {
    if request.method() != Method::POST {
        let mut response = reply::no_method(request.method(), request.uri());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let wants_events = takes_streams(request.headers());
    let (call, arguments) = match read(state, request).await {
        Ok(call) => call,
        Err(error) => return reply::refused(state, error),
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
    let (tell, notes) = mpsc::channel(events::NOTES);
    let carrying = Arc::clone(state);
    let calling = Box::pin(async move {
        let errand = ToolCall::new(arguments).listening(tell, carrying.pace.limits, true);
        carrying.outbound.carry(&call, &errand).await
    });
    let silence = state.pace.keep_alive;
    match begin(calling, notes, silence).await {
        Begun::Ended(outcome) => match outcome.map(refused) {
            Ok(Ok((result, reply))) => reply::only_event(&result, &reply),
            Ok(Err(failure)) | Err(failure) => reply::failure(failure),
        },
        Begun::GoesOn { calling, notes, first } => {
            let calling = Box::pin(async move { ending(calling.await) });
            reply::events(Events::new(calling, notes, first, silence))
        }
    }
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
    let arguments = read_arguments(state.read(body).await?)?;
    let is_safe_to_repeat = passport.vouches();
    Ok((Call { target, passport, pinned: None, is_safe_to_repeat }, arguments))
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
}
