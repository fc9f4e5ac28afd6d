//! What goes out: a status, headers, and a JSON-RPC message or nothing.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::tools::Unavailable;
use crate::error::{
    HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND,
    MISSING_CLIENT_CAPABILITY, PARSE_ERROR, RpcError, UNSUPPORTED_VERSION,
};
use crate::headers;
use crate::version::SPOKEN;

/// An HTTP response.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why a message is not answered with a result.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Status of the response, when the message came alone.
    status: StatusCode,
    error: RpcError,
}

#[derive(Serialize)]
struct Success<'m, R> {
    jsonrpc: &'static str,
    id: &'m RawValue,
    result: R,
}

#[derive(Serialize)]
struct Failure<'m> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'m RawValue>,
    error: &'m RpcError,
}

#[derive(Serialize)]
struct Versions<'m> {
    supported: &'static [&'static str],
    requested: &'m str,
}

// === impl Reply ===

impl Reply {
    /// One message, or several as a list.
    pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(headers::JSON))]);
        Self { status, headers, body: body.into() }
    }

    /// Notifications, and answers that nobody waits for.
    pub fn accepted() -> Self {
        Self { status: StatusCode::ACCEPTED, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// The end of a stream that carries no answer: its client only listens.
    pub(super) fn end() -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// The same in a session.
    pub(super) fn in_session(mut self, session: Option<HeaderValue>) -> Self {
        self.headers.extend(session.map(|session| (headers::SESSION_ID, session)));
        self
    }

    /// There is no session to end, and no stream to open unless changes are announced on it.
    pub(super) fn only(methods: &'static str) -> Self {
        let headers = HeaderMap::from_iter([(ALLOW, HeaderValue::from_static(methods))]);
        Self { status: StatusCode::METHOD_NOT_ALLOWED, headers, body: Bytes::new() }
    }
}

/// The message that carries a result.
pub(super) fn success(id: &RawValue, result: impl Serialize) -> Result<Vec<u8>, Refusal> {
    let message = Success { jsonrpc: "2.0", id, result };
    serde_json::to_vec(&message).map_err(|fault| Refusal::internal(&fault))
}

// === impl Refusal ===

impl Refusal {
    fn new(status: StatusCode, code: i64, message: impl Into<String>) -> Self {
        Self { status, error: RpcError { code, message: message.into(), data: None } }
    }

    /// A web page that must not ask.
    pub(super) fn forbidden() -> Self {
        let message =
            "pages of this origin may not ask: the Origin header is neither of this machine nor allowed";
        Self::new(StatusCode::FORBIDDEN, INVALID_REQUEST, message)
    }

    /// The body is no JSON, or no message.
    pub(super) fn unreadable(fault: &serde_json::Error) -> Self {
        let code = if fault.is_data() { INVALID_REQUEST } else { PARSE_ERROR };
        Self::new(StatusCode::BAD_REQUEST, code, format!("the body is no JSON-RPC message: {fault}"))
    }

    /// The body is a message that means nothing.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, message)
    }

    /// The parameters of the method do not fit.
    pub(super) fn params(message: impl Into<String>) -> Self {
        Self::new(StatusCode::OK, INVALID_PARAMS, message)
    }

    /// What every request of the current revision says about its client is missing.
    pub(super) fn meta(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID_PARAMS, message)
    }

    /// A header is missing, or does not say what the body says.
    pub(super) fn mismatch(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, HEADER_MISMATCH, message)
    }

    /// A revision that is not spoken here.
    pub(super) fn version(requested: &str) -> Self {
        let mut refusal =
            Self::new(StatusCode::BAD_REQUEST, UNSUPPORTED_VERSION, "Unsupported protocol version");
        refusal.error.data =
            serde_json::value::to_raw_value(&Versions { supported: &SPOKEN, requested }).ok();
        refusal
    }

    /// A method that does not exist; `status` depends on the era.
    pub(super) fn method(status: StatusCode, method: &str) -> Self {
        Self::new(status, METHOD_NOT_FOUND, format!("Method not found: {method}"))
    }

    /// It is not known which tools there are.
    pub(super) fn unavailable(fault: &Unavailable) -> Self {
        Self::new(StatusCode::OK, INTERNAL_ERROR, fault.to_string())
    }

    /// What another server said. Clients of the current revision go by the status as well.
    pub(super) fn passed_on(error: RpcError) -> Self {
        let status = match error.code {
            HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_VERSION => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        Self { status, error }
    }

    /// A fault of ours.
    pub(super) fn internal(fault: &serde_json::Error) -> Self {
        Self::new(StatusCode::OK, INTERNAL_ERROR, format!("the answer cannot be written: {fault}"))
    }

    /// The status of the response, when the message came alone.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The message that carries the error; without an id when none could be read.
    pub(super) fn message(&self, id: Option<&RawValue>) -> Vec<u8> {
        // Serialising strings, numbers and raw JSON into memory has no way to fail.
        serde_json::to_vec(&Failure { jsonrpc: "2.0", id, error: &self.error }).unwrap_or_default()
    }
}
