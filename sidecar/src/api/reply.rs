//! Answers of our ports: the registry's error shape, plus whether to try again and what was tried.

use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use mesh_api::error::{Code, ErrorBody};
use mesh_mcp::error::INVALID_PARAMS;
use mesh_mcp::headers::EVENT_STREAM;
use mesh_mcp::raw::RawJson;
use mesh_mcp::sse::event;
use serde::Serialize;

use super::body::ReplyBody;
use super::events::Events;
use super::state::State;
use crate::course::Reply;
use crate::errand::AttemptReport;
use crate::error::{AttemptError, CallError, chain};
use crate::outbound::Failure;
use crate::passport::counted;
use crate::retry::Reached;

/// Who served a call.
const AGENT: HeaderName = HeaderName::from_static("x-mesh-agent");
/// How many attempts a call took.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-mesh-attempts");
/// Marks answers that rest on what was known before the registry went away.
const STALE: HeaderName = HeaderName::from_static("x-mesh-stale");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What every answer of a provider says about how it came about.
pub struct Provenance {
    agent: Option<HeaderValue>,
    attempts: u32,
    /// Its age in seconds, when it rests on what was known before the registry went away.
    stale_age: Option<u64>,
}

/// The body of every error answer.
#[derive(Debug, Serialize)]
struct FailureBody {
    #[serde(flatten)]
    body: ErrorBody,
    /// Whether the same call may well succeed later without doing harm.
    retryable: bool,
    /// What was tried.
    attempts: Vec<AttemptReport>,
}

// === impl Provenance ===

impl Provenance {
    /// How `reply` came about.
    pub fn of<A>(reply: &Reply<A>) -> Self {
        Self {
            agent: reply.endpoint.agent_header.clone(),
            attempts: reply.attempts,
            stale_age: reply.is_stale.then_some(reply.age.as_secs()),
        }
    }

    /// Writes it into the headers of an answer.
    pub fn write(self, headers: &mut HeaderMap) {
        if let Some(agent) = self.agent {
            headers.insert(AGENT, agent);
        }
        headers.insert(ATTEMPTS, counted(self.attempts));
        if let Some(age) = self.stale_age {
            headers.insert(AGE, HeaderValue::from(age));
            headers.insert(STALE, HeaderValue::from_static("1"));
        }
    }
}

/// The answer to a call that was carried out: the tool's result, byte for byte.
pub fn result(result: RawJson, reply: &Reply<()>) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Whole(Some(result.into_bytes())));
    let written = || {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(CONTENT_TYPE, JSON);
        Provenance::of(reply).write(&mut headers);
        headers
    };
    // The first attempt of a call that rests on fresh knowledge looks the same every time.
    *response.headers_mut() = match reply.attempts == 1 && !reply.is_stale {
        true => reply.endpoint.usual_headers.get_or_init(written).clone(),
        false => written(),
    };
    response
}

/// The same for a caller that accepts events, when nothing happened before the result.
pub fn only_event(result: &RawJson, reply: &Reply<()>) -> Response<ReplyBody> {
    let event = event("result", result.as_bytes());
    let mut response = Response::new(ReplyBody::Whole(Some(event)));
    mark_events(response.headers_mut());
    Provenance::of(reply).write(response.headers_mut());
    response
}

/// The events of a call that is still going on.
pub fn events(events: Events) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Events(Box::new(events)));
    mark_events(response.headers_mut());
    response
}

