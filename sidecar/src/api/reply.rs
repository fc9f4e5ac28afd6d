//! Answers of the localhost port: the registry's error shape, plus whether to try again and what was tried.

use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use http::header::{AGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use mesh_api::error::{Code, ErrorBody};
use mesh_mcp::error::INVALID_PARAMS;
use serde::Serialize;

use crate::error::{AttemptError, AttemptReport, CallError, chain};
use crate::outbound::{Failure, Reply};

/// Who served a call.
const AGENT: HeaderName = HeaderName::from_static("x-mesh-agent");
/// How many attempts a call took.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-mesh-attempts");
/// Marks answers that rest on what was known before the registry went away.
const STALE: HeaderName = HeaderName::from_static("x-mesh-stale");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

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

/// The answer to a call that was carried out: the tool's result, byte for byte.
pub fn success(reply: Reply) -> Response<Body> {
    let mut response = Response::new(Body::from(String::from(Box::<str>::from(reply.result))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.extend(HeaderValue::from_str(&reply.agent_id).ok().map(|agent| (AGENT, agent)));
    headers.insert(ATTEMPTS, HeaderValue::from(reply.attempts));
    mark_age(headers, reply.age, reply.is_stale);
    response
}

/// Marks an answer that rests on what was known before the registry went away.
pub fn mark_age(headers: &mut http::HeaderMap, age: Duration, is_stale: bool) {
    if is_stale {
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
        headers.insert(STALE, HeaderValue::from_static("1"));
    }
}

/// The answer to a call that failed.
pub fn failure(failure: Failure) -> Response<Body> {
    let Failure { error, attempts } = failure;
    let (status, code) = status_of(&error);
    let body = match &error {
        CallError::Invalid(faults) => ErrorBody::faulty("Invalid call", faults.clone()),
        other => ErrorBody::new(code, chain(other)),
    };
    let retryable = is_retryable(&error);
    let mut response = json(status, &FailureBody { body, retryable, attempts });
    if let Some(pause) = retry_after(&error) {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(pause.as_secs_f64().ceil().max(1.0) as u64));
    }
    response
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
        CallError::RegistryAway { .. } => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        CallError::AllOut { .. } => (StatusCode::SERVICE_UNAVAILABLE, Code::ProvidersUnavailable),
        CallError::Failed { source, .. } => match source {
            AttemptError::TimedOut => (StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
            AttemptError::Busy { .. } => (StatusCode::TOO_MANY_REQUESTS, Code::Overloaded),
            _ => (StatusCode::BAD_GATEWAY, Code::UpstreamFailed),
        },
        CallError::Refused { error, .. } if error.code == INVALID_PARAMS => {
            (StatusCode::BAD_REQUEST, Code::UpstreamRefused)
        }
        CallError::Refused { .. } => (StatusCode::BAD_GATEWAY, Code::UpstreamRefused),
        CallError::Deadline(_) => (StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
        CallError::Overloaded(_) => (StatusCode::TOO_MANY_REQUESTS, Code::Overloaded),
    }
}

/// Only what certainly was not executed; whether anything else may be repeated, the caller must know.
fn is_retryable(error: &CallError) -> bool {
    match error {
        CallError::RegistryAway { .. } | CallError::AllOut { .. } | CallError::Overloaded(_) => true,
        CallError::Failed { source, .. } => source.reached() != crate::retry::Reached::Peer,
        CallError::Deadline(_) | CallError::NoProvider { .. } => true,
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
        "there is no {}; there are POST /call/{{capability}} and GET /explain/{{capability}}, /agents, /capabilities, \
         /livez, /readyz, /metrics",
        uri.path()
    );
    json(StatusCode::NOT_FOUND, &ErrorBody::new(Code::RouteNotFound, message))
}

/// The answer to a method that a path does not have.
pub async fn no_method(method: Method, uri: Uri) -> Response<Body> {
    let message = format!("{} does not take {method}", uri.path());
    json(StatusCode::METHOD_NOT_ALLOWED, &ErrorBody::new(Code::MethodNotAllowed, message))
}
