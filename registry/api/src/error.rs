//! The one shape of every error answer, in the registry and in the sidecar.
//!
//! Clients match on [`Code`]; people read `error`. Nothing here knows an HTTP status: the edge that answers does.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What kind of failure an error answer reports. Stable: clients match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The document or the query has faults; every one is listed in `faults`.
    ValidationFailed,
    /// The body is not JSON, or not the JSON that this route takes.
    MalformedBody,
    /// No agent is registered under that id.
    AgentNotFound,
    /// The agent has no card of this kind: it does not speak the protocol that the card is for.
    CardNotFound,
    /// There is no tool of that name.
    UnknownTool,
    /// There is no such route.
    RouteNotFound,
    /// The route exists, the method does not.
    MethodNotAllowed,
    /// The changes that a watch asks for are not kept any more: list again, and watch from there.
    Gone,
    /// Somebody else changed the same agent at the same time.
    Conflict,
    /// The request comes from where none is allowed to come from.
    Forbidden,
    /// The body is larger than this server accepts.
    PayloadTooLarge,
    /// The body is not `application/json`.
    UnsupportedMediaType,
    /// The server cannot do this now; `Retry-After` says when to try again.
    Unavailable,
    /// The disk that makes registrations durable is full.
    StorageFull,
    /// A fault of the server itself.
    Internal,
    /// No agent offers the capability that was asked for.
    NoProvider,
    /// Agents offer the capability, but none can be called now.
    ProvidersUnavailable,
    /// The call's time was used up.
    DeadlineExceeded,
    /// The provider's answer broke the protocol, or the connection broke.
    UpstreamFailed,
    /// The provider understood the call and refused it.
    UpstreamRefused,
    /// Too many calls are in flight.
    Overloaded,
    /// The call passed through too many sidecars.
    LoopDetected,
    /// A code that this version does not know.
    #[serde(other)]
    Unknown,
}

/// One thing that is wrong with a document or a query, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// Path of the field, such as `capabilities[0].version`; empty for the document as a whole.
    pub path: String,
    /// What is wrong with it, worded to follow the quoted path: `field is required`.
    pub message: String,
}

/// The body of every error answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// Always `error`, so that clients of the tool routes can look at one key.
    #[schemars(schema_with = "schema::error")]
    pub status: Outcome,
    /// What failed, for people, in one line.
    pub error: String,
    /// The same line under the name that older clients read.
    pub detail: String,
    /// What failed, for programs.
    pub code: Code,
    /// Every fault of the document or the query.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// The `status` key of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The request was carried out.
    #[default]
    Success,
    /// The request failed; the answer is an [`ErrorBody`].
    Error,
}

// === impl Fault ===

impl Fault {
    /// A fault at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "'{path}' {}", self.message),
        }
    }
}

// === impl ErrorBody ===

impl ErrorBody {
    /// An error of one sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let error = message.into();
        Self { status: Outcome::Error, detail: error.clone(), error, code, faults: Vec::new() }
    }

    /// The answer to a document or a query with faults: all of them in one line, and as data.
    ///
    /// `subject` opens the sentence: `Validation failed`, `Invalid query`.
    pub fn faulty(subject: &str, faults: Vec<Fault>) -> Self {
        let listed = faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ");
        Self { faults, ..Self::new(Code::ValidationFailed, format!("{subject}: {listed}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_validation_error_is_word_for_word() {
        let body = ErrorBody::faulty("Validation failed", vec![Fault::new("id", "field is required")]);
        assert_eq!(body.error, "Validation failed: 'id' field is required");
        assert_eq!(serde_json::to_value(&body).unwrap()["status"], "error");
    }

    #[test]
    fn a_code_from_the_future_is_read_as_unknown() {
        assert_eq!(serde_json::from_str::<Code>("\"quota_exhausted\"").unwrap(), Code::Unknown);
    }
}
