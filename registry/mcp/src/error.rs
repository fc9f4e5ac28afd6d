//! Error codes of JSON-RPC and of the protocol.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The body is no JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The body is JSON, and no message of the protocol.
pub const INVALID_REQUEST: i64 = -32600;
/// The method does not exist.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters do not fit, or the tool is unknown.
pub const INVALID_PARAMS: i64 = -32602;
/// The server failed.
pub const INTERNAL_ERROR: i64 = -32603;
/// The client did not wait for the answer. The protocol has no code for it; this one is outside of what it reserves, and
/// others use it for the same.
pub const REQUEST_CANCELLED: i64 = -32800;
/// Headers and body disagree (2026-07-28).
pub const HEADER_MISMATCH: i64 = -32020;
/// The client lacks a capability that the server needs (2026-07-28).
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// The server does not speak the version asked for (2026-07-28).
pub const UNSUPPORTED_VERSION: i64 = -32022;

/// An error as JSON-RPC reports it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RpcError {
    /// What kind of error.
    pub code: i64,
    /// The same for people.
    #[serde(default)]
    pub message: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

/// Why an answer cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The body is no JSON-RPC message.
    #[error("the answer is no JSON-RPC message")]
    NotJsonRpc(#[source] serde_json::Error),
    /// The message carries neither a result nor an error.
    #[error("the answer carries neither a result nor an error")]
    Empty,
    /// The body is of a type that the protocol does not know.
    #[error("the answer is {0:?}, neither application/json nor text/event-stream")]
    ContentType(String),
    /// The stream ended before the answer came.
    #[error("the event stream ended without an answer")]
    StreamEnded,
    /// One event is larger than we accept.
    #[error("an event is larger than {0} bytes")]
    EventTooLarge(usize),
}