fn mark_events(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Asks proxies of the nginx family to pass on every event at once.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// Marks an answer that rests on what was known before the registry went away.
pub fn mark_age(headers: &mut HeaderMap, age: Duration, is_stale: bool) {
    if is_stale {
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
        headers.insert(STALE, HeaderValue::from_static("1"));
    }
}

/// The answer to a call that failed.
pub fn failure(failure: Failure) -> Response<ReplyBody> {
    let pause = retry_after(&failure.error);
    let (status, body) = failure_body(failure);
    error(status, body, pause)
}

/// The answer to a request that was not even tried, or not anywhere else: with `pause`, it may be sent again after that.
pub fn refusal(status: StatusCode, body: ErrorBody, pause: Option<Duration>) -> Response<ReplyBody> {
    let body = FailureBody { body, retryable: pause.is_some(), attempts: Vec::new() };
    error(status, serde_json::to_vec(&body).unwrap_or_default(), pause)
}

fn error(status: StatusCode, body: Vec<u8>, pause: Option<Duration>) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    if let Some(pause) = pause {
        let seconds = pause.as_secs_f64().ceil().max(1.0) as u64;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The answer to what was no call.
pub fn refused(state: &State, error: CallError) -> Response<ReplyBody> {
    state.metrics.refused(error.label());
    failure(Failure { error, attempts: Vec::new() })
}

/// Status and body of the answer to a call that failed.
pub fn failure_body(failure: Failure) -> (StatusCode, Vec<u8>) {
    let Failure { error, attempts } = failure;
    let (status, code) = status_of(&error);
    let body = match &error {
        CallError::Invalid(faults) => ErrorBody::faulty("Invalid call", faults.clone()),
        other => ErrorBody::new(code, chain(other)),
    };
    let retryable = is_retryable(&error);
    // Strings and numbers: writing them has no way to fail.
    (status, serde_json::to_vec(&FailureBody { body, retryable, attempts }).unwrap_or_default())
}

/// The body that says what is wrong when no call was made.
pub fn trouble_body(reason: String) -> Vec<u8> {
    // A string: writing it has no way to fail.
    serde_json::to_vec(&ErrorBody::new(Code::Unavailable, reason)).unwrap_or_default()
}

/// The only place that turns a call's error into an HTTP status.
fn status_of(error: &CallError) -> (StatusCode, Code) {
    match error {
        CallError::Invalid(_) | CallError::QueryRefused(_) => {
            (StatusCode::BAD_REQUEST, Code::ValidationFailed)
        }
        CallError::Arguments(_) | CallError::BodyIncomplete => (StatusCode::BAD_REQUEST, Code::MalformedBody),
        CallError::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge),
        CallError::NoProvider { .. } => (StatusCode::NOT_FOUND, Code::NoProvider),
        CallError::NoAgent { .. } => (StatusCode::NOT_FOUND, Code::AgentNotFound),
        CallError::RegistryAway { .. } => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        CallError::AllOut { .. } => (StatusCode::SERVICE_UNAVAILABLE, Code::ProvidersUnavailable),
        CallError::Failed { source, .. } => match source {
            AttemptError::TimedOut => (StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
            AttemptError::Status { status: StatusCode::LOOP_DETECTED, .. } => {
                (StatusCode::LOOP_DETECTED, Code::LoopDetected)
            }
            AttemptError::Busy { .. } | AttemptError::Crowded(_) => {
                (StatusCode::TOO_MANY_REQUESTS, Code::Overloaded)
            }
            _ => (StatusCode::BAD_GATEWAY, Code::UpstreamFailed),
        },
        CallError::Refused { error, .. } if error.code == INVALID_PARAMS => {
            (StatusCode::BAD_REQUEST, Code::UpstreamRefused)
        }
        CallError::Refused { .. } => (StatusCode::BAD_GATEWAY, Code::UpstreamRefused),
        CallError::Deadline(_) => (StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
        CallError::Overloaded(_) => (StatusCode::TOO_MANY_REQUESTS, Code::Overloaded),
        CallError::Loop(_) => (StatusCode::LOOP_DETECTED, Code::LoopDetected),
        CallError::SessionGone => (StatusCode::NOT_FOUND, Code::NoProvider),
    }
}

/// Only what certainly was not executed; whether anything else may be repeated, the caller must know.
fn is_retryable(error: &CallError) -> bool {
    match error {
        CallError::RegistryAway { .. } | CallError::AllOut { .. } | CallError::Overloaded(_) => true,
        CallError::Failed { source, .. } => matches!(source.reached(), Reached::Nobody | Reached::Refusal),
        CallError::Deadline(_) | CallError::NoProvider { .. } | CallError::NoAgent { .. } => true,
        _ => false,
    }
}

fn retry_after(error: &CallError) -> Option<Duration> {
    match error {
        CallError::AllOut { retry_after, .. } => Some(*retry_after),
        CallError::Failed { source: AttemptError::Busy { retry_after }, .. } => {
            Some(retry_after.unwrap_or(Duration::from_secs(1)))
        }
        CallError::RegistryAway { source, .. } => {
            Some(source.retry_after().unwrap_or(Duration::from_secs(1)))
        }
        CallError::Overloaded(_) => Some(Duration::from_secs(1)),
        _ => None,
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    (status, [(CONTENT_TYPE, JSON)], bytes).into_response()
}

/// The answer to a path that does not exist.
pub async fn no_route(uri: Uri) -> Response<Body> {
    let message = format!(
        "there is no {}; there are POST /call/{{capability}}, /mcp, /proxy/{{capability}}/{{path}}, /agents/{{id}}/mcp and GET \
         /explain/{{capability}}, /agents, /capabilities, /livez, /readyz, /metrics",
        uri.path()
    );
    json(StatusCode::NOT_FOUND, &ErrorBody::new(Code::RouteNotFound, message))
}

/// The answer to a method that a route of the router does not have.
pub async fn no_method_of_router(method: Method, uri: Uri) -> Response<ReplyBody> {
    no_method(&method, &uri)
}

/// The answer to a method that a path does not have.
pub fn no_method(method: &Method, uri: &Uri) -> Response<ReplyBody> {
    let message = format!("{} does not take {method}", uri.path());
    let body = ErrorBody::new(Code::MethodNotAllowed, message);
    json(StatusCode::METHOD_NOT_ALLOWED, &body).map(ReplyBody::Other)
}
