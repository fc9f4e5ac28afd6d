//! `POST /call/{capability}`: JSON arguments in, the tool's result out.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use mesh_api::error::Fault;
use serde_json::value::RawValue;

use crate::api::state::State;
use crate::api::{query, reply};
use crate::error::CallError;
use crate::outbound::{Call, Failure};

/// Path below which calls are made.
pub const PATH: &str = "/call/";
/// Largest body, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Time that a caller may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time that a caller may ask for.
const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Time for the whole call, in milliseconds.
const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-mesh-timeout-ms");
/// With it the caller vouches that executing the call twice is as good as once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Serves one call.
pub async fn serve(state: &State, request: Request<Incoming>) -> Response<Body> {
    if request.method() != Method::POST {
        let mut response = reply::no_method(request.method().clone(), request.uri().clone()).await;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let call = match read(state, request).await {
        Ok(call) => call,
        Err(error) => return reply::failure(Failure { error, attempts: Vec::new() }),
    };
    match state.outbound.call(&call).await {
        Ok(done) => reply::success(done),
        Err(failure) => reply::failure(failure),
    }
}

async fn read(state: &State, request: Request<Incoming>) -> Result<Call, CallError> {
    let (head, body) = request.into_parts();
    let capability = head.uri.path().strip_prefix(PATH).unwrap_or_default();
    let query = query::of_call(capability, head.uri.query().unwrap_or_default(), &state.namespace)?;
    let default = state.timeouts.get(capability).copied().unwrap_or(state.timeout);
    let timeout = read_timeout(&head.headers)?.unwrap_or(default);
    let arguments = read_arguments(&read_body(body).await?)?;
    Ok(Call { query, arguments, timeout, is_safe_to_repeat: head.headers.contains_key(IDEMPOTENCY_KEY) })
}

fn read_timeout(headers: &HeaderMap) -> Result<Option<Duration>, CallError> {
    let Some(value) = headers.get(TIMEOUT_MS) else { return Ok(None) };
    let milliseconds = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    match milliseconds.map(Duration::from_millis) {
        Some(timeout) if !timeout.is_zero() && timeout <= MAX_TIMEOUT => Ok(Some(timeout)),
        _ => {
            let message = format!("must be a number of milliseconds from 1 to {}", MAX_TIMEOUT.as_millis());
            Err(CallError::Invalid(vec![Fault::new(TIMEOUT_MS.as_str(), message)]))
        }
    }
}

async fn read_body(body: Incoming) -> Result<Bytes, CallError> {
    let collecting = Limited::new(body, MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collecting).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => Err(CallError::BodyTooLarge(MAX_BODY)),
        Ok(Err(_)) | Err(_) => Err(CallError::BodyIncomplete),
    }
}

/// The body as the arguments of a tool: a JSON object, kept byte for byte; nothing at all counts as `{}`.
fn read_arguments(body: &[u8]) -> Result<Box<RawValue>, CallError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let arguments: Box<RawValue> =
        serde_json::from_slice(body).map_err(|fault| CallError::Arguments(fault.to_string()))?;
    match arguments.get().as_bytes().first() {
        Some(b'{') => Ok(arguments),
        _ => Err(CallError::Arguments("it is JSON, but not an object".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object_kept_byte_for_byte() {
        assert_eq!(read_arguments(br#" {"b": 1e2,  "a":[ ]} "#).unwrap().get(), r#"{"b": 1e2,  "a":[ ]}"#);
        assert_eq!(read_arguments(b"").unwrap().get(), "{}");
        for bad in [&b"[1]"[..], b"{", b"null", b"\xff\xfe", b"{} {}", b"\"x\""] {
            assert!(read_arguments(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_deeply_nested_body_is_refused_and_does_not_overflow() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let _ = read_arguments(deep.as_bytes());
    }

    #[test]
    fn the_timeout_header_is_checked() {
        let timeout = |value: &'static str| {
            read_timeout(&HeaderMap::from_iter([(TIMEOUT_MS, HeaderValue::from_static(value))]))
        };
        assert_eq!(timeout("250").unwrap(), Some(Duration::from_millis(250)));
        for bad in ["0", "-1", "soon", "99999999999"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }
}
