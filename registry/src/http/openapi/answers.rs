//! Answers that many operations share: the errors.

use mesh_api::error::ErrorBody;
use mesh_api::schema::Components;

use super::operation::{Answer, Schema};

/// The one media type of nearly every answer.
pub(super) const JSON: &str = "application/json";
const ERROR: &[(&str, Schema)] = &[(JSON, Components::output::<ErrorBody>)];

/// What is wrong with a query.
pub(super) const BAD_QUERY: &[Answer] = &[error(
    400,
    "The query has faults: all of them are listed in `faults`. A parameter that nothing reads is one of them, and the \
     known one that it resembles is named.",
)];
const NOT_MODIFIED: Answer =
    Answer { headers: TAGGED, ..Answer::bare(304, "The client has what would be answered.") };
/// How a document may be answered besides.
pub(super) const UNCHANGED: &[Answer] = &[NOT_MODIFIED];
/// How a list may be answered besides.
pub(super) const READ: &[Answer] = &[
    NOT_MODIFIED,
    error(
        410,
        "The changes that the watch asks for are not kept any more (`gone`): list again, and watch from there.",
    ),
    Answer {
        headers: &[("Retry-After", "Seconds after which to try again.")],
        ..error(429, "There are as many watches as this registry allows.")
    },
    Answer {
        headers: &[("Retry-After", "Seconds after which to try again.")],
        ..error(503, "The change that must be taken into account has not shown in time.")
    },
];
/// The header of answers that may lack something.
pub(super) const AGED: (&str, &str) = (
    "Age",
    "How old the answer is, in seconds: there only while the store does not tell what other registries write.",
);
/// The headers of a list.
pub(super) const TAGGED: &[(&str, &str)] = &[
    ("Cache-Control", "How long the answer may be kept."),
    AGED,
    ("ETag", "Differs when the rows differ, but for the times of heartbeats. Weak."),
];
/// The headers of an agent.
pub(super) const SHOWN: &[(&str, &str)] = &[
    ("Cache-Control", "How long the document may be kept: there with `format` only."),
    AGED,
    ("ETag", "Differs when the document differs: there with `format` only."),
];
/// What is wrong with the path or with the format.
pub(super) const BAD_SHOWING: &[Answer] = &[error(
    400,
    "The path cannot be read: it is not UTF-8. Or there is no such format (`validation_failed`): the known ones are named.",
)];
/// Nobody is registered under that id, or not as what was asked for.
pub(super) const NO_CARD: &[Answer] = &[error(
    404,
    "No agent is registered under that id (`agent_not_found`); or it does not say that it speaks A2A, so it has no agent \
     card (`card_not_found`).",
)];
/// What is wrong with a path: it is not UTF-8.
pub(super) const BAD_PATH: &[Answer] = &[error(400, "The path cannot be read: it is not UTF-8.")];
const FOREIGN: Answer = error(
    403,
    "A web page of another site may change nothing: its `Origin` is not of this machine (`forbidden`).",
);
/// Who must not change anything.
pub(super) const NOT_ALLOWED: &[Answer] = &[FOREIGN];
/// What can be wrong with a body, and with who sends it.
pub(super) const BAD_BODY: &[Answer] = &[
    error(
        400,
        "The body is not JSON (`malformed_body`), or the document in it has faults (`validation_failed`): all of them \
         are listed in `faults` with the path of each field.",
    ),
    FOREIGN,
    error(408, "The body did not arrive in time."),
    error(413, "The body is larger than this registry accepts."),
    error(415, "The body says that it is not JSON, or that it is compressed."),
];
/// What can be wrong with the arguments of a tool.
pub(super) const BAD_ARGUMENTS: &[Answer] = BAD_BODY;
/// Nobody is registered under that id.
pub(super) const NO_AGENT: &[Answer] = &[error(404, "No agent is registered under that id.")];
/// Why a change may not become durable.
pub(super) const NOT_DURABLE: &[Answer] = &[
    error(409, "Others kept changing the same agent at the same time."),
    Answer {
        headers: &[("Retry-After", "Seconds after which to try again.")],
        ..error(
            503,
            "The store cannot be reached now, or did not answer in time: the same request again does no harm.",
        )
    },
    error(507, "The disk that makes registrations durable is full, nothing was changed."),
];

/// Nobody can say now.
pub(super) const UNCERTAIN: &[Answer] = &[Answer {
    headers: &[("Retry-After", "Seconds after which to try again.")],
    ..error(503, "The agent is not known here, and this registry is not told now who registers with others.")
}];
/// A registry that has only been started.
pub(super) const STARTING: &[Answer] = &[Answer {
    headers: &[("Retry-After", "Seconds after which to try again.")],
    ..error(503, "The registry is reading what its store holds.")
}];

const fn error(status: u16, description: &'static str) -> Answer {
    Answer { content: ERROR, ..Answer::bare(status, description) }
}

/// The answer of a request that was carried out.
pub(super) const fn ok(description: &'static str, content: &'static [(&'static str, Schema)]) -> Answer {
    Answer { content, ..Answer::bare(200, description) }
}
